import LinearAlgebra

/// Finds the signs u, v of the largest uᵀSv, which is max over u of ‖Su‖₁ with v = sign(Su), by Gray code: from one u to the next
/// a single sign changes, so that a step costs d additions.
struct SignPricing {
  /// Signs whose value is among the largest.
  struct Pair {
    let u: [Double]
    let v: [Double]
    /// uᵀ S v.
    let value: Double
  }

  /// The most features: 2²³ steps.
  static let largest = 24

  /// The `count` pairs of the largest values above `limit`, the largest first, and the largest value of all. `s` is d × d,
  /// symmetric.
  static func best(_ s: Matrix, count: Int, above limit: Double) -> (pairs: [Pair], largest: Double)
  {
    let d = s.rows
    // −u has the value of u: the last sign stays. The signs before it are split among threads.
    let split = min(max(0, d - 1), 4)
    let parts = 1 << split
    var found = [(codes: [(code: UInt32, value: Double)], largest: Double)](
      repeating: ([], 0), count: parts)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      Threads.split(parts) { own in
        for part in own { found[part] = walk(s, part, bits: d - 1 - split, count: count, limit) }
      }
    }
    let largest = found.reduce(0) { max($0, $1.largest) }
    let codes = found.flatMap(\.codes).sorted { ($1.value, $0.code) < ($0.value, $1.code) }
    let pairs = codes.prefix(count).map { own in pair(s, own.code) }
    return (pairs, largest)
  }

  /// The signs of a code: −1 where its bit is set.
  private static func pair(_ s: Matrix, _ code: UInt32) -> Pair {
    let d = s.rows
    let u = (0..<d).map { code >> UInt32($0) & 1 == 1 ? -1.0 : 1 }
    var product = [Double](repeating: 0, count: d)
    gemv(d, d, s.base, .plain, u, &product)
    let v = product.map { $0 < 0 ? -1.0 : 1 }
    return Pair(u: u, v: v, value: product.reduce(0) { $0 + abs($1) })
  }

  /// The steps after which the sum is computed anew, so that rounding does not add up.
  private static let renewal = 1 << 12

  /// All codes whose upper bits are `part`, the lower `bits` running.
  private static func walk(_ s: Matrix, _ part: Int, bits: Int, count: Int, _ limit: Double) -> (
    codes: [(code: UInt32, value: Double)], largest: Double
  ) {
    let d = s.rows
    var code = UInt32(part) << UInt32(bits)
    let sums = Matrix(1, d)
    func renew() {
      let u = (0..<d).map { code >> UInt32($0) & 1 == 1 ? -1.0 : 1 }
      gemv(d, d, s.base, .plain, u, sums.base)
    }
    var kept: [(code: UInt32, value: Double)] = []
    var (floor, largest) = (limit, 0.0)
    func look() {
      let row = sums.base
      var value = 0.0
      for k in 0..<d { value += abs(row[k]) }
      largest = max(largest, value)
      guard value > floor else { return }
      kept.append((code, value))
      if kept.count >= 2 * count {
        kept.sort { $0.value > $1.value }
        kept.removeLast(kept.count - count)
        floor = kept[count - 1].value
      }
    }
    renew()
    look()
    for step in 1..<max(1, 1 << bits) {
      let place = step.trailingZeroBitCount
      code ^= 1 << UInt32(place)
      if step % renewal == 0 {
        renew()
      } else {
        axpy(d, code >> UInt32(place) & 1 == 1 ? -2 : 2, s.row(place), sums.base)
      }
      look()
    }
    kept.sort { $0.value > $1.value }
    return (Array(kept.prefix(count)), largest)
  }
}
