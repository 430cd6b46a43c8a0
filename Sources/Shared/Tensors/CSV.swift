/// Reads comma-separated values (RFC 4180) record by record: fields may be quoted, a quoted field may hold commas,
/// quotes (doubled) and line ends; lines end in LF or CR LF; empty lines are passed over. Blanks around an unquoted
/// field do not belong to it.
package struct CSVReader {
  package struct Record {
    /// The line on which it starts, from 1.
    package var line: Int
    package var fields: [String]
  }

  private let bytes: Bytes
  private let name: String
  private var position = 0
  private var line = 1

  /// `name` is the name of the text in messages.
  package init(_ bytes: Bytes, name: String) {
    self.bytes = bytes
    self.name = name
    // A byte order mark, which spreadsheets put first.
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    if bytes.count >= 3, mark.indices.allSatisfy({ byte(at: $0) == mark[$0] }) { position = 3 }
  }

  private func byte(at position: Int) -> UInt8 {
    bytes.base.load(fromByteOffset: position, as: UInt8.self)
  }

  private var current: UInt8? { position < bytes.count ? byte(at: position) : nil }

  /// The next record; `nil` at the end.
  package mutating func next() throws -> Record? {
    while let byte = current, isLineEnd(byte) { skipLineEnd() }
    guard current != nil else { return nil }
    var record = Record(line: line, fields: [])
    while true {
      record.fields.append(try field(of: record))
      guard let byte = current else { return record }
      if byte == UInt8(ascii: ",") {
        position += 1
      } else {
        skipLineEnd()
        return record
      }
    }
  }

  private func isLineEnd(_ byte: UInt8) -> Bool {
    byte == 0x0A
      || byte == 0x0D && (position + 1 == bytes.count || self.byte(at: position + 1) == 0x0A)
  }

  private mutating func skipLineEnd() {
    if current == 0x0D { position += 1 }
    if current == 0x0A { position += 1 }
    line += 1
  }

  private mutating func skipBlanks() {
    while let byte = current, byte == 0x20 || byte == 0x09 { position += 1 }
  }

  private func fail(_ record: Record, _ what: String) -> Failure {
    .data("\(name), line \(record.line), column \(record.fields.count + 1): \(what)")
  }

  private mutating func field(of record: Record) throws -> String {
    skipBlanks()
    if current == UInt8(ascii: "\"") { return try quotedField(of: record) }
    let start = position
    var end = position
    while let byte = current, byte != UInt8(ascii: ","), !isLineEnd(byte) {
      position += 1
      if byte != 0x20 && byte != 0x09 { end = position }
    }
    let text = UnsafeRawBufferPointer(start: bytes.base + start, count: end - start)
    guard let field = String(validating: text, as: UTF8.self) else {
      throw fail(record, "bad UTF-8")
    }
    return field
  }

  private mutating func quotedField(of record: Record) throws -> String {
    position += 1
    var utf8: [UInt8] = []
    while let byte = current {
      position += 1
      if byte == 0x0A { line += 1 }
      guard byte == UInt8(ascii: "\"") else {
        utf8.append(byte)
        continue
      }
      if current == UInt8(ascii: "\"") {
        position += 1
        utf8.append(byte)
        continue
      }
      skipBlanks()
      if let after = current, after != UInt8(ascii: ","), !isLineEnd(after) {
        throw fail(record, "text after the closing quote")
      }
      guard let field = String(validating: utf8, as: UTF8.self) else {
        throw fail(record, "bad UTF-8")
      }
      return field
    }
    throw fail(record, "a quoted field does not end")
  }
}
