import LinearAlgebra
import Tensors

/// Activation patterns D_1 … D_P of n rows, bit-packed: bit j of a pattern, least significant first, is 1
/// where row j is active.
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
    for j in 0..<rows { target[j] = Double(bits[j >> 3] >> UInt8(j & 7) & 1) }
  }

  /// target_j ← D_jj x_j for all rows.
  package func mask(
    _ index: Int, _ x: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>
  ) {
    let bits = bits(index)
    for j in 0..<rows { target[j] = Double(bits[j >> 3] >> UInt8(j & 7) & 1) * x[j] }
  }

  /// How many rows are active.
  package func activeRows(_ index: Int) -> Int {
    let bits = bits(index)
    var sum = 0
    for byte in 0..<stride { sum += bits[byte].nonzeroBitCount }
    return sum
  }
}
