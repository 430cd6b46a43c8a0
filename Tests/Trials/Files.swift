import Glibc
import Tensors

/// The bytes of the file `path`, a million at most.
func contents(_ path: String) throws -> [UInt8] {
  try Input(path: path).readBytes(1_000_000).withBytes { Array($0) }
}

func write(_ bytes: [UInt8], to path: String) throws {
  let output = try Output(path: path)
  try bytes.withUnsafeBytes { try output.write($0) }
  try output.finish()
}

func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }

/// The names of what `folder` holds, sorted.
func names(in folder: String) -> [String] {
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted()
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

func fileSize(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Removes what the folder `path` holds, with the folders in it; no link is followed.
private func empty(_ path: String) {
  for name in names(in: path) {
    let entry = "\(path)/\(name)"
    if unlink(entry) == 0 { continue }
    empty(entry)
    rmdir(entry)
  }
}

/// Makes an empty folder, with those above it. What a folder of this name held goes.
func makeFolder(_ path: String) throws {
  empty(path)
  var made = path.hasPrefix("/") ? "" : "."
  for part in path.split(separator: "/") {
    made += "/\(part)"
    if mkdir(made, 0o755) != 0 && errno != EEXIST {
      throw Failure.data("cannot make \(made): \(systemError())")
    }
  }
}

/// `path`, from the root of the file system.
func absolute(_ path: String) -> String {
  guard let resolved = realpath(path, nil) else { return path }
  defer { free(resolved) }
  return String(cString: resolved)
}

/// Prints a line at once, also when standard output is a file.
func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = bytes.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
}
