import Glibc

/// The text of the system's last error, in lower case like our messages.
package func systemError(_ code: Int32 = errno) -> String {
  String(cString: strerror(code)).lowercased()
}

/// A source of bytes: a file, or standard input.
package final class Input {
  /// Its name in messages: its path, or "standard input".
  package let name: String
  private let descriptor: Int32
  private let closes: Bool
  /// Bytes of a pipe that were looked at, and not yet read.
  private var ahead: [UInt8] = []

  /// The error if the end of a mapped file has disappeared.
  static let wasCut = "the file was cut, or cannot be read, while it was in use"

  /// Opens `path`; `-` is standard input. With `regularOnly` pipes and devices, which may never end, are refused.
  package init(path: String, regularOnly: Bool = false) throws {
    if path == "-" {
      name = "standard input"
      descriptor = 0
      closes = false
    } else {
      name = path
      closes = true
      var opened: Int32
      // Opening a named pipe waits for its writer, and a signal can end the wait.
      let flags = O_RDONLY | O_CLOEXEC | (regularOnly ? O_NONBLOCK : 0)
      repeat { opened = open(path, flags) } while opened < 0 && errno == EINTR
      descriptor = opened
      if descriptor < 0 { throw Failure.data("cannot open \(path): \(systemError())") }
      var status = stat()
      let kind = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
      if kind == S_IFDIR || regularOnly && kind != S_IFREG {
        close(descriptor)
        throw Failure.data(
          kind == S_IFDIR
            ? "\(path) is a directory" : "\(path) is a device or a pipe, expected a file")
      }
    }
  }

  deinit { if closes { close(descriptor) } }

  package var isTerminal: Bool { isatty(descriptor) == 1 }

  /// The next `count` bytes, or as many as there are, which stay to be read.
  package func peek(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = try bytes.withUnsafeMutableBytes { buffer in
      if size != nil {
        return max(0, pread(descriptor, buffer.baseAddress!, count, lseek(descriptor, 0, SEEK_CUR)))
      }
      return try readFully(into: buffer.baseAddress!, count: count)
    }
    bytes.removeLast(count - got)
    if size == nil { ahead = bytes + ahead }
    return bytes
  }

  /// Reads up to `count` bytes; 0 at the end of the file.
  package func readSome(into target: UnsafeMutableRawPointer, count: Int) throws -> Int {
    if !ahead.isEmpty {
      let taken = min(count, ahead.count)
      ahead.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: taken) }
      ahead.removeFirst(taken)
      return taken
    }
    while true {
      let got = read(descriptor, target, min(count, 1 << 30))
      if got >= 0 { return got }
      if errno != EINTR { throw Failure.data("cannot read \(name): \(systemError())") }
    }
  }

  /// Whether nothing follows.
  package func isAtEnd() throws -> Bool { try peek(1).isEmpty }

  /// Reads until `count` bytes are there or the file ends; returns how many there were.
  package func readFully(into target: UnsafeMutableRawPointer, count: Int) throws -> Int {
    var filled = 0
    while filled < count {
      let got = try readSome(into: target + filled, count: count - filled)
      if got == 0 { break }
      filled += got
    }
    return filled
  }

  /// Reads `count` bytes without trusting that number: memory grows as bytes arrive. Returns fewer if the file ends
  /// early.
  package func readBytes(_ count: Int) throws -> Bytes {
    let bytes = Bytes(uninitialized: min(count, 1 << 20))
    var filled = 0
    while filled < count {
      if filled == bytes.count, !bytes.grow(to: min(count, bytes.count * 2)) {
        throw Failure.data("no memory for more than \(filled) bytes of \(name)")
      }
      let wanted = bytes.count - filled
      let got = try readFully(into: bytes.base + filled, count: wanted)
      filled += got
      if got < wanted { break }
    }
    if filled < bytes.count { bytes.resize(to: filled) }
    return bytes
  }

  /// Maps the next `count` bytes, if the input is a regular file that has them and they are aligned for elements of
  /// `alignment` bytes; otherwise `nil`, and nothing is read.
  func mapBytes(_ count: Int, alignment: Int) -> Bytes? {
    var status = stat()
    let position = Int(lseek(descriptor, 0, SEEK_CUR))
    guard count >= 1 << 20, position >= 0, position % alignment == 0,
      fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      Int(status.st_size) - position >= count,
      let bytes = Bytes(mapping: descriptor, at: position, count: count, name: name)
    else { return nil }
    lseek(descriptor, off_t(count), SEEK_CUR)
    return bytes
  }

  /// Passes over `count` bytes; returns how many there were. A regular file is not read.
  package func skip(_ count: Int) throws -> Int {
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
      let position = lseek(descriptor, 0, SEEK_CUR)
      if position >= 0 {
        let skipped = min(count, max(0, Int(status.st_size) - Int(position)))
        if lseek(descriptor, off_t(skipped), SEEK_CUR) >= 0 { return skipped }
      }
    }
    let chunk = Bytes(uninitialized: min(count, 1 << 20))
    var skipped = 0
    while skipped < count {
      let got = try readSome(into: chunk.base, count: min(chunk.count, count - skipped))
      if got == 0 { break }
      skipped += got
    }
    return skipped
  }

  /// Bytes from the start of the regular file to its end; nil for others.
  package var size: Int? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
  }

  /// All bytes up to the end.
  package func readAll() throws -> Bytes { try readBytes(Int.max / 4) }
}
