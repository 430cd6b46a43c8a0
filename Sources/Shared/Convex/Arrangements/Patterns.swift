import LinearAlgebra
import Tensors

/// Activation patterns D_1 … D_P of n rows, bit-packed: bit j of a pattern, least significant first, is 1 if row j is
/// active.
package final class Patterns: @unchecked Sendable {
  /// P.
  package let count: Int
  /// n, or n·K for patches.
  package let rows: Int
  /// Bytes of a pattern: ⌈n/8⌉.
  package let stride: Int
  /// U8 [P, ⌈n/8⌉].
  package let tensor: Tensor

  /// Takes over U8 [P, ⌈n/8⌉].
  package init(_ tensor: Tensor, rows: Int) {
    precondition(
      tensor.type == .u8 && tensor.shape.count == 2 && tensor.shape[1] == Patterns.stride(rows),
      "not patterns of so many rows")
    self.tensor = tensor
    self.rows = rows
    count = tensor.shape[0]
    stride = Patterns.stride(rows)
  }

  package static func stride(_ rows: Int) -> Int { (rows + 7) / 8 }

  /// The packed bits of pattern `index`.
  package func bits(_ index: Int) -> UnsafePointer<UInt8> {
    UnsafePointer(tensor.bytes.base.assumingMemoryBound(to: UInt8.self) + index * stride)
  }

  package func isActive(_ index: Int, row: Int) -> Bool {
    bits(index)[row >> 3] >> UInt8(row & 7) & 1 == 1
  }

  /// target_j ← D_jj of pattern `index`, 0 or 1, for all rows.
  package func expand(_ index: Int, into target: UnsafeMutablePointer<Double>) {
    let bits = bits(index)
    let whole = rows / 8
    Patterns.bytes.withUnsafeBufferPointer { bytes in
      for byte in 0..<whole { store(bytes[Int(bits[byte])], target + 8 * byte) }
    }
    for j in 8 * whole..<rows { target[j] = Double(bits[j >> 3] >> UInt8(j & 7) & 1) }
  }

  /// target_j ← D_jj x_j for all rows; x and target may be the same.
  package func mask(
    _ index: Int, _ x: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>
  ) {
    mask(index, 0..<rows, x, into: target)
  }

  /// The same for the rows `range`, which begins at a multiple of eight; x and target begin with it.
  package func mask(
    _ index: Int, _ range: Range<Int>, _ x: UnsafePointer<Double>,
    into target: UnsafeMutablePointer<Double>
  ) {
    let bits = bits(index) + range.lowerBound / 8
    let rows = range.count
    let whole = rows / 8
    Patterns.bytes.withUnsafeBufferPointer { bytes in
      for byte in 0..<whole {
        let values = UnsafeRawPointer(x + 8 * byte).loadUnaligned(as: SIMD8<Double>.self)
        store(bytes[Int(bits[byte])] * values, target + 8 * byte)
      }
    }
    for j in 8 * whole..<rows { target[j] = Double(bits[j >> 3] >> UInt8(j & 7) & 1) * x[j] }
  }

  /// The eight zeros and ones of every byte: to expand one bit at a time would cost more than the products that follow.
  private static let bytes = (0..<256).map { byte in
    var values = SIMD8<Double>()
    for bit in 0..<8 { values[bit] = Double(byte >> bit & 1) }
    return values
  }

  @inline(__always)
  private func store(_ values: SIMD8<Double>, _ target: UnsafeMutablePointer<Double>) {
    UnsafeMutableRawPointer(target).storeBytes(of: values, as: SIMD8<Double>.self)
  }

  /// The patterns `list`, restricted to the rows `rows`.
  package func restricted(to rows: [Int], of list: [Int]) -> Patterns {
    let result = Patterns(
      Tensor(type: .u8, shape: [list.count, Patterns.stride(rows.count)]), rows: rows.count)
    for (place, index) in list.enumerated() {
      let source = bits(index)
      let target = UnsafeMutablePointer(mutating: result.bits(place))
      for (k, j) in rows.enumerated() {
        target[k >> 3] |= (source[j >> 3] >> UInt8(j & 7) & 1) << UInt8(k & 7)
      }
    }
    return result
  }
}
