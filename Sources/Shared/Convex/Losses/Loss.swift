import LinearAlgebra

/// A convex loss ℓ(ŷ) of predictions against targets, both n × C, summed over samples and outputs.
///
/// What a solver and its certificate ask of one. The dual value of any ν in the domain of the conjugate
/// bounds every objective from below where ν satisfies the norm's constraints: so a direction is scaled
/// into them, as far as is best, by `scaling`.
package protocol Loss: Sendable {
  /// What metadata call it.
  var name: String { get }

  /// ℓ(ŷ).
  func value(_ predictions: Matrix, _ targets: Matrix) -> Double

  /// `residual` ← −∇ℓ(ŷ): at the optimum, the dual point ν.
  func residual(_ predictions: Matrix, _ targets: Matrix, into residual: Matrix)

  /// −ℓ*(−ν); −∞ outside the domain.
  func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double

  /// The s with |s| ≤ `bound` for which the dual value of s·`direction` is largest.
  func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double
}

/// The losses by the names that metadata and options have.
package enum LossName: String, CaseIterable, Sendable {
  case squared

  package var loss: any Loss {
    switch self {
    case .squared: SquaredLoss()
    }
  }
}
