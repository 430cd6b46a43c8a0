import LinearAlgebra

/// Products with M = Σ η_i D_i X Xᵀ D_i in single precision, for C vectors at a time. They use the patterns' bits, X
/// and BLAS, and go block by block of samples, so that nothing of size n × n or n × P C is stored.
final class SingleProducts {
  private let products: PatternProducts
  /// X, n × d.
  let x: Storage<Float>
  private let workers: Int
  private var active: [Int] = []
  private var eta: [Float] = []
  /// Each thread's masked rows of a block, and its sum of correlations.
  private var scratch: [Storage<Float>] = []
  private var sums: [Storage<Float>] = []

  var samples: Int { products.samples }
  var dimension: Int { products.dimension }

  /// Samples of a block; a multiple of 8, so that blocks begin with a byte of a pattern.
  static let block = 512

  init(_ products: PatternProducts) {
    self.products = products
    workers = Threads.count
    let count = products.samples * products.dimension
    x = Storage(count)
    let (source, target) = (products.x.base, x.base)
    Threads.split(count, grain: 1 << 16) { range in
      for k in range { target[k] = Float(source[k]) }
    }
  }

  /// Takes the members `active` with their η.
  func take(_ active: [Int], _ eta: [Double]) {
    self.active = active
    self.eta = active.map { Float(eta[$0]) }
  }

  /// Calls `body` on all threads with blocks of samples and the number of the thread.
  func forEachBlock(_ body: (Range<Int>, _ worker: Int) -> Void) {
    let (n, block) = (samples, SingleProducts.block)
    let blocks = (n + block - 1) / block
    let parts = min(workers, blocks)
    Threads.perform(parts) { worker in
      // Neighbouring blocks go to one thread, which reads X in order.
      for k in blocks * worker / parts..<blocks * (worker + 1) / parts {
        body(k * block..<min(n, (k + 1) * block), worker)
      }
    }
  }

  /// target_j ← D_jj of a member for the samples `range` of a block.
  func expand(_ member: Int, _ range: Range<Int>, into target: UnsafeMutablePointer<Float>) {
    let bits = products.bits(member) + range.lowerBound / 8
    let whole = range.count / 8
    floatsOfBytes.withUnsafeBufferPointer { bytes in
      for byte in 0..<whole {
        UnsafeMutableRawPointer(target + 8 * byte).storeBytes(
          of: bytes[Int(bits[byte])], as: SIMD8<Float>.self)
      }
    }
    for j in 8 * whole..<range.count { target[j] = Float(bits[j >> 3] >> UInt8(j & 7) & 1) }
  }

  /// Rows of `target` ← M times the rows of `source`, both `count` × n.
  func multiply(
    _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let (n, d, members) = (samples, dimension, active.count)
    let rows = count * members
    if scratch.first.map({ $0.count < (rows + 1) * SingleProducts.block }) ?? true {
      scratch = (0..<workers).map { _ in Storage((rows + 1) * SingleProducts.block) }
    }
    if sums.first.map({ $0.count < rows * d }) ?? true {
      sums = (0..<workers).map { _ in Storage(rows * d) }
    }
    // T_ic = Xᵀ D_i ν_c, in row c A + i.
    for sum in sums { sum.base.update(repeating: 0, count: rows * d) }
    forEachBlock { range, worker in
      let masked = self.scratch[worker].base
      let length = range.count
      let mask = masked + rows * length
      for (k, i) in self.active.enumerated() {
        self.expand(i, range, into: mask)
        for c in 0..<count {
          let (from, to) = (source + c * n + range.lowerBound, masked + (c * members + k) * length)
          for j in 0..<length { to[j] = mask[j] * from[j] }
        }
      }
      gemm(
        rows, d, length, masked, .plain, self.x.base + range.lowerBound * d, .plain, beta: 1,
        self.sums[worker].base)
    }
    let t = sums[0].base
    Threads.split(rows, grain: 16) { range in
      for row in range {
        let (target, eta) = (t + row * d, self.eta[row % members])
        for other in self.sums.dropFirst() {
          let part = other.base + row * d
          for k in 0..<d { target[k] += part[k] }
        }
        for k in 0..<d { target[k] *= eta }
      }
    }
    // Σ_i D_i X (η_i T_ic).
    forEachBlock { range, worker in
      let images = self.scratch[worker].base
      let length = range.count
      let mask = images + rows * length
      gemm(
        rows, length, d, t, .plain, self.x.base + range.lowerBound * d, .transposed, images)
      for c in 0..<count {
        (target + c * n + range.lowerBound).update(repeating: 0, count: length)
      }
      for (k, i) in self.active.enumerated() {
        self.expand(i, range, into: mask)
        for c in 0..<count {
          let (to, from) = (target + c * n + range.lowerBound, images + (c * members + k) * length)
          for j in 0..<length { to[j] += mask[j] * from[j] }
        }
      }
    }
  }
}

/// The eight zeros and ones of every byte.
private let floatsOfBytes = (0..<256).map { byte in
  var values = SIMD8<Float>()
  for bit in 0..<8 { values[bit] = Float(byte >> bit & 1) }
  return values
}
