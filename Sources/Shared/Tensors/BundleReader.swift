import Glibc

/// A tensor as a bundle's header announces it.
package struct BundleEntry: Sendable {
  package let name: String
  package let type: ElementType
  package let shape: [Int]
  /// Its bytes, counted from the end of the header.
  package let range: Range<Int>

  /// Throws unless the tensor is of one of `types` and has as many dimensions as one of `shapes`. `bundle` is the name
  /// of the one that it is in.
  package func expect(
    _ types: [ElementType], _ shapes: [String], of bundle: String? = nil
  ) throws {
    let ranks = shapes.map { $0 == "[]" ? 0 : $0.split(separator: ",").count }
    guard types.contains(type), ranks.contains(shape.count) else {
      let wanted = types.map(\.rawValue).joined(separator: " or ")
      throw Failure.data(
        "tensor \(quoted(name))\(bundle.map { " of \($0)" } ?? "") is \(describe(type, shape)), "
          + "expected \(wanted) \(shapes.joined(separator: " or "))")
    }
  }
}

/// Reads a bundle (safetensors: u64 length, JSON header, data) from front to back, tensor by tensor.
///
/// Rejects whatever departs from the format: see `docs/format.md`. Memory grows with the bytes that
/// arrive, never with the sizes that a header claims.
package final class BundleReader {
  /// The longest header that is accepted.
  package static let headerLimit = 100_000_000

  package let metadata: [String: String]
  /// The tensors in the order of their data.
  package let entries: [BundleEntry]
  package let input: Input
  private var index = 0

  package init(_ input: Input) throws {
    self.input = input
    let prefix = try input.readBytes(8)
    let hint = prefix.withBytes { foreignFile($0) }
    func fail(_ what: String) -> Failure {
      .data("\(input.name) is no bundle" + (hint.isEmpty ? ": \(what)" : hint))
    }
    guard prefix.count == 8 else {
      throw prefix.count == 0
        ? Failure.data("\(input.name) is empty, expected a bundle")
        : fail("it ends after \(prefix.count) bytes")
    }
    let length = UInt64(littleEndian: prefix.withBytes { $0.loadUnaligned(as: UInt64.self) })
    guard length <= BundleReader.headerLimit else {
      throw fail("it claims a header of \(length) bytes")
    }
    let header = try input.readBytes(Int(length))
    guard header.count == Int(length) else {
      throw Failure.data(
        "unexpected end of \(input.name): the header has \(header.count) of \(length) bytes")
    }
    let (parsed, metadata) = try header.withBytes {
      try HeaderParser.parse($0, name: input.name)
    }
    self.metadata = metadata
    entries = try BundleReader.checked(parsed)
  }

  /// Checks that types are known, that sizes fit shapes, and that data have no overlap or gap.
  private static func checked(
    _ parsed: [(name: String, entry: HeaderParser.Entry)]
  ) throws -> [BundleEntry] {
    let entries = try parsed.map { name, entry in
      guard let type = ElementType(rawValue: entry.dtype) else {
        throw Failure.data("tensor \(quoted(name)) has the unsupported type \(quoted(entry.dtype))")
      }
      guard let size = byteCount(type, entry.shape) else {
        throw Failure.data(
          "tensor \(quoted(name)) is \(describe(type, entry.shape)): too large a shape")
      }
      guard entry.begin <= entry.end, entry.end - entry.begin == size else {
        throw Failure.data(
          "tensor \(quoted(name)) is \(describe(type, entry.shape)), \(size) bytes, but its "
            + "data_offsets are \(entry.begin) to \(entry.end)")
      }
      return BundleEntry(
        name: name, type: type, shape: entry.shape, range: entry.begin..<entry.end)
    }
    let ordered = entries.enumerated().sorted {
      ($0.element.range.lowerBound, $0.element.range.upperBound, $0.offset)
        < ($1.element.range.lowerBound, $1.element.range.upperBound, $1.offset)
    }.map(\.element)
    var position = 0
    for entry in ordered {
      guard entry.range.lowerBound == position else {
        throw Failure.data(
          "tensor \(quoted(entry.name)) starts at byte \(entry.range.lowerBound) of the data, "
            + "expected \(position): the tensors overlap or leave a gap")
      }
      position = entry.range.upperBound
    }
    return ordered
  }

  /// The tensor whose data comes next.
  package var next: BundleEntry? { index < entries.count ? entries[index] : nil }

  /// Reads the next tensor.
  package func readTensor() throws -> Tensor {
    let entry = entries[index]
    let bytes =
      try input.mapBytes(entry.range.count, alignment: entry.type.size)
      ?? input.readBytes(entry.range.count)
    guard bytes.count == entry.range.count else { throw truncated(entry, at: bytes.count) }
    index += 1
    return Tensor(type: entry.type, shape: entry.shape, bytes: bytes)
  }

  /// Passes over the next tensor, without reading it if the input is a regular file.
  package func skipTensor() throws {
    let entry = entries[index]
    let skipped = try input.skip(entry.range.count)
    guard skipped == entry.range.count else { throw truncated(entry, at: skipped) }
    index += 1
  }

  /// Sets the next tensor aside, to be read by rows later and more than once: in memory up to `limit` bytes, beyond
  /// that in a temporary file without a name.
  package func readRows(limit: Int = 256 << 20) throws -> RowSource {
    let entry = entries[index]
    if entry.range.count <= limit {
      return RowSource(tensor: try readTensor())
    }
    let spool = try Spool()
    let chunk = Bytes(uninitialized: 1 << 20)
    var copied = 0
    while copied < entry.range.count {
      let wanted = min(chunk.count, entry.range.count - copied)
      let got = try input.readFully(into: chunk.base, count: wanted)
      try spool.append(UnsafeRawBufferPointer(start: chunk.base, count: got))
      copied += got
      guard got == wanted else { throw truncated(entry, at: copied) }
    }
    index += 1
    return RowSource(spool: spool, type: entry.type, shape: entry.shape)
  }

  /// Reads the rows `range` of the next tensor and passes over its others.
  package func readTensor(rows range: Range<Int>) throws -> Tensor {
    let entry = entries[index]
    precondition(
      !entry.shape.isEmpty && range.lowerBound >= 0 && range.upperBound <= entry.shape[0],
      "rows outside the tensor")
    let row = entry.shape.dropFirst().reduce(entry.type.size, *)
    let before = row * range.lowerBound
    let after = row * (entry.shape[0] - range.upperBound)
    var arrived = try input.skip(before)
    guard arrived == before else { throw truncated(entry, at: arrived) }
    let bytes = try input.readBytes(row * range.count)
    arrived += bytes.count
    guard bytes.count == row * range.count else { throw truncated(entry, at: arrived) }
    arrived += try input.skip(after)
    guard arrived == entry.range.count else { throw truncated(entry, at: arrived) }
    index += 1
    return Tensor(
      type: entry.type, shape: [range.count] + entry.shape.dropFirst(), bytes: bytes)
  }

  private func truncated(_ entry: BundleEntry, at count: Int) -> Failure {
    .data(
      "unexpected end of \(input.name): tensor \(quoted(entry.name)) has \(count) of "
        + "\(entry.range.count) bytes")
  }

  /// Checks that the file ends with the last tensor.
  package func finish() throws {
    if try input.readBytes(1).count > 0 {
      throw Failure.data("\(input.name) goes on after the bundle's last tensor")
    }
  }
}

