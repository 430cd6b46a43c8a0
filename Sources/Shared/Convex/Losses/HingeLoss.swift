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

  package func dualValue(_ dual: Matrix, _ targets: Matrix) -> Double {
    var sum = 0.0
    for k in 0..<targets.count {
      let a = targets.base[k] * dual.base[k]
      guard a >= 0, a <= 1 else { return -.infinity }
      sum += a
    }
    return sum
  }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    signedScaling(direction, targets, bound: bound) ?? 0
  }

  package func expect(_ targets: Matrix, name: String) throws {
    try expectSigns(targets, name: name, loss: self.name)
  }
}
