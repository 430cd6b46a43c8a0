import LinearAlgebra

/// A part of the program with η of its own: all outputs together, or one output.
struct GroupProblem {
  /// The columns of W that belong to it.
  let columns: Range<Int>

  /// One problem for all outputs, or one for each.
  static func all(outputs: Int, shared: Bool) -> [GroupProblem] {
    shared
      ? [GroupProblem(columns: 0..<outputs)]
      : (0..<outputs).map { GroupProblem(columns: $0..<$0 + 1) }
  }
}

/// The linear systems of the Newton steps: G + diag(1/η) on the features of gates with η > 0.
protocol GramSystem: AnyObject {
  /// Takes η of a problem; false if rounding makes the matrix not positive definite.
  func factor(_ problem: Int, _ eta: [Double]) -> Bool

  /// Z ← the exact or approximate inverse of every problem times its columns of X (Q × C). Rows of X at which η is zero
  /// are zero, and so are those of Z.
  func apply(_ x: Matrix, into z: Matrix)

  /// H_ij = Σ_c U_icᵀ (I + M)⁻¹ U_jc, exactly or approximately, for the gates `working`, with U_i = F_i T_i and M = Σ
  /// η_i F_i F_iᵀ; T is Q × C. Fills both triangles of `h`.
  func hessian(
    _ problem: Int, _ working: [Int], directions t: Matrix, into h: UnsafeMutablePointer<Double>)
}
