/// Loops over the rows of a cone, four at a time. A column holds one number for each row (its product with one ray),
/// and zeros after the last row up to a multiple of four. A zero adds nothing to any of these sums.
enum SphereKernel {
  typealias Four = SIMD4<Double>
  typealias Numbers = UnsafeMutablePointer<Double>

  /// The length of a column of `count` rows.
  @inline(__always)
  static func padded(_ count: Int) -> Int { (count &+ 3) & ~3 }

  @inline(__always)
  static func load(_ numbers: Numbers, _ i: Int) -> Four {
    UnsafeRawPointer(numbers + i).loadUnaligned(as: Four.self)
  }

  @inline(__always)
  static func store(_ value: Four, _ numbers: Numbers, _ i: Int) {
    UnsafeMutableRawPointer(numbers + i).storeBytes(of: value, as: Four.self)
  }

  @inline(__always)
  static func positivePart(_ x: Four) -> Four {
    Four.zero.replacing(with: x, where: x .> Four.zero)
  }

  @inline(__always)
  static func magnitude(_ x: Four) -> Four {
    unsafeBitCast(
      unsafeBitCast(x, to: SIMD4<UInt64>.self) & SIMD4(repeating: ~(1 << 63)), to: Four.self)
  }

  @inline(__always)
  static func smaller(_ x: Four, _ y: Four) -> Four { x.replacing(with: y, where: y .< x) }

  @inline(__always)
  static func larger(_ x: Four, _ y: Four) -> Four { x.replacing(with: y, where: x .< y) }

  @inline(__always)
  static func dot(_ x: Numbers, _ y: Numbers, _ count: Int) -> Double {
    var sum = 0.0
    for i in 0..<count { sum += x[i] * y[i] }
    return sum
  }

  /// `products` = Σ_k c_k `columns`_k (one number for each row); the sum of their positive parts.
  static func combine(
    _ columns: Numbers, length: Int, rank: Int, _ c: Numbers, into products: Numbers
  ) -> Double {
    var sum = Four.zero
    var i = 0
    while i &+ 8 <= length {
      var first = Four.zero
      var second = Four.zero
      var column = columns + i
      for k in 0..<rank {
        first += c[k] * load(column, 0)
        second += c[k] * load(column, 4)
        column += length
      }
      store(first, products, i)
      store(second, products, i &+ 4)
      sum += positivePart(first)
      sum += positivePart(second)
      i &+= 8
    }
    if i < length {
      var first = Four.zero
      for k in 0..<rank { first += c[k] * load(columns + k &* length, i) }
      store(first, products, i)
      sum += positivePart(first)
    }
    return sum.sum()
  }

  /// The sum of one column over the rows where `products` is positive.
  @inline(__always)
  static func sum(_ column: Numbers, length: Int, wherePositive products: Numbers) -> Double {
    var sum = Four.zero
    var i = 0
    while i < length {
      sum += Four.zero.replacing(with: load(column, i), where: load(products, i) .> Four.zero)
      i &+= 4
    }
    return sum.sum()
  }

  /// The sum of `column` over the places where `crossings` is below a number.
  @inline(__always)
  static func sum(_ column: Numbers, _ crossings: Numbers, below: Double, length: Int) -> Double {
    let limit = Four(repeating: below)
    var sum = Four.zero
    var i = 0
    while i < length {
      sum += Four.zero.replacing(with: load(column, i), where: load(crossings, i) .< limit)
      i &+= 4
    }
    return sum.sum()
  }

  /// Σ |x| over blocks of four rows, `stride` numbers apart.
  @inline(__always)
  static func magnitudes(_ x: Numbers, length: Int, stride: Int) -> Double {
    var sum = Four.zero
    var i = 0
    while i < length {
      sum += magnitude(load(x, i))
      i &+= stride
    }
    return sum.sum()
  }

  /// Σ |x + y| over blocks of four rows, `stride` numbers apart.
  @inline(__always)
  static func magnitudesOfSum(_ x: Numbers, _ y: Numbers, length: Int, stride: Int) -> Double {
    var sum = Four.zero
    var i = 0
    while i < length {
      sum += magnitude(load(x, i) + load(y, i))
      i &+= stride
    }
    return sum.sum()
  }

  /// `target` = a x + b y; the sum of its positive parts.
  static func mix(
    _ a: Double, _ x: Numbers, _ b: Double, _ y: Numbers, length: Int, into target: Numbers
  ) -> Double {
    var sum = Four.zero
    var i = 0
    while i < length {
      let value = a * load(x, i) + b * load(y, i)
      store(value, target, i)
      sum += positivePart(value)
      i &+= 4
    }
    return sum.sum()
  }

  /// The least and the largest number of each row in the columns of `list`, or ±∞ if it is empty.
  static func extremes(
    _ list: UnsafeMutablePointer<Numbers>, _ count: Int, length: Int, least: Numbers,
    largest: Numbers
  ) {
    var i = 0
    while i < length {
      var low = Four(repeating: .infinity)
      var high = Four(repeating: -.infinity)
      for k in 0..<count {
        let value = load(list[k], i)
        low = smaller(low, value)
        high = larger(high, value)
      }
      store(low, least, i)
      store(high, largest, i)
      i &+= 4
    }
  }

  /// `target`[j] = `source`[rows[j]], with zeros up to `length`. The two may overlap if `target` is not after `source`
  /// and `rows` increases.
  @inline(__always)
  static func gather(
    _ source: Numbers, _ rows: UnsafeMutablePointer<Int32>, _ count: Int, length: Int,
    into target: Numbers
  ) {
    for j in 0..<count { target[j] = source[Int(rows[j])] }
    for j in count..<length { target[j] = 0 }
  }
}
