import Convex
import LinearAlgebra

/// The best primal and the best dual point of a linear program that were met so far.
final class LinearPoint {
  private(set) var weights: Matrix
  /// ŷ and ν, n × C.
  let predictions: Matrix
  let dual: Matrix
  private(set) var primal = Double.infinity
  private(set) var dualValue = -Double.infinity
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  private let features: Matrix
  private let targets: Matrix
  private let loss: any Loss
  private let norm: any Regularizer
  private let beta: Double
  private let trial: Matrix
  private let residual: Matrix

  init(
    features: Matrix, targets: Matrix, loss: any Loss, norm: any Regularizer, beta: Double
  ) {
    self.features = features
    self.targets = targets
    self.loss = loss
    self.norm = norm
    self.beta = beta
    weights = Matrix(targets.columns, features.columns)
    predictions = Matrix(targets.rows, targets.columns)
    dual = Matrix(targets.rows, targets.columns)
    trial = Matrix(targets.rows, targets.columns)
    residual = Matrix(targets.rows, targets.columns)
  }

  /// Offers `z` (C × q), and the dual point that its residual makes.
  func offer(_ z: Matrix) {
    predict(z)
    let value = loss.value(trial, targets) + beta * norm.value(z.base)
    if value < primal {
      primal = value
      weights = Matrix(copying: z)
      predictions.copy(from: trial)
    }
    offerResidual()
  }

  /// Offers the dual point that the residual of `w` makes.
  func offer(dualOf w: Matrix) {
    predict(w)
    offerResidual()
  }

  private func predict(_ z: Matrix) {
    gemm(
      trial.rows, trial.columns, features.columns, features.base, .plain, z.base, .transposed,
      trial.base)
  }

  private func offerResidual() {
    loss.residual(trial, targets, into: residual)
    offer(dual: residual)
  }

  /// Offers the best multiple of `direction` that satisfies the norm's constraint.
  func offer(dual direction: Matrix) {
    let correlations = product(direction, .transposed, features, .plain)
    let largest = withExtendedLifetime(correlations) { norm.dualNorm($0.base) }
    // Whoever recomputes it adds up in another order.
    let bound = largest > 0 ? (1 - 1e-12) * beta / largest : .infinity
    let scaling = loss.scaling(direction, targets, bound: bound)
    let candidate = Matrix(copying: direction)
    scale(candidate.count, scaling, candidate.base)
    let value = loss.dualValue(candidate, targets)
    guard value > dualValue else { return }
    dualValue = value
    dual.copy(from: candidate)
  }
}
