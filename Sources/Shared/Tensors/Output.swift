import CFaults
import Glibc

/// The output of a tool: standard output, or a file that appears under its name only when it is whole.
///
/// Bytes go through a buffer and a looping `write(2)`. `finish()` flushes, closes and renames, each
/// checked; an output dropped without it leaves nothing behind. A run with several outputs finishes them together.
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
  package func finish() throws { try Output.finish([self]) }

  /// Finishes all of `outputs`, or none: no file gets its name before every byte of all of them is written. What
  /// standard output, a device or a pipe has received cannot be taken back, so that they are written last, in their
  /// order.
  package static func finish(_ outputs: [Output]) throws {
    let (files, streams) = (outputs.filter { $0.file != nil }, outputs.filter { $0.file == nil })
    for output in files + streams { try output.complete() }
    for output in files {
      if let file = output.file, !file.publish() { throw output.failure() }
    }
    for output in files + streams { try output.close() }
  }

  /// Writes what is left, and reports errors that were put off, while files can still be dropped.
  private func complete() throws {
    try flush()
    let copy = dup(descriptor)
    if copy < 0 || Glibc.close(copy) != 0 { throw failure() }
  }

  private func close() throws {
    let descriptor = self.descriptor
    self.descriptor = -1
    file = nil
    if Glibc.close(descriptor) != 0 { throw failure() }
  }

  private func abandon() {
    if descriptor > 2 { Glibc.close(descriptor) }
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
