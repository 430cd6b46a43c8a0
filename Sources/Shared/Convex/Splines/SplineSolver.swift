import LinearAlgebra
import Schema
import Tensors

/// ReLU networks of one feature whose biases are not penalised (Zeger, Wang, Mishkin, Ergen, Candès and Pilanci 2024): with an
/// intercept c,
///
///   min ½ ‖Σ_j a_j h_j + c 1 − y‖² + β Σ |a_j|,  h = (x − t)₊ or (t − x)₊, t one of the samples' x.
///
/// No other knot is worth more: νᵀ(x − t)₊ is linear in t between samples, and constant beyond them, as 1ᵀν = 0. The network is a linear
/// spline with knots at data.
package struct SplineSolution: CertifiedSolution {
  /// (x − t)₊ of side 1 and (t − x)₊ of side −1, with its weight.
  package struct Hinge {
    package let knot: Double
    package let side: Double
    package var weight: Double
  }

  /// Of each output.
  package var hinges: [[Hinge]]
  package var intercepts: [Double]
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  /// ŷ on any samples, n × C.
  func predictions(on x: [Double]) -> Matrix {
    let result = Matrix(x.count, hinges.count)
    for (c, own) in hinges.enumerated() {
      for (i, value) in x.enumerated() {
        result[i, c] = own.reduce(intercepts[c]) {
          $0 + $1.weight * max(0, $1.side * (value - $1.knot))
        }
      }
    }
    return result
  }

  /// The best constants, without a knot, and the zero dual point.
  package init(constant targets: Targets) {
    let y = targets.values
    hinges = (0..<y.columns).map { _ in [] }
    intercepts = (0..<y.columns).map { y.column($0).reduce(0, +) / Double(max(1, y.rows)) }
    dual = Matrix(y.rows, y.columns)
    predictions = Matrix(y.rows, y.columns)
    for i in 0..<y.rows { for c in 0..<y.columns { predictions[i, c] = intercepts[c] } }
    (status, dualValue, iterations) = (.stalled, 0, 0)
    primal = SquaredLoss().value(predictions, y)
  }
}

