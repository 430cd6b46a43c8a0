import Glibc
import LinearAlgebra
import Schema

/// The part of a loss in an interior-point iteration: ν and the diagonal W⁻¹ of
///
///   W⁻¹ dν + d ŷ = r,
///
/// one equation a prediction. Matrices are C × n; the losses are sums over entries.
package protocol LossTerms: AnyObject {
  /// ν, in the domain of the conjugate.
  var nu: Matrix { get }
  /// W⁻¹.
  var inverse: Matrix { get }
  /// The sum of the products that are to be μ, and how many there are.
  var complementarity: (sum: Double, count: Double) { get }
  /// Takes the predictions of the present weights; ν stays.
  func refresh(_ predictions: Matrix)
  /// r for products that become `target`; a corrector allows for the predictor's second order.
  func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix)
  /// Moves the other variables that change with dν.
  func complete(_ dnu: Matrix, target: Double, isCorrector: Bool)
  func stepLength(_ dnu: Matrix) -> Double
  /// The sum of the products after a step.
  func complementarity(after step: Double, _ dnu: Matrix) -> Double
  func move(_ step: Double, _ dnu: Matrix)
}

/// A loss that is twice differentiable: W = ∇²ℓ at the ŷ at which −∇ℓ is ν; r is the difference between this ŷ and the
/// weights' predictions.
///
/// ν is a variable of its own. If it were −∇ℓ of the predictions, the step that a tiny slope needs to grow a little
/// would change ŷ so much that the slope ends at its other bound. Quantities that shrink do so by a factor, never to 0.
///
/// For cross-entropy W is only diag(q): since log Σ e^ŷ = min over b of Σ e^(ŷ−b) + b − 1, the classes are separate
/// except for b, one number for each sample, by which dŷ is less; b keeps the sum of the classes' dν at 0.
package final class SmoothLossTerms: LossTerms {
  package let nu: Matrix
  package let inverse: Matrix
  private let name: LossName
  /// y, C × n.
  private let targets: Matrix
  /// The weight of each entry, 1 for cross-entropy, of which `masses` has those of samples.
  private let weights: [Double]
  private let masses: [Double]
  /// yν/w of logistic loss, y − ν of cross-entropy, y − ν/w of squared loss: ν within the conjugate's domain.
  private let shares: Matrix
  private let residual: Matrix

  /// Begins with ν = `start`, within the domain; `entries` are the loss's targets, C × n too.
  package init(_ loss: any Loss, _ entries: Matrix, start: Matrix) {
    name = loss.name
    let targets = Matrix(entries.rows, entries.columns, entries.values.map(loss.target))
    self.targets = targets
    weights = entries.values.map(loss.weight)
    masses = (0..<targets.columns).map { i in
      let y = (0..<targets.rows).map { targets[$0, i] }
      return CrossEntropyLoss.mass(y, y.count)
    }
    nu = Matrix(copying: start)
    shares = Matrix(targets.rows, targets.columns)
    inverse = Matrix(targets.rows, targets.columns)
    residual = Matrix(targets.rows, targets.columns)
    for k in 0..<shares.count {
      let (y, value) = (targets.base[k], nu.base[k] / weights[k])
      shares.base[k] = name == .logistic ? y * value : y - value
    }
  }

  package var complementarity: (sum: Double, count: Double) { (0, 0) }

  package func refresh(_ predictions: Matrix) {
    for k in 0..<nu.count {
      let (y, share) = (targets.base[k], shares.base[k])
      let fitted: Double
      switch name {
      case .logistic:
        fitted = y * log((1 - share) / share)
        inverse.base[k] = 1 / (weights[k] * share * (1 - share))
      case .crossEntropy:
        fitted = log(share)
        inverse.base[k] = 1 / share
      default:
        fitted = share
        inverse.base[k] = 1 / weights[k]
      }
      residual.base[k] = fitted - predictions.base[k]
    }
  }

  package func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix) {
    r.copy(from: residual)
  }
  package func complete(_ dnu: Matrix, target: Double, isCorrector: Bool) {}
  package func stepLength(_ dnu: Matrix) -> Double { 1 }
  package func complementarity(after step: Double, _ dnu: Matrix) -> Double { 0 }

  package func move(_ step: Double, _ dnu: Matrix) {
    for k in 0..<nu.count {
      let change = step * dnu.base[k]
      let y = targets.base[k]
      switch name {
      case .logistic:
        let share = SmoothLossTerms.moved(shares.base[k], by: y * change / weights[k])
        shares.base[k] = min(max(share, 1e-12), 1 - 1e-12)
        nu.base[k] = weights[k] * y * shares.base[k]
      case .crossEntropy:
        let (share, change) = (shares.base[k], -change)
        shares.base[k] = max(1e-12, change < 0 ? share * exp(change / share) : share + change)
      default:
        nu.base[k] += change
        shares.base[k] = y - nu.base[k] / weights[k]
      }
    }
    if name == .crossEntropy { normalize() }
  }

  /// a + da if that is far from 0 and 1; in any case a number between them.
  private static func moved(_ a: Double, by change: Double) -> Double {
    change < 0 ? a * exp(change / a) : 1 - (1 - a) * exp(-change / (1 - a))
  }

  /// Makes each sample's probabilities, times its weight, add up to the weight.
  private func normalize() {
    for i in 0..<nu.columns {
      let sum = (0..<nu.rows).reduce(0) { $0 + shares[$1, i] }
      for c in 0..<nu.rows {
        shares[c, i] *= masses[i] / sum
        nu[c, i] = targets[c, i] - shares[c, i]
      }
    }
  }
}
