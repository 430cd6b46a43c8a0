import Glibc
import Tensors
import Testing

@Test(arguments: [
  ("0", 0), ("-0", -0.0), ("+1", 1), ("12.5", 12.5), (".5", 0.5), ("5.", 5), ("1e3", 1000),
  ("1E-3", 1e-3),
  ("-2.5e+2", -250), ("0.1", 0.1), ("179769313486231570000e288", 1.7976931348623157e308),
  ("4.9406564584124654e-324", .leastNonzeroMagnitude), ("1e999", .infinity), ("-1e999", -.infinity),
])
func decimalsAreRead(text: String, value: Double) {
  #expect(Double(decimal: text)?.bitPattern == value.bitPattern)
  // A part of a longer text ends where it ends.
  #expect(Double(decimal: "\(text)7".dropLast())?.bitPattern == value.bitPattern)
}

@Test(arguments: [
  "", " ", "1 ", " 1", "+", "-", ".", "-.", "e5", ".e5", "1e", "1e+", "--1", "1.2.3", "1,5",
  "1_000", "0x10",
  "0x1p-3", "nan", "inf", "infinity", "-inf", "1\u{0}", "1\u{0}5", "\u{0}", "1\u{0}garbage", "１",
  "1\u{301}", "1f",
])
func whatIsNoDecimalIsRefused(text: String) {
  #expect(Double(decimal: text) == nil)
}

/// Numbers of every length, near and far from the middle between two doubles: the nearest one, as the C library finds
/// it.
@Test func decimalsAreRoundedToTheNearest() {
  var random = RandomSource(seed: 3)
  func expect(_ text: String) {
    let (found, expected) = (Double(decimal: text), strtod(text, nil))
    #expect(found?.bitPattern == expected.bitPattern, "\(text)")
  }
  for _ in 0..<20_000 {
    let digits = (0..<1 + random.below(22)).map { _ in "\(random.below(10))" }.joined()
    let point = random.below(digits.count + 1)
    let text = digits.prefix(point) + "." + digits.dropFirst(point)
    expect("\(random.below(2) == 0 ? "-" : "")\(text)e\(random.below(61) - 30)")
    expect("\(random.gaussian())")
    // Middles, and their neighbours in the nineteenth digit.
    let middle = (1 << 53 | random.next() >> 11) << 1 | 1
    for offset in [-1, 0, 1] { expect("\(Int64(middle) + Int64(offset))e\(random.below(3) - 1)") }
  }
}

/// A first line of these is no header that could be passed over.
@Test func failedNumbersAreNoNames() {
  for text in ["1", "nan", "inf", "0x10", "-1e999"] { #expect(resemblesNumber(text)) }
  for text in ["", "a", "x1", "1 m", "e"] { #expect(!resemblesNumber(text)) }
}
