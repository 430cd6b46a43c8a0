import Glibc

extension Double {
  /// The number that the whole of `text` is, in decimal: a sign, digits with or without a point, an exponent. Nil for
  /// other texts that C takes for numbers: hexadecimal, names of infinity and NaN, digits before a NUL. Numbers that
  /// are too large become infinity.
  package init?(decimal text: some StringProtocol) {
    var text = String(text)
    guard let value = text.withUTF8({ Double(decimal: $0) }) else { return nil }
    self = value
  }

  /// The number that these bytes of ASCII are, correctly rounded.
  package init?(decimal text: UnsafeBufferPointer<UInt8>) {
    guard let parts = DecimalParts(text) else { return nil }
    self = parts.rounded ?? fullyRounded(text)
  }

  /// Every number in text is read by `init(decimal:)`: with warnings as errors, this forbids the standard initialiser.
  @available(*, deprecated, message: "use Double(decimal:), which takes no NUL and no hexadecimal")
  package init?(_ text: String) { self.init(decimal: text) }

  @available(*, deprecated, message: "use Double(decimal:), which takes no NUL and no hexadecimal")
  package init?(_ text: Substring) { self.init(decimal: text) }
}

/// Whether `text` was meant to be a number, though perhaps not one that is accepted, such as `nan` or `0x10`.
package func resemblesNumber(_ text: String) -> Bool {
  func value<T: LosslessStringConvertible>(_: T.Type) -> T? { T(text) }
  return Double(decimal: text) != nil || value(Double.self) != nil
}

/// Whether `text` is a number that is not finite, by name or because it is too large.
package func isNonFiniteNumber(_ text: String) -> Bool {
  func value<T: LosslessStringConvertible>(_: T.Type) -> T? { T(text) }
  return value(Double.self).map { !$0.isFinite } ?? false
}

/// Reads `a,b,c` as finite numbers.
package func parseNumbers(_ text: String) -> [Double]? {
  let parts = text.split(separator: ",", omittingEmptySubsequences: false)
  let numbers = parts.compactMap { Double(decimal: $0).flatMap { $0.isFinite ? $0 : nil } }
  return numbers.count == parts.count ? numbers : nil
}

/// `text`, which is a decimal number, by the system's conversion.
private func fullyRounded(_ text: UnsafeBufferPointer<UInt8>) -> Double {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { copy in
    for i in 0..<text.count { copy[i] = CChar(bitPattern: text[i]) }
    copy[text.count] = 0
    return strtod(copy.baseAddress!, nil)
  }
}

/// [+-] digits [. digits] [e [+-] digits], with a digit before or after the point: ± significand · 10^exponent.
private struct DecimalParts {
  private var isNegative = false
  private var significand: UInt64 = 0
  /// Nil if the significand has more than 19 digits, or the exponent is far from 0.
  private var exponent: Int?

  init?(_ text: UnsafeBufferPointer<UInt8>) {
    guard let base = text.baseAddress else { return nil }
    var digits = DigitRun(first: base, next: base, end: base + text.count)
    isNegative = digits.skipSign()
    digits.skipZeros()
    digits.read()
    var scale = 0
    if digits.skip(UInt8(ascii: "."), nil) {
      let start = digits.next
      if digits.significant == 0 { digits.skipZeros() }
      digits.read()
      scale = start - digits.next
    }
    guard digits.any else { return nil }
    significand = digits.value
    if digits.skip(UInt8(ascii: "e"), UInt8(ascii: "E")) {
      let isDown = digits.skipSign()
      var power = DigitRun(first: base, next: digits.next, end: digits.end)
      power.skipZeros()
      power.read()
      guard power.any else { return nil }
      digits.next = power.next
      let size = power.significant > 6 ? 1_000_000 : Int(power.value)
      scale += isDown ? -size : size
    }
    guard digits.next == digits.end else { return nil }
    exponent = digits.significant <= 19 && abs(scale) <= 27 ? scale : nil
  }

  /// The nearest double: by one operation where both operands are exact and the result is rounded once (Clinger, "How to
  /// read floating point numbers accurately", 1990, section 3), else by `product`.
  var rounded: Double? {
    guard let exponent else { return nil }
    let sign = isNegative ? -1.0 : 1.0
    if significand == 0 { return sign * 0 }
    if significand <= 1 << 53, abs(exponent) <= 22 {
      let (value, power) = (Double(significand), powersOfTen[abs(exponent)])
      return sign * (exponent < 0 ? value / power : value * power)
    }
    return sign * product(exponent)
  }

