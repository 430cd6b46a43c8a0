import LinearAlgebra
import Schema
import Tensors

/// Networks of neurons (x · u)(x · v) with u and v of ±1.
package struct QuantizedSolution: CertifiedSolution {
  struct Neuron {
    let u, v: [Double]
    var weight: Double
  }

  /// Of each output.
  var neurons: [[Neuron]]
  /// The semidefinite bounds of each output; none if they were not asked for.
  var relaxations: [Relaxation] = []

  /// The program below with ν and λ, and the one above with P and N.
  struct Relaxation {
    let lower, upper: Double
    let dual, lambda: [Double]
    let positive, negative: Matrix

    init(
      lower: Double, upper: Double, dual: [Double], lambda: [Double], positive: Matrix,
      negative: Matrix
    ) {
      (self.lower, self.upper) = (lower, upper)
      (self.dual, self.lambda) = (dual, lambda)
      (self.positive, self.negative) = (positive, negative)
    }

    /// What zeros prove, for the targets `y`.
    init(zero y: [Double], dimension d: Int) {
      self.init(
        lower: 0, upper: 0.5 * dot(y.count, y, y), dual: y.map { _ in 0 },
        lambda: [Double](repeating: 0, count: d), positive: Matrix(d, d), negative: Matrix(d, d))
    }
  }
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  /// The zero network, and the zero dual point.
  package init(zero targets: Targets, dimension d: Int, bounded: Bool) {
    let y = targets.values
    if bounded || d > SignPricing.largest {
      relaxations = (0..<y.columns).map { Relaxation(zero: y.column($0), dimension: d) }
    }
    neurons = (0..<y.columns).map { _ in [] }
    (dual, predictions) = (Matrix(y.rows, y.columns), Matrix(y.rows, y.columns))
    (status, dualValue, iterations) = (.stalled, 0, 0)
    primal = SquaredLoss().value(predictions, y)
  }
}

