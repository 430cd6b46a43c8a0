import Convex
import Glibc
import LinearAlgebra

/// Solves min ½‖F W − Y‖² + β Σ ‖W_i‖ by Newton's method in the η of β‖w‖ = min ½(‖w‖²/η + β²η), from
/// the Gram matrix of the features alone.
///
/// W = (G + diag(1/η))⁻¹ R by conjugate gradients; T = R − G W, which is W_i/η_i where η_i > 0. Of
/// f(η) = min over W of ½‖F W − Y‖² + ½ Σ (‖W_i‖²/η_i + β²η_i) the derivative is −½(‖T_i‖² − β²). A step
/// minimises ½ pᵀHp − rᵀp over η + p ≥ 0 with r_i = ‖T_i‖² (‖T_i‖/β − 1), Newton's for 1/‖T_i‖ = 1/β, or
/// where it gains nothing r_i = ½(‖T_i‖² − β²).
///
/// All is relative to a reference point at which the residual is known from the data: where G is rounded,
/// only what W differs from there feels it.
final class GramNewton {
  enum End { case reached, interrupted, stalled }

  let order: Int
  let outputs: Int
  private let gram: any FeatureGram
  private let system: any GramSystem
  private let problems: [GroupProblem]
  private let size: Int
  private let gates: Int
  /// R.
  private let correlations: Matrix
  private let quadratic = BoundedQuadratic()

  // The reference point: its W, its T, and of each output ‖ν‖² and νᵀy.
  private let pastWeights: Matrix
  private let pastDirections: Matrix
  private var pastSquares: [Double]
  private var pastProducts: [Double]

  // Where it stands.
  private(set) var eta: [[Double]]
  /// W and T, Q × C.
  let weights: Matrix
  let directions: Matrix
  private var squares: [Double]
  private var products: [Double]
  private(set) var values: [Value]
  /// The η for which the systems are factored.
  private var factored: [[Double]]

  // Room for conjugate gradients.
  private let (residual, conditioned, direction, image): (Matrix, Matrix, Matrix, Matrix)

  /// What one problem is worth at W.
  struct Value {
    var primal = Double.infinity
    var dual = -Double.infinity
    /// f(η).
    var smooth = Double.infinity
    /// ‖T_i‖ and ‖W_i‖ of all gates.
    var norms: [Double] = []
    var lengths: [Double] = []
    var gap: Double { primal - dual }
  }

  init(
    _ gram: any FeatureGram, _ system: any GramSystem, problems: [GroupProblem], groupSize: Int,
    correlations: Matrix, targets: Matrix
  ) {
    self.gram = gram
    self.system = system
    self.problems = problems
    self.correlations = correlations
    size = groupSize
    order = correlations.rows
    outputs = correlations.columns
    gates = order / groupSize
    func room() -> Matrix { Matrix(correlations.rows, correlations.columns) }
    (pastWeights, pastDirections) = (room(), room())
    (weights, directions) = (room(), room())
    (residual, conditioned, direction, image) = (room(), room(), room(), room())
    pastSquares = (0..<outputs).map { c in
      (0..<targets.rows).reduce(0) { $0 + targets[$1, c] * targets[$1, c] }
    }
    pastProducts = pastSquares
    (squares, products) = (pastSquares, pastSquares)
    pastDirections.copy(from: correlations)
    directions.copy(from: correlations)
    eta = problems.map { _ in Array(repeating: 0, count: correlations.rows / groupSize) }
    values = problems.map { _ in Value() }
    factored = problems.map { _ in [] }
  }

  /// Takes the residual at the present W for known: T, and of each output ‖ν‖² and νᵀy.
  func setReference(directions t: Matrix, squares: [Double], products: [Double]) {
    pastWeights.copy(from: weights)
    pastDirections.copy(from: t)
    (pastSquares, pastProducts) = (squares, products)
  }

  /// Begins from the weights that stand in `weights`.
  func beginFromWeights(beta: Double) {
    refresh()
    judge(beta: beta)
    for p in problems.indices {
      let value = values[p]
      for i in 0..<gates {
        let length = value.lengths[i]
        eta[p][i] = length > 0 ? length / max(beta, (value.norms[i] * beta).squareRoot()) : 0
      }
    }
  }

