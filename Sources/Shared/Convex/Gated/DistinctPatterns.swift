import Glibc
import LinearAlgebra

/// The patterns whose matrices D_i X are distinct and not 0: equal ones would make the Newton systems singular, and
/// carry the same weights.
struct DistinctPatterns {
  /// The first pattern of each kind, ascending.
  let indices: [Int]

  init(_ patterns: Patterns, features x: Matrix) {
    // The bits of samples that are zero make no difference.
    let stride = patterns.stride
    var mask = [UInt8](repeating: 0, count: stride)
    for j in 0..<x.rows {
      let row = x.row(j)
      for k in 0..<x.columns where row[k] != 0 {
        mask[j >> 3] |= 1 << UInt8(j & 7)
        break
      }
    }
    let masked = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, patterns.count * stride))
    defer { masked.deallocate() }
    var seen = Set<Key>(minimumCapacity: patterns.count)
    var indices: [Int] = []
    for i in 0..<patterns.count {
      let bits = patterns.bits(i)
      let target = masked + i * stride
      var any: UInt8 = 0
      for byte in 0..<stride {
        target[byte] = bits[byte] & mask[byte]
        any |= target[byte]
      }
      if any != 0, seen.insert(Key(base: target, count: stride)).inserted { indices.append(i) }
    }
    self.indices = indices
  }

  private struct Key: Hashable {
    let base: UnsafePointer<UInt8>
    let count: Int

    static func == (a: Key, b: Key) -> Bool { memcmp(a.base, b.base, a.count) == 0 }

    func hash(into hasher: inout Hasher) {
      hasher.combine(bytes: UnsafeRawBufferPointer(start: base, count: count))
    }
  }
}
