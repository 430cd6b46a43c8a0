import LinearAlgebra

/// F = [D_i X …] over the active members, n × A·d, for C outputs at a time; F is never formed. Each block of samples is
/// read once, also by Fᵀ diag(h) F, and stays in the cache from one product to the next.
///
/// Weights and correlations have a row of d numbers for each member and output: row k·C + c belongs to the k-th active
/// member. ν and ŷ are C × n.
final class ActiveFeatures {
  private let products: PatternProducts
  /// C.
  let outputs: Int
  private(set) var active: [Int] = []
  private let workers = Threads.count
  /// Each thread's images of a block, followed by their sum over members; and its sum of correlations.
  private var scratch: [Storage<Double>] = []
  private var sums: [Storage<Double>] = []

  /// The most numbers in the images of a block: with its samples they fit into the cache of a core.
  private static let blockSize = 1 << 16

  var dimension: Int { products.dimension }
  /// A·C.
  var rows: Int { active.count * outputs }
  /// A·C·d.
  var count: Int { rows * dimension }

  init(_ products: PatternProducts, outputs: Int) {
    self.products = products
    self.outputs = outputs
  }

  /// Second derivatives h of the loss, 1 × n, or nil if they are all 1. Only one output can have them.
  private(set) var curvature: Matrix?

  func take(_ active: [Int]) { self.active = active }

  /// Takes the second derivatives for the products that follow.
  func take(curvature: Matrix?) { self.curvature = curvature }

  /// ŷ ← F w.
  func apply(_ w: UnsafePointer<Double>, into fitted: Matrix) {
    forEachBlock { range, worker in
      let sum = self.images(w, range, worker)
      for c in 0..<self.outputs {
        (fitted.row(c) + range.lowerBound).update(from: sum + c * range.count, count: range.count)
      }
    }
  }

  /// t ← Fᵀ ν.
  func adjoint(_ nu: Matrix, into t: UnsafeMutablePointer<Double>) {
    sumUp(into: t) { range, worker in
      self.correlate(range, worker) { UnsafePointer(nu.row($0) + range.lowerBound) }
    }
  }

  /// t ← Fᵀ diag(h) F w.
  func normal(_ w: UnsafePointer<Double>, into t: UnsafeMutablePointer<Double>) {
    sumUp(into: t) { range, worker in
      let sum = self.images(w, range, worker)
      if let h = self.curvature?.row(0) {
        for j in 0..<range.count { sum[j] *= h[range.lowerBound + j] }
      }
      self.correlate(range, worker) { UnsafePointer(sum + $0 * range.count) }
    }
  }

  /// Xᵀ D_i diag(h) X of a member, d × d.
  func gram(_ member: Int) -> Matrix {
    weightedGram { self.products.isActive(member, $0) ? 1 : 0 }
  }

  /// Xᵀ diag(h m²) X, d × d, with m_j the number of active members that let sample j through: the Gram matrix of weights
  /// that all members share.
  func sharedGram() -> Matrix {
    let (n, counts) = (products.samples, Matrix(2, products.samples))
    for i in active {
      products.expand(i, times: 1, into: counts.row(1))
      axpy(n, 1, counts.row(1), counts.row(0))
    }
    return withExtendedLifetime(counts) { weightedGram { counts[0, $0] } }
  }

  /// Σ_j h_j (weight_j)² x_j x_jᵀ, d × d.
  private func weightedGram(_ weight: (Int) -> Double) -> Matrix {
    let (n, d, size) = (products.samples, dimension, 512)
    let h = curvature?.row(0)
    let (sum, block) = (Matrix(d, d), Matrix(size, d))
    var filled = 0
    for j in 0..<n {
      let weight = weight(j) * (h.map { $0[j].squareRoot() } ?? 1)
      if weight != 0 {
        let (x, target) = (products.x.row(j), block.row(filled))
        for k in 0..<d { target[k] = weight * x[k] }
        filled += 1
      }
      if filled == size || j == n - 1 {
        syrkUpper(d, filled, block.base, beta: 1, sum.base)
        filled = 0
      }
    }
    sum.mirrorUpper()
    return sum
  }

  // MARK: A block of samples

  /// D_i X w_ic of all members for a block, in the scratch of `worker`; returns their sums over i, C × block.
  private func images(
    _ w: UnsafePointer<Double>, _ range: Range<Int>, _ worker: Int
  ) -> UnsafeMutablePointer<Double> {
    let (images, length) = (scratch[worker].base, range.count)
    let sum = images + rows * length
    gemm(
      rows, length, dimension, w, .plain, products.x.row(range.lowerBound), .transposed, images)
    sum.update(repeating: 0, count: outputs * length)
    for (k, i) in active.enumerated() {
      for c in 0..<outputs {
        let row = images + (k * outputs + c) * length
        products.mask(i, range, row, into: row)
        axpy(length, 1, row, sum + c * length)
      }
    }
    return sum
  }

  /// Adds the block's part of Fᵀν to the sum of `worker`; `nu(c)` points to the part of ν_c that belongs to the block.
  private func correlate(
    _ range: Range<Int>, _ worker: Int, _ nu: (Int) -> UnsafePointer<Double>
  ) {
    let (masked, length) = (scratch[worker].base, range.count)
    for (k, i) in active.enumerated() {
      for c in 0..<outputs {
        products.mask(i, range, nu(c), into: masked + (k * outputs + c) * length)
      }
    }
    gemm(
      rows, dimension, length, masked, .plain, products.x.row(range.lowerBound), .plain, beta: 1,
      sums[worker].base)
  }

  /// target ← the sum of what `body` adds to the threads' sums.
  private func sumUp(
    into target: UnsafeMutablePointer<Double>, _ body: (Range<Int>, Int) -> Void
  ) {
    let count = count
    if sums.first.map({ $0.count < count }) ?? true {
      sums = (0..<workers).map { _ in Storage(count) }
    }
    for sum in sums { sum.base.update(repeating: 0, count: count) }
    forEachBlock(body)
    target.update(from: sums[0].base, count: count)
    for other in sums.dropFirst() { axpy(count, 1, other.base, target) }
  }

  /// Calls `body` on all threads with blocks of samples, each of which begins with a byte of a pattern.
  private func forEachBlock(_ body: (Range<Int>, _ worker: Int) -> Void) {
    let (n, width) = (products.samples, rows + outputs)
    let size = max(64, min(512, ActiveFeatures.blockSize / max(1, width))) / 8 * 8
    if scratch.first.map({ $0.count < width * size }) ?? true {
      scratch = (0..<workers).map { _ in Storage(width * size) }
    }
    let blocks = (n + size - 1) / size
    // Small products are done before a second thread has woken up.
    let isSmall = Double(count) * Double(n) < 1e6
    let parts = isSmall ? 1 : min(workers, blocks)
    Threads.perform(parts) { worker in
      for k in blocks * worker / parts..<blocks * (worker + 1) / parts {
        body(k * size..<min(n, (k + 1) * size), worker)
      }
    }
  }
}
