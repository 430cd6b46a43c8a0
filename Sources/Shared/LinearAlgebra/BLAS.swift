import CBLAS

/// Whether a factor enters a product as it is or transposed.
package enum Operation {
  case plain, transposed
  var cblas: CBLAS_TRANSPOSE { self == .plain ? CblasNoTrans : CblasTrans }
}

/// C ← α op(A) op(B) + β C, all row-major with the leading dimensions of full rows unless told.
package func gemm(
  _ m: Int, _ n: Int, _ k: Int, alpha: Double = 1,
  _ a: UnsafePointer<Double>, _ opA: Operation = .plain, lda: Int? = nil,
  _ b: UnsafePointer<Double>, _ opB: Operation = .plain, ldb: Int? = nil,
  beta: Double = 0, _ c: UnsafeMutablePointer<Double>, ldc: Int? = nil
) {
  guard m > 0, n > 0 else { return }
  cblas_dgemm(
    CblasRowMajor, opA.cblas, opB.cblas, Int32(m), Int32(n), Int32(k), alpha,
    a, Int32(max(1, lda ?? (opA == .plain ? k : m))),
    b, Int32(max(1, ldb ?? (opB == .plain ? n : k))), beta, c, Int32(max(1, ldc ?? n)))
}

/// C ← α op(A) op(B) + β C for whole matrices.
package func multiply(
  alpha: Double = 1, _ a: Matrix, _ opA: Operation = .plain, _ b: Matrix,
  _ opB: Operation = .plain, beta: Double = 0, into c: Matrix
) {
  let (m, k) = opA == .plain ? (a.rows, a.columns) : (a.columns, a.rows)
  let (k2, n) = opB == .plain ? (b.rows, b.columns) : (b.columns, b.rows)
  precondition(k == k2 && c.rows == m && c.columns == n, "shapes do not fit")
  gemm(
    m, n, k, alpha: alpha, a.base, opA, lda: a.columns, b.base, opB, ldb: b.columns, beta: beta,
    c.base, ldc: c.columns)
}

/// The product op(A) op(B) as a new matrix.
package func product(
  _ a: Matrix, _ opA: Operation = .plain, _ b: Matrix, _ opB: Operation = .plain
) -> Matrix {
  let result = Matrix(opA == .plain ? a.rows : a.columns, opB == .plain ? b.columns : b.rows)
  multiply(a, opA, b, opB, into: result)
  return result
}

/// Upper triangle of C (n × n) ← α AᵀA + β C for A of k rows and n columns; the lower is not touched.
package func syrkUpper(
  _ n: Int, _ k: Int, alpha: Double = 1, _ a: UnsafePointer<Double>, lda: Int? = nil,
  beta: Double = 0, _ c: UnsafeMutablePointer<Double>, ldc: Int? = nil
) {
  guard n > 0 else { return }
  cblas_dsyrk(
    CblasRowMajor, CblasUpper, CblasTrans, Int32(n), Int32(k), alpha, a, Int32(max(1, lda ?? n)),
    beta, c, Int32(max(1, ldc ?? n)))
}

/// y ← α op(A) x + β y for A of m rows and n columns.
package func gemv(
  _ m: Int, _ n: Int, alpha: Double = 1, _ a: UnsafePointer<Double>, _ op: Operation = .plain,
  lda: Int? = nil, _ x: UnsafePointer<Double>, beta: Double = 0, _ y: UnsafeMutablePointer<Double>
) {
  guard m > 0, n > 0 else { return }
  cblas_dgemv(
    CblasRowMajor, op.cblas, Int32(m), Int32(n), alpha, a, Int32(max(1, lda ?? n)), x, 1, beta, y, 1
  )
}

package func dot(_ n: Int, _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>) -> Double {
  cblas_ddot(Int32(n), x, 1, y, 1)
}

/// y ← y + α x.
package func axpy(
  _ n: Int, _ alpha: Double, _ x: UnsafePointer<Double>, _ y: UnsafeMutablePointer<Double>
) {
  cblas_daxpy(Int32(n), alpha, x, 1, y, 1)
}

package func scale(_ n: Int, _ alpha: Double, _ x: UnsafeMutablePointer<Double>) {
  cblas_dscal(Int32(n), alpha, x, 1)
}

package func norm(_ n: Int, _ x: UnsafePointer<Double>) -> Double { cblas_dnrm2(Int32(n), x, 1) }
