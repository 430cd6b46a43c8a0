import LinearAlgebra

/// A loss with two derivatives, as Newton's method needs it: the loss itself if it has them, otherwise its Moreau
/// envelope
///
///     M(ŷ) = min over z of ℓ(z) + (r/2) ‖z − (ŷ + U)‖²,   −∇M(ŷ) = r (z − ŷ − U),
///
/// which is the augmented Lagrangian for the multipliers U. In both cases the negative gradient is in the domain of ℓ's
/// conjugate.
final class SmoothLoss {
  let loss: any Loss
  let targets: Matrix
  private let envelope: (penalty: Double, multipliers: Matrix)?
  /// ŷ at which derivatives are taken; for the envelope z, with ŷ + U stored separately.
  private(set) var predictions: Matrix
  private let shifted: Matrix?
  /// Second derivatives of a loss that is a sum over entries.
  private let curvature: Matrix?

  /// `penalty` and `multipliers` (n × C) are used only if the loss has kinks.
  init(_ loss: any Loss, _ targets: Matrix, penalty: Double, multipliers: Matrix) {
    self.loss = loss
    self.targets = targets
    let hasKinks = !loss.isDifferentiable
    envelope = hasKinks ? (penalty, multipliers) : nil
    let (n, classes) = (targets.rows, targets.columns)
    predictions = Matrix(n, classes)
    shifted = hasKinks ? Matrix(n, classes) : nil
    curvature = !loss.isSeparable ? nil : Matrix(n, classes)
  }

  /// Takes ŷ of the samples `range` from `block` and replaces it by −∇.
  func move(_ range: Range<Int>, _ block: Matrix) {
    let (own, y) = (predictions.slice(range), targets.slice(range))
    guard let envelope, let shifted = shifted?.slice(range) else {
      own.copy(from: block)
      loss.residual(own, y, into: block)
      return
    }
    let multipliers = envelope.multipliers.row(range.lowerBound)
    for k in 0..<block.count { shifted.base[k] = block.base[k] + multipliers[k] }
    own.copy(from: shifted)
    loss.prox(shifted, y, penalty: envelope.penalty, into: own)
    for k in 0..<block.count {
      block.base[k] = envelope.penalty * (own.base[k] - shifted.base[k])
    }
  }

  /// The value at the current predictions.
  var value: Double {
    var sum = loss.value(predictions, targets)
    if let envelope, let shifted {
      for k in 0..<shifted.count {
        let e = predictions.base[k] - shifted.base[k]
        sum += 0.5 * envelope.penalty * e * e
      }
    }
    return sum
  }

  /// Prepares the second derivatives at the current predictions for `hessianProduct`.
  func prepareCurvature() {
    guard let curvature else { return }
    guard let envelope, let shifted else {
      return loss.curvature(predictions, targets, into: curvature)
    }
    // At a kink z does not move with ŷ; elsewhere the loss is linear.
    for k in 0..<curvature.count {
      let isAtKink =
        predictions.base[k] == loss.target(targets.base[k])
        && shifted.base[k] != predictions.base[k]
      curvature.base[k] = isAtKink ? envelope.penalty : 0
    }
  }

  /// Whether second derivatives are the penalty for some samples and 0 for all others.
  var hasKinks: Bool { envelope != nil }

  /// Whether the loss has a positive second derivative at this entry.
  func isCurved(_ sample: Int, _ output: Int) -> Bool {
    curvature.map { $0[sample, output] > 0 } ?? true
  }

  /// `block` ← ∇² `block` for the samples `range`.
  func hessianProduct(_ range: Range<Int>, _ block: Matrix) {
    if let curvature {
      let weights = curvature.row(range.lowerBound)
      for k in 0..<block.count { block.base[k] *= weights[k] }
    } else {
      CrossEntropyLoss().hessianProduct(
        predictions.slice(range), targets.slice(range), block, into: block)
    }
  }
}
