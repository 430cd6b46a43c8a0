import Glibc

/// The file that `path` leads to if it is a symbolic link, or a link to one, whether or not the file exists. Throws if
/// the links form a loop, or lead to a name that is not UTF-8.
package func followingLinks(_ path: String) throws -> String {
  var path = path
  for _ in 0..<40 {
    let bytes = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(PATH_MAX)) { target in
      let count = readlink(
        path, UnsafeMutableRawPointer(target.baseAddress!).assumingMemoryBound(to: CChar.self),
        target.count)
      return Array(target.prefix(max(0, count)))
    }
    guard !bytes.isEmpty else { return path }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure.data("\(path) leads to \(quotedBytes(bytes)), a name that is not UTF-8")
    }
    let directory = path.lastIndex(of: "/").map { path[...$0] } ?? ""
    path = text.hasPrefix("/") ? text : directory + text
  }
  throw Failure.data("cannot write \(path): \(systemError(ELOOP))")
}

/// Makes a directory for files; returns false if it is there already. Throws `Failure.data` if it cannot be made, or is
/// something else.
package func makeDirectory(_ path: String) throws -> Bool {
  if mkdir(path, 0o777) == 0 { return true }
  let error = errno
  var status = stat()
  guard error == EEXIST else {
    throw Failure.data("cannot make \(path): \(systemError(error))")
  }
  guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
    throw Failure.data("\(path) is no directory")
  }
  return false
}

/// The identity of the file that a path leads to, the same however the path is written.
package struct FileIdentity: Hashable {
  private let device: dev_t
  private let number: ino_t
  /// The name, in the directory that the numbers identify, of a file that does not exist yet.
  private let name: String?
  /// Whether this is a regular file that is there: what it holds can be lost.
  package let isContents: Bool

  /// Nil if the file cannot be identified, and for devices such as /dev/null, which hold nothing.
  package init?(of path: String) {
    var status = stat()
    if stat(path, &status) == 0 {
      self.init(status)
      return
    }
    guard let target = try? followingLinks(path) else { return nil }
    let cut = target.lastIndex(of: "/").map { target.index(after: $0) } ?? target.startIndex
    let directory = cut == target.startIndex ? "." : String(target[..<cut])
    guard stat(directory, &status) == 0 else { return nil }
    self.init(status, name: String(target[cut...]))
  }

  /// The identity of an open file.
  package init?(of descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  private init?(_ status: stat, name: String? = nil) {
    if status.st_mode & S_IFMT == S_IFCHR { return nil }
    (device, number, self.name) = (status.st_dev, status.st_ino, name)
    isContents = name == nil && status.st_mode & S_IFMT == S_IFREG
  }
}
