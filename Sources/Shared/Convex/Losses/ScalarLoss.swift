import LinearAlgebra

/// A loss that is a sum over entries.
protocol ScalarLoss: Loss {
  /// ℓ of one prediction.
  func value(_ z: Double, _ y: Double) -> Double
  /// ∂ℓ/∂z; a subgradient if there is no derivative.
  func slope(_ z: Double, _ y: Double) -> Double
  /// ∂²ℓ/∂z².
  func curvature(_ z: Double, _ y: Double) -> Double
  /// The values of ν = −∂ℓ/∂z, the conjugate's domain.
  func dualRange(_ y: Double) -> ClosedRange<Double>
  /// argmin ℓ(z) + (r/2) (z − v)².
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double
  /// −ℓ*(−ν) of one ν; −∞ outside the domain.
  func dualValue(_ nu: Double, _ y: Double) -> Double
  /// The derivative of `dualValue` by ν, within the domain.
  func dualSlope(_ nu: Double, _ y: Double) -> Double
}

extension ScalarLoss {
  package var isSeparable: Bool { true }

  func dualRange(_ y: Double) -> ClosedRange<Double> {
    guard let pieces else { return -.infinity ... .infinity }
    let (low, high) = (-pieces.slopes.upperBound, -pieces.slopes.lowerBound)
    return pieces.isMargin && y < 0 ? -high ... -low : low...high
  }

  package func restrict(_ dual: Matrix, _ targets: Matrix) {
    for k in 0..<dual.count {
      let range = dualRange(targets.base[k])
      dual.base[k] = min(range.upperBound, max(range.lowerBound, dual.base[k]))
    }
  }

  package func value(_ predictions: Matrix, _ targets: Matrix) -> Double {
    var sum = 0.0
    for k in 0..<targets.count { sum += value(predictions.base[k], targets.base[k]) }
    return sum
  }

  package func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double {
    var sum = 0.0
    for k in 0..<targets.count { sum += dualValue(dual.base[k], targets.base[k]) }
    return sum
  }

  package func residual(_ predictions: Matrix, _ targets: Matrix, into residual: Matrix) {
    for k in 0..<targets.count {
      residual.base[k] = -slope(predictions.base[k], targets.base[k])
    }
  }

  package func curvature(_ predictions: Matrix, _ targets: Matrix, into curvature: Matrix) {
    for k in 0..<targets.count {
      curvature.base[k] = self.curvature(predictions.base[k], targets.base[k])
    }
  }

  package func prox(_ point: Matrix, _ targets: Matrix, penalty: Double, into result: Matrix) {
    let (v, y, z) = (point.base, targets.base, result.base)
    for k in 0..<targets.count { z[k] = prox(v[k], y[k], penalty: penalty, from: z[k]) }
  }
}
