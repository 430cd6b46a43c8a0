import LinearAlgebra
import Tensors

/// (A Aᵀ + ρ I) q = b for A = [D_1 X … D_P X], by a Cholesky factor of the n × n kernel
/// A Aᵀ = (X Xᵀ) ∘ (D Dᵀ).
final class RidgeSystem {
  private let n: Int
  /// A Aᵀ, its lower triangle.
  private let kernel: Matrix
  private let triangle: Matrix
  private(set) var ridge = Double.nan

  /// The mean of the kernel's diagonal: what ρ is measured by.
  let scale: Double

  /// Bytes that it takes.
  static func memory(samples: Int) -> Double { 16 * Double(samples) * Double(samples) }

  init(_ data: ArrangementData, patterns: [Int]) {
    n = data.samples
    let n = n
    kernel = Matrix(n, n)
    triangle = Matrix(n, n)
    let kernel = kernel
    let counts = triangle
    syrkRowsUpper(n, data.dimension, data.features.base, kernel.base)
    // D Dᵀ: how many patterns two samples share.
    let masks = Matrix(patterns.count, n)
    for (i, pattern) in patterns.enumerated() {
      data.patterns.expand(pattern, into: masks.row(i))
    }
    syrkUpper(n, patterns.count, masks.base, counts.base)
    Threads.perform(Threads.count) { part in
      for i in stride(from: part, to: n, by: Threads.count) {
        let (k, share) = (kernel.row(i), counts.row(i))
        for j in i..<n { k[j] *= share[j] }
      }
    }
    kernel.mirrorUpper()
    scale = (0..<n).reduce(0) { $0 + kernel[$1, $1] } / Double(max(1, n))
  }

  /// Factors for ρ = `ridge`. Returns `false` where rounding leaves the matrix indefinite.
  func factor(ridge: Double) -> Bool {
    let (n, kernel, triangle) = (n, kernel, triangle)
    Threads.perform(Threads.count) { part in
      for i in stride(from: part, to: n, by: Threads.count) {
        triangle.row(i).update(from: kernel.row(i), count: i + 1)
        triangle[i, i] += ridge
      }
    }
    self.ridge = ridge
    return choleskyLower(n, triangle.base)
  }

  /// Replaces each row of `b` by its solution.
  func solve(_ b: Matrix) { choleskySolve(n, triangle.base, b.base, count: b.rows) }
}
