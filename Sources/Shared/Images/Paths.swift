import Glibc
import Tensors

/// `name` inside the directory `path`.
func joined(_ path: String, _ name: String) -> String {
  path.hasSuffix("/") ? path + name : "\(path)/\(name)"
}

/// Whether `path` is a directory, or a link to one.
func isDirectory(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Bytes of the regular file `path`; `nil` for a device, a pipe, standard input.
func fileSize(_ path: String) -> Int? {
  var status = stat()
  guard path != "-", stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
    return nil
  }
  return Int(status.st_size)
}

/// The entries of the directory `path`, without hidden ones, in the order of the names' bytes. A name that is not UTF-8
/// is refused: as text it would be another name.
func entries(of path: String) throws -> [String] {
  guard let directory = opendir(path) else {
    throw Failure.data("cannot open \(path): \(systemError())")
  }
  defer { closedir(directory) }
  var names: [String] = []
  while true {
    errno = 0
    guard let entry = readdir(directory) else { break }
    let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { $0.prefix { $0 != 0 }.map { $0 } }
    if bytes.first == UInt8(ascii: ".") { continue }
    guard let name = String(validating: bytes, as: UTF8.self) else {
      throw Failure.data("the name \(quotedBytes(bytes)) in \(path) is not UTF-8: rename it")
    }
    names.append(name)
  }
  guard errno == 0 else { throw Failure.data("cannot read \(path): \(systemError())") }
  return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}
