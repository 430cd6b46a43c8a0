import CBLAS
import CLAPACKE

// LAPACK is column-major. For a symmetric matrix that only swaps the names of the triangles; other
// routines are called so that no copy is transposed behind our back.

/// Eigenvalues in ascending order, and where asked the eigenvectors as the ROWS of `matrix`, which is
/// overwritten either way. Only the upper triangle is read. A buffer is kept for many calls.
package final class SymmetricEigensolver {
  package let order: Int
  package let values: UnsafeMutablePointer<Double>
  private var work: [Double]
  private var integers: [Int32]

  package init(order: Int) {
    self.order = order
    values = .allocate(capacity: max(1, order))
    values.initialize(repeating: 0, count: max(1, order))
    var size = 0.0
    var integerSize: Int32 = 0
    LAPACKE_dsyevd_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "L")), Int32(order), nil,
      Int32(max(1, order)), nil, &size, -1, &integerSize, -1)
    work = Array(repeating: 0, count: max(1, Int(size)))
    integers = Array(repeating: 0, count: max(1, Int(integerSize)))
  }

  deinit { values.deallocate() }

  /// Decomposes `matrix` (order × order, row-major). Returns `false` where LAPACK did not converge,
  /// which happens for entries that are not finite.
  package func decompose(
    _ matrix: UnsafeMutablePointer<Double>, vectors: Bool = true
  ) -> Bool {
    guard order > 0 else { return true }
    // Row-major upper is column-major lower; eigenvectors come as columns there, rows here.
    let info = LAPACKE_dsyevd_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: vectors ? "V" : "N")), CChar(UInt8(ascii: "L")),
      Int32(order), matrix, Int32(order), values, &work, Int32(work.count), &integers,
      Int32(integers.count))
    return info == 0
  }
}

/// A = L Lᵀ in place: the lower triangle of row-major `a` (n × n) becomes L, the upper is not touched.
/// Returns `false` where A is not positive definite or holds NaN.
package func choleskyLower(
  _ n: Int, _ a: UnsafeMutablePointer<Double>, lda: Int? = nil
) -> Bool {
  guard n > 0 else { return true }
  // Row-major lower is column-major upper: A = UᵀU with U = Lᵀ.
  let stride = lda ?? n
  guard
    LAPACKE_dpotrf_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), a, Int32(stride)) == 0
  else { return false }
  // OpenBLAS asks of a pivot only whether it is at most 0, which NaN is not.
  for i in 0..<n where !a[i * stride + i].isFinite { return false }
  return true
}

/// Solves A X = B with the factor of `choleskyLower`; the right-hand sides are the ROWS of `b`
/// (`count` × n), each replaced by its solution.
package func choleskySolve(
  _ n: Int, _ factor: UnsafePointer<Double>, lda: Int? = nil, _ b: UnsafeMutablePointer<Double>,
  count: Int
) {
  guard n > 0, count > 0 else { return }
  LAPACKE_dpotrs_work(
    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), Int32(count), factor,
    Int32(lda ?? n), b, Int32(n))
}

/// The lower triangle of A⁻¹ in place of the factor of `choleskyLower`.
package func choleskyInverseLower(_ n: Int, _ factor: UnsafeMutablePointer<Double>) {
  guard n > 0 else { return }
  LAPACKE_dpotri_work(
    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), factor, Int32(n))
}

/// Solves the general system A x = b by LU with partial pivoting; `a` (row-major, n × n) and `b` are
/// overwritten, `b` with x. Returns `false` where A is singular.
package func solveGeneral(
  _ n: Int, _ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>
) -> Bool {
  guard n > 0 else { return true }
  var pivots = [Int32](repeating: 0, count: n)
  // Column-major LAPACK sees Aᵀ: factor it and solve with its transpose.
  guard
    LAPACKE_dgetrf_work(
      LAPACK_COL_MAJOR, Int32(n), Int32(n), a, Int32(n), &pivots) == 0
  else { return false }
  return LAPACKE_dgetrs_work(
    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "T")), Int32(n), 1, a, Int32(n), &pivots, b,
    Int32(n)) == 0
}

/// X ← L⁻¹ X for the lower triangle L of row-major `l` (n × n), X row-major of `columns` columns.
package func solveLower(
  _ n: Int, _ l: UnsafePointer<Double>, lda: Int? = nil, _ x: UnsafeMutablePointer<Double>,
  columns: Int, ldx: Int? = nil
) {
  guard n > 0, columns > 0 else { return }
  cblas_dtrsm(
    CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(n), Int32(columns), 1,
    l,
    Int32(lda ?? n), x, Int32(ldx ?? columns))
}
