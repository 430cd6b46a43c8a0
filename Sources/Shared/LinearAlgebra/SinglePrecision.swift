import CBLAS
import CLAPACKE

// The routines that factorisations in single precision need, for twice the speed and half the memory. Their namesakes
// in double precision say what they do.

/// C ← α op(A) op(B) + β C.
package func gemm(
  _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1,
  _ a: UnsafePointer<Float>, _ opA: Operation, lda: Int? = nil,
  _ b: UnsafePointer<Float>, _ opB: Operation, ldb: Int? = nil,
  beta: Float = 0, _ c: UnsafeMutablePointer<Float>, ldc: Int? = nil
) {
  guard m > 0, n > 0 else { return }
  cblas_sgemm(
    CblasRowMajor, opA.cblas, opB.cblas, Int32(m), Int32(n), Int32(k), alpha,
    a, Int32(max(1, lda ?? (opA == .plain ? k : m))),
    b, Int32(max(1, ldb ?? (opB == .plain ? n : k))), beta, c, Int32(max(1, ldc ?? n)))
}

/// A = L Lᵀ in place of the lower triangle; `false` if A is not positive definite or holds NaN.
package func choleskyLower(_ n: Int, _ a: UnsafeMutablePointer<Float>, lda: Int? = nil) -> Bool {
  guard n > 0 else { return true }
  let stride = lda ?? n
  guard
    LAPACKE_spotrf_work(
      LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), a, Int32(stride)) == 0
  else { return false }
  for i in 0..<n where !a[i * stride + i].isFinite { return false }
  return true
}

/// Solves A X = B with the factor of `choleskyLower`; the right-hand sides are the ROWS of `b`.
package func choleskySolve(
  _ n: Int, _ factor: UnsafePointer<Float>, lda: Int? = nil, _ b: UnsafeMutablePointer<Float>,
  count: Int
) {
  guard n > 0, count > 0 else { return }
  if count == 1 {
    for transpose in [CblasNoTrans, CblasTrans] {
      cblas_strsv(
        CblasRowMajor, CblasLower, transpose, CblasNonUnit, Int32(n), factor, Int32(lda ?? n), b, 1)
    }
    return
  }
  LAPACKE_spotrs_work(
    LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), Int32(n), Int32(count), factor, Int32(lda ?? n), b,
    Int32(n))
}

/// Each ROW b of `b` (`count` × n) ← L⁻¹ b.
package func triangularSolveRows(
  _ n: Int, _ factor: UnsafePointer<Float>, lda: Int? = nil, _ b: UnsafeMutablePointer<Float>,
  count: Int
) {
  guard n > 0, count > 0 else { return }
  cblas_strsm(
    CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int32(count), Int32(n), 1,
    factor, Int32(lda ?? n), b, Int32(n))
}

/// Upper triangle of C (n × n) ← α AᵀA + β C for A of k rows and n columns; the lower is not touched.
package func syrkUpper(
  _ n: Int, _ k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, lda: Int? = nil,
  beta: Float = 0, _ c: UnsafeMutablePointer<Float>, ldc: Int? = nil
) {
  guard n > 0 else { return }
  cblas_ssyrk(
    CblasRowMajor, CblasUpper, CblasTrans, Int32(n), Int32(k), alpha, a, Int32(max(1, lda ?? n)),
    beta, c, Int32(max(1, ldc ?? n)))
}

/// y ← α op(A) x + β y for A of m rows and n columns, neither of which is 0.
package func gemv(
  _ m: Int, _ n: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, _ op: Operation,
  lda: Int? = nil, _ x: UnsafePointer<Float>, beta: Float = 0, _ y: UnsafeMutablePointer<Float>
) {
  cblas_sgemv(
    CblasRowMajor, op.cblas, Int32(m), Int32(n), alpha, a, Int32(max(1, lda ?? n)), x, 1, beta, y, 1
  )
}
