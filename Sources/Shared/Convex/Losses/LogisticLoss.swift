import Glibc
import LinearAlgebra
import Schema
import Tensors

/// ℓ = Σ log(1 + e^(−yŷ)) for targets y = ±1. With a = y∘ν in [0, 1], −ℓ*(−ν) = −Σ [a log a + (1 − a) log(1 − a)].
package struct LogisticLoss: ScalarLoss {
  package init() {}

  package let name = LossName.logistic

  func dualRange(_ y: Double) -> ClosedRange<Double> { min(0, y)...max(0, y) }
  func value(_ z: Double, _ y: Double) -> Double {
    let u = y * z
    return max(-u, 0) + log1p(exp(-abs(u)))
  }
  func slope(_ z: Double, _ y: Double) -> Double { -y * LogisticLoss.sigmoid(-y * z) }
  func curvature(_ z: Double, _ y: Double) -> Double {
    let e = exp(-abs(z))
    return e / ((1 + e) * (1 + e))
  }

  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    // In u = yz: −σ(−u) + r (u − yv) = 0 has its root in yv … yv + 1/r.
    let base = y * v
    var (low, high) = (base, base + 1 / r)
    var u = min(max(y * start, low), high)
    for _ in 0..<60 {
      let s = LogisticLoss.sigmoid(-u)
      let g = r * (u - base) - s
      if g > 0 { high = u } else { low = u }
      let next = u - g / (r + s * (1 - s))
      let move = next > low && next < high ? next : 0.5 * (low + high)
      let change = abs(move - u)
      u = move
      if change <= 1e-14 * max(1, abs(u)) { break }
    }
    return y * u
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    let a = y * nu
    return a >= 0 && a <= 1 ? binaryEntropy(a) : -.infinity
  }
  func dualSlope(_ nu: Double, _ y: Double) -> Double {
    let a = y * nu
    return y * log((1 - a) / a)
  }

  package func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    guard let upper = signedScaling(direction, targets, bound: bound) else { return 0 }
    return maximizer(upTo: upper) { s in
      var sum = 0.0
      for k in 0..<targets.count {
        let a = targets.base[k] * direction.base[k]
        if a > 0 { sum += a * log((1 - s * a) / (s * a)) }
      }
      return sum
    }
  }

  package func expect(_ targets: Matrix, name: String) throws {
    try expectSigns(targets, name: name, loss: self.name)
  }

  private static func sigmoid(_ u: Double) -> Double {
    let e = exp(-abs(u))
    return (u >= 0 ? 1 : e) / (1 + e)
  }
}

/// −a log a − (1 − a) log(1 − a).
private func binaryEntropy(_ a: Double) -> Double {
  (a > 0 ? -a * log(a) : 0) + (a < 1 ? -(1 - a) * log1p(-a) : 0)
}

/// The largest s ≤ `bound` for which 0 ≤ s y_j ν_j ≤ 1 for all j; `nil` if a product is negative.
func signedScaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double? {
  var largest = 0.0
  for k in 0..<targets.count {
    let a = targets.base[k] * direction.base[k]
    guard a >= 0 else { return nil }
    largest = max(largest, a)
  }
  guard largest > 0 else { return nil }
  return min(bound, 1 / largest * (1 - 2 * Double.ulpOfOne))
}

/// Throws unless all targets are 1 or −1.
func expectSigns(_ targets: Matrix, name: String, loss: LossName) throws {
  for k in 0..<targets.count where abs(targets.base[k]) != 1 {
    throw Failure.data(
      "tensor \"targets\" of \(name) holds \(targets.base[k]), expected -1 or 1 for the "
        + "\(loss.rawValue) loss")
  }
}
