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
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  /// The zero network, and the zero dual point.
  package init(zero targets: Targets) {
    let y = targets.values
    neurons = (0..<y.columns).map { _ in [] }
    (dual, predictions) = (Matrix(y.rows, y.columns), Matrix(y.rows, y.columns))
    (status, dualValue, iterations) = (.stalled, 0, 0)
    primal = SquaredLoss().value(predictions, y)
  }
}

/// Trains quantised networks (Bartan and Pilanci 2021) to the global optimum of ½ ‖ŷ − y‖² + β d Σ |a_j| in up to 24 dimensions: a
/// Lasso over all pairs of signs, by column generation. The dual constraint is max over u of ‖Su‖₁ ≤ β d, S = Σ ν_i x_i x_iᵀ.
package final class QuantizedSolver: RegularizedSolver {
  package let betaMax: Double
  private let x: Matrix
  private let targets: Matrix

  /// `x` is n × d and `targets` n × C. Throws `Failure.data` if there are too many features; `name` is that of the data.
  package init(_ x: Matrix, targets: Matrix, name: String) throws {
    guard x.columns <= SignPricing.largest else {
      throw Failure.data(
        "tensor \"x\" of \(name) has \(x.columns) features, but --activation quantized is for at most \(SignPricing.largest): "
          + "all 2^(d-1) signs are tried")
    }
    (self.x, self.targets) = (x, targets)
    betaMax =
      (0..<targets.columns).reduce(0) {
        max($0, QuantizedSolver.price(x, targets.column($1), count: 1, above: .infinity).largest)
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

  private static func price(_ x: Matrix, _ nu: [Double], count: Int, above limit: Double) -> (
    pairs: [SignPricing.Pair], largest: Double
  ) {
    let scaled = Matrix(copying: x)
    for i in 0..<x.rows { scale(x.columns, nu[i], scaled.row(i)) }
    let s = product(scaled, .transposed, x, .plain)
    s.symmetrize()
    return SignPricing.best(s, count: count, above: limit)
  }

  /// Neurons that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (60, 20)

  package func point(
    beta: Double, from start: QuantizedSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> QuantizedSolution {
    let outputs = (0..<targets.columns).map { c in
      QuantizedMaster(
        targets.column(c), weight: beta * Double(x.columns), start: start?.neurons[c] ?? [],
        image: { [x] in QuantizedSolver.image(x, $0, $1) })
    }
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
    for master in outputs {
      let end = solve(master, rule: rule, budget: budget, report)
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
      let (pairs, largest) = QuantizedSolver.price(
        x, master.residual, count: QuantizedSolver.entering, above: master.weight)
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

extension Solutions {
  /// The bundle of a quantised network; `source` is the training data's bundle.
  package static func bundle(
    _ solution: QuantizedSolution, targets: Targets, dimension d: Int, beta: Double,
    betaMax: Double?,
    source: Bundle, notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    let all = solution.neurons.enumerated().flatMap { c, own in own.map { (c, $0) } }
    let outputs = solution.neurons.count
    QuantizedNeurons(
      count: all.count, dimension: d, outputs: outputs, left: all.flatMap(\.1.u),
      right: all.flatMap(\.1.v),
      weights: (0..<outputs).flatMap { c in all.map { $0.0 == c ? $0.1.weight : 0 } }
    ).write(to: &bundle)
    bundle.metadata[.activation] = .quantized
    return bundle
  }

  /// The neurons of `bundle`, as a start. Throws `Failure.data` if they do not fit the data.
  package static func quantizedStart(_ bundle: Bundle, targets: Targets, dimension d: Int) throws
    -> QuantizedSolution
  {
    try expectActivation(.quantized, ofStart: bundle)
    let neurons = try QuantizedNeurons(bundle)
    guard neurons.dimension == d, neurons.outputs == targets.values.columns else {
      throw Failure.data(
        "the warm start \(bundle.name) has \(neurons.dimension) features and \(neurons.outputs) outputs, expected \(d) and "
          + "\(targets.values.columns)")
    }
    var result = QuantizedSolution(zero: targets)
    for j in 0..<neurons.count {
      for c in 0..<neurons.outputs {
        let weight = neurons.weights[c * neurons.count + j]
        guard weight != 0 else { continue }
        let v = Array(neurons.right[j * d..<(j + 1) * d])
        result.neurons[c].append(
          QuantizedSolution.Neuron(
            u: Array(neurons.left[j * d..<(j + 1) * d]), v: weight < 0 ? v.map { -$0 } : v,
            weight: abs(weight)))
      }
    }
    return result
  }
}
