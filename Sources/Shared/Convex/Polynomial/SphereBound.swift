import LinearAlgebra

/// The dual constraint of a polynomial-activation neuron: max over ‖u‖ = 1 of ± [u; 1]ᵀ S [u; 1].
///
/// With S = [[Q, q], [qᵀ, s]] the maximum of uᵀQu + 2 qᵀu + s over the sphere is, by S-lemma duality, min over μ >
/// λ_max(Q) of μ + Σ (v_iᵀq)²/(μ − λ_i) + s, with λ and v the eigenpairs of Q (Bartan & Pilanci 2021, the trust-region
/// problem). Every μ in that range gives an upper bound, so the result is one even if the scalar search stops early.
/// One decomposition serves both signs.
final class SphereBound {
  private let order: Int
  private let eigen: SymmetricEigensolver
  private let block: Matrix
  private let rotated: Matrix

  /// For S of order `order` = d + 1.
  init(order: Int) {
    self.order = order
    eigen = SymmetricEigensolver(order: order - 1)
    block = Matrix(order - 1, order - 1)
    rotated = Matrix(1, order - 1)
  }

  /// The larger of the two maxima for a full symmetric S; infinity if S is not finite.
  func largest(_ s: UnsafePointer<Double>) -> Double {
    let d = order - 1
    for i in 0..<d { block.row(i).update(from: s + i * order, count: d) }
    guard eigen.decompose(block.base) else { return .infinity }
    gemv(d, d, block.base, .plain, s + d * order, rotated.base)
    let constant = s[d * order + d]
    let values = eigen.values
    let plus = maximum(of: { values[$0] }) + constant
    let minus = maximum(of: { -values[d - 1 - $0] }, reversed: true) - constant
    return max(plus, minus)
  }

  /// max over the sphere of Σ λ_i x_i² + 2 Σ q_i x_i for ascending λ_i; `reversed` reads q from its end.
  private func maximum(of value: (Int) -> Double, reversed: Bool = false) -> Double {
    let d = order - 1
    let top = value(d - 1)
    // With t = μ − λ_max and δ_i = λ_max − λ_i, φ(t) = Σ q_i²/(t + δ_i)² falls; φ(t*) = 1.
    func q(_ i: Int) -> Double { rotated.base[reversed ? d - 1 - i : i] }
    var low = 0.0
    var length = 0.0
    for i in 0..<d {
      low = max(low, abs(q(i)) - (top - value(i)))
      length += q(i) * q(i)
    }
    let scale = max(abs(top), abs(value(0)), length.squareRoot())
    guard scale > 0 else { return 0 }
    guard scale < .infinity else { return .infinity }
    // If φ stays below 1, the maximiser has a part in the top eigenspace ("hard case"): the infimum is at t = 0, and
    // the smallest t for which the terms below stay finite is as good.
    let floor = 1e-15 * scale
    var high = max(length.squareRoot(), floor)
    low = max(low, floor)
    var t = low
    for _ in 0..<100 {
      var sum = 0.0
      var slope = 0.0
      for i in 0..<d {
        let x = q(i) / (t + (top - value(i)))
        sum += x * x
        slope += x * x / (t + (top - value(i)))
      }
      if sum <= 1 { high = min(high, t) } else { low = max(low, t) }
      if high <= low * (1 + 1e-15) || sum == 0 { break }
      // Newton on 1/√φ, which is nearly linear in t.
      var next = t + sum / slope * (sum.squareRoot() - 1)
      if !(next > low && next < high) { next = (low * high).squareRoot() }
      if abs(next - t) <= 1e-15 * t { break }
      t = next
    }
    var result = top + t
    for i in 0..<d { result += q(i) * q(i) / (t + (top - value(i))) }
    return result
  }
}
