import CBLAS
import CLAPACKE

// LAPACK is column-major. For a symmetric matrix that only swaps the names of the triangles; other
// routines are called so that no copy is transposed behind our back.

/// Eigenvalues in ascending order, and if asked the eigenvectors as the ROWS of `matrix`, which is overwritten either
/// way. Only the upper triangle is read. A buffer is kept for many calls.
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

  /// Decomposes `matrix` (order × order, row-major). Returns `false` if LAPACK did not converge, which happens for
  /// entries that are not finite.
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

/// A = L Lᵀ in place: the lower triangle of row-major `a` (n × n) becomes L, the upper is not touched. Returns `false`
/// if A is not positive definite or holds NaN.
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
  // OpenBLAS tests only whether a pivot is at most 0, which NaN is not.
  for i in 0..<n where !a[i * stride + i].isFinite { return false }
  return true
}

/// An estimate of 1 / (‖A‖₁ ‖A⁻¹‖₁) from the factor of `choleskyLower`; `norm` is ‖A‖₁, or a bound.
package func choleskyReciprocalCondition(
  _ n: Int, _ factor: UnsafePointer<Double>, lda: Int, norm: Double
) -> Double {
  guard n > 0 else { return 1 }
  var result = 0.0
  var work = [Double](repeating: 0, count: 3 * n)
  var integers = [Int32](repeating: 0, count: n)
  let info = LAPACKE_dpocon_work(
    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), factor, Int32(lda), norm, &result, &work,
    &integers)
  return info == 0 ? result : 0
}

/// Solves A X = B with the factor of `choleskyLower`; the right-hand sides are the ROWS of `b`
/// (`count` × n), each replaced by its solution.
package func choleskySolve(
  _ n: Int, _ factor: UnsafePointer<Double>, lda: Int? = nil, _ b: UnsafeMutablePointer<Double>,
  count: Int
) {
  guard n > 0, count > 0 else { return }
  if count == 1 {
    // LAPACK makes this a product with a matrix of one column, which copies the factor.
    for transpose in [CblasNoTrans, CblasTrans] {
      cblas_dtrsv(
        CblasRowMajor, CblasLower, transpose, CblasNonUnit, Int32(n), factor, Int32(lda ?? n), b, 1)
    }
    return
  }
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

/// Solves the general system A x = b by LU with partial pivoting; `a` (row-major, n × n) and `b` are overwritten, `b`
/// with x. Returns `false` if A is singular.
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

/// A⁻¹ by LU with partial pivoting; nil if A is singular or the result is not finite.
package func inverse(_ matrix: Matrix) -> Matrix? {
  let n = matrix.rows
  let (copy, result) = (Matrix(copying: matrix), Matrix.identity(n))
  var pivots = [Int32](repeating: 0, count: n)
  // Column-major LAPACK sees Aᵀ, whose inverse it writes as the columns of the result: A⁻¹ by rows.
  guard
    LAPACKE_dgetrf_work(
      LAPACK_COL_MAJOR, Int32(n), Int32(n), copy.base, Int32(n), &pivots) == 0,
    LAPACKE_dgetrs_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "N")), Int32(n), Int32(n), copy.base, Int32(n), &pivots,
      result.base, Int32(n)) == 0, result.isFinite
  else { return nil }
  return result
}

/// The triangular factor of A = Q R: A (n × m) is given by its columns as the ROWS of `a` (m × n), and the first min(n,
/// j + 1) entries of row j become column j of R. The entries after them have no meaning. Returns `false` if LAPACK
/// refuses.
package func triangularFactor(_ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>) -> Bool {
  guard m > 0, n > 0 else { return true }
  var tau = [Double](repeating: 0, count: min(m, n))
  var size = 0.0
  LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, Int32(n), Int32(m), a, Int32(n), &tau, &size, -1)
  var work = [Double](repeating: 0, count: max(1, Int(size)))
  return LAPACKE_dgeqrf_work(
    LAPACK_COL_MAJOR, Int32(n), Int32(m), a, Int32(n), &tau, &work, Int32(work.count)) == 0
}

