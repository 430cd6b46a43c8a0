import Glibc
import Tensors
import Testing

private func records(_ text: String) throws -> [[String]] {
  try records(bytes: Array(text.utf8)).map(\.fields)
}

private func records(bytes text: [UInt8]) throws -> [CSVReader.Record] {
  let bytes = Bytes(zeroed: text.count)
  text.withUnsafeBytes { source in
    if let base = source.baseAddress {
      bytes.base.copyMemory(from: base, byteCount: source.count)
    }
  }
  var reader = CSVReader(bytes, name: "data.csv")
  var result: [CSVReader.Record] = []
  while let record = try reader.next() { result.append(record) }
  return result
}

@Test func fieldsAreCutAtCommasAndLineEnds() throws {
  #expect(try records("") == [])
  #expect(try records("a,b\nc,d\n") == [["a", "b"], ["c", "d"]])
  #expect(try records("a,b\r\nc,d") == [["a", "b"], ["c", "d"]])
  #expect(try records("\n\na\n\r\nb\n") == [["a"], ["b"]])
  #expect(try records("\u{FEFF}a, b c ,\t\n") == [["a", "b c", ""]])
  #expect(try records(",\n") == [["", ""]])
  #expect(try records("\u{FEFF}") == [])
}

@Test func quotedFieldsHoldAnything() throws {
  #expect(try records("\"a,b\",\"c\"\"d\",\"\"\n") == [["a,b", "c\"d", ""]])
  #expect(try records(" \"a\nb\" ,c\r\nd,e") == [["a\nb", "c"], ["d", "e"]])
  #expect(try records("a\"b,c") == [["a\"b", "c"]])
}

@Test func recordsKnowTheirLine() throws {
  #expect(try records(bytes: Array("a\n\n\"b\nb\"\r\nc".utf8)).map(\.line) == [1, 3, 5])
}

@Test func anotherByteMayStandBetweenFields() throws {
  func fields(_ text: String, _ delimiter: UInt8) throws -> [String]? {
    let bytes = Bytes(zeroed: text.utf8.count)
    for (i, byte) in text.utf8.enumerated() {
      bytes.base.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
    }
    var reader = CSVReader(bytes, name: "data", delimiter: delimiter)
    return try reader.next()?.fields
  }
  #expect(try fields("a,b; \"c;d\" ;e\n", UInt8(ascii: ";")) == ["a,b", "c;d", "e"])
  #expect(try fields("a\t\t b \t\n", 0x09) == ["a", "", "b", ""])
  #expect(try fields("a  b", 0x20) == ["a", "", "b"])
}

/// Wherever the window on the text ends.
@Test func aTextThatComesInPiecesIsTheSame() throws {
  let text = "\u{FEFF}a, \"b\"\"\r\nc\" ,d\r\n\r\n\n\"\",x\ry,\r\nlast,\"e\",f"
  let path = "/tmp/convex-networks-csv-\(getpid())"
  let output = try Output(path: path)
  try output.write(text)
  try output.finish()
  defer { unlink(path) }
  for size in 1...20 {
    var reader = CSVReader(try Input(path: path), window: size)
    var found: [[String]] = []
    while let record = try reader.next() { found.append(record.fields) }
    #expect(found == [["a", "b\"\r\nc", "d"], ["", "x\ry", ""], ["last", "e", "f"]], "\(size)")
  }
}

@Test func badTextNamesLineAndColumn() throws {
  #expect(throws: Failure.data("data.csv, line 2, column 2: text after the closing quote")) {
    try records("a,b\nc,\"d\"e\n")
  }
  #expect(throws: Failure.data("data.csv, line 1, column 1: a quoted field does not end")) {
    try records("\"a\nb")
  }
  #expect(throws: Failure.data("data.csv, line 1, column 2: bad UTF-8")) {
    try records(bytes: Array("a,".utf8) + [0xFF])
  }
}