/// Trains quantised networks (Bartan and Pilanci 2021) to the global optimum of ½ ‖ŷ − y‖² + β d Σ |a_j| in up to 24 dimensions: a
/// Lasso over all pairs of signs, by column generation. The dual constraint is max over u of ‖Su‖₁ ≤ β d, S = Σ ν_i x_i x_iᵀ.
/// In more dimensions pairs are drawn by rounding the semidefinite relaxation and improved sign by sign, and the relaxation
/// gives the bound.
package final class QuantizedSolver: RegularizedSolver {
  package let betaMax: Double
  private let x: Matrix
  private let targets: Matrix

  /// Whether all signs can be tried.
  private let isExact: Bool
  /// Whether the semidefinite bounds are wanted.
  private let isBounded: Bool
  /// Of each output, if they are needed.
  private let relaxations: [SignRelaxation]
  /// Whether products are too short for the threads of BLAS.
  private let isSmall: Bool

  /// `x` is n × d and `targets` n × C. `bounded` asks for the semidefinite bounds too. Throws if the machine lacks the
  /// memory.
  package init(_ x: Matrix, targets: Matrix, bounded: Bool = false) throws {
    (self.x, self.targets) = (x, targets)
    isExact = x.columns <= SignPricing.largest
    isBounded = bounded || !isExact
    let samples = isBounded ? try SignFeatures(x) : nil
    relaxations =
      samples.map { samples in
        (0..<targets.columns).map { SignRelaxation(samples, targets.column($0)) }
      } ?? []
    isSmall = samples?.isSmall ?? false
    var random = RandomSource(seed: 0, stream: 1)
    let isExact = isExact
    betaMax =
      (0..<targets.columns).reduce(0) { largest, c in
        let s = QuantizedSolver.form(x, targets.column(c))
        let found =
          isExact
          ? SignPricing.best(s, count: 1, above: .infinity).largest
          : QuantizedSolver.improved(
            [], s, count: 1, above: 0, &random
          ).first?.value ?? 0
        return max(largest, found)
      } / Double(x.columns)
  }

  package func start(at point: QuantizedSolution) -> QuantizedSolution? { point }

  package func predictions(_ point: QuantizedSolution, on data: Matrix) -> Matrix {
    let result = Matrix(data.rows, targets.columns)
    for (c, own) in point.neurons.enumerated() {
      for neuron in own {
        let image = QuantizedSolver.image(data, neuron.u, neuron.v)
        for i in 0..<data.rows { result[i, c] += neuron.weight * image[i] }
      }
    }
    return result
  }

  /// (x_i · u)(x_i · v).
  private static func image(_ x: Matrix, _ u: [Double], _ v: [Double]) -> [Double] {
    (0..<x.rows).map { dot(x.columns, x.row($0), u) * dot(x.columns, x.row($0), v) }
  }

  /// S = Σ ν_i x_i x_iᵀ.
  private static func form(_ x: Matrix, _ nu: [Double]) -> Matrix {
    let scaled = Matrix(copying: x)
    for i in 0..<x.rows { scale(x.columns, nu[i], scaled.row(i)) }
    let s = product(scaled, .transposed, x, .plain)
    s.symmetrize()
    return s
  }

  /// How many random signs a search without all of them begins with.
  private static let starts = 100

  /// The best pairs above `limit` that alternating between u = sign(S v) and v = sign(S u) reaches from `pairs` and from random
  /// signs, and from both signs of each.
  private static func improved(
    _ pairs: [SignPricing.Pair], _ s: Matrix, count: Int, above limit: Double,
    _ random: inout RandomSource
  ) -> [SignPricing.Pair] {
    let d = s.rows
    func signs(_ u: [Double]) -> [Double] {
      var image = [Double](repeating: 0, count: d)
      gemv(d, d, s.base, .plain, u, &image)
      return image.map { $0 < 0 ? -1.0 : 1 }
    }
    let beginnings =
      pairs.map(\.u)
      + (0..<starts).map { _ in (0..<d).map { _ in random.gaussian() < 0 ? -1.0 : 1 } }
    var seen: Set<[Double]> = []
    var found: [SignPricing.Pair] = []
    for beginning in beginnings {
      var (u, v) = (beginning, signs(beginning))
      for _ in 0..<100 {
        let next = signs(v)
        if next == u { break }
        (u, v) = (next, signs(next))
      }
      guard seen.insert(u).inserted else { continue }
      var image = [Double](repeating: 0, count: d)
      gemv(d, d, s.base, .plain, u, &image)
      let value = image.reduce(0) { $0 + abs($1) }
      if value > limit { found.append(SignPricing.Pair(u: u, v: v, value: value)) }
    }
    return Array(found.sorted { $0.value > $1.value }.prefix(count))
  }

  /// Neurons that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (60, 20)

  package func point(
    beta: Double, from start: QuantizedSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> QuantizedSolution {
    func search() -> QuantizedSolution {
      self.search(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
    }
    return isSmall ? Threads.withSerialBLAS(search) : search()
  }

  private func search(
    beta: Double, from start: QuantizedSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> QuantizedSolution {
    let outputs = (0..<targets.columns).map { c in
      QuantizedMaster(
        targets.column(c), weight: beta * Double(x.columns), start: start?.neurons[c] ?? [],
        image: { [x] in QuantizedSolver.image(x, $0, $1) })
    }
    var bounds =
      isBounded
      ? outputs.indices.map {
        QuantizedSolution.Relaxation(zero: targets.column($0), dimension: x.columns)
      } : []
    func compose(_ status: Status) -> QuantizedSolution {
      var result = start ?? QuantizedSolution(outputs: outputs.count, samples: x.rows)
      result.neurons = outputs.map(\.neurons)
      (result.dual, result.dualValue) = (Matrix(x.rows, outputs.count), 0)
      for (c, own) in outputs.enumerated() {
        for i in 0..<x.rows { result.dual[i, c] = own.dual[i] }
        result.dualValue += own.bound
      }
      result.predictions = predictions(result, on: x)
      result.primal =
        SquaredLoss().value(result.predictions, targets)
        + beta * Double(x.columns)
        * result.neurons.reduce(0) { $0 + $1.reduce(0) { $0 + abs($1.weight) } }
      (result.status, result.iterations) = (status, budget.iterations)
      result.relaxations = bounds
      return result
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: outputs.reduce(0) { $0 + $1.primal }, dual: outputs.reduce(0) { $0 + $1.bound },
          neurons: outputs.reduce(0) { $0 + $1.neurons.count }))
      budget.publish { compose(.stalled) }
    }
    var status = Status.optimal
    for (c, master) in outputs.enumerated() {
      if isBounded { bounds[c] = relax(c, weight: master.weight, rule, budget, for: master) }
      let end =
        isExact
        ? solve(master, rule: rule, budget: budget, report)
        : search(master, relaxations[c], budget: budget, report)
      if status == .optimal { status = end }
    }
    var result = compose(status)
    if result.gap <= rule.gap { result.status = .optimal }
    return result
  }

  private func solve(
    _ master: QuantizedMaster, rule: StoppingRule, budget: Budget, _ report: () -> Void
  ) -> Status {
    var (best, idle) = (Double.infinity, 0)
    while true {
      let (pairs, largest) = SignPricing.best(
        QuantizedSolver.form(x, master.residual), count: QuantizedSolver.entering,
        above: master.weight)
      master.offerDual(withRoom(largest))
      report()
      // A tenth is left for the rounding of anyone who recomputes the gap.
      if master.gap <= 0.9 * rule.gap { return .optimal }
      if let limit = budget.exhausted { return limit }
      budget.count()
      idle = master.gap < 0.99 * best ? 0 : idle + 1
      best = min(best, master.gap)
      if idle > QuantizedSolver.patience || !master.add(pairs) { return .stalled }
    }
  }

  /// Solves both semidefinite programs of output c; if signs cannot all be tried, `master` takes the bound.
  private func relax(
    _ c: Int, weight: Double, _ rule: StoppingRule, _ budget: Budget, for master: QuantizedMaster
  ) -> QuantizedSolution.Relaxation {
    let program = relaxations[c]
    let goal = min(1e-7, 0.1 * rule.gap)
    program.solve(weight: SignRelaxation.upperFactor * weight, goal: goal) {
      budget.exhausted == nil
    }
    let (upper, positive, negative) = (
      program.primal, Matrix(copying: program.positive), Matrix(copying: program.negative)
    )
    // Last, so that rounding begins at the one below.
    program.solve(weight: weight, goal: goal) { budget.exhausted == nil }
    if !isExact { master.take(program.dual, program.bound) }
    return QuantizedSolution.Relaxation(
      lower: program.bound, upper: upper, dual: program.dual, lambda: program.lambda,
      positive: positive, negative: negative)
  }

  /// Rounds of pairs that are drawn from the relaxation or found by improving signs, as long as one is worth its weight.
  private func search(
    _ master: QuantizedMaster, _ relaxation: SignRelaxation, budget: Budget, _ report: () -> Void
  ) -> Status {
    var random = RandomSource(seed: 0, stream: 2)
    _ = master.add(relaxation.samples(QuantizedSolver.entering, &random))
    for _ in 0..<200 {
      report()
      if let limit = budget.exhausted { return limit }
      budget.count()
      let pairs = QuantizedSolver.improved(
        relaxation.samples(QuantizedSolver.entering, &random),
        QuantizedSolver.form(x, master.residual), count: QuantizedSolver.entering,
        above: master.weight * (1 + 1e-9), &random)
      if pairs.isEmpty || !master.add(pairs) { break }
    }
    return .stalled
  }
}

extension QuantizedSolution {
  fileprivate init(outputs: Int, samples n: Int) {
    neurons = (0..<outputs).map { _ in [] }
    (dual, predictions) = (Matrix(n, outputs), Matrix(n, outputs))
    (status, primal, dualValue, iterations) = (.stalled, 0, 0, 0)
  }
}

/// min ½ ‖Σ γ_k h_k − y‖² + w Σ γ_k over γ ≥ 0 for the neurons so far; the sign of a neuron is that of v.
private final class QuantizedMaster {
  let weight: Double
  private let y: [Double]
  private let image: ([Double], [Double]) -> [Double]
  private(set) var neurons: [QuantizedSolution.Neuron]
  private var images: [[Double]]
  private(set) var residual: [Double]
  private(set) var primal: Double
  private(set) var dual: [Double]
  private(set) var bound = 0.0
  var gap: Double { relativeGap(primal: primal, dual: bound) }

  init(
    _ y: [Double], weight: Double, start: [QuantizedSolution.Neuron],
    image: @escaping ([Double], [Double]) -> [Double]
  ) {
    (self.y, self.weight, self.image) = (y, weight, image)
    (neurons, residual, dual) = (start, y, y.map { _ in 0 })
    images = start.map { image($0.u, $0.v) }
    primal = 0.5 * dot(y.count, y, y)
    if !start.isEmpty { fit() }
  }

  /// Takes a dual point that is feasible, and its value.
  func take(_ point: [Double], _ value: Double) {
    guard value > bound else { return }
    (bound, dual) = (value, point)
  }

  /// Takes the best multiple of the residual that is feasible, the largest price being `largest`.
  func offerDual(_ largest: Double) {
    let square = dot(y.count, residual, residual)
    guard square > 0 else {
      return
    }
    let product = dot(y.count, residual, y)
    let s = min(product / square, largest > 0 ? weight / largest : .infinity)
    let value = s * product - 0.5 * s * s * square
    guard value > bound else { return }
    (bound, dual) = (value, residual.map { s * $0 })
  }

  /// Lets the pairs enter that are new; false if there is none.
  func add(_ pairs: [SignPricing.Pair]) -> Bool {
    let before = neurons.count
    for pair in pairs {
      // (u, v) and (v, u) are one, and so are (−u, −v).
      let isKnown = neurons.contains { own in
        (own.u == pair.u && own.v == pair.v) || (own.u == pair.v && own.v == pair.u)
          || (own.u == pair.v.map { -$0 } && own.v == pair.u.map { -$0 })
      }
      if isKnown { continue }
      neurons.append(QuantizedSolution.Neuron(u: pair.u, v: pair.v, weight: 0))
      images.append(image(pair.u, pair.v))
    }
    guard neurons.count > before else { return false }
    fit()
    return true
  }

  private func fit() {
    let (m, n) = (neurons.count, y.count)
    let all = Matrix(m, n, images.flatMap(\.self))
    let gram = product(all, .plain, all, .transposed)
    let squares = NonNegativeLeastSquares(capacity: max(1, m))
    for a in 0..<m {
      // A little more on the diagonal, so that dependent neurons can take each other's place.
      for b in 0...a { squares.setGram(a, b, gram[a, b] * (a == b ? 1 + 1e-10 : 1)) }
    }
    var lengths = neurons.map(\.weight)
    let right = (0..<m).map { dot(n, all.row($0), y) - weight }
    for _ in 0..<3 {
      for a in 0..<m { squares.setRight(a, right[a] + 1e-10 * gram[a, a] * lengths[a]) }
      squares.solve(m, startingWith: lengths.indices.filter { lengths[$0] > 0 })
      lengths = (0..<m).map { squares.x[$0] }
    }
    residual = y
    primal = weight * lengths.reduce(0, +)
    for k in 0..<m where lengths[k] > 0 { axpy(n, -lengths[k], all.row(k), &residual) }
    primal += 0.5 * dot(n, residual, residual)
    let kept = lengths.indices.filter { lengths[$0] > 0 }
    neurons = kept.map {
      var own = neurons[$0]
      own.weight = lengths[$0]
      return own
    }
    images = kept.map { images[$0] }
  }
}
