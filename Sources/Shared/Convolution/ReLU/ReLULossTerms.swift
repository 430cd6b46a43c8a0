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
  var complementarity: (sum: Double, count: Int) { get }
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
}

/// A loss that is twice differentiable: ν = −∇ℓ(ŷ) at any weights, W = ∇²ℓ, r = 0.
final class SmoothLossTerms: ReLULossTerms {
  let nu: Matrix
  let inverse: Matrix
  private let loss: any Loss
  private let targets: Matrix

  init(_ loss: any Loss, _ targets: Matrix) {
    self.loss = loss
    self.targets = targets
    nu = Matrix(targets.rows, targets.columns)
    inverse = Matrix(targets.rows, targets.columns)
  }

  var complementarity: (sum: Double, count: Int) { (0, 0) }

  func refresh(_ predictions: Matrix) {
    loss.residual(predictions, targets, into: nu)
    loss.curvature(predictions, targets, into: inverse)
    for k in 0..<inverse.count { inverse.base[k] = 1 / max(1e-10, inverse.base[k]) }
  }

  func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix) { r.fill(0) }
  func complete(_ dnu: Matrix, target: Double, isCorrector: Bool) {}
  func stepLength(_ dnu: Matrix) -> Double { 1 }
  func complementarity(after step: Double, _ dnu: Matrix) -> Double { 0 }
  func move(_ step: Double, _ dnu: Matrix) {}
}
