import Convex
import Glibc
import LinearAlgebra

/// Solves min ½‖F W − Y‖² + β Σ ‖W_i‖ by Newton's method in the η of β‖w‖ = min ½(‖w‖²/η + β²η), using only the Gram
/// matrix of the features.
///
/// W = (G + diag(1/η))⁻¹ R by conjugate gradients; T = R − G W, which is W_i/η_i if η_i > 0. The derivative of f(η) =
/// min over W of ½‖F W − Y‖² + ½ Σ (‖W_i‖²/η_i + β²η_i) is −½(‖T_i‖² − β²). A step minimises ½ pᵀHp − rᵀp over η + p ≥
/// 0 with r_i = ‖T_i‖² (‖T_i‖/β − 1), Newton's for 1/‖T_i‖ = 1/β, or with r_i = ½(‖T_i‖² − β²) if the former gains
/// nothing.
///
/// All is relative to a reference point at which the residual is known from the data: if G is rounded, the rounding
/// affects only the difference of W from that point.
final class GramNewton {
  enum End { case reached, interrupted, stalled }

  let order: Int
  let outputs: Int
  let gram: any FeatureGram
  let system: any GramSystem
  let problems: [GroupProblem]
  let size: Int
  let gates: Int
  /// R.
  private let correlations: Matrix
  let quadratic = BoundedQuadratic()

  // The reference point: its W, its T, and ‖ν‖² and νᵀy of each output.
  private let pastWeights: Matrix
  private let pastDirections: Matrix
  private var pastSquares: [Double]
  private var pastProducts: [Double]

  // The current point.
  var eta: [[Double]]
  /// W and T, Q × C.
  let weights: Matrix
  let directions: Matrix
  var squares: [Double]
  var products: [Double]
  var values: [Value]
  /// The η for which the systems are factored.
  var factored: [[Double]]

  // Memory for conjugate gradients.
  private let (residual, conditioned, direction, image): (Matrix, Matrix, Matrix, Matrix)

  /// The values of one problem at W.
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
    correlations: Matrix, targetSquares: [Double]
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
    pastSquares = targetSquares
    pastProducts = pastSquares
    (squares, products) = (pastSquares, pastSquares)
    pastDirections.copy(from: correlations)
    directions.copy(from: correlations)
    eta = problems.map { _ in Array(repeating: 0, count: correlations.rows / groupSize) }
    values = problems.map { _ in Value() }
    factored = problems.map { _ in [] }
  }

  /// Makes the current W the reference point, whose residual is known.
  func setReference(_ sums: ResidualSums) {
    pastWeights.copy(from: weights)
    pastDirections.copy(from: sums.directions)
    (pastSquares, pastProducts) = (sums.squares, sums.products)
  }

  /// Begins with the current `weights`.
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

  /// Begins with zero weights.
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

  /// W ← (G + diag(1/η))⁻¹ R, from the current W, until the residual costs f less than `tolerance`² times the primal
  /// value. Solves only the problems that are `moving`.
  func locate(
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
      if isDone || !isOpen() { break }
      step(&sizes, moving: moving, within: ranges)
    }
    refresh()
    judge(beta: beta)
  }

  /// A step of conjugate gradients. `sizes` are the squares of the residuals in the norm of the preconditioner.
  private func step(_ sizes: inout [Double], moving: [Bool], within ranges: [Range<Int>]) {
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

  /// The features of the gates in use, with neighbours joined; nil stands for all of them.
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
  func judge(beta: Double) {
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
}