/// A file without a name, which disappears with its descriptor.
final class Spool {
  private let descriptor: Int32
  private var count = 0

  init() throws {
    let directory = getenv("TMPDIR").flatMap { String(validatingCString: $0) } ?? "/tmp"
    guard let opened = PendingFile.withoutName(in: directory) else {
      throw Failure.data("cannot make a temporary file in \(directory): \(systemError())")
    }
    descriptor = opened
  }

  deinit { close(descriptor) }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    var written = 0
    while written < bytes.count {
      let got = pwrite(
        descriptor, bytes.baseAddress! + written, bytes.count - written, off_t(count))
      if got > 0 {
        written += got
        count += got
      } else if errno != EINTR {
        throw Failure.data("cannot write a temporary file: \(systemError())")
      }
    }
  }

  func read(at offset: Int, count: Int, into target: UnsafeMutableRawPointer) throws {
    var filled = 0
    while filled < count {
      let got = pread(descriptor, target + filled, count - filled, off_t(offset + filled))
      if got > 0 {
        filled += got
      } else if got == 0 || errno != EINTR {
        throw Failure.data("cannot read a temporary file: \(systemError())")
      }
    }
  }
}

/// A tensor that is read by rows (slices along its first dimension), as often as wanted.
package final class RowSource {
  package let type: ElementType
  package let shape: [Int]
  private let tensor: Tensor?
  private let spool: Spool?

  package init(tensor: Tensor) {
    self.tensor = tensor
    spool = nil
    type = tensor.type
    shape = tensor.shape
  }

  init(spool: Spool, type: ElementType, shape: [Int]) {
    tensor = nil
    self.spool = spool
    self.type = type
    self.shape = shape
  }

  /// Bytes of a row.
  package var rowSize: Int { shape.dropFirst().reduce(type.size, *) }

  /// Copies the rows `range` to `target`, which has room for them.
  package func read(_ range: Range<Int>, into target: UnsafeMutableRawPointer) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= shape[0], "rows outside the tensor")
    let size = rowSize
    if let tensor {
      target.copyMemory(
        from: tensor.bytes.base + range.lowerBound * size, byteCount: range.count * size)
    } else {
      try spool!.read(at: range.lowerBound * size, count: range.count * size, into: target)
    }
  }
}
