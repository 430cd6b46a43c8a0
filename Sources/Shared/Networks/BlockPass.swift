import LinearAlgebra

/// One pass over the samples, in blocks that fit into the cache, shared by the threads: of m directions u_j the pooled
/// activations h_ji = (1/K) Σ_k (x_ik·u_j)₊, and for numbers g_ji made from these the sums Σ_i g_ji ∂h_ji/∂u_j.
///
/// The parts of the samples do not depend on the number of threads, nor does the result.
final class BlockPass {
  let rows: PatchRows
  private var parts: [Part] = []
  private var capacity = 0

  /// The samples of a part, and its room.
  private final class Part {
    let samples: Range<Int>
    /// Samples of a block.
    let block: Int
    /// m × rows, m × samples twice, m × r.
    let products: Matrix
    let hidden: Matrix
    let weights: Matrix
    let gradient: Matrix

    init(_ samples: Range<Int>, block: Int, patches: Int, _ m: Int, _ d: Int) {
      (self.samples, self.block) = (samples, block)
      products = Matrix(m, block * patches)
      hidden = patches == 1 ? products : Matrix(m, block)
      weights = Matrix(m, block)
      gradient = Matrix(m, d)
    }
  }

  /// Rows of a block, and parts of the samples.
  private static let (blockRows, mostParts) = (256, 4)

  init(_ rows: PatchRows) { self.rows = rows }

  /// Makes room for m directions; returns the number of parts.
  func prepare(_ m: Int) -> Int {
    if m > capacity || parts.isEmpty {
      capacity = max(m, capacity + capacity / 4)
      let (n, k, d) = (rows.samples, rows.patches, rows.dimension)
      let count = max(1, min(BlockPass.mostParts, n * k / BlockPass.blockRows))
      let block = max(1, BlockPass.blockRows / k)
      parts = (0..<count).map { p in
        let samples = n * p / count..<n * (p + 1) / count
        return Part(samples, block: min(block, max(1, samples.count)), patches: k, capacity, d)
      }
    }
    return parts.count
  }

  /// The samples of a block at most.
  var blockLimit: Int { parts.map(\.block).max() ?? 1 }

  /// Calls `body(part, samples, h, g)` for each block: h is m × samples, and `body` fills g of the same shape if
  /// `gradient` is given; then `gradient` (m × r) ← Σ_i g_ji ∂h_ji/∂u_j. `prepare(m)` must have been called.
  func run(
    _ directions: UnsafePointer<Double>, _ m: Int, gradient: UnsafeMutablePointer<Double>?,
    _ body: (
      _ part: Int, _ samples: Range<Int>, _ h: UnsafePointer<Double>,
      _ g: UnsafeMutablePointer<Double>
    ) -> Void
  ) {
    let d = rows.dimension
    nonisolated(unsafe) let directions = directions
    let wantsGradient = gradient != nil
    Threads.perform(parts.count) { p in
      let part = parts[p]
      if wantsGradient { part.gradient.base.update(repeating: 0, count: m * d) }
      var first = part.samples.lowerBound
      while first < part.samples.upperBound {
        let samples = first..<min(first + part.block, part.samples.upperBound)
        first = samples.upperBound
        let z = part.products.base
        multiply(directions, m, samples, into: z)
        activate(z, part.hidden.base, samples.count, m)
        body(p, samples, part.hidden.base, part.weights.base)
        guard wantsGradient else { continue }
        mask(z, part.weights.base, samples.count, m)
        addProducts(z, m, samples, to: part.gradient.base)
      }
    }
    guard let gradient else { return }
    gradient.update(repeating: 0, count: m * d)
    for part in parts { axpy(m * d, 1, part.gradient.base, gradient) }
  }

  /// Up to this many coordinates products are summed here: BLAS spends more on packing them.
  private static let fewCoordinates = 12

  /// z (m × rows) ← U Xᵀ.
  private func multiply(
    _ u: UnsafePointer<Double>, _ m: Int, _ samples: Range<Int>,
    into z: UnsafeMutablePointer<Double>
  ) {
    let (k, d, all) = (rows.patches, rows.dimension, rows.columns.columns)
    let count = samples.count * k
    let x = rows.columns.base + samples.lowerBound * k
    guard d <= BlockPass.fewCoordinates else {
      gemm(m, count, d, u, .plain, x, .plain, ldb: all, z)
      return
    }
    let whole = count & ~7
    for j in 0..<m {
      let (weights, row) = (u + j * d, z + j * count)
      for i in stride(from: 0, to: whole, by: 8) {
        var sum = SIMD8<Double>()
        for c in 0..<d {
          sum +=
            weights[c] * UnsafeRawPointer(x + c * all + i).loadUnaligned(as: SIMD8<Double>.self)
        }
        UnsafeMutableRawPointer(row + i).storeBytes(of: sum, as: SIMD8<Double>.self)
      }
      for i in whole..<count {
        var sum = 0.0
        for c in 0..<d { sum += weights[c] * x[c * all + i] }
        row[i] = sum
      }
    }
  }

  /// target (m × r) ← target + Z X.
  private func addProducts(
    _ z: UnsafePointer<Double>, _ m: Int, _ samples: Range<Int>,
    to target: UnsafeMutablePointer<Double>
  ) {
    let (k, d, all) = (rows.patches, rows.dimension, rows.columns.columns)
    let count = samples.count * k
    let x = rows.columns.base + samples.lowerBound * k
    guard d <= BlockPass.fewCoordinates else {
      gemm(m, d, count, z, .plain, x, .transposed, ldb: all, beta: 1, target)
      return
    }
    let whole = count & ~7
    for j in 0..<m {
      let row = z + j * count
      for c in 0..<d {
        let column = x + c * all
        var sum = SIMD8<Double>()
        for i in stride(from: 0, to: whole, by: 8) {
          sum +=
            UnsafeRawPointer(row + i).loadUnaligned(as: SIMD8<Double>.self)
            * UnsafeRawPointer(column + i).loadUnaligned(as: SIMD8<Double>.self)
        }
        var total = sum.sum()
        for i in whole..<count { total += row[i] * column[i] }
        target[j * d + c] += total
      }
    }
  }

  /// h ← the activations, pooled. With one patch a sample h is z.
  private func activate(
    _ z: UnsafeMutablePointer<Double>, _ h: UnsafeMutablePointer<Double>, _ samples: Int, _ m: Int
  ) {
    let k = rows.patches
    guard k > 1 else {
      for i in 0..<samples * m { z[i] = z[i] > 0 ? z[i] : 0 }
      return
    }
    let share = 1 / Double(k)
    for i in 0..<samples * m {
      var sum = 0.0
      for patch in i * k..<(i + 1) * k { sum += z[patch] > 0 ? z[patch] : 0 }
      h[i] = share * sum
    }
  }

  /// z ← g of the sample where z > 0, else 0.
  private func mask(
    _ z: UnsafeMutablePointer<Double>, _ g: UnsafePointer<Double>, _ samples: Int, _ m: Int
  ) {
    let k = rows.patches
    guard k > 1 else {
      for i in 0..<samples * m { z[i] = z[i] > 0 ? g[i] : 0 }
      return
    }
    let share = 1 / Double(k)
    for i in 0..<samples * m {
      let weight = share * g[i]
      for patch in i * k..<(i + 1) * k { z[patch] = z[patch] > 0 ? weight : 0 }
    }
  }
}
