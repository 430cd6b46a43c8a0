import LinearAlgebra

/// Products with A = [D_1 X … D_P X] for several classes at once, with a block of patterns in each matrix product.
/// Belongs to one thread and has memory of its own.
final class PatternColumns {
  /// The most patterns that go into one product.
  let block: Int
  private let samples: Int
  private let classes: Int
  /// block·C × n.
  private let masked: Matrix
  private let mask: Matrix

  /// Blocks for `patterns` patterns.
  init(samples: Int, classes: Int, patterns: Int) {
    (self.samples, self.classes) = (samples, classes)
    // A few MB: high enough for BLAS, small enough for the cache of a core.
    let rows = max(classes, min(400, 1_000_000 / max(1, samples)))
    block = max(1, min(patterns, rows / max(1, classes)))
    masked = Matrix(block * classes, samples)
    mask = Matrix(1, samples)
  }

  /// Rows i·C + c of `result` ← (Xᵀ D_i q_c)ᵀ for the i-th of `patterns` and row c of `q`, C × n.
  func transposedProduct(
    _ patterns: some Collection<Int>, _ data: ArrangementData, _ q: Matrix,
    into result: UnsafeMutablePointer<Double>
  ) {
    let m = mask.base
    for (i, pattern) in patterns.enumerated() {
      data.patterns.expand(pattern, into: m)
      for c in 0..<classes {
        let (source, target) = (q.row(c), masked.row(i * classes + c))
        for j in 0..<samples { target[j] = m[j] * source[j] }
      }
    }
    gemm(
      patterns.count * classes, data.dimension, samples, masked.base, .plain, data.features.base,
      .plain, result)
  }

  /// Row c of `result` (C × n) grows by Σ_i D_i X w_ic for rows i·C + c of `weights`.
  func addProduct(
    _ patterns: some Collection<Int>, _ data: ArrangementData, _ weights: UnsafePointer<Double>,
    to result: Matrix
  ) {
    gemm(
      patterns.count * classes, samples, data.dimension, weights, .plain, data.features.base,
      .transposed, masked.base)
    let m = mask.base
    for (i, pattern) in patterns.enumerated() {
      data.patterns.expand(pattern, into: m)
      for c in 0..<classes {
        let (source, target) = (masked.row(i * classes + c), result.row(c))
        for j in 0..<samples { target[j] += m[j] * source[j] }
      }
    }
  }
}
