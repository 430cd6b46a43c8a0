import LinearAlgebra
import Schema

/// ℓ = Σ max(τe, (τ − 1)e) for e = y − ŷ, whose least value is at the τ-quantile (Koenker & Bassett 1978);
/// −ℓ*(−ν) = νᵀy for ν_j in τ − 1 … τ.
package struct QuantileLoss: ScalarLoss {
  /// τ, between 0 and 1.
  package let level: Double

  package init(level: Double) { self.level = level }

  package var name: LossName { .quantile(level) }
  package var pieces: LinearPieces? {
    LinearPieces(isMargin: false, curvature: 0, slopes: -level...1 - level)
  }

  func value(_ z: Double, _ y: Double) -> Double { max(level * (y - z), (level - 1) * (y - z)) }
  func slope(_ z: Double, _ y: Double) -> Double { z < y ? -level : z > y ? 1 - level : 0 }
  func curvature(_ z: Double, _ y: Double) -> Double { 0 }
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    min(v + level / r, max(v - (1 - level) / r, y))
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    nu >= level - 1 && nu <= level ? nu * y : -.infinity
  }
  func dualSlope(_ nu: Double, _ y: Double) -> Double { y }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    let gain = dot(targets.count, direction.base, targets.base)
    let sign = gain < 0 ? -1.0 : 1
    var limit = bound
    for k in 0..<direction.count {
      let nu = sign * direction.base[k]
      // Rounded down, so that s ν itself is in the domain.
      let room = (nu > 0 ? level : 1 - level) * (1 - 2 * Double.ulpOfOne)
      if abs(nu) * limit > room { limit = room / abs(nu) }
    }
    return gain == 0 ? 0 : sign * limit
  }
}
