import LinearAlgebra
import Schema
import Tensors

/// Data X and their truncation X̂ = X V Vᵀ, V (d × R) orthonormal: a bound over the cells of X̂ is one over all neurons on X.
///
/// For a unit vector u let a = ‖Vᵀu‖ and b = √(1 − a²). As (X − X̂)u depends on the part of u outside V only,
/// |νᵀ(Xu)₊| ≤ |νᵀ(X̂u)₊| + ‖ν‖ ‖(X − X̂)u‖ ≤ κ̂ a + ‖ν‖ ‖X − X̂‖ b ≤ √(κ̂² + ‖X − X̂‖²‖ν‖²), κ̂ being the largest |νᵀ(X̂u)₊|.
/// That holds for every orthonormal V: nothing rests on its vectors being singular.
struct Truncation {
  /// Vᵀ, R × d.
  private let basis: Matrix
  /// X V, n × R.
  private let coordinates: Matrix
  /// An upper bound of ‖X − X̂‖₂.
  let error: Double

  /// nil if `rank` is not between 1 and what X (n × d) may have, or LAPACK gives up.
  init?(_ x: Matrix, rank: Int) {
    let (n, d) = (x.rows, x.columns)
    guard rank > 0, rank < min(n, d), let all = SingularValues(x) else { return nil }
    basis = Matrix(copying: all.right.slice(0..<rank))
    coordinates = product(x, .plain, basis, .transposed)
    let rest = Matrix(copying: x)
    gemm(n, d, rank, alpha: -1, coordinates.base, .plain, basis.base, .plain, beta: 1, rest.base)
    guard let others = SingularValues(rest), let first = others.values.first else { return nil }
    // Products of rank and d terms are rounded, and so are the singular values.
    let rounding = Double(n + d + rank + 8) * Double.ulpOfOne * norm(x.count, x.base)
    error = first + rounding
  }

  /// Whether the patterns of `arrangements`, which have no thresholds, are all those of X̂, each attained strictly by the
  /// part of its gate in V. What is left out must not move the dual constraints of `dual` (n × C) by more than a millionth of
  /// `beta`.
  func isComplete(_ arrangements: Arrangements, dual: Matrix, beta: Double) throws -> Bool {
    let gates = Matrix(arrangements.gates.vectors)
    let vectors = product(gates, .plain, basis, .transposed)
    return try arrangements.with(gates: vectors).isComplete(
      features: coordinates, dual: dual, beta: beta)
  }

  /// An upper bound of |ν_cᵀ(Xu)₊| over all unit vectors u and outputs c, from one over the cells of X̂, `constraint`.
  func bound(_ constraint: Double, dual: Matrix) -> Double {
    var longest = 0.0
    for c in 0..<dual.columns {
      longest = max(longest, (0..<dual.rows).reduce(0) { hypot($0, dual[$1, c]) })
    }
    // Rounding of what is computed here, and of V's lengths and angles.
    return hypot(constraint, error * longest) * (1 + 1e-12)
  }

  private func hypot(_ a: Double, _ b: Double) -> Double {
    let largest = max(abs(a), abs(b))
    guard largest > 0, largest.isFinite else { return largest }
    let (p, q) = (a / largest, b / largest)
    return largest * (p * p + q * q).squareRoot()
  }
}
