import LinearAlgebra

/// The Newton systems of one η: (I + M)⁻¹ with M = Σ η_i D_i X Xᵀ D_i.
protocol EtaSystem: AnyObject {
  /// Takes the members `active` with their η_i > 0; `false` where rounding leaves I + M not positive
  /// definite.
  func factor(_ active: [Int], _ eta: [Double]) -> Bool

  /// ν ← (I + M)⁻¹ ν, to the precision of the factor.
  func solve(_ nu: UnsafeMutablePointer<Double>)

  /// H ← Uᵀ (I + M)⁻¹ U, both triangles, for the `count` rows U_i of `u`, which are overwritten.
  func hessian(_ u: Matrix, count: Int, into h: UnsafeMutablePointer<Double>)
}

/// The system in the samples: M = (X Xᵀ) ∘ (D diag(η) Dᵀ), n × n, and its Cholesky factor.
final class KernelSystem: EtaSystem {
  private let products: PatternProducts
  /// X Xᵀ, lower triangle.
  private let kernel: Matrix
  /// I + M, then its factor.
  private let system: Matrix
  /// √η_i D_i, a row a member.
  private var scaledPatterns = Matrix(0, 0)
  private let scratch: [Matrix]

  /// Samples from which on two threads in a factorisation gain more than they cost.
  private static let parallelSize = 384
  private static let tile = (rows: 256, columns: 512)

  init(_ products: PatternProducts) {
    self.products = products
    let n = products.samples
    kernel = Matrix(n, n)
    system = Matrix(n, n)
    scratch = (0..<Threads.count).map { _ in
      Matrix(min(n, KernelSystem.tile.rows), min(n, KernelSystem.tile.columns))
    }
    syrkRowsLower(n, products.dimension, products.x.base, kernel.base)
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    let n = products.samples
    let count = active.count
    if scaledPatterns.rows < count {
      scaledPatterns = Matrix(min(products.count, max(count, 2 * scaledPatterns.rows)), n)
    }
    let scaled = scaledPatterns
    Threads.split(count, grain: max(1, 100_000 / n)) { range in
      for k in range {
        self.products.expand(active[k], times: eta[active[k]].squareRoot(), into: scaled.row(k))
      }
    }
    // Tile by tile, so that D diag(η) Dᵀ meets X Xᵀ while it is in cache.
    let tile = KernelSystem.tile
    let bands = (n + tile.rows - 1) / tile.rows
    let workers = n < KernelSystem.parallelSize ? 1 : min(bands, scratch.count)
    Threads.perform(workers) { worker in
      let buffer = scratch[worker].base
      for band in stride(from: worker, to: bands, by: workers) {
        let rows = band * tile.rows..<min(n, (band + 1) * tile.rows)
        for first in stride(from: 0, to: rows.upperBound, by: tile.columns) {
          let columns = min(tile.columns, rows.upperBound - first)
          gemm(
            rows.count, columns, count, scaled.base + rows.lowerBound, .transposed, lda: n,
            scaled.base + first, .plain, ldb: n, buffer, ldc: columns)
          for i in rows {
            let length = min(columns, i + 1 - first)
            guard length > 0 else { continue }
            let (k, m) = (self.kernel.row(i) + first, self.system.row(i) + first)
            let b = buffer + (i - rows.lowerBound) * columns
            for j in 0..<length { m[j] = k[j] * b[j] }
          }
        }
        for i in rows { self.system[i, i] += 1 }
      }
    }
    return onUsefulThreads { choleskyLower(n, system.base) }
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) {
    onUsefulThreads { choleskySolve(products.samples, system.base, nu, count: 1) }
  }

  /// H = Zᵀ Z, Z = L⁻¹ U.
  func hessian(_ u: Matrix, count: Int, into h: UnsafeMutablePointer<Double>) {
    let n = products.samples
    onUsefulThreads {
      triangularSolveRows(n, system.base, u.base, count: count)
      syrkRowsUpper(count, n, u.base, h)
    }
    for i in 0..<count { for j in 0..<i { h[i * count + j] = h[j * count + i] } }
  }

  /// One thread for systems that are too small for two.
  private func onUsefulThreads<R>(_ body: () -> R) -> R {
    guard products.samples < KernelSystem.parallelSize else { return body() }
    var result: R?
    Threads.perform(1) { _ in result = body() }
    return result!
  }
}
