import LinearAlgebra

/// The linear systems of one η: I + M with M = Σ η_i D_i X Xᵀ D_i.
///
/// The ν that a system finds may be inexact in any form: the certificate does not depend on it, and `EtaNewton`
/// corrects ν if the error shows.
protocol EtaSystem: AnyObject {
  /// Takes the members `active` with their η_i > 0; false if rounding makes I + M not positive definite, or if there is
  /// no time left for it.
  func factor(_ active: [Int], _ eta: [Double]) -> Bool

  /// ν ← (I + M)⁻¹ ν.
  func solve(_ nu: UnsafeMutablePointer<Double>)

  /// Each row ν of `nu` ← (I + M)⁻¹ ν.
  func solve(rows nu: Matrix)

  /// Rows of `nu` ← (I + M)⁻¹ times the rows of `right`. An iterative system begins at `nu`, and may end once ‖right −
  /// (I + M) nu‖ is at most `error`.
  func improve(_ nu: Matrix, toward right: Matrix, error: Double)

  /// H ← Uᵀ (I + M)⁻¹ U, both triangles, for the members `working` with the directions `t`; the rows of `u` are their
  /// images U_i = D_i X t_i, which may be overwritten. An iterative system approximates H and keeps U.
  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>)

  /// The same summed over outputs, each with its directions and images; `scratch` has room for another H.
  func hessian(
    _ working: [Int], directions: [Matrix], images: [Matrix],
    into h: UnsafeMutablePointer<Double>, scratch: UnsafeMutablePointer<Double>)

  /// Changes to a form of higher precision, which has to be factored anew; false if there is none.
  func increasePrecision() -> Bool

  /// Whether `solve` iterates, so that an earlier ν helps, and `hessian` is approximate.
  var isIterative: Bool { get }
}

extension EtaSystem {
  func improve(_ nu: Matrix, toward right: Matrix, error: Double) {
    nu.copy(from: right)
    solve(rows: nu)
  }

  func hessian(
    _ working: [Int], directions: [Matrix], images: [Matrix],
    into h: UnsafeMutablePointer<Double>, scratch: UnsafeMutablePointer<Double>
  ) {
    for c in images.indices {
      let target = c == 0 ? h : scratch
      hessian(working, directions: directions[c], images: images[c], into: target)
      if c > 0 { axpy(working.count * working.count, 1, scratch, h) }
    }
  }

  func solve(rows nu: Matrix) { for c in 0..<nu.rows { solve(nu.row(c)) } }
  func increasePrecision() -> Bool { false }
  var isIterative: Bool { false }
}
