import Glibc

/// Where a tool writes: standard output, or a file that appears under its name only when it is whole.
///
/// Bytes go through a buffer and a looping `write(2)`. `finish()` flushes, closes and renames, each
/// checked; an output dropped without it leaves nothing behind.
package final class Output {
  package let name: String
  private var descriptor: Int32
  private let path: String?
  private var temporary: String?
  private var buffer = [UInt8]()
  private static let capacity = 1 << 16

  /// `nil` or `-` is standard output. A path that is no regular file (a device, a pipe) is written to
  /// directly.
  package init(path: String?) throws {
    buffer.reserveCapacity(Output.capacity)
    guard let path, path != "-" else {
      name = "standard output"
      descriptor = 1
      self.path = nil
      temporary = nil
      return
    }
    name = path
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      if status.st_mode & S_IFMT == S_IFDIR { throw Failure.data("\(path) is a directory") }
      descriptor = open(path, O_WRONLY | O_CLOEXEC)
      self.path = nil
      temporary = nil
    } else {
      // Through a symbolic link, the file it names is replaced, not the link.
      let target = realpath(path, nil).map { resolved in
        defer { free(resolved) }
        return String(cString: resolved)
      }
      self.path = target ?? path
      var template = Array("\(target ?? path).XXXXXX".utf8CString)
      descriptor = mkstemp(&template)
      let made = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
      temporary = descriptor >= 0 ? made : nil
      if descriptor >= 0 {
        TemporaryFiles.add(made)
        // The permissions of the file it replaces, or those that `open` would give a new one.
        let mask = umask(0)
        umask(mask)
        fchmod(descriptor, target == nil ? 0o666 & ~mask : status.st_mode & 0o777)
      }
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

  /// Flushes, closes, and puts the file in its place.
  package func finish() throws {
    try flush()
    let descriptor = self.descriptor
    self.descriptor = -1
    if close(descriptor) != 0 { throw failure() }
    if let temporary, let path {
      if rename(temporary, path) != 0 { throw failure() }
      TemporaryFiles.remove(temporary)
      self.temporary = nil
    }
  }

  private func abandon() {
    if descriptor > 2 { close(descriptor) }
    descriptor = -1
    if let temporary {
      unlink(temporary)
      TemporaryFiles.remove(temporary)
    }
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
      } else if errno != EINTR {
        throw failure()
      }
    }
  }
}

extension Slice where Base == UnsafeRawBufferPointer {
  fileprivate var baseAddress: UnsafeRawPointer? { base.baseAddress.map { $0 + startIndex } }
}

/// The temporary files of this process, removed when a signal ends it.
package enum TemporaryFiles {
  // Slots that a signal handler may read at any time: a pointer to a C string, or nil.
  private static let capacity = 8
  nonisolated(unsafe) private static let slots: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> =
    {
      let slots = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: capacity)
      slots.initialize(repeating: nil, count: capacity)
      return slots
    }()
  nonisolated(unsafe) private static var handlersInstalled = false

  static func add(_ path: String) {
    if !handlersInstalled {
      handlersInstalled = true
      _ = slots
      // SIGPIPE still ends the process: a tool may have one output in a pipe and one in a file.
      for number in [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ] {
        // A signal that was ignored from the start (nohup) stays ignored.
        let previous = signal(number) { number in
          TemporaryFiles.unlinkAll()
          signal(number, SIG_DFL)
          raise(number)
        }
        if unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
          signal(number, SIG_IGN)
        }
      }
    }
    for i in 0..<capacity where slots[i] == nil {
      slots[i] = strdup(path)
      return
    }
  }

  static func remove(_ path: String) {
    for i in 0..<capacity {
      if let slot = slots[i], strcmp(slot, path) == 0 {
        slots[i] = nil
        free(slot)
      }
    }
  }

  package static func unlinkAll() {
    for i in 0..<capacity { if let slot = slots[i] { unlink(slot) } }
  }
}