  /// The nearest double to significand · 10^exponent, by a product of 64 with 128 bits (Lemire, "Number parsing at a gigabyte
  /// per second", 2021): for exponents from -27 to 27 it is wide enough to tell all roundings, and the result is
  /// neither subnormal nor too large.
  private func product(_ exponent: Int) -> Double {
    let shift = significand.leadingZeroBitCount
    let factor = significand << shift
    let power = powersOfFive[exponent + 27]
    var (high, low) = factor.multipliedFullWidth(by: power.high)
    if high & 0x1FF == 0x1FF {
      let carried: Bool
      (low, carried) = low.addingReportingOverflow(
        factor.multipliedFullWidth(by: power.low).high)
      if carried { high &+= 1 }
    }
    let top = Int(high >> 63)
    // 53 bits, and one to round by.
    var bits = high >> UInt64(top + 9)
    // In the middle between two doubles, which an exact product alone can be, the even one is taken.
    if low <= 1, (-4...23).contains(exponent), bits & 3 == 1, bits << UInt64(top + 9) == high {
      bits -= 1
    }
    bits = (bits + bits & 1) >> 1
    var place = (217_706 * exponent) >> 16 + 63 + top - shift + 1023
    if bits == 1 << 53 { (bits, place) = (1 << 52, place + 1) }
    return Double(bitPattern: UInt64(place) << 52 | bits & (1 << 52 - 1))
  }
}

private let powersOfTen: [Double] = [
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
  1e18, 1e19, 1e20, 1e21, 1e22,
]

/// The first 128 bits of 5^q for q from -27 to 27, those of negative q rounded up.
private let powersOfFive: [(high: UInt64, low: UInt64)] = {
  let powers = (1...27).reduce(into: [UInt64(1)]) { all, _ in all.append(all.last! * 5) }
  let inverses = powers.dropFirst().map { power in
    // Long division of a power of two by the power of five.
    let first = power.dividingFullWidth((1 << UInt64(63 - power.leadingZeroBitCount), 0))
    let second = power.dividingFullWidth((first.remainder, 0))
    return (high: first.quotient, low: second.quotient + 1)
  }
  return inverses.reversed() + powers.map { ($0 << UInt64($0.leadingZeroBitCount), 0) }
}()

private let powersOfTenBelowEight: [UInt64] = [
  1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000,
]

/// Reads digits, up to eight at once.
private struct DigitRun {
  var next: UnsafePointer<UInt8>
  /// Of the whole text.
  let first: UnsafePointer<UInt8>
  let end: UnsafePointer<UInt8>
  /// The number that the digits are, if there are at most 19.
  var value: UInt64 = 0
  /// How many digits there were from the first that is not 0.
  var significant = 0
  /// Whether there was a digit at all.
  var any = false

  init(first: UnsafePointer<UInt8>, next: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
    (self.first, self.next, self.end) = (first, next, end)
  }

  mutating func skip(_ one: UInt8, _ other: UInt8?) -> Bool {
    guard next < end, next.pointee == one || next.pointee == other else { return false }
    next += 1
    return true
  }

  /// Returns whether there is a minus.
  mutating func skipSign() -> Bool {
    let isNegative = next < end && next.pointee == UInt8(ascii: "-")
    _ = skip(UInt8(ascii: "+"), UInt8(ascii: "-"))
    return isNegative
  }

  mutating func skipZeros() {
    while next < end, next.pointee == 0x30 {
      next += 1
      any = true
    }
  }

  mutating func read() {
    let start = next
    while end - next >= 8, let eight = DigitRun.eight(DigitRun.word(at: next)) {
      value = value &* 100_000_000 &+ eight
      next += 8
    }
    readRest()
    while next < end, case let digit = next.pointee &- 0x30, digit < 10 {
      value = value &* 10 &+ UInt64(digit)
      next += 1
    }
    significant += next - start
    if next > start { any = true }
  }

  /// Reads the last digits of the text at once, if these are all that is left of it: how many there are is different for
  /// each number, and a loop over them would be mispredicted.
  private mutating func readRest() {
    let count = end - next
    guard count > 0, count < 8, next - first >= 8 - count else { return }
    // What stands before them counts as zeros.
    let others = ~UInt64(0) >> UInt64(8 * count)
    let word = DigitRun.word(at: end - 8) & ~others | 0x3030_3030_3030_3030 & others
    guard let rest = DigitRun.eight(word) else { return }
    value = value &* powersOfTenBelowEight[count] &+ rest
    next = end
  }

  private static func word(at text: UnsafePointer<UInt8>) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(text).loadUnaligned(as: UInt64.self))
  }

  /// The number of eight digits; nil if one of these bytes is none (Lemire, "Quickly parsing eight digits", 2022).
  private static func eight(_ bytes: UInt64) -> UInt64? {
    var value = bytes ^ 0x3030_3030_3030_3030
    guard (value &+ 0x7676_7676_7676_7676 | value) & 0x8080_8080_8080_8080 == 0 else { return nil }
    value = value &* 10 &+ value >> 8
    let (low, high) = (value & 0xFF_0000_00FF, value >> 16 & 0xFF_0000_00FF)
    return (low &* 0xF_4240_0000_0064 &+ high &* 0x2710_0000_0001) >> 32
  }
}
