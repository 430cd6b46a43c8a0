import LinearAlgebra

/// A part of the program that has η of its own: all outputs together, or one output.
struct GroupProblem {
  /// The columns of W that it has.
  let columns: Range<Int>

  /// One problem for all outputs, or one for each.
  static func all(outputs: Int, shared: Bool) -> [GroupProblem] {
    shared
      ? [GroupProblem(columns: 0..<outputs)]
      : (0..<outputs).map { GroupProblem(columns: $0..<$0 + 1) }
  }
}

/// The linear systems of the Newton steps: (G + diag(1/η)) on the features of gates with η > 0.
protocol GramSystem: AnyObject {
  /// Takes η of a problem; `false` where rounding leaves the matrix not positive definite.
  func factor(_ problem: Int, _ eta: [Double]) -> Bool

  /// Z ← the inverse, or what comes near it, of every problem times its columns of X (Q × C), which are
  /// zero where η is; so is Z.
  func apply(_ x: Matrix, into z: Matrix)

  /// H_ij = Σ_c U_icᵀ (I + M)⁻¹ U_jc, or what comes near it, for the gates `working`, with U_i = F_i T_i and
  /// M = Σ η_i F_i F_iᵀ; T is Q × C. Both triangles of `h`.
  func hessian(
    _ problem: Int, _ working: [Int], directions t: Matrix, into h: UnsafeMutablePointer<Double>)
}
