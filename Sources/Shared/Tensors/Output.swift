import CFaults
import Glibc

/// The output of a tool: standard output, or a file that appears under its name only when it is whole.
///
/// Bytes go through a buffer and a looping `write(2)`. `finish()` flushes, closes and renames, each
/// checked; an output dropped without it leaves nothing behind.
package final class Output {
  package let name: String
  private var descriptor: Int32
  /// The regular file that this writes; nil for standard output, devices and pipes.
  private var file: PendingFile?
  private var buffer = [UInt8]()
  private static let capacity = 1 << 16

  /// `nil` or `-` is standard output. A path that is no regular file (a device, a pipe) is written to
  /// directly.
  package init(path: String?) throws {
    buffer.reserveCapacity(Output.capacity)
    guard let path, path != "-" else {
      name = "standard output"
      descriptor = 1
      return
    }
    name = path
    var status = stat()
    let isThere = stat(path, &status) == 0
    if isThere, status.st_mode & S_IFMT != S_IFREG {
      if status.st_mode & S_IFMT == S_IFDIR { throw Failure.data("\(path) is a directory") }
      descriptor = open(path, O_WRONLY | O_CLOEXEC)
    } else {
      // If the path is a symbolic link, the file that it names is made or replaced, not the link.
      file = PendingFile(
        replacing: try followingLinks(path), mode: isThere ? status.st_mode & 0o777 : nil)
      descriptor = file?.descriptor ?? -1
    }
    if descriptor < 0 { throw Failure.data("cannot write \(path): \(systemError())") }
  }

  deinit { abandon() }

  package var isTerminal: Bool { isatty(descriptor) == 1 }

  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    if bytes.count + buffer.count <= Output.capacity {
      buffer.append(contentsOf: bytes)
    } else {
      try flush()
      try writeAll(bytes)
    }
  }

  package func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  package func flush() throws {
    try buffer.withUnsafeBytes { try writeAll($0) }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Flushes, closes, and gives the file its name.
  package func finish() throws {
    try flush()
    if let file {
      // Closing a copy reports errors that were put off, while the file can still be dropped.
      let copy = dup(descriptor)
      if copy < 0 || close(copy) != 0 || !file.publish() { throw failure() }
    }
    let descriptor = self.descriptor
    self.descriptor = -1
    file = nil
    if close(descriptor) != 0 { throw failure() }
  }

  private func abandon() {
    if descriptor > 2 { close(descriptor) }
    descriptor = -1
    file = nil
  }

  private func failure() -> Failure {
    errno == EPIPE ? .closedPipe : .data("cannot write \(name): \(systemError())")
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while let base = rest.baseAddress, !rest.isEmpty {
      let written = Glibc.write(descriptor, base, min(rest.count, 1 << 30))
      if written >= 0 {
        rest = rest.dropFirst(written)
      } else if errno == EFAULT, let input = faults_mapping_name(base) {
        // The bytes to write are mapped, and no longer there.
        throw Failure.data("unexpected end of \(String(cString: input)): \(Input.wasCut)")
      } else if errno != EINTR {
        throw failure()
      }
    }
  }
}

extension Slice where Base == UnsafeRawBufferPointer {
  fileprivate var baseAddress: UnsafeRawPointer? { base.baseAddress.map { $0 + startIndex } }
}
