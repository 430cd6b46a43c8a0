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
    var digits = DigitRun(next: base, end: base + text.count)
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
      var power = DigitRun(next: digits.next, end: digits.end)
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

  /// The nearest double, if it can be told by one operation (Clinger, "How to read floating point numbers accurately",
  /// 1990, section 3): both operands are exact, and the quotient or product is rounded once.
  var rounded: Double? {
    guard let exponent else { return nil }
    let sign = isNegative ? -1.0 : 1.0
    if significand == 0 { return sign * 0 }
    if significand <= 1 << 53, abs(exponent) <= 22 {
      let (value, power) = (Double(significand), powersOfTen[abs(exponent)])
      return sign * (exponent < 0 ? value / power : value * power)
    }
    #if arch(x86_64)
      // With 64 bits of significand, the second rounding, to 53 bits, is right unless the first may have moved the
      // number onto, or over, the middle between two doubles.
      let (value, power) = (Float80(significand), widePowersOfTen[abs(exponent)])
      let result = exponent < 0 ? value / power : value * power
      let rest = result.significandBitPattern & 0x7FF
      return (0x3FF...0x401).contains(rest) ? nil : sign * Double(result)
    #else
      return nil
    #endif
  }
}

private let powersOfTen: [Double] = [
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
  1e18, 1e19, 1e20, 1e21, 1e22,
]

#if arch(x86_64)
  /// 10²⁷ = 5²⁷ · 2²⁷, and 5²⁷ has 63 bits: all are exact.
  private let widePowersOfTen: [Float80] = (1...27).reduce(into: [1]) { powers, _ in
    powers.append(powers.last! * 10)
  }
#endif

/// Reads digits, up to eight at once.
private struct DigitRun {
  var next: UnsafePointer<UInt8>
  let end: UnsafePointer<UInt8>
  /// The number that the digits are, if there are at most 19.
  var value: UInt64 = 0
  /// How many digits there were from the first that is not 0.
  var significant = 0
  /// Whether there was a digit at all.
  var any = false

  init(next: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
    (self.next, self.end) = (next, end)
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
    while end - next >= 8, let eight = DigitRun.eight(next) {
      value = value &* 100_000_000 &+ eight
      next += 8
    }
    while next < end, case let digit = next.pointee &- 0x30, digit < 10 {
      value = value &* 10 &+ UInt64(digit)
      next += 1
    }
    significant += next - start
    if next > start { any = true }
  }

  /// The number of eight digits; nil if one of these bytes is none (Lemire, "Quickly parsing eight digits", 2022).
  private static func eight(_ text: UnsafePointer<UInt8>) -> UInt64? {
    let bytes = UInt64(littleEndian: UnsafeRawPointer(text).loadUnaligned(as: UInt64.self))
    var value = bytes ^ 0x3030_3030_3030_3030
    guard (value &+ 0x7676_7676_7676_7676 | value) & 0x8080_8080_8080_8080 == 0 else { return nil }
    value = value &* 10 &+ value >> 8
    let (low, high) = (value & 0xFF_0000_00FF, value >> 16 & 0xFF_0000_00FF)
    return (low &* 0xF_4240_0000_0064 &+ high &* 0x2710_0000_0001) >> 32
  }
}
