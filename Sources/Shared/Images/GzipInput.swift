import CZLIB
import Tensors

/// The bytes of a file, unpacked if it was packed by gzip (RFC 1952), as its first two bytes say. They stream through a
/// buffer.
final class GzipInput {
  let name: String
  private let input: Input
  /// The state of unpacking, at an address that stays; nil if the file is not packed.
  private let stream: UnsafeMutablePointer<z_stream>?
  private let buffer = Bytes(uninitialized: 1 << 16)
  /// The bytes of the buffer that are still to be taken.
  private var waiting = 0..<0
  /// Whether a packed part has ended; another may follow.
  private var isAtEnd = false

  init(_ input: Input) throws {
    (self.input, name) = (input, input.name)
    let got = try input.readFully(into: buffer.base, count: 2)
    waiting = 0..<got
    let start = buffer.withBytes { Array($0.prefix(got)) }
    guard start == [0x1F, 0x8B] else {
      stream = nil
      return
    }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    self.stream = stream
    // 15: the largest window; 16: with the header and the checksum of gzip.
    let status = inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard status == Z_OK else { throw Failure.data("no memory to unpack \(name)") }
  }

  deinit {
    guard let stream else { return }
    inflateEnd(stream)
    stream.deinitialize(count: 1)
    stream.deallocate()
  }

  /// Reads `count` bytes, or what is left. Throws `Failure.data` if a packed file ends early or is damaged.
  func read(into target: UnsafeMutableRawPointer, count: Int) throws -> Int {
    guard let stream else {
      let first = min(count, waiting.count)
      target.copyMemory(from: buffer.base + waiting.lowerBound, byteCount: first)
      waiting = waiting.lowerBound + first..<waiting.upperBound
      return try first + input.readFully(into: target + first, count: count - first)
    }
    var got = 0
    while got < count {
      if waiting.isEmpty {
        waiting = 0..<(try input.readSome(into: buffer.base, count: buffer.count))
        if waiting.isEmpty {
          guard isAtEnd else { throw Failure.data("unexpected end of \(name), which gzip packed") }
          return got
        }
      }
      if isAtEnd {
        inflateReset(stream)
        isAtEnd = false
      }
      let room = min(count - got, 1 << 30)
      stream.pointee.next_in =
        (buffer.base + waiting.lowerBound).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_in = UInt32(waiting.count)
      stream.pointee.next_out = (target + got).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      let status = inflate(stream, Z_NO_FLUSH)
      guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
        throw Failure.data("\(name) is damaged: gzip cannot unpack it")
      }
      isAtEnd = status == Z_STREAM_END
      got += room - Int(stream.pointee.avail_out)
      waiting = waiting.upperBound - Int(stream.pointee.avail_in)..<waiting.upperBound
    }
    return got
  }
}
