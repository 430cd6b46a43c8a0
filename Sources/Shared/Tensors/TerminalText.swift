/// `text` in a form that is safe for a terminal: control characters, characters that change the direction of writing,
/// and separators of lines and paragraphs become `\u` and their number, so that a name can neither command the terminal
/// nor look like something else. All other characters stay.
package func terminalText(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: deceives) else { return text }
  return text.unicodeScalars.reduce(into: "") { result, scalar in
    if deceives(scalar) {
      result += escaped(scalar)
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
}

/// The bytes of a name that is not UTF-8, quoted for a message: `"caf\xe9"`.
package func quotedBytes(_ bytes: some Sequence<UInt8>) -> String {
  bytes.reduce(into: "\"") { result, byte in
    if (0x20..<0x7F).contains(byte) {
      result.unicodeScalars.append(Unicode.Scalar(byte))
    } else {
      let hex = String(byte, radix: 16)
      result += "\\x" + (hex.count < 2 ? "0" : "") + hex
    }
  } + "\""
}

/// `\n`, `\r`, `\t`, or `\u` and four hexadecimal digits.
func escaped(_ scalar: Unicode.Scalar) -> String {
  switch scalar {
  case "\n": return "\\n"
  case "\r": return "\\r"
  case "\t": return "\\t"
  default:
    let hex = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
  }
}

private func deceives(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F...0x9F: true
  // Separators of lines and paragraphs.
  case 0x2028, 0x2029: true
  // Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode Annex 9).
  case 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
  default: false
  }
}
