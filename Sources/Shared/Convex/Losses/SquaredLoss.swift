import LinearAlgebra

/// ℓ(ŷ) = ½‖ŷ − y‖², −ℓ*(−ν) = νᵀy − ½‖ν‖².
package struct SquaredLoss: Loss {
  package init() {}

  package let name = LossName.squared.rawValue

  package func value(_ predictions: Matrix, _ targets: Matrix) -> Double {
    var sum = 0.0
    for k in 0..<targets.count {
      let difference = predictions.base[k] - targets.base[k]
      sum += difference * difference
    }
    return 0.5 * sum
  }

  package func residual(_ predictions: Matrix, _ targets: Matrix, into residual: Matrix) {
    for k in 0..<targets.count { residual.base[k] = targets.base[k] - predictions.base[k] }
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
