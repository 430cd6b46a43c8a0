import Glibc

/// `O_TMPFILE` of <fcntl.h>, which Swift does not see: a file in a directory, without a name.
private let unnamed = 0o20_000_000 | O_DIRECTORY

/// A file on its way to its name. It has none yet, so that nothing stays behind however the process ends, or a
/// temporary one if the file system knows no files without names.
final class PendingFile {
  let descriptor: Int32
  private let path: String
  private let directory: String
  private var temporary: String?

  /// Opens a file that is to have the name `path`. `mode` are the permissions of the file it replaces; nil gives it
  /// those that `open` would. `named` gives it a temporary name in any case. Fails with the system's error in `errno`.
  init?(replacing path: String, mode: mode_t?, named: Bool = false) {
    self.path = path
    directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let place = directory.isEmpty ? "." : directory
    var opened = named ? -1 : open(place, unnamed | O_WRONLY | O_CLOEXEC, 0o666)
    // Without this link the file could never get a name.
    if opened >= 0, access(PendingFile.link(opened), F_OK) != 0 {
      close(opened)
      opened = -1
    }
    var mode = mode
    if opened < 0 {
      // A short name: one that begins with the file's own may be too long.
      var template = Array("\(directory).cn-XXXXXX".utf8CString)
      opened = mkstemp(&template)
      guard opened >= 0 else { return nil }
      let made = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
      TemporaryFiles.add(made)
      temporary = made
      let mask = umask(0)
      umask(mask)
      mode = mode ?? 0o666 & ~mask
    }
    descriptor = opened
    if let mode { fchmod(descriptor, mode) }
  }

  /// Opens a file for reading and writing that never has a name; nil with `errno` if that fails.
  static func withoutName(in directory: String) -> Int32? {
    let opened = open(directory, unnamed | O_RDWR | O_CLOEXEC | O_EXCL, 0o600)
    if opened >= 0 { return opened }
    var template = Array("\(directory)/convex-networks.XXXXXX".utf8CString)
    let made = mkstemp(&template)
    guard made >= 0 else { return nil }
    unlink(template)
    return made
  }

  /// Gives the file its name, in place of the one that has it now. False with `errno` if that fails.
  func publish() -> Bool {
    if temporary == nil {
      if link(as: path) { return true }
      guard errno == EEXIST else { return false }
      // A link never replaces a file, and a rename does.
      var random = RandomSource(seed: Int(getpid()))
      repeat {
        let name = "\(directory).cn-\(String(random.next() >> 16, radix: 36))"
        TemporaryFiles.add(name)
        temporary = link(as: name) ? name : nil
        if temporary == nil { TemporaryFiles.remove(name) }
      } while temporary == nil && errno == EEXIST
    }
    guard let temporary, rename(temporary, path) == 0 else { return false }
    TemporaryFiles.remove(temporary)
    self.temporary = nil
    return true
  }

  /// Removes the file, which has not been published.
  deinit {
    if let temporary {
      unlink(temporary)
      TemporaryFiles.remove(temporary)
    }
  }

  private static func link(_ descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }

  private func link(as name: String) -> Bool {
    linkat(AT_FDCWD, PendingFile.link(descriptor), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0
  }
}