/// Trains them: the Lasso over the 2n hinges, whose columns and targets are centred for the free intercept, by column generation
/// with non-negative least squares.
package final class SplineSolver: RegularizedSolver {
  package let betaMax: Double
  private let x: [Double]
  private let targets: Targets
  /// The distinct x, ascending.
  private let knots: [Double]

  /// `x` are the n values of the feature.
  package init(_ x: [Double], targets: Targets) {
    (self.x, self.targets) = (x, targets)
    knots = Set(x).sorted()
    let y = targets.values
    let (all, samples) = (knots, x)
    betaMax = (0..<y.columns).reduce(0) { largest, c in
      let own = y.column(c)
      let mean = own.reduce(0, +) / Double(own.count)
      return max(
        largest,
        SplineSolver.prices(own.map { $0 - mean }, samples, all).map { abs($0.price) }.max() ?? 0)
    }
  }

  package func start(at point: SplineSolution) -> SplineSolution? { point }

  package func predictions(_ point: SplineSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data.column(0))
  }

  /// νᵀh of all hinges.
  private static func prices(_ nu: [Double], _ x: [Double], _ knots: [Double]) -> [(
    knot: Double, side: Double, price: Double
  )] {
    knots.flatMap { knot in
      [1.0, -1].map { side in
        var sum = 0.0
        for (value, own) in zip(x, nu) { sum += own * max(0, side * (value - knot)) }
        return (knot, side, sum)
      }
    }
  }

  /// Hinges that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (40, 12)

  package func point(
    beta: Double, from start: SplineSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> SplineSolution {
    var result = SplineSolution(constant: targets)
    result.status = .optimal
    (result.primal, result.dualValue) = (0, 0)
    for c in 0..<targets.values.columns {
      let own = solve(c, beta: beta, from: start?.hinges[c] ?? [], rule: rule, budget: budget)
      result.hinges[c] = own.hinges
      result.intercepts[c] = own.intercept
      for i in x.indices { result.dual[i, c] = own.dual[i] }
      result.dualValue += own.bound
      if own.status != .optimal, result.status == .optimal { result.status = own.status }
    }
    result.predictions = result.predictions(on: x)
    result.iterations = budget.iterations
    result.primal =
      SquaredLoss().value(result.predictions, targets.values)
      + beta * result.hinges.reduce(0) { $0 + $1.reduce(0) { $0 + abs($1.weight) } }
    trace(
      TraceRow(
        iteration: budget.iterations, seconds: budget.seconds, primal: result.primal,
        dual: result.dualValue, neurons: result.hinges.reduce(0) { $0 + $1.count }))
    if result.gap <= rule.gap { result.status = .optimal }
    return result
  }

  private struct Output {
    var hinges: [SplineSolution.Hinge]
    var intercept: Double
    var dual: [Double]
    var bound: Double
    var status: Status
  }

  private func solve(
    _ c: Int, beta: Double, from start: [SplineSolution.Hinge], rule: StoppingRule, budget: Budget
  ) -> Output {
    let y = targets.values.column(c)
    let n = x.count
    let mean = y.reduce(0, +) / Double(n)
    let centred = y.map { $0 - mean }
    var (hinges, best) = (
      start, Output(hinges: [], intercept: mean, dual: y.map { _ in 0 }, bound: 0, status: .stalled)
    )
    var (bestPrimal, smallest, idle) = (Double.infinity, Double.infinity, 0)
    while true {
      let fitted = fit(hinges, centred, beta)
      hinges = fitted.hinges
      let residual = fitted.residual
      let primal =
        0.5 * dot(n, residual, residual) + beta * hinges.reduce(0) { $0 + abs($1.weight) }
      let prices = SplineSolver.prices(residual, x, knots)
      let largest = withRoom(prices.reduce(0) { max($0, abs($1.price)) })
      let square = dot(n, residual, residual)
      let product = dot(n, residual, centred)
      let s = square > 0 ? min(product / square, largest > 0 ? beta / largest : .infinity) : 0
      let bound = s * product - 0.5 * s * s * square
      if bound > best.bound { (best.bound, best.dual) = (bound, residual.map { s * $0 }) }
      if primal < bestPrimal {
        bestPrimal = primal
        best.hinges = hinges
        best.intercept =
          mean - hinges.reduce(0) { $0 + $1.weight * SplineSolver.mean($1, x) }
      }
      let gap = relativeGap(primal: bestPrimal, dual: best.bound)
      if gap <= 0.5 * rule.gap {
        best.status = .optimal
        return best
      }
      if let limit = budget.exhausted {
        best.status = limit
        return best
      }
      budget.count()
      idle = gap < 0.9 * smallest ? 0 : idle + 1
      smallest = min(smallest, gap)
      if idle > SplineSolver.patience { return best }
      hinges +=
        prices.filter { own in
          abs(own.price) > beta && !hinges.contains { $0.knot == own.knot && $0.side == own.side }
        }
        .sorted { abs($0.price) > abs($1.price) }.prefix(SplineSolver.entering)
        .map { SplineSolution.Hinge(knot: $0.knot, side: $0.side, weight: 0) }
    }
  }

  private static func mean(_ hinge: SplineSolution.Hinge, _ x: [Double]) -> Double {
    x.reduce(0) { $0 + max(0, hinge.side * ($1 - hinge.knot)) } / Double(x.count)
  }

  /// The best weights of `hinges`, of which those with weight stay, and y − ŷ with the best intercept.
  private func fit(_ hinges: [SplineSolution.Hinge], _ y: [Double], _ beta: Double) -> (
    hinges: [SplineSolution.Hinge], residual: [Double]
  ) {
    let n = x.count
    let images = hinges.map { hinge -> [Double] in
      let mean = SplineSolver.mean(hinge, x)
      return x.map { max(0, hinge.side * ($0 - hinge.knot)) - mean }
    }
    let m = hinges.count
    // A hinge for each sign of its weight.
    let squares = NonNegativeLeastSquares(capacity: max(1, 2 * m))
    var (gram, right) = ([Double](repeating: 0, count: 2 * m), [Double](repeating: 0, count: 2 * m))
    for a in 0..<2 * m {
      let sign = a < m ? 1.0 : -1
      right[a] = sign * dot(n, images[a % m], y) - beta
      for b in 0...a {
        let value = dot(n, images[a % m], images[b % m]) * (b < m ? sign : -sign)
        if a == b { gram[a] = value }
        squares.setGram(a, b, value * (a == b ? 1 + 1e-9 : 1))
      }
    }
    var lengths = right.map { _ in 0.0 }
    // Proximal steps undo the little that is added to the diagonal, by which dependent hinges can take each other's place.
    for _ in 0..<4 {
      for a in right.indices { squares.setRight(a, right[a] + 1e-9 * gram[a] * lengths[a]) }
      squares.solve(2 * m, startingWith: lengths.indices.filter { lengths[$0] > 0 })
      lengths = right.indices.map { squares.x[$0] }
    }
    var residual = y
    var kept: [SplineSolution.Hinge] = []
    for k in 0..<m where lengths[k] != lengths[m + k] {
      var hinge = hinges[k]
      hinge.weight = lengths[k] - lengths[m + k]
      axpy(n, -hinge.weight, images[k], &residual)
      kept.append(hinge)
    }
    return (kept, residual)
  }
}

