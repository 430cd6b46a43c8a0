import CBLAS

/// Rows of B (`count` × n) ← B L⁻ᵀ for the factor L of `choleskyLower`: each row b becomes L⁻¹ b.
package func solveLower(
  _ n: Int, _ factor: UnsafePointer<Double>, _ b: UnsafeMutablePointer<Double>, count: Int,
  ldb: Int? = nil
) {
  guard n > 0, count > 0 else { return }
  cblas_dtrsm(
    CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int32(count), Int32(n), 1,
    factor, Int32(n), b, Int32(ldb ?? n))
}
