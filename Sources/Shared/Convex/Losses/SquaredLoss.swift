import LinearAlgebra
import Schema

/// ℓ(ŷ) = ½‖ŷ − y‖², −ℓ*(−ν) = νᵀy − ½‖ν‖².
package struct SquaredLoss: ScalarLoss {
  package init() {}

  package let name = LossName.squared

  package var typicalCurvature: Double { 1 }

  func value(_ z: Double, _ y: Double) -> Double { 0.5 * (z - y) * (z - y) }
  func slope(_ z: Double, _ y: Double) -> Double { z - y }
  func curvature(_ z: Double, _ y: Double) -> Double { 1 }
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    (y + r * v) / (1 + r)
  }

  // Summed by terms: νᵀy and ½‖ν‖² are each much larger than their difference at times.
  func dualValue(_ nu: Double, _ y: Double) -> Double { nu * (y - 0.5 * nu) }
  func dualSlope(_ nu: Double, _ y: Double) -> Double { y - nu }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    let square = dot(direction.count, direction.base, direction.base)
    guard square > 0 else { return 0 }
    // νᵀy can be negative far from the optimum: both signs are feasible.
    return max(-bound, min(bound, dot(direction.count, direction.base, targets.base) / square))
  }
}
