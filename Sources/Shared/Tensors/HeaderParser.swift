/// A strict reader of the one form of JSON that a bundle's header has: an object of objects, with strings, arrays of
/// non-negative integers, and nothing else. Duplicate keys, which general JSON libraries accept, are errors.
struct HeaderParser {
  struct Entry: Equatable {
    var dtype: String
    var shape: [Int]
    var begin: Int
    var end: Int
  }

  private let bytes: UnsafeRawBufferPointer
  /// The name of the file in messages.
  private let name: String
  private var position = 0

  /// Parses the header's bytes into its entries, in file order, and its metadata. `name` is the name of the file in
  /// messages.
  static func parse(
    _ bytes: UnsafeRawBufferPointer, name: String
  ) throws -> (entries: [(name: String, entry: Entry)], metadata: [String: String]) {
    var parser = HeaderParser(bytes: bytes, name: name)
    return try parser.header()
  }

  /// The strings of a JSON array; nil if `text` is no such array.
  static func strings(in text: String) -> [String]? {
    var text = text
    return text.withUTF8 { bytes in
      var parser = HeaderParser(bytes: UnsafeRawBufferPointer(bytes), name: "")
      guard let result = try? parser.strings() else { return nil }
      parser.skipSpace()
      return parser.position == bytes.count ? result : nil
    }
  }

  private init(bytes: UnsafeRawBufferPointer, name: String) {
    self.bytes = bytes
    self.name = name
  }

  private func fail(_ what: String) -> Failure {
    .data("\(name) is no bundle: \(what) at byte \(position) of its header")
  }

  private mutating func header() throws -> ([(name: String, entry: Entry)], [String: String]) {
    guard bytes.first == UInt8(ascii: "{") else { throw fail("the JSON must start with {") }
    var entries: [(name: String, entry: Entry)] = []
    var names = Set<String>()
    var metadata: [String: String]?
    try object { parser, key in
      guard names.insert(key).inserted else { throw parser.fail("duplicate key \(quoted(key))") }
      if key == "__metadata__" {
        metadata = try parser.metadata()
      } else {
        entries.append((key, try parser.entry(of: key)))
      }
    }
    skipSpace()
    guard position == bytes.count else { throw fail("bytes after the JSON") }
    return (entries, metadata ?? [:])
  }

  private mutating func metadata() throws -> [String: String] {
    var result: [String: String] = [:]
    try object { parser, key in
      guard result[key] == nil else {
        throw parser.fail("duplicate metadata key \(quoted(key))")
      }
      result[key] = try parser.string()
    }
    return result
  }

  private mutating func entry(of name: String) throws -> Entry {
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try object { parser, key in
      switch key {
      case "dtype" where dtype == nil: dtype = try parser.string()
      case "shape" where shape == nil: shape = try parser.integers()
      case "data_offsets" where offsets == nil: offsets = try parser.integers()
      case "dtype", "shape", "data_offsets": throw parser.fail("duplicate key \(quoted(key))")
      default: throw parser.fail("unknown key \(quoted(key)) in tensor \(quoted(name))")
      }
    }
    guard let dtype, let shape, let offsets, offsets.count == 2 else {
      throw fail("tensor \(quoted(name)) needs dtype, shape and two data_offsets")
    }
    return Entry(dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1])
  }

  // MARK: JSON

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) {
      position += 1
    }
  }

  private mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    guard accept(character) else { throw fail("expected \(character)") }
  }

  private mutating func object(
    _ member: (inout HeaderParser, String) throws -> Void
  ) throws {
    try expect("{")
    if accept("}") { return }
    repeat {
      skipSpace()
      let key = try string()
      try expect(":")
      try member(&self, key)
    } while accept(",")
    try expect("}")
  }

  private mutating func strings() throws -> [String] {
    try expect("[")
    var result: [String] = []
    if accept("]") { return result }
    repeat {
      skipSpace()
      result.append(try string())
    } while accept(",")
    try expect("]")
    return result
  }

  private mutating func integers() throws -> [Int] {
    try expect("[")
    var result: [Int] = []
    if accept("]") { return result }
    repeat {
      skipSpace()
      result.append(try integer())
    } while accept(",")
    try expect("]")
    return result
  }

  private mutating func integer() throws -> Int {
    let start = position
    var value = 0
    while position < bytes.count, case let digit = bytes[position], (0x30...0x39).contains(digit) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(digit - 0x30))
      guard !overflow, !carry else { throw fail("a number is too large") }
      value = sum
      position += 1
    }
    guard position > start else { throw fail("expected a non-negative integer") }
    guard position == start + 1 || bytes[start] != 0x30 else {
      throw fail("a number starts with 0")
    }
    return value
  }

  private mutating func string() throws -> String {
    try expect("\"")
    var utf8: [UInt8] = []
    while true {
      guard position < bytes.count else { throw fail("a string does not end") }
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: utf8, as: UTF8.self) else { throw fail("bad UTF-8") }
        return text
      case UInt8(ascii: "\\"): utf8.append(contentsOf: try escape())
      case 0..<0x20: throw fail("a control character in a string")
      default: utf8.append(byte)
      }
    }
  }

  private mutating func escape() throws -> [UInt8] {
    guard position < bytes.count else { throw fail("a string does not end") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var code = UInt32(try hexadecimal())
      if (0xD800..<0xDC00).contains(code) {
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw fail("half a surrogate pair") }
        position += 2
        let low = UInt32(try hexadecimal())
        guard (0xDC00..<0xE000).contains(low) else { throw fail("half a surrogate pair") }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw fail("half a surrogate pair") }
      return Array(String(Character(scalar)).utf8)
    default: throw fail("an unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws -> UInt16 {
    guard position + 4 <= bytes.count else { throw fail("a string does not end") }
    let digits = bytes[position..<position + 4]
    guard digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw fail("bad \\u escape") }
    position += 4
    return value
  }
}

/// `texts` as a JSON array of strings.
package func quotedArray(_ texts: [String]) -> String {
  "[\(texts.map(quoted).joined(separator: ","))]"
}

/// The strings of a JSON array; nil if `text` is no such array.
package func parseQuotedArray(_ text: String) -> [String]? { HeaderParser.strings(in: text) }

/// `text` as a JSON string.
package func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    // Control characters of Latin-1 too: a terminal would obey them.
    case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
      result += escaped(scalar)
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
