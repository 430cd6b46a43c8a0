import LinearAlgebra

/// The map X ↦ Tᵀ X T on symmetric matrices in packed form, many at once through two GEMMs.
package final class Congruence {
  package let transform: Matrix
  private let packing: SymmetricVectors
  private let chunk = 8  // matrices at a time: three buffers of them stay in the second-level cache

  /// `transform` is T (order × order).
  package init(_ transform: Matrix) {
    precondition(transform.rows == transform.columns)
    self.transform = transform
    packing = SymmetricVectors(order: transform.rows)
  }

  /// Buffers for one thread.
  package func makeScratch() -> Matrix {
    Matrix(3 * chunk * packing.order, packing.order)
  }

  /// Maps `count` packed matrices, one after the other at `source`, to `target`, which may be the same
  /// place. Runs on the calling thread.
  package func apply(
    _ count: Int, _ source: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>,
    scratch: Matrix
  ) {
    let (m, q) = (packing.order, packing.count)
    let first = scratch.base
    let second = first + chunk * m * m
    for start in stride(from: 0, to: count, by: chunk) {
      let n = min(chunk, count - start)
      for i in 0..<n { packing.unpack(source + (start + i) * q, into: first + i * m * m) }
      // Y = X T, then (Tᵀ Y)ᵀ = Yᵀ T, which is symmetric: no transposed result is needed.
      gemm(n * m, m, m, first, .plain, transform.base, .plain, second)
      for i in 0..<n {
        let from = second + i * m * m
        let to = first + i * m * m
        for r in 0..<m { for c in 0..<m { to[c * m + r] = from[r * m + c] } }
      }
      gemm(n * m, m, m, first, .plain, transform.base, .plain, second)
      for i in 0..<n { packing.pack(second + i * m * m, into: target + (start + i) * q) }
    }
  }

  /// `apply` in place on all threads.
  package func applyInParallel(_ count: Int, _ rows: UnsafeMutablePointer<Double>) {
    let q = packing.count
    Threads.split(count, grain: chunk) { range in
      let scratch = self.makeScratch()
      self.apply(
        range.count, rows + range.lowerBound * q, rows + range.lowerBound * q, scratch: scratch)
    }
  }

  /// Tᵀ X T for one full matrix (order × order), into `target`; `scratch` has the same size.
  package func apply(
    full source: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>,
    scratch: UnsafeMutablePointer<Double>
  ) {
    let m = packing.order
    gemm(m, m, m, transform.base, .transposed, source, .plain, scratch)
    gemm(m, m, m, scratch, .plain, transform.base, .plain, target)
  }
}
