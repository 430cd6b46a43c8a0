/// Writes a bundle front to back in its one canonical form: tensors and metadata sorted by name (code
/// point by code point), the header padded with spaces to a multiple of 8.
///
/// The data follow in the same order through `write`, in pieces of any size; `finish` checks that all of them came.
package final class BundleWriter {
  private let output: Output
  private var missing: Int

  /// Writes the header. `tensors` must be sorted by name.
  package init(
    _ output: Output, tensors: [(name: String, type: ElementType, shape: [Int])],
    metadata: [String: String]
  ) throws {
    precondition(
      zip(tensors, tensors.dropFirst()).allSatisfy { precedes($0.name, $1.name) },
      "tensors out of order")
    precondition(
      !tensors.contains { $0.name == "__metadata__" }, "a tensor has the metadata's name")
    self.output = output
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { precedes($0.key, $1.key) }.map { "\(quoted($0)):\(quoted($1))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var position = 0
    for (name, type, shape) in tensors {
      let end = position + shape.reduce(type.size, *)
      members.append(
        "\(quoted(name)):{\"dtype\":\"\(type.rawValue)\","
          + "\"shape\":[\(shape.map(String.init).joined(separator: ","))],"
          + "\"data_offsets\":[\(position),\(end)]}")
      position = end
    }
    missing = position
    var header = "{\(members.joined(separator: ","))}"
    header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    guard header.utf8.count <= BundleReader.headerLimit else {
      throw Failure.data(
        "cannot write \(output.name): its header would take \(header.utf8.count) bytes, "
          + "at most \(BundleReader.headerLimit) can be read back")
    }
    let length = UInt64(header.utf8.count).littleEndian
    try withUnsafeBytes(of: length) { try output.write($0) }
    try output.write(header)
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    precondition(bytes.count <= missing, "more data than the header announced")
    missing -= bytes.count
    try output.write(bytes)
  }

  package func finish() throws {
    precondition(missing == 0, "less data than the header announced")
    try output.flush()
  }
}
