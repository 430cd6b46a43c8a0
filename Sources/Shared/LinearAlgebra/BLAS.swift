import CBLAS

/// Whether a factor enters a product as it is or transposed.
package enum Operation {
  case plain, transposed
  var cblas: CBLAS_TRANSPOSE { self == .plain ? CblasNoTrans : CblasTrans }
}

/// C ← α op(A) op(B) + β C, all row-major with the leading dimensions of full rows unless given.
package func gemm(
  _ m: Int, _ n: Int, _ k: Int, alpha: Double = 1,
  _ a: UnsafePointer<Double>, _ opA: Operation, lda: Int? = nil,
  _ b: UnsafePointer<Double>, _ opB: Operation, ldb: Int? = nil,
  beta: Double = 0, _ c: UnsafeMutablePointer<Double>, ldc: Int? = nil
) {
  guard m > 0, n > 0 else { return }
  cblas_dgemm(
    CblasRowMajor, opA.cblas, opB.cblas, Int32(m), Int32(n), Int32(k), alpha,
    a, Int32(max(1, lda ?? (opA == .plain ? k : m))),
    b, Int32(max(1, ldb ?? (opB == .plain ? n : k))), beta, c, Int32(max(1, ldc ?? n)))
}

/// The product op(A) op(B) as a new matrix.
package func product(
  _ a: Matrix, _ opA: Operation, _ b: Matrix, _ opB: Operation
) -> Matrix {
  let (m, k) = opA == .plain ? (a.rows, a.columns) : (a.columns, a.rows)
  let (k2, n) = opB == .plain ? (b.rows, b.columns) : (b.columns, b.rows)
  precondition(k == k2, "shapes do not fit")
  let result = Matrix(m, n)
  gemm(
    m, n, k, a.base, opA, lda: a.columns, b.base, opB, ldb: b.columns, result.base, ldc: n)
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

/// y ← α op(A) x + β y for A of m rows and n columns. If A has no entries the product is zero.
package func gemv(
  _ m: Int, _ n: Int, alpha: Double = 1, _ a: UnsafePointer<Double>, _ op: Operation,
  lda: Int? = nil, _ x: UnsafePointer<Double>, beta: Double = 0, _ y: UnsafeMutablePointer<Double>
) {
  guard m > 0, n > 0 else {
    // BLAS would return at once and leave y as it was.
    for i in 0..<(op == .plain ? m : n) { y[i] = beta == 0 ? 0 : beta * y[i] }
    return
  }
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

/// y ← A x for a symmetric A; only the lower triangle is read.
package func symvLower(
  _ n: Int, _ a: UnsafePointer<Double>, lda: Int? = nil, _ x: UnsafePointer<Double>,
  _ y: UnsafeMutablePointer<Double>
) {
  cblas_dsymv(
    CblasRowMajor, CblasLower, Int32(n), 1, a, Int32(max(1, lda ?? n)), x, 1, 0, y, 1)
}

/// y ← A x for a symmetric A; only the upper triangle is read.
package func symvUpper(
  _ n: Int, _ a: UnsafePointer<Double>, lda: Int? = nil, _ x: UnsafePointer<Double>,
  _ y: UnsafeMutablePointer<Double>
) {
  cblas_dsymv(
    CblasRowMajor, CblasUpper, Int32(n), 1, a, Int32(max(1, lda ?? n)), x, 1, 0, y, 1)
}

/// Rows of Y ← rows of X times A, for a symmetric A; only the upper triangle is read.
package func symmUpper(
  _ n: Int, _ a: UnsafePointer<Double>, lda: Int? = nil, _ x: UnsafePointer<Double>, count: Int,
  _ y: UnsafeMutablePointer<Double>
) {
  guard n > 0, count > 0 else { return }
  cblas_dsymm(
    CblasRowMajor, CblasRight, CblasUpper, Int32(count), Int32(n), 1, a, Int32(max(1, lda ?? n)), x,
    Int32(n), 0, y, Int32(n))
}

/// Lower triangle of A ← A + α (x yᵀ + y xᵀ).
package func syr2Lower(
  _ n: Int, _ alpha: Double, _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>,
  _ a: UnsafeMutablePointer<Double>
) {
  cblas_dsyr2(CblasRowMajor, CblasLower, Int32(n), alpha, x, 1, y, 1, a, Int32(n))
}

/// Upper triangle of C (n × n) ← α A Aᵀ + β C for A of n rows and k columns.
package func syrkRowsUpper(
  _ n: Int, _ k: Int, alpha: Double = 1, _ a: UnsafePointer<Double>, lda: Int? = nil,
  beta: Double = 0, _ c: UnsafeMutablePointer<Double>
) {
  guard n > 0 else { return }
  cblas_dsyrk(
    CblasRowMajor, CblasUpper, CblasNoTrans, Int32(n), Int32(k), alpha, a, Int32(max(1, lda ?? k)),
    beta, c, Int32(n))
}

/// Each ROW b of `b` (`count` × n) ← L⁻¹ b for the lower triangle L (n × n): B ← B L⁻ᵀ.
package func triangularSolveRows(
  _ n: Int, _ factor: UnsafePointer<Double>, lda: Int? = nil, _ b: UnsafeMutablePointer<Double>,
  ldb: Int? = nil, count: Int
) {
  guard n > 0, count > 0 else { return }
  cblas_dtrsm(
    CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int32(count), Int32(n), 1,
    factor, Int32(lda ?? n), b, Int32(ldb ?? n))
}

/// X ← L⁻¹ X for the lower triangle L of row-major `l` (n × n), X row-major of `columns` columns.
package func solveLower(
  _ n: Int, _ l: UnsafePointer<Double>, lda: Int? = nil, _ x: UnsafeMutablePointer<Double>,
  columns: Int, ldx: Int? = nil
) {
  guard n > 0, columns > 0 else { return }
  cblas_dtrsm(
    CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(n), Int32(columns), 1,
    l, Int32(lda ?? n), x, Int32(ldx ?? columns))
}
