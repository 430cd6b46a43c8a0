import Convex
import LinearAlgebra

/// The best points of a linear program; evaluates the points offered. Weights are C × q.
final class LinearIncumbent {
  let best: Incumbent<Matrix>
  private let features: Matrix
  private let norm: any Regularizer
  private let trial: Matrix
  private let residual: Matrix

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

  /// Offers `z`, and the dual point from its residual.
  func offer(_ z: Matrix) {
    offer(dualOf: z)
    best.offer(
      primal: best.loss.value(trial, best.targets) + best.beta * norm.value(z.base),
      predictions: trial
    ) { $0 = Matrix(copying: z) }
  }

  /// Offers the dual point from the residual of `w`.
  func offer(dualOf w: Matrix) {
    gemm(
      trial.rows, trial.columns, features.columns, features.base, .plain, w.base, .transposed,
      trial.base)
    best.loss.residual(trial, best.targets, into: residual)
    offer(dual: residual)
  }

  /// Offers the best multiple of `nu`, n × C, that satisfies the norm's constraint.
  func offer(dual nu: Matrix) {
    let correlations = product(nu, .transposed, features, .plain)
    let largest = withExtendedLifetime(correlations) { norm.dualNorm($0.base) }
    best.offer(dual: nu, largest: withRoom(largest))
  }
}
