import LinearAlgebra
import Schema

/// A convex loss ℓ(ŷ) of predictions against targets, both n × C, summed over samples and outputs.
///
/// The requirements are those of a solver and its certificate. The dual value of any ν in the domain of the conjugate
/// bounds every objective from below if ν satisfies the norm's constraints; `scaling` finds the best multiple of a
/// direction that does.
package protocol Loss: Sendable {
  /// The name that metadata have for it.
  var name: LossName { get }

  /// Whether it is a sum over outputs, so that each has a program of its own if its weights have groups of their own.
  var isSeparable: Bool { get }
  /// Its pieces, if it is a sum of functions that are linear or quadratic piece by piece.
  var pieces: LinearPieces? { get }
  /// A typical second derivative on the way to the optimum, from which ADMM's penalty begins.
  var typicalCurvature: Double { get }

  /// ℓ(ŷ).
  func value(_ predictions: Matrix, _ targets: Matrix) -> Double

  /// `residual` ← −∇ℓ(ŷ): at the optimum, the dual point ν. (A subgradient if there is no gradient.)
  func residual(_ predictions: Matrix, _ targets: Matrix, into residual: Matrix)

  /// `curvature` ← the second derivatives ∂²ℓ/∂ŷ², for cross-entropy the diagonal.
  func curvature(_ predictions: Matrix, _ targets: Matrix, into curvature: Matrix)

  /// `result` ← argmin over z of ℓ(z) + (penalty/2) ‖z − point‖². An iteration begins at what `result` holds; the rows
  /// are independent of each other. penalty · (result − point), which is −∇ℓ(result), is in the conjugate's domain.
  func prox(_ point: Matrix, _ targets: Matrix, penalty: Double, into result: Matrix)

  /// Moves `dual` (n × C) into the conjugate's domain, which it left by rounding only.
  func restrict(_ dual: Matrix, _ targets: Matrix)

  /// −ℓ*(−ν); −∞ outside the domain.
  func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double

  /// The s with |s| ≤ `bound` for which the dual value of s·`direction` is largest; 0 if no multiple is in the domain.
  func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double

  /// y and the weight that an entry of the targets stands for; a weighted loss has numbers of cases there.
  func target(_ entry: Double) -> Double
  func weight(_ entry: Double) -> Double

  /// Throws `Failure.data` if the loss is not defined for such targets; `name` is that of their bundle.
  func expect(_ targets: Matrix, name: String) throws
}

extension Loss {
  package var pieces: LinearPieces? { nil }
  package var typicalCurvature: Double { pieces.map { max(0.25, $0.curvature) } ?? 0.25 }

  /// Whether it has a gradient everywhere.
  package var isDifferentiable: Bool { pieces.map { $0.curvature > 0 } ?? true }

  package func target(_ entry: Double) -> Double { entry }
  package func weight(_ entry: Double) -> Double { 1 }
  package func expect(_ targets: Matrix, name: String) throws {}
}

/// A loss of one prediction that is max over t in `slopes` of t m − ½ κ t², m being the margin yŷ − 1 or the distance
/// ŷ − y.
package struct LinearPieces: Sendable {
  package let isMargin: Bool
  /// κ, 0 or 1: 0 for a kink.
  package let curvature: Double
  package let slopes: ClosedRange<Double>
}

extension LossName {
  package var loss: any Loss {
    switch self {
    case .squared: SquaredLoss()
    case .logistic: LogisticLoss()
    case .hinge: HingeLoss()
    case .huber: HuberLoss()
    case .crossEntropy: CrossEntropyLoss()
    case .quantile(let level): QuantileLoss(level: level)
    case .interpolation, .margin: ConstraintLoss(name: self)
    }
  }

  /// The loss whose targets `weighting` makes; the plain one without it.
  package func loss(_ weighting: ClassWeighting?) -> any Loss {
    guard let weighting else { return loss }
    return switch self {
    case .squared: ClassWeightedLoss(SquaredLoss(), weighting)
    case .logistic: ClassWeightedLoss(LogisticLoss(), weighting)
    case .hinge: ClassWeightedLoss(HingeLoss(), weighting)
    case .huber: ClassWeightedLoss(HuberLoss(), weighting)
    case .quantile(let level): ClassWeightedLoss(QuantileLoss(level: level), weighting)
    case .crossEntropy: CrossEntropyLoss()
    // What has to hold for every sample has no weight.
    case .interpolation, .margin: loss
    }
  }
}

/// The s in 0 … `upper` at which a concave function is largest, from its `slope`, which does not increase.
func maximizer(upTo upper: Double, slope: (Double) -> Double) -> Double {
  guard upper > 0 else { return 0 }
  let last = slope(upper)
  if !(last < 0) { return last.isNaN ? 0 : upper }
  var (low, high) = (0.0, upper)
  var (below, above) = (slope(0), last)
  guard below > 0 else { return 0 }
  // Regula falsi, halved (Illinois), and bisection if that is slow.
  for iteration in 0..<80 {
    let width = high - low
    if width <= 1e-12 * high { break }
    var s = 0.5 * (low + high)
    if iteration % 3 != 2, below.isFinite, above.isFinite {
      s = low + width * below / (below - above)
      if !(s > low && s < high) { s = 0.5 * (low + high) }
    }
    let value = slope(s)
    if value == 0 { return s }
    if value > 0 {
      (low, below) = (s, value)
      above *= 0.5
    } else {
      (high, above) = (s, value)
      below *= 0.5
    }
  }
  return low
}
