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

  package func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double {
    // Summed by terms: νᵀy and ½‖ν‖² are each much larger than their difference at times.
    var sum = 0.0
    for k in 0..<targets.count { sum += dual.base[k] * (targets.base[k] - 0.5 * dual.base[k]) }
    return sum
  }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    let square = dot(direction.count, direction.base, direction.base)
    guard square > 0 else { return 0 }
    // νᵀy can be negative far from the optimum: both signs are feasible.
    return max(-bound, min(bound, dot(direction.count, direction.base, targets.base) / square))
  }
}
