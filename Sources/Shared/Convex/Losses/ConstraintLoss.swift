import LinearAlgebra
import Schema

/// A constraint on outputs as a loss whose weight is infinite: ŷ = y, or yŷ ≥ 1 for y = ±1. The value is what outputs miss,
/// Σ |ŷ − y| or Σ max(0, 1 − yŷ), which is 0 where the constraint holds. −ℓ*(−ν) = νᵀy, for margins with y∘ν ≥ 0.
package struct ConstraintLoss: ScalarLoss {
  package let name: LossName
  private var isMargin: Bool { name == .margin }

  func value(_ z: Double, _ y: Double) -> Double { isMargin ? max(0, 1 - y * z) : abs(z - y) }
  func slope(_ z: Double, _ y: Double) -> Double {
    isMargin ? (y * z < 1 ? -y : 0) : z < y ? -1 : z > y ? 1 : 0
  }
  func curvature(_ z: Double, _ y: Double) -> Double { 0 }
  /// The nearest point that satisfies the constraint.
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    isMargin && y * v >= 1 ? v : y
  }
  func dualRange(_ y: Double) -> ClosedRange<Double> {
    isMargin ? (y < 0 ? -.infinity...0 : 0 ... .infinity) : -.infinity ... .infinity
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    isMargin && y * nu < 0 ? -.infinity : nu * y
  }
  func dualSlope(_ nu: Double, _ y: Double) -> Double { y }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    let gain = dot(targets.count, direction.base, targets.base)
    return gain > 0 ? bound : gain < 0 && !isMargin ? -bound : 0
  }

  package func expect(_ targets: Matrix, name: String) throws {
    if isMargin { try expectSigns(targets, name: name, loss: self.name) }
  }
}
