/// Reads comma-separated values (RFC 4180) record by record: fields may be quoted, a quoted field may hold commas,
/// quotes (doubled) and line ends; lines end in LF or CR LF; empty lines are passed over. Blanks around an unquoted
/// field do not belong to it. Another byte may take the place of the comma.
///
/// The text streams through a window, so that memory is that of the longest record.
package struct CSVReader {
  package struct Record: Equatable, Sendable {
    /// The line on which it starts, from 1.
    package var line: Int
    package var fields: [String]
  }

  private let window: ByteWindow
  /// The bytes of the window: what its own properties say, without a look at the object.
  private var base: UnsafeMutablePointer<UInt8>
  private var count: Int
  private let delimiter: UInt8
  private let name: String
  /// The places in the window of the record's first byte and of the next byte to look at.
  private var start = 0
  private var position = 0
  private var nextLine = 1
  /// The fields of the record, counted from its first byte.
  private var ranges: [(lower: Int, upper: Int)] = []
  /// The line on which the record starts, from 1.
  package private(set) var line = 0

  /// Reads `bytes`; `name` is the name of the text in messages.
  package init(_ bytes: Bytes, name: String, delimiter: UInt8 = UInt8(ascii: ",")) {
    (window, self.name, self.delimiter) = (ByteWindow(copying: bytes), name, delimiter)
    (base, count) = (window.base, window.count)
  }

  /// Reads `input`, at first `size` bytes at a time.
  package init(_ input: Input, delimiter: UInt8 = UInt8(ascii: ","), window size: Int = 1 << 18) {
    (window, name, self.delimiter) = (ByteWindow(input, size: size), input.name, delimiter)
    (base, count) = (window.base, window.count)
  }

  /// The next record; `nil` at the end.
  package mutating func next() throws -> Record? {
    guard try advance() else { return nil }
    return try Record(line: line, fields: (0..<fieldCount).map { try text(of: $0) })
  }

  /// Goes on to the next record; false at the end.
  package mutating func advance() throws -> Bool {
    if line == 0 { try skipMark() }
    ranges.removeAll(keepingCapacity: true)
    start = position
    while try isAtLineEnd() {
      skipLineEnd()
      start = position
    }
    guard try current() != nil else { return false }
    line = nextLine
    while true {
      try readField()
      guard let byte = try current() else { return true }
      if byte == delimiter {
        position += 1
      } else {
        skipLineEnd()
        return true
      }
    }
  }

  /// The number of fields of the record.
  package var fieldCount: Int { ranges.count }

  /// The bytes of a field of the record, until the reader goes on.
  package func bytes(of column: Int) -> UnsafeBufferPointer<UInt8> {
    let (lower, upper) = ranges[column]
    return UnsafeBufferPointer(start: base + start + lower, count: upper - lower)
  }

  package func text(of column: Int) throws -> String {
    guard let text = String(validating: bytes(of: column), as: UTF8.self) else {
      throw Failure.data("\(name), line \(line), column \(column + 1): bad UTF-8")
    }
    return text
  }

  // MARK: Bytes

  /// The byte at `position` + `offset`; nil if the text ends before it.
  private mutating func peek(_ offset: Int) throws -> UInt8? {
    while position + offset >= count {
      let isMore = try window.read(keepingFrom: start)
      (base, count) = (window.base, window.count)
      position -= start
      start = 0
      if !isMore { return nil }
    }
    return base[position + offset]
  }

  private mutating func current() throws -> UInt8? {
    position < count ? base[position] : try peek(0)
  }

  /// Passes over a byte order mark, which spreadsheets put first.
  private mutating func skipMark() throws {
    if try peek(0) == 0xEF, try peek(1) == 0xBB, try peek(2) == 0xBF { position += 3 }
  }

  private mutating func isAtLineEnd() throws -> Bool {
    let byte = try current()
    guard byte == 0x0D else { return byte == 0x0A }
    let following = try peek(1)
    return following == nil || following == 0x0A
  }

  /// After `isAtLineEnd`, which has made sure that both bytes of CR LF are there.
  private mutating func skipLineEnd() {
    if base[position] == 0x0D { position += 1 }
    if position < count, base[position] == 0x0A { position += 1 }
    nextLine += 1
  }

  private func isBlank(_ byte: UInt8) -> Bool {
    (byte == 0x20 || byte == 0x09) && byte != delimiter
  }

  private mutating func skipBlanks() throws {
    while let byte = try current(), isBlank(byte) { position += 1 }
  }

  // MARK: Fields

  private func fail(_ what: String) -> Failure {
    .data("\(name), line \(line), column \(ranges.count + 1): \(what)")
  }

  private mutating func readField() throws {
    try skipBlanks()
    if try current() == UInt8(ascii: "\""), delimiter != UInt8(ascii: "\"") {
      return try readQuotedField()
    }
    let lower = position - start
    while true {
      skipText()
      // Nearly always.
      if position < count, base[position] == delimiter || base[position] == 0x0A { break }
      guard let byte = try current(), byte != delimiter, try !isAtLineEnd() else { break }
      // More bytes came, or this is a CR within a field.
      if byte == 0x0D { position += 1 }
    }
    var upper = position - start
    while upper > lower, isBlank(base[start + upper - 1]) { upper -= 1 }
    ranges.append((lower, upper))
  }

  /// Goes to the next delimiter or line end, or to the end of the window, eight bytes at a time where none is near.
  private mutating func skipText() {
    let (base, count) = (base, count)
    let ones: UInt64 = 0x0101_0101_0101_0101
    let separators = UInt64(delimiter) &* ones
    // A byte of the result has its highest bit if it is 0 in `word`; so may others above it.
    func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & 0x8080_8080_8080_8080 }
    var i = position
    while i + 8 <= count {
      let word = UInt64(
        littleEndian: UnsafeRawPointer(base + i).loadUnaligned(as: UInt64.self))
      let found = zeros(word ^ separators) | zeros(word ^ 0x0A &* ones) | zeros(word ^ 0x0D &* ones)
      if found != 0 {
        position = i + found.trailingZeroBitCount / 8
        return
      }
      i += 8
    }
    while i < count, base[i] != delimiter, base[i] != 0x0A, base[i] != 0x0D { i += 1 }
    position = i
  }

  /// Moves the text of the field together in the window, where a doubled quote becomes one.
  private mutating func readQuotedField() throws {
    position += 1
    let lower = position - start
    var upper = lower
    func append(_ byte: UInt8) {
      base[start + upper] = byte
      upper += 1
    }
    while let byte = try current() {
      position += 1
      if byte == 0x0A { nextLine += 1 }
      guard byte == UInt8(ascii: "\"") else {
        append(byte)
        continue
      }
      if try current() == UInt8(ascii: "\"") {
        position += 1
        append(byte)
        continue
      }
      try skipBlanks()
      if let after = try current(), after != delimiter, try !isAtLineEnd() {
        throw fail("text after the closing quote")
      }
      ranges.append((lower, upper))
      return
    }
    throw fail("a quoted field does not end")
  }
}

/// The part of a text that is being read.
private final class ByteWindow {
  private let bytes: Bytes
  /// Nil if all is there.
  private var input: Input?
  private(set) var count: Int

  var base: UnsafeMutablePointer<UInt8> { bytes.base.assumingMemoryBound(to: UInt8.self) }

  init(_ input: Input, size: Int) {
    (self.input, bytes, count) = (input, Bytes(uninitialized: size), 0)
  }

  init(copying source: Bytes) {
    (input, bytes, count) = (nil, Bytes(uninitialized: source.count), source.count)
    source.withBytes { bytes.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }

  /// Drops the bytes before `start` and reads more; false at the end.
  func read(keepingFrom start: Int) throws -> Bool {
    if start > 0 {
      // The source and the target may overlap, and copyMemory allows that.
      bytes.base.copyMemory(from: bytes.base + start, byteCount: count - start)
      count -= start
    }
    guard let input else { return false }
    if count == bytes.count, !bytes.grow(to: 2 * bytes.count) {
      throw Failure.data("no memory for a record of more than \(count) bytes of \(input.name)")
    }
    let got = try input.readSome(into: bytes.base + count, count: bytes.count - count)
    count += got
    if got == 0 { self.input = nil }
    return got > 0
  }
}
