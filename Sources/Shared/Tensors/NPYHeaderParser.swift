/// A strict reader of the dictionary in an NPY header: three keys, a string, a truth value, and a
/// tuple of non-negative integers.
struct NPYHeaderParser {
  private let bytes: [UInt8]
  private let name: String
  private var position = 0

  init(_ bytes: [UInt8], name: String) {
    self.bytes = bytes
    self.name = name
  }

  private func fail(_ what: String) -> Failure {
    .data("\(name) has a bad NPY header: \(what) at byte \(position)")
  }

  mutating func parse() throws -> (descriptor: String, isFortran: Bool, shape: [Int]) {
    var descriptor: String?
    var isFortran: Bool?
    var shape: [Int]?
    try expect("{")
    while !accept("}") {
      let key = try string()
      try expect(":")
      switch key {
      case "descr" where descriptor == nil:
        guard !accept("[") else { throw fail("structured elements, expected plain numbers") }
        descriptor = try string()
      case "fortran_order" where isFortran == nil: isFortran = try truth()
      case "shape" where shape == nil: shape = try tuple()
      default: throw fail("an unknown or repeated key \(quoted(key))")
      }
      if !accept(",") {
        try expect("}")
        break
      }
    }
    skipBlanks()
    guard position == bytes.count else { throw fail("text after the dictionary") }
    guard let descriptor, let isFortran, let shape else {
      throw fail("expected descr, fortran_order and shape")
    }
    return (descriptor, isFortran, shape)
  }

  private mutating func skipBlanks() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) {
      position += 1
    }
  }

  private mutating func accept(_ text: String) -> Bool {
    skipBlanks()
    guard bytes[position...].starts(with: text.utf8) else { return false }
    position += text.utf8.count
    return true
  }

  private mutating func expect(_ text: String) throws {
    guard accept(text) else { throw fail("expected \(text)") }
  }

  private mutating func string() throws -> String {
    let mark = accept("\"") ? UInt8(ascii: "\"") : UInt8(ascii: "'")
    if mark == UInt8(ascii: "'") { try expect("'") }
    guard let end = bytes[position...].firstIndex(of: mark) else {
      throw fail("a string does not end")
    }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private mutating func truth() throws -> Bool {
    if accept("True") { return true }
    try expect("False")
    return false
  }

  private mutating func tuple() throws -> [Int] {
    try expect("(")
    var result: [Int] = []
    while !accept(")") {
      skipBlanks()
      let digits = bytes[position...].prefix { (0x30...0x39).contains($0) }
      guard let number = Int(String(decoding: digits, as: UTF8.self)) else {
        throw fail("expected a dimension")
      }
      position += digits.count
      result.append(number)
      // Python 2 wrote long integers with an L.
      _ = accept("L")
      if !accept(",") {
        try expect(")")
        break
      }
    }
    return result
  }
}
