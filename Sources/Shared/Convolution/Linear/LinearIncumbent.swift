import Convex
import LinearAlgebra
import Schema

/// The best points of a linear program; evaluates the points offered. Weights are C × q.
protocol LinearPoints: AnyObject {
  var weights: Matrix { get }
  var primal: Double { get }
  var dualValue: Double { get }
  /// Offers `z`, and the dual point from its residual.
  func offer(_ z: Matrix)
  /// Offers the dual point from the residual of `w`.
  func offer(dualOf w: Matrix)
  /// Offers the best multiple of `nu`, n × C, that satisfies the norm's constraint; of samples only.
  func offer(dual nu: Matrix)
  /// The best points, with weights as the program has them; of the coordinates of the norm.
  func solution(_ status: Status, neurons: Int, iterations: Int) -> LinearSolution
}

extension LinearPoints {
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }
}

/// The best points as samples judge them.
final class LinearIncumbent: LinearPoints {
  let best: Incumbent<Matrix>
  private let features: Matrix
  private let norm: any Regularizer
  private let trial: Matrix
  private let residual: Matrix

  var weights: Matrix { best.weights }
  var primal: Double { best.primal }
  var dualValue: Double { best.dualValue }

  /// Begins with the zero network.
  init(
    features: Matrix, targets: Matrix, loss: any Loss, norm: any Regularizer, beta: Double
  ) {
    self.features = features
    self.norm = norm
    best = Incumbent(
      loss, targets: targets, beta: beta, zero: Matrix(targets.columns, features.columns))
    trial = Matrix(targets.rows, targets.columns)
    residual = Matrix(targets.rows, targets.columns)
    offer(dualOf: best.weights)
  }

  func offer(_ z: Matrix) {
    offer(dualOf: z)
    best.offer(
      primal: best.loss.value(trial, best.targets) + best.beta * norm.value(z.base),
      predictions: trial
    ) { $0 = Matrix(copying: z) }
  }

  func offer(dualOf w: Matrix) {
    gemm(
      trial.rows, trial.columns, features.columns, features.base, .plain, w.base, .transposed,
      trial.base)
    best.loss.residual(trial, best.targets, into: residual)
    offer(dual: residual)
  }

  func offer(dual nu: Matrix) {
    let correlations = product(nu, .transposed, features, .plain)
    let largest = withExtendedLifetime(correlations) { norm.dualNorm($0.base) }
    best.offer(dual: nu, largest: withRoom(largest))
  }

  func solution(_ status: Status, neurons: Int, iterations: Int) -> LinearSolution {
    LinearSolution(
      weights: best.weights, dual: Matrix(copying: best.dual),
      predictions: Matrix(copying: best.predictions), status: status, primal: best.primal,
      dualValue: best.dualValue, neurons: neurons, iterations: iterations)
  }
}

/// The best points as sums over samples judge them: ν = s(Y − F Wᵀ) is judged by s(R − W G), νᵀy and ‖ν‖².
final class SummedLinearPoints: LinearPoints {
  private let statistics: StatisticsTensors
  private let norm: any Regularizer
  private let beta: Double
  /// G (q × q) and R (C × q).
  private let gram: Matrix
  private let moment: Matrix
  private let (image, directions): (Matrix, Matrix)
  private(set) var weights: Matrix
  private(set) var primal: Double
  private var dual: (weights: Matrix, scale: Double, value: Double)
  var dualValue: Double { dual.value }

  /// Begins with the zero network.
  init(
    _ statistics: StatisticsTensors, gram: Matrix, moment: Matrix, norm: any Regularizer,
    beta: Double
  ) {
    (self.statistics, self.gram, self.moment, self.norm, self.beta) = (
      statistics, gram, moment, norm, beta
    )
    func room() -> Matrix { Matrix(moment.rows, moment.columns) }
    (image, directions, weights) = (room(), room(), room())
    primal = 0.5 * statistics.squares.reduce(0, +)
    dual = (room(), 0, 0)
    offer(dualOf: weights)
  }

  func offer(_ z: Matrix) {
    let (square, _) = judge(z)
    let value = 0.5 * square + beta * norm.value(z.base)
    guard value < primal else { return }
    (weights, primal) = (Matrix(copying: z), value)
  }

  func offer(dualOf w: Matrix) { _ = judge(w) }

  func offer(dual nu: Matrix) { preconditionFailure("there are no samples") }

  /// ‖ν‖² and νᵀy of the residual of `w`, whose dual point is offered.
  private func judge(_ w: Matrix) -> (square: Double, product: Double) {
    let q = w.columns
    gemm(w.rows, q, q, w.base, .plain, gram.base, .plain, image.base)
    var (fit, curvature) = (CompensatedSum(), CompensatedSum())
    for k in 0..<w.count {
      directions.base[k] = moment.base[k] - image.base[k]
      fit.add(w.base[k], times: moment.base[k])
      curvature.add(w.base[k], times: image.base[k])
    }
    let total = statistics.squares.reduce(0, +)
    let (square, product) = (max(0, total - 2 * fit.value + curvature.value), total - fit.value)
    guard square > 0 else { return (square, product) }
    let largest = norm.dualNorm(directions.base)
    let bound = largest > 0 ? beta / withRoom(largest) : .greatestFiniteMagnitude
    let scale = max(-bound, min(bound, product / square))
    let value = scale * (product - 0.5 * scale * square)
    if value > dual.value { dual = (Matrix(copying: w), scale, value) }
    return (square, product)
  }

  func solution(_ status: Status, neurons: Int, iterations: Int) -> LinearSolution {
    // U = s W
    let coefficients = dual.weights
    let scaled = Matrix(copying: coefficients)
    scale(scaled.count, dual.scale, scaled.base)
    var solution = LinearSolution(
      weights: weights, dual: scaled, predictions: Matrix(0, weights.rows), status: status,
      primal: primal, dualValue: dual.value, neurons: neurons, iterations: iterations)
    solution.sums = DualSums(
      scale: Array(repeating: dual.scale, count: weights.rows), of: statistics)
    return solution
  }
}