  /// Begins from nothing.
  func beginCold() {
    weights.fill(0)
    for p in problems.indices { for i in 0..<gates { eta[p][i] = 0 } }
    refresh()
  }

  // MARK: A point

  /// T and the sums of the residual at W.
  private func refresh() {
    for k in 0..<weights.count { direction.base[k] = weights.base[k] - pastWeights.base[k] }
    gram.multiply(direction, into: image, within: nil)
    (squares, products) = (pastSquares, pastProducts)
    for i in 0..<order {
      let (d, g, t) = (direction.row(i), image.row(i), directions.row(i))
      let (past, r) = (pastDirections.row(i), correlations.row(i))
      for c in 0..<outputs {
        t[c] = past[c] - g[c]
        squares[c] -= (past[c] + t[c]) * d[c]
        products[c] -= r[c] * d[c]
      }
    }
  }

  /// Calls `body` with each problem and its gates with η > 0.
  @inline(__always)
  private func forEachActive(_ body: (_ p: Int, _ rows: Range<Int>, _ inverse: Double) -> Void) {
    for p in problems.indices {
      for i in 0..<gates where eta[p][i] > 0 {
        body(p, i * size..<(i + 1) * size, 1 / eta[p][i])
      }
    }
  }

  /// W ← (G + diag(1/η))⁻¹ R, from where it stands, until what is left of it costs f less than
  /// `tolerance`² times the primal value. Only the problems `moving` are solved.
  private func locate(
    moving: [Bool], beta: Double, tolerance: Double, isOpen: () -> Bool
  ) {
    for (p, problem) in problems.enumerated() {
      for i in 0..<gates where eta[p][i] == 0 {
        for j in i * size..<(i + 1) * size { for c in problem.columns { weights[j, c] = 0 } }
      }
    }
    refresh()
    residual.fill(0)
    var isUsed = [Bool](repeating: false, count: gates)
    forEachActive { p, rows, inverse in
      guard moving[p] else { return }
      isUsed[rows.lowerBound / size] = true
      for j in rows {
        for c in problems[p].columns {
          residual[j, c] = directions[j, c] - inverse * weights[j, c]
        }
      }
    }
    let ranges = self.ranges(isUsed)
    guard !ranges.isEmpty else {
      judge(beta: beta)
      return
    }
    system.apply(residual, into: conditioned)
    direction.copy(from: conditioned)
    var sizes = columnDots(residual, conditioned)
    let goals = problems.indices.map { p in
      let primal = values[p].primal.isFinite ? values[p].primal : 0
      let loss = problems[p].columns.reduce(0) { $0 + 0.5 * squares[$1] }
      return tolerance * tolerance * max(min(primal, loss), 1e-3 * loss)
    }
    for _ in 0..<GramNewton.maximumIterations {
      let isDone = problems.indices.allSatisfy { p in
        problems[p].columns.reduce(0) { $0 + sizes[$1] } <= goals[p]
      }
      if isDone { break }
      if !isOpen() { break }
      gram.multiply(direction, into: image, within: ranges)
      var curvature = [Double](repeating: 0, count: outputs)
      forEachActive { p, rows, inverse in
        guard moving[p] else { return }
        for j in rows {
          let (x, y) = (direction.row(j), image.row(j))
          for c in problems[p].columns {
            y[c] += inverse * x[c]
            curvature[c] += x[c] * y[c]
          }
        }
      }
      let lengths = (0..<outputs).map { c in
        curvature[c] > 0 && sizes[c] > 0 ? sizes[c] / curvature[c] : 0
      }
      forEachActive { p, rows, _ in
        guard moving[p] else { return }
        for j in rows {
          for c in problems[p].columns {
            weights[j, c] += lengths[c] * direction[j, c]
            residual[j, c] -= lengths[c] * image[j, c]
          }
        }
      }
      system.apply(residual, into: conditioned)
      let next = columnDots(residual, conditioned)
      let ratios = (0..<outputs).map { sizes[$0] > 0 ? next[$0] / sizes[$0] : 0 }
      for j in 0..<order {
        let (x, z) = (direction.row(j), conditioned.row(j))
        for c in 0..<outputs { x[c] = z[c] + ratios[c] * x[c] }
      }
      sizes = next
      steps += 1
    }
    refresh()
    judge(beta: beta)
  }

