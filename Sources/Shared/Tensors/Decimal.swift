import Glibc

extension Double {
  /// The number that the whole of `text` is, in decimal: a sign, digits with or without a point, an exponent. Nil for
  /// other texts that C takes for numbers: hexadecimal, names of infinity and NaN, digits before a NUL. Numbers that
  /// are too large become infinity.
  package init?(decimal text: some StringProtocol) {
    var text = String(text)
    guard text.withUTF8({ isDecimal($0) }) else { return nil }
    self = strtod(text, nil)
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

/// [+-] digits [. digits] [e [+-] digits], with a digit before or after the point.
private func isDecimal(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
  var rest = text[...]
  func skip(_ characters: String) -> Bool {
    guard let first = rest.first, characters.utf8.contains(first) else { return false }
    rest.removeFirst()
    return true
  }
  func digits() -> Int {
    let count = rest.prefix { (0x30...0x39).contains($0) }.count
    rest.removeFirst(count)
    return count
  }
  _ = skip("+-")
  var count = digits()
  if skip(".") { count += digits() }
  guard count > 0 else { return false }
  if skip("eE") {
    _ = skip("+-")
    guard digits() > 0 else { return false }
  }
  return rest.isEmpty
}
