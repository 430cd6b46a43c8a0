/// Loops over the rows of a cone, which stand in columns: one number a row for each ray, then zeros up to a multiple of
/// four, which add nothing to any of these sums.
enum RowLoops {
  typealias Numbers = UnsafeMutablePointer<Double>
  typealias Four = SIMD4<Double>

  /// The length of a column of `count` rows.
  @inline(__always)
  static func padded(_ count: Int) -> Int { (count + 3) & ~3 }

  @inline(__always)
  static func four(_ x: Numbers) -> Four { UnsafeRawPointer(x).loadUnaligned(as: Four.self) }

  @inline(__always)
  private static func put(_ value: Four, _ x: Numbers) {
    UnsafeMutableRawPointer(x).storeBytes(of: value, as: Four.self)
  }

  @inline(__always)
  static func positive(_ x: Four) -> Four { Four.zero.replacing(with: x, where: x .> Four.zero) }

  @inline(__always)
  private static func least(_ a: Four, _ b: Four) -> Four { a.replacing(with: b, where: b .< a) }

  @inline(__always)
  private static func most(_ a: Four, _ b: Four) -> Four { a.replacing(with: b, where: b .> a) }

  @inline(__always)
  static func dot(_ r: Int, _ a: Numbers, _ b: Numbers) -> Double {
    var sum = 0.0
    for k in 0..<r { sum += a[k] * b[k] }
    return sum
  }

  /// `result` ← Σ_k c_k (column k); returns the sum of the positive numbers.
  static func combine(
    _ columns: Numbers, _ length: Int, _ r: Int, _ c: Numbers, into result: Numbers
  ) -> Double {
    var total = Four.zero
    for i in stride(from: 0, to: length, by: 4) {
      var sum = c[0] * four(columns + i)
      for k in 1..<max(1, r) { sum += c[k] * four(columns + k * length + i) }
      put(sum, result + i)
      total += positive(sum)
    }
    return total.sum()
  }

  /// Σ of a column over the rows whose number in `sign` is positive.
  @inline(__always)
  static func sum(_ column: Numbers, _ length: Int, where sign: Numbers) -> Double {
    var sum = Four.zero
    for i in stride(from: 0, to: length, by: 4) {
      sum += Four.zero.replacing(with: four(column + i), where: four(sign + i) .> Four.zero)
    }
    return sum.sum()
  }

  /// Σ of a column over the rows whose number in `place` is below `limit`.
  @inline(__always)
  static func sum(_ column: Numbers, _ length: Int, where place: Numbers, below limit: Double)
    -> Double
  {
    var sum = Four.zero
    let limits = Four(repeating: limit)
    for i in stride(from: 0, to: length, by: 4) {
      sum += Four.zero.replacing(with: four(column + i), where: four(place + i) .< limits)
    }
    return sum.sum()
  }

  /// Σ min(|a|, |b|) over the rows where a and b have different signs, in blocks of four rows every `step`.
  static func opposed(_ a: Numbers, _ b: Numbers, _ length: Int, step: Int) -> Double {
    var sum = Four.zero
    for i in stride(from: 0, to: length, by: step) {
      let (x, y) = (four(a + i), four(b + i))
      // One of the two is the smaller positive number, if their signs differ.
      sum += most(positive(least(x, -y)), positive(least(-x, y)))
    }
    return sum.sum()
  }

  /// `result` ← α a + γ b; returns the sum of the positive numbers.
  static func mix(
    _ a: Numbers, _ alpha: Double, _ b: Numbers, _ gamma: Double, _ length: Int,
    into result: Numbers
  ) -> Double {
    var total = Four.zero
    for i in stride(from: 0, to: length, by: 4) {
      let sum = alpha * four(a + i) + gamma * four(b + i)
      put(sum, result + i)
      total += positive(sum)
    }
    return total.sum()
  }

  /// The least and the largest number of each row in the columns other than a and b, and in `more`.
  static func extremes(
    _ columns: Numbers, _ length: Int, _ r: Int, besides a: Int, _ b: Int, with more: Numbers,
    low: Numbers, high: Numbers
  ) {
    for i in stride(from: 0, to: length, by: 4) {
      var smallest = four(more + i)
      var largest = smallest
      for k in 0..<r where k != a && k != b {
        let x = four(columns + k * length + i)
        (smallest, largest) = (least(smallest, x), most(largest, x))
      }
      put(smallest, low + i)
      put(largest, high + i)
    }
  }
}
