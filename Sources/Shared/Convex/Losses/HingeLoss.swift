import LinearAlgebra
import Schema

/// ℓ = Σ max(0, 1 − yŷ) for targets y = ±1. With a = y∘ν in [0, 1], −ℓ*(−ν) = Σ a.
package struct HingeLoss: ScalarLoss {
  package init() {}

  package let name = LossName.hinge

  package var pieces: LinearPieces? {
    LinearPieces(isMargin: true, curvature: 0, slopes: -1...0)
  }

  func value(_ z: Double, _ y: Double) -> Double { max(0, 1 - y * z) }
  func slope(_ z: Double, _ y: Double) -> Double { y * z < 1 ? -y : 0 }
  func curvature(_ z: Double, _ y: Double) -> Double { 0 }
  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    let u = y * v
    if u >= 1 { return v }
    return u < 1 - 1 / r ? v + y / r : y
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    let a = y * nu
    return a >= 0 && a <= 1 ? a : -.infinity
  }
  func dualSlope(_ nu: Double, _ y: Double) -> Double { y }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    signedScaling(direction, targets, bound: bound) ?? 0
  }

  package func expect(_ targets: Matrix, name: String) throws {
    try expectSigns(targets, name: name, loss: self.name)
  }
}
