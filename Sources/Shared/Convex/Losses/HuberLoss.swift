import LinearAlgebra
import Schema

/// ℓ = Σ ½e² if |e| ≤ δ, otherwise δ(|e| − ½δ), for e = ŷ − y; −ℓ*(−ν) = νᵀy − ½‖ν‖² for |ν_j| ≤ δ (Huber 1964). δ is
/// 1.
package struct HuberLoss: ScalarLoss {
  package init() {}

  package let name = LossName.huber
  package var pieces: LinearPieces? {
    LinearPieces(isMargin: false, curvature: 1, slopes: -delta...delta)
  }
  private let delta = 1.0

  func value(_ z: Double, _ y: Double) -> Double {
    let e = abs(z - y)
    return e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta)
  }
  func slope(_ z: Double, _ y: Double) -> Double { max(-delta, min(delta, z - y)) }
  func curvature(_ z: Double, _ y: Double) -> Double { abs(z - y) < delta ? 1 : 0 }
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    let e = r * (v - y) / (1 + r)
    return abs(e) <= delta ? y + e : v - (e > 0 ? delta : -delta) / r
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    abs(nu) <= delta ? nu * (y - 0.5 * nu) : -.infinity
  }
  func dualSlope(_ nu: Double, _ y: Double) -> Double { y - nu }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    var largest = 0.0
    for k in 0..<direction.count { largest = max(largest, abs(direction.base[k])) }
    guard largest > 0 else { return 0 }
    // Rounded down, so that s ν itself is in the domain.
    let domain = delta / largest * (1 - 2 * Double.ulpOfOne)
    return SquaredLoss().scaling(direction, targets, bound: min(bound, domain))
  }
}
