import Tensors
import Testing

@Test func whatCommandsATerminalIsEscaped() {
  let escapes: [(Unicode.Scalar, String)] = [
    ("\u{1B}", "\\u001b"), ("\u{0}", "\\u0000"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"),
    ("\u{7F}", "\\u007f"),
    ("\u{9B}", "\\u009b"), ("\u{202E}", "\\u202e"), ("\u{2066}", "\\u2066"),
    ("\u{200F}", "\\u200f"),
    ("\u{61C}", "\\u061c"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029"),
  ]
  for (scalar, escape) in escapes {
    #expect(terminalText("a\(scalar)b") == "a\(escape)b")
  }
  let every = String(String.UnicodeScalarView((0..<0x3000).compactMap(Unicode.Scalar.init)))
  for scalar in terminalText(every).unicodeScalars {
    #expect(scalar.properties.generalCategory != .control)
    #expect(!(0x202A...0x202E).contains(scalar.value) && !(0x2066...0x2069).contains(scalar.value))
  }
}

@Test func otherTextStaysAsItIs() {
  for text in ["", "plain", "\"quoted\\\"", "βéλ 日本語 שלום", "👩‍👧", "e\u{301}"] {
    #expect(Array(terminalText(text).utf8) == Array(text.utf8))
  }
}

@Test func bytesThatAreNoTextAreQuoted() {
  #expect(quotedBytes([0x63, 0xE9, 0x1B, 0x0A]) == "\"c\\xe9\\x1b\\x0a\"")
}