  /// Conjugate-gradient steps so far.
  private(set) var steps = 0
  private static let maximumIterations = 300

  private func columnDots(_ x: Matrix, _ y: Matrix) -> [Double] {
    var sums = [Double](repeating: 0, count: outputs)
    for j in 0..<order {
      let (a, b) = (x.row(j), y.row(j))
      for c in 0..<outputs { sums[c] += a[c] * b[c] }
    }
    return sums
  }

  /// The features of the gates that are used, neighbours joined; `nil` stands for all of them.
  private func ranges(_ isUsed: [Bool]) -> [Range<Int>] {
    var result: [Range<Int>] = []
    for i in 0..<gates where isUsed[i] {
      if let last = result.last, last.upperBound == i * size {
        result[result.count - 1] = last.lowerBound..<(i + 1) * size
      } else {
        result.append(i * size..<(i + 1) * size)
      }
    }
    return result
  }

  /// The values of all problems at W.
  private func judge(beta: Double) {
    for (p, problem) in problems.enumerated() {
      var value = Value()
      value.norms = blockNorms(directions, problem.columns)
      value.lengths = blockNorms(weights, problem.columns)
      let square = problem.columns.reduce(0) { $0 + squares[$1] }
      let product = problem.columns.reduce(0) { $0 + products[$1] }
      var (penalty, smooth, largest) = (0.0, 0.0, 0.0)
      for i in 0..<gates {
        largest = max(largest, value.norms[i])
        penalty += value.lengths[i]
        if eta[p][i] > 0 {
          smooth += value.lengths[i] * value.lengths[i] / eta[p][i] + beta * beta * eta[p][i]
        }
      }
      value.primal = 0.5 * square + beta * penalty
      value.smooth = 0.5 * square + 0.5 * smooth
      value.dual = 0
      if square > 0 {
        let bound = largest > 0 ? beta / largest : .infinity
        let s = max(-bound, min(bound, product / square))
        value.dual = s * (product - 0.5 * s * square)
      }
      values[p] = value
    }
  }

  private func blockNorms(_ x: Matrix, _ columns: Range<Int>) -> [Double] {
    (0..<gates).map { i in
      var sum = 0.0
      for j in i * size..<(i + 1) * size {
        let row = x.row(j)
        for c in columns { sum += row[c] * row[c] }
      }
      return sum.squareRoot()
    }
  }

  // MARK: The search

  var primal: Double { values.reduce(0) { $0 + $1.primal } }
  var dual: Double { values.reduce(0) { $0 + $1.dual } }
  var gap: Double { relativeGap(primal: primal, dual: dual) }
  /// Groups with weight.
  var active: Int { eta.reduce(0) { $0 + $1.reduce(0) { $0 + ($1 > 0 ? 1 : 0) } } }

  /// Improves W for `beta` until the relative gap is at most `goal`, as far as G tells; asks `proceed` before
  /// each step, and `isOpen` within, and tells `report` of each.
  func solve(
    beta: Double, goal: Double, isOpen: () -> Bool, proceed: () -> Bool, report: () -> Void
  ) -> End {
    var strictness = 1.0
    var failures = problems.map { _ in 0 }
    var kept: [Kept?] = problems.map { _ in nil }
    var moving = problems.map { _ in true }
    for (p, value) in eta.enumerated() where value.contains(where: { $0 > 0 }) {
      guard factor(p) else { return .stalled }
    }
    judge(beta: beta)
    var last = min(1, gap)
    var idle = 0
    var best = Double.infinity
    locate(
      moving: moving, beta: beta, tolerance: 0.1 * max(goal, min(0.2, last)), isOpen: isOpen)
    while true {
      // Steps that did not lower f are taken back.
      for p in problems.indices {
        guard let before = kept[p] else { continue }
        let slack = 0.01 * max(0, before.value.gap) + 1e-13 * abs(before.value.smooth)
        if values[p].smooth <= before.value.smooth + slack {
          failures[p] = 0
        } else {
          restore(before, p)
          failures[p] += 1
        }
        kept[p] = nil
      }
      report()
      let now = gap
      if now <= goal { return .reached }
      if !proceed() { return .interrupted }
      idle = now < 0.9 * best ? 0 : idle + 1
      best = min(best, now)
      if idle > GramNewton.patience { return .stalled }
      if now > 0.5 * last { strictness = max(1e-4, 0.3 * strictness) }
      last = now

      let total = primal
      for (p, value) in values.enumerated() {
        moving[p] = value.gap > 0.3 * goal * total / Double(problems.count)
        guard moving[p] else { continue }
        kept[p] = keep(p)
        guard step(p, beta: beta, attempt: failures[p]) else { return .stalled }
      }
      locate(
        moving: moving, beta: beta,
        tolerance: max(1e-9, 0.1 * strictness * min(0.2, max(now, goal))), isOpen: isOpen)
    }
  }

