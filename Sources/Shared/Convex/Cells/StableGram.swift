import Glibc
import LinearAlgebra

/// The factor L of I + G Gᵀ = L Lᵀ.
///
/// If G is so large that Cholesky's method fails on the rounded product, a shifted factor preconditions [I G], whose
/// product is nearer to the identity and is factored again (Fukaya, Kannan, Nakatsukasa, Yamamoto and Yanagisawa,
/// "Shifted Cholesky QR for computing the QR factorization of ill-conditioned matrices", 2020).
final class StableGram {
  private let n: Int
  private let factor: Matrix
  private let gram: Matrix
  private let next: Matrix

  init(order n: Int) {
    self.n = n
    (factor, gram, next) = (Matrix(n, n), Matrix(n, n), Matrix(n, n))
  }

  /// Computes the factors for G = the first `columns` columns of `g`, which has n more columns and is overwritten.
  /// Returns `false` if an entry is not finite.
  func update(_ g: Matrix, columns: Int) -> Bool {
    let width = columns + n
    precondition(g.rows == n && g.columns == width)
    for i in 0..<n {
      (g.row(i) + columns).update(repeating: 0, count: n)
      g[i, columns + i] = 1
    }
    for pass in 0..<5 {
      multiply(g)
      let trace = (0..<n).reduce(0) { $0 + gram[$1, $1] }
      guard trace.isFinite else { return false }
      next.copy(from: gram)
      var shift = 0.0
      while !choleskyLower(n, next.base) {
        // Some roundings of the largest eigenvalue make sure that there is a factor.
        shift = shift == 0 ? 0x1p-52 * trace : 10 * shift
        guard shift < trace else { return false }
        next.copy(from: gram)
        for i in 0..<n { next[i, i] += shift }
      }
      for i in 0..<n { (next.row(i) + i + 1).update(repeating: 0, count: n - i - 1) }
      if pass == 0 {
        factor.copy(from: next)
      } else {
        // L ← L times this factor.
        gram.copy(from: factor)
        gemm(n, n, n, gram.base, .plain, next.base, .plain, factor.base)
      }
      if shift == 0 { return true }
      solveLower(n, next.base, g.base, columns: width)
    }
    return true
  }

  /// Lower triangle of `gram` ← G Gᵀ, in blocks of columns that do not depend on the number of threads.
  private func multiply(_ g: Matrix) {
    let parts = max(1, g.columns / 2048)
    let products = (0..<parts).map { _ in Matrix(n, n) }
    Threads.perform(parts) { part in
      let (start, end) = (g.columns * part / parts, g.columns * (part + 1) / parts)
      syrkRowsUpper(n, end - start, g.base + start, lda: g.columns, products[part].base)
    }
    for i in 0..<n {
      for j in i..<n {
        var sum = 0.0
        for product in products { sum += product[i, j] }
        gram[j, i] = sum
      }
    }
  }

  /// x ← (I + G Gᵀ)⁻¹ x.
  func solve(_ x: UnsafeMutablePointer<Double>) { choleskySolve(n, factor.base, x, count: 1) }
}