/// The orthogonal factor Q (n × n) of the matrix whose columns are some vectors of n numbers, by Householder
/// reflections: its first columns span the vectors, the others what is orthogonal to all of them.
package final class OrthogonalFactor {
  private let n: Int
  private let reflections: UnsafeMutablePointer<Double>
  private let tau: UnsafeMutablePointer<Double>
  private var work: [Double]
  /// Vectors that were factored.
  private var count = 0

  /// Room for vectors of `n` numbers.
  package init(_ n: Int) {
    self.n = n
    reflections = .allocate(capacity: max(1, n * n))
    tau = .allocate(capacity: max(1, n))
    work = Array(repeating: 0, count: 64 * max(1, n))
  }

  deinit {
    reflections.deallocate()
    tau.deallocate()
  }

  /// Takes the rows of `vectors` (`count` × n, count ≤ n). Returns `false` if LAPACK refuses.
  package func factor(_ vectors: UnsafePointer<Double>, count: Int) -> Bool {
    self.count = count
    guard count > 0 else { return true }
    reflections.update(from: vectors, count: count * n)
    return LAPACKE_dgeqrf_work(
      LAPACK_COL_MAJOR, Int32(n), Int32(count), reflections, Int32(n), tau, &work,
      Int32(work.count)) == 0
  }

  /// The first columns of Q, as many as there were vectors, as the rows of `basis` (count × n).
  package func basis(into basis: UnsafeMutablePointer<Double>) {
    guard count > 0 else { return }
    basis.update(from: reflections, count: count * n)
    LAPACKE_dorgqr_work(
      LAPACK_COL_MAJOR, Int32(n), Int32(count), Int32(count), basis, Int32(n), tau, &work,
      Int32(work.count))
  }

  /// Each row x of `rows` (`m` × n) ← Qᵀ x.
  package func apply(_ rows: UnsafeMutablePointer<Double>, count m: Int) {
    guard count > 0, m > 0 else { return }
    if work.count < 64 * m { work = Array(repeating: 0, count: 64 * m) }
    // The rows are the columns of a column-major n × m matrix.
    LAPACKE_dormqr_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "L")), CChar(UInt8(ascii: "T")), Int32(n), Int32(m),
      Int32(count), reflections, Int32(n), tau, rows, Int32(n), &work, Int32(work.count))
  }
}

/// A = U diag(s) Vᵀ for A of m rows and n columns, k = min(m, n), s descending.
package struct SingularValues {
  package let values: [Double]
  /// Columns of U as rows, k × m.
  package let left: Matrix
  /// Columns of V as rows, k × n.
  package let right: Matrix

  /// `nil` if LAPACK did not converge, which happens for entries that are not finite.
  package init?(_ matrix: Matrix) {
    let (m, n) = (matrix.rows, matrix.columns)
    let k = min(m, n)
    left = Matrix(k, m)
    right = Matrix(k, n)
    guard k > 0 else {
      values = []
      return
    }
    let copy = Matrix(copying: matrix)
    guard copy.isFinite else { return nil }
    let (u, v) = (Matrix(m, k), right)
    var s = [Double](repeating: 0, count: k)
    var integers = [Int32](repeating: 0, count: 8 * k)
    // Column-major LAPACK sees Aᵀ = V diag(s) Uᵀ: its left vectors are our right ones.
    func decompose(_ work: UnsafeMutablePointer<Double>, _ size: Int) -> Int32 {
      LAPACKE_dgesdd_work(
        LAPACK_COL_MAJOR, CChar(UInt8(ascii: "S")), Int32(n), Int32(m), copy.base, Int32(n), &s,
        v.base, Int32(n), u.base, Int32(k), work, Int32(size), &integers)
    }
    var size = 0.0
    _ = decompose(&size, -1)
    var work = [Double](repeating: 0, count: max(1, Int(size)))
    guard decompose(&work, work.count) == 0 else { return nil }
    values = s
    left.copy(from: u.transposed)
  }
}
