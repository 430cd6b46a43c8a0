import Convex
import Glibc
import LinearAlgebra

/// The part of a loss in an interior-point iteration: ν and the diagonal W⁻¹ of
///
///   W⁻¹ dν + d ŷ = r,
///
/// one equation a prediction. Matrices are C × n; the losses are sums over entries.
protocol ReLULossTerms: AnyObject {
  /// ν, in the domain of the conjugate.
  var nu: Matrix { get }
  /// W⁻¹.
  var inverse: Matrix { get }
  /// Σ of the products that are to be μ, and how many there are.
  var complementarity: (sum: Double, count: Double) { get }
  /// Takes the predictions of the present weights.
  func refresh(_ predictions: Matrix)
  /// r for products that become `target`; a corrector allows for the predictor's second order.
  func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix)
  /// What else changes with dν.
  func complete(_ dnu: Matrix, target: Double, isCorrector: Bool)
  func stepLength(_ dnu: Matrix) -> Double
  /// The sum of the products after a step.
  func complementarity(after step: Double, _ dnu: Matrix) -> Double
  func move(_ step: Double, _ dnu: Matrix)
  /// Tells, after `refresh`, of the mean of the cones' products, and of the dual residual as a multiple of β.
  func follow(_ mu: Double, residual: Double)
}

extension ReLULossTerms {
  func follow(_ mu: Double, residual: Double) {}
}

/// A loss that is twice differentiable: ν = −∇ℓ(ŷ) at any weights, W = ∇²ℓ, r = 0.
///
/// Of cross-entropy W is only diag(p): with log Σ e^ŷ = min over b of Σ e^(ŷ−b) + b − 1 the classes are apart
/// but for b, one number a sample, by which dŷ is less; it keeps the sum of the classes' dν at 0.
final class SmoothLossTerms: ReLULossTerms {
  let nu: Matrix
  let inverse: Matrix
  private let loss: any Loss
  /// n × C, and C × n.
  private let targets: Matrix
  private let columns: Matrix
  private let rows: Matrix

  init(_ loss: any Loss, _ targets: Matrix) {
    self.loss = loss
    self.targets = targets
    columns = targets.transposed
    rows = Matrix(targets.rows, targets.columns)
    nu = Matrix(targets.columns, targets.rows)
    inverse = Matrix(targets.columns, targets.rows)
  }

  var complementarity: (sum: Double, count: Double) { (0, 0) }

  func refresh(_ predictions: Matrix) {
    let fitted = predictions.transposed
    loss.residual(fitted, targets, into: rows)
    nu.copy(from: rows.transposed)
    if !loss.isSeparable {
      // The probabilities: their common factor in ŷ is a variable of its own.
      for k in 0..<nu.count { inverse.base[k] = 1 / max(1e-10, columns.base[k] - nu.base[k]) }
      return
    }
    loss.curvature(fitted, targets, into: rows)
    inverse.copy(from: rows.transposed)
    for k in 0..<inverse.count { inverse.base[k] = 1 / max(1e-10, inverse.base[k]) }
  }

  func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix) { r.fill(0) }
  func complete(_ dnu: Matrix, target: Double, isCorrector: Bool) {}
  func stepLength(_ dnu: Matrix) -> Double { 1 }
  func complementarity(after step: Double, _ dnu: Matrix) -> Double { 0 }
  func move(_ step: Double, _ dnu: Matrix) {}
}