  private static let patience = 12

  /// A problem as it was before a step.
  private struct Kept {
    var eta: [Double]
    var value: Value
    var weights: [Double]
    var directions: [Double]
    var squares: [Double]
    var products: [Double]
  }

  private func keep(_ p: Int) -> Kept {
    let columns = problems[p].columns
    return Kept(
      eta: eta[p], value: values[p], weights: columns.flatMap { weights.column($0) },
      directions: columns.flatMap { directions.column($0) },
      squares: columns.map { squares[$0] }, products: columns.map { products[$0] })
  }

  private func restore(_ kept: Kept, _ p: Int) {
    eta[p] = kept.eta
    values[p] = kept.value
    for (k, c) in problems[p].columns.enumerated() {
      squares[c] = kept.squares[k]
      products[c] = kept.products[k]
      for j in 0..<order {
        weights[j, c] = kept.weights[k * order + j]
        directions[j, c] = kept.directions[k * order + j]
      }
    }
  }

  /// Moves η of a problem and factors its system anew; each `attempt` after a failure is more careful.
  private func step(_ p: Int, beta: Double, attempt: Int) -> Bool {
    let value = values[p]
    var working: [Int] = []
    var entering: [Int] = []
    for i in 0..<gates {
      if eta[p][i] > 0 {
        working.append(i)
      } else if value.norms[i] > beta * (1 + 1e-9) {
        entering.append(i)
      }
    }
    // Few at a time: most that violate now will not once the first have entered.
    let most = max(10, working.count)
    if entering.count > most {
      entering.sort { (value.norms[$0], $1) > (value.norms[$1], $0) }
      entering.removeLast(entering.count - most)
    }
    working += entering
    let count = working.count
    guard count > 0 else { return true }
    guard factor(p) else { return false }
    let hessian = Matrix(count, count)
    system.hessian(p, working, directions: directions, into: hessian.base)
    let room = Matrix(3, count)
    let (right, lower, step) = (room.row(0), room.row(1), room.row(2))
    for (k, i) in working.enumerated() {
      let square = value.norms[i] * value.norms[i]
      lower[k] = -eta[p][i]
      right[k] =
        attempt == 0 ? square * (value.norms[i] / beta - 1) : 0.5 * (square - beta * beta)
    }
    let damping = attempt < 4 ? 0 : 1e-6 * pow(10, Double(min(6, attempt - 4)))
    quadratic.minimize(
      count, hessian.base, right, lower: lower, damping: damping, into: step)
    let length = attempt < 2 ? 1 : pow(0.4, Double(attempt - 1))
    let largest = eta[p].max() ?? 0
    for (k, i) in working.enumerated() {
      let old = eta[p][i]
      let reachesBound = length == 1 && step[k] <= lower[k] * (1 - 1e-12)
      var new = reachesBound ? 0 : max(0, old + length * step[k])
      if largest > 0 { new = min(new, 10 * max(old, 0.05 * largest)) }
      eta[p][i] = new
    }
    return factor(p)
  }

  /// Has the system of a problem take its η, where it has not.
  private func factor(_ p: Int) -> Bool {
    if factored[p] == eta[p] { return true }
    factored[p] = eta[p]
    return system.factor(p, eta[p])
  }
}
