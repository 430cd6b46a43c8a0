import LinearAlgebra

/// Products of matrices whose rounding errors are about 2⁻²² of those of a plain product.
///
/// For tiny β the weights are a million times the predictions, and the sums Σ νᵢ Φᵢ a million times
/// smaller than their terms: what cancels must not leave rounding behind. Each factor is split as
/// A = Aₕ + Aᵣ with 22 bits below its largest entry in Aₕ, so that for an inner dimension of at most
/// 512 the BLAS product Aₕ Bₕ is exact, in whatever order it is summed; Aₕ Bᵣ + Aᵣ B is small and may
/// round. Ozaki, Ogita, Oishi and Rump, "Error-free transformations of matrix multiplication", 2012.
package final class AccurateProduct {
  /// The largest inner dimension: 2²² · 2²² · 2⁹ = 2⁵³.
  package static let innerLimit = 512

  private let limits: (m: Int, n: Int, k: Int)
  // Aₕ and Aᵣ (m × k), Bₕ and Bᵣ (k × n), the exact and the small part of the product (m × n).
  private let aHigh, aRest, bHigh, bRest, exact, small: Matrix

  /// Room for products of (m × k) by (k × n) matrices.
  package init(m: Int, n: Int, k: Int) {
    precondition(k <= AccurateProduct.innerLimit, "inner dimension too large to be exact")
    limits = (m, n, k)
    aHigh = Matrix(m, k)
    aRest = Matrix(m, k)
    bHigh = Matrix(k, n)
    bRest = Matrix(k, n)
    exact = Matrix(m, n)
    small = Matrix(m, n)
  }

  /// high + low ← high + low + A B. A is m × k, B is k × n, the results m × n; all row-major with the
  /// leading dimensions given.
  package func add(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Double>, lda: Int, _ b: UnsafePointer<Double>,
    ldb: Int, high: UnsafeMutablePointer<Double>, low: UnsafeMutablePointer<Double>, ld: Int
  ) {
    precondition(m <= limits.m && n <= limits.n && k <= limits.k, "no room for this product")
    split(a, rows: m, columns: k, ld: lda, high: aHigh.base, rest: aRest.base)
    split(b, rows: k, columns: n, ld: ldb, high: bHigh.base, rest: bRest.base)
    gemm(m, n, k, aHigh.base, .plain, bHigh.base, .plain, exact.base)
    gemm(m, n, k, aHigh.base, .plain, bRest.base, .plain, small.base)
    gemm(m, n, k, aRest.base, .plain, b, .plain, ldb: ldb, beta: 1, small.base)
    for i in 0..<m {
      for j in 0..<n {
        let (sum, error) = exactSum(high[i * ld + j], exact.base[i * n + j])
        high[i * ld + j] = sum
        low[i * ld + j] += error + small.base[i * n + j]
      }
    }
  }

  /// The multiples of 2⁻²² of the power of two above the largest entry, and the remainders.
  private func split(
    _ source: UnsafePointer<Double>, rows: Int, columns: Int, ld: Int,
    high: UnsafeMutablePointer<Double>, rest: UnsafeMutablePointer<Double>
  ) {
    let whole = columns / 8 * 8
    var peaks = SIMD8<Double>.zero
    var largest = 0.0
    for i in 0..<rows {
      let from = source + i * ld
      for j in stride(from: 0, to: whole, by: 8) {
        let values = load(from + j)
        peaks.replace(with: values, where: values .> peaks)
        peaks.replace(with: -values, where: -values .> peaks)
      }
      for j in whole..<columns { largest = max(largest, abs(from[j])) }
    }
    largest = max(largest, peaks.max())
    // x + σ has room for no smaller bits: for |x| < 2ᵉ the unit of 1.5 · 2^(e+30) is 2^(e-22).
    var sigma = 0.0
    if largest > 0 && largest.isFinite {
      sigma = 1.5 * Double(sign: .plus, exponent: Int(largest.exponent) + 31, significand: 1)
    }
    for i in 0..<rows {
      let from = source + i * ld
      let (high, rest) = (high + i * columns, rest + i * columns)
      for j in stride(from: 0, to: whole, by: 8) {
        let values = load(from + j)
        let leading = (values + sigma) - sigma
        store(leading, high + j)
        store(values - leading, rest + j)
      }
      for j in whole..<columns {
        high[j] = (from[j] + sigma) - sigma
        rest[j] = from[j] - high[j]
      }
    }
  }
}

@inline(__always)
private func load(_ source: UnsafePointer<Double>) -> SIMD8<Double> {
  UnsafeRawPointer(source).loadUnaligned(as: SIMD8<Double>.self)
}

@inline(__always)
private func store(_ values: SIMD8<Double>, _ target: UnsafeMutablePointer<Double>) {
  UnsafeMutableRawPointer(target).storeBytes(of: values, as: SIMD8<Double>.self)
}