extension Solutions {
  /// The bundle of a spline; `source` is the training data's bundle. Knots of all outputs follow one another, `spline.output` tells
  /// whose they are.
  package static func bundle(
    _ solution: SplineSolution, targets: Targets, beta: Double, betaMax: Double?, source: Bundle,
    notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    let all = solution.hinges.enumerated().flatMap { c, own in own.map { (c, $0) } }
    bundle[.splineOutput] = Tensor(all.map { Int32($0.0) })
    bundle[.splineKnot] = Tensor(all.map(\.1.knot))
    bundle[.splineSide] = Tensor(all.map(\.1.side))
    bundle[.splineWeight] = Tensor(all.map(\.1.weight))
    bundle[.splineIntercept] = Tensor(solution.intercepts)
    bundle.metadata[.activation] = .relu
    bundle.metadata[.norm] = .group
    bundle.metadata[.group] = .perClass
    bundle.metadata[.freeBias] = true
    return bundle
  }

  /// The spline of `bundle`, as a start. Throws `Failure.data` if it does not fit the targets.
  package static func splineStart(_ bundle: Bundle, targets: Targets) throws -> SplineSolution {
    try expectActivation(.relu, ofStart: bundle)
    var result = SplineSolution(constant: targets)
    let spline = try SplineTensors(bundle)
    guard spline.intercepts.count == targets.values.columns else {
      throw Failure.data("the warm start \(bundle.name) has \(spline.intercepts.count) outputs")
    }
    for k in spline.knots.indices {
      result.hinges[spline.outputs[k]].append(
        SplineSolution.Hinge(
          knot: spline.knots[k], side: spline.sides[k], weight: spline.weights[k]))
    }
    return result
  }
}

/// The network of a spline: neurons (± √|a| (x − t))₊ with the output weight ± √|a|, and the intercept as `output.bias`.
package struct SplineNetwork {
  private let spline: SplineTensors
  package var count: Int { spline.knots.count }

  /// Throws `Failure.data` if the tensors do not fit each other.
  package init(_ solution: Bundle) throws { spline = try SplineTensors(solution) }

  /// The bundle of kind `network`.
  package func bundle(from source: Bundle, metadata: [String: String]) -> Bundle {
    let outputs = spline.intercepts.count
    let roots = spline.weights.map { abs($0).squareRoot() }
    let neurons = spline.knots.indices.map { k in
      NetworkNeuron(
        filter: [spline.sides[k] * roots[k]],
        output: (0..<outputs).map {
          $0 == spline.outputs[k] ? (spline.weights[k] < 0 ? -roots[k] : roots[k]) : 0
        })
    }
    var bundle = NetworkTensors(neurons, features: 1, outputs: outputs).bundle(
      program: NetworkTensors.program(of: source), from: source, metadata: metadata)
    bundle[.hiddenBias] = Tensor(
      spline.knots.indices.map { -spline.sides[$0] * roots[$0] * spline.knots[$0] })
    bundle[.outputBias] = Tensor(spline.intercepts)
    bundle.metadata[.freeBias] = true
    return bundle
  }
}
