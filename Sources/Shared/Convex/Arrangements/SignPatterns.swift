import LinearAlgebra
import Patches
import Schema
import Tensors

extension Patterns {
  /// How many gates, and how many rows (a multiple of 8), are multiplied at once: 2 MB of products.
  private static let (gateBlock, rowBlock) = (128, 2048)

  /// The patterns 1[x_j · g ≥ t_g] of the rows x_j, for every row g of `gates` (P × d), and of product gates also those of
  /// their `units`. If a row lies on the boundary up to rounding, its product is summed in twice the precision, because
  /// whoever applies the gates again has to find the same side.
  ///
  /// The bits do not depend on the number of threads, because the products that are taken together do not.
  package static func signs(
    of rows: DataRows, gates: Matrix, thresholds: [Double]? = nil, units: UnitSigns? = nil,
    progress: (_ done: Int) -> Void = { _ in }
  ) -> Patterns {
    let (count, d, stride) = (gates.rows, rows.dimension, Patterns.stride(rows.count))
    let tensor = Tensor(type: .u8, shape: [count, stride])
    let bits = tensor.bytes.base.assumingMemoryBound(to: UInt8.self)
    let block = Matrix(min(rows.count, rowBlock), d)
    let gateBlocks = (count + gateBlock - 1) / gateBlock
    for first in Swift.stride(from: 0, to: rows.count, by: rowBlock) {
      let width = min(rowBlock, rows.count - first)
      rows.copy(first..<first + width, into: block.base)
      let lengths = (0..<width).map { norm(d, block.row($0)) }
      let taken = units.map { takenBits(by: $0, block, rows: width) }
      Threads.perform(gateBlocks) { part in
        let start = part * gateBlock
        let height = min(gateBlock, count - start)
        // Products of a block, G Xᵀ.
        let products = UnsafeMutablePointer<Double>.allocate(capacity: height * width)
        defer { products.deallocate() }
        gemm(height, width, d, gates.row(start), .plain, block.base, .transposed, products)
        for i in 0..<height {
          let threshold = thresholds?[start + i] ?? 0
          settleTies(
            products + i * width, block, lengths, gates.row(start + i), threshold: threshold)
          pack(
            products + i * width, width, threshold: threshold,
            into: bits + (start + i) * stride + first / 8)
          if let units, let taken {
            let own = taken[units.index[start + i]]
            let target = bits + (start + i) * stride + first / 8
            for byte in own.indices { target[byte] &= own[byte] }
          }
        }
      }
      progress(first + width)
    }
    return Patterns(tensor, rows: rows.count)
  }

  /// The patterns of `gates`, with thresholds and units, on the rows.
  package static func signs(
    of rows: DataRows, gates: GateTensors, progress: (_ done: Int) -> Void = { _ in }
  ) -> Patterns {
    signs(
      of: rows, gates: Matrix(gates.vectors), thresholds: gates.thresholds?.doubles,
      units: gates.units.map { UnitSigns($0) }, progress: progress)
  }

  /// The bits of the first `count` rows of `block` that each unit takes.
  private static func takenBits(by units: UnitSigns, _ block: Matrix, rows count: Int) -> [[UInt8]]
  {
    let taken = Matrix(units.count, count)
    // Blocks of rows that fill whole cache lines.
    Threads.split((count + 63) / 64) { part in
      let rows = 64 * part.lowerBound..<min(count, 64 * part.upperBound)
      units.update(
        block.row(rows.lowerBound), rows: rows.count, into: taken.base + rows.lowerBound,
        stride: count)
    }
    return (0..<units.count).map { k in
      var bytes = [UInt8](repeating: 0, count: (count + 7) / 8)
      bytes.withUnsafeMutableBufferPointer {
        pack(taken.row(k), count, threshold: 1, into: $0.baseAddress!)
      }
      return bytes
    }
  }

  /// Sums anew those products of the rows of `block` with a gate that equal the threshold up to rounding; `lengths` are
  /// those of the rows.
  private static func settleTies(
    _ values: UnsafeMutablePointer<Double>, _ block: Matrix, _ lengths: [Double],
    _ gate: UnsafePointer<Double>, threshold: Double
  ) {
    let (d, length, count) = (block.columns, norm(block.columns, gate), lengths.count)
    let cut = abs(threshold)
    lengths.withUnsafeBufferPointer { lengths in
      // Mostly there are none: the compiler vectorises this count.
      var near = 0
      for j in 0..<count {
        let scale = length * lengths[j] + cut
        near &+= abs(values[j] - threshold) <= tieWidth * scale ? 1 : 0
      }
      guard near > 0 else { return }
      for j in 0..<count {
        values[j] = comparableProduct(
          values[j], to: threshold, scale: length * lengths[j] + cut, d, block.row(j), gate)
      }
    }
  }

  /// Bit j of `target` ← `values`_j ≥ `threshold`.
  private static func pack(
    _ values: UnsafePointer<Double>, _ count: Int, threshold: Double,
    into target: UnsafeMutablePointer<UInt8>
  ) {
    let weights = SIMD8<Int64>(1, 2, 4, 8, 16, 32, 64, 128)
    let (limit, zero) = (SIMD8<Double>(repeating: threshold), SIMD8<Int64>())
    let whole = count / 8
    for byte in 0..<whole {
      let lanes = UnsafeRawPointer(values + 8 * byte).loadUnaligned(as: SIMD8<Double>.self)
      let sum = zero.replacing(with: weights, where: lanes .>= limit).wrappedSum()
      target[byte] = UInt8(truncatingIfNeeded: sum)
    }
    for j in 8 * whole..<count where values[j] >= threshold {
      target[j >> 3] |= 1 << UInt8(j & 7)
    }
  }

  /// The numbers of the patterns that differ from all before them, in ascending order.
  package var firstOccurrences: [Int] { PatternIndex(self).firsts }

  package func areEqual(_ a: Int, _ b: Int) -> Bool {
    let (x, y) = (bits(a), bits(b))
    for byte in 0..<stride where x[byte] != y[byte] { return false }
    return true
  }

  /// The patterns `chosen`, in that order.
  package func selecting(_ chosen: [Int]) -> Patterns {
    let tensor = Tensor(type: .u8, shape: [chosen.count, stride])
    for (place, index) in chosen.enumerated() {
      (tensor.bytes.base + place * stride).copyMemory(from: bits(index), byteCount: stride)
    }
    return Patterns(tensor, rows: rows)
  }

  /// Whether pattern `a` comes before pattern `b` in the order of words of 0 and 1: by the first row in which they
  /// differ.
  package func precedes(_ a: Int, _ b: Int) -> Bool {
    let (x, y) = (bits(a), bits(b))
    for byte in 0..<stride where x[byte] != y[byte] {
      let difference = x[byte] ^ y[byte]
      return x[byte] & (difference & (~difference &+ 1)) == 0
    }
    return false
  }
}
