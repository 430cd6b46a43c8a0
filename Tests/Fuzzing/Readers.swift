import Glibc
import Images
import Tensors

/// The readers of bytes that come from outside, each as one function of these bytes: what libFuzzer calls with
/// its inputs (`make fuzz`), and the tests with the corpus.
///
/// A reader may accept the bytes or throw a `Failure`. It may do nothing else: no trap, no hang, no other
/// error, no memory beyond a multiple of the bytes.
enum Reader: String, CaseIterable, Sendable {
  /// A bundle's JSON header alone; its length is put before it.
  case header
  /// A whole bundle: length, header, data.
  case bundle
  case npy
  case csv
  /// Records of CIFAR-10 and of CIFAR-100.
  case cifar
  /// Pictures and labels of IDX files, packed or not; the labels are made from the pictures' number.
  case idx
  case png
  case jpeg

  /// Whether the reader accepts the bytes; false if it throws a `Failure`.
  @discardableResult
  func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do {
      try read(bytes)
      return true
    } catch is Failure {
      return false
    } catch {
      fatalError("not a Failure: \(error)")
    }
  }

  private func read(_ bytes: UnsafeRawBufferPointer) throws {
    switch self {
    case .header:
      let length = withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { Array($0) }
      try (length + Array(bytes)).withUnsafeBytes {
        try withFile(of: $0) { _ = try BundleReader(Input(path: $0)) }
      }
    case .bundle: try withFile(of: bytes, readBundle)
    case .npy: try withFile(of: bytes) { _ = try NPY.read(Input(path: $0)) }
    case .csv: try readCSV(bytes)
    case .cifar: try withFile(of: bytes, readRecords)
    case .idx: try withFile(of: bytes, readIDX)
    case .png: try readPicture(bytes)
    case .jpeg: try check(decodeJPEG(bytes, name: "input"))
    }
  }

  /// Tensor after tensor, then the same again for the tools that pass over tensors.
  private func readBundle(_ path: String) throws {
    let reader = try BundleReader(Input(path: path))
    while reader.next != nil {
      let tensor = try reader.readTensor()
      precondition(tensor.bytes.count == tensor.shape.reduce(tensor.type.size, *))
      _ = tensor.nonFiniteCount
    }
    try reader.finish()
    let second = try BundleReader(Input(path: path))
    while second.next != nil { try second.skipTensor() }
    try second.finish()
  }

  private func readCSV(_ bytes: UnsafeRawBufferPointer) throws {
    let copy = Bytes(uninitialized: bytes.count)
    if let base = bytes.baseAddress { copy.base.copyMemory(from: base, byteCount: bytes.count) }
    var reader = CSVReader(copy, name: "input")
    var line = 0
    var records: [CSVReader.Record] = []
    while let record = try reader.next() {
      precondition(record.line > line && !record.fields.isEmpty)
      line = record.line
      records.append(record)
    }
    // The same if the bytes come in pieces that are cut anywhere.
    try withFile(of: bytes) { path in
      var reader = try CSVReader(Input(path: path), window: 1)
      for record in records {
        let same = try reader.next()
        precondition(same == record)
      }
      let end = try reader.next()
      precondition(end == nil)
    }
  }

  /// As records of each format; the first failure counts if no format accepts them.
  private func readRecords(_ path: String) throws {
    var failure: Failure?
    var accepted = false
    for format in CIFARFormat.allCases {
      do {
        let images = try format.read([path], Selection(), Listener())
        precondition(images.pixels.count == images.count * images.shape.count)
        accepted = true
      } catch let error as Failure {
        failure = failure ?? error
      }
    }
    if !accepted, let failure { throw failure }
  }

  /// The bytes as pictures, with as many labels as the first bytes may say, if these are not packed.
  private func readIDX(_ path: String) throws {
    let header = try Input(path: path).readBytes(8).withBytes { Array($0) }
    let count = header.suffix(4).reduce(0) { $0 << 8 | Int($1) }
    let labels = [0, 0, 8, 1] + (header.count == 8 ? Array(header.suffix(4)) : [0, 0, 0, 0])
    try (labels + [UInt8](repeating: 3, count: min(count, 1 << 12))).withUnsafeBytes { bytes in
      try withFile(of: bytes) { labels in
        let images = try IDXDataset.fashionMNIST.read(
          Input(path: path), Input(path: labels), Selection(), Listener())
        precondition(images.pixels.count == images.count * images.shape.count)
      }
    }
  }

  /// As the bytes are, and with the checksums put right, which chance would not find.
  private func readPicture(_ bytes: UnsafeRawBufferPointer) throws {
    do {
      try check(decodePNG(bytes, name: "input"))
    } catch is Failure {
      try withChecksums(bytes).withUnsafeBytes { try check(decodePNG($0, name: "input")) }
    }
  }

  private func check(_ picture: Picture) {
    precondition(picture.pixels.count == picture.width * picture.height * picture.channels)
  }

  /// A PNG file is a signature and chunks of length, name, data and CRC-32 of name and data.
  private func withChecksums(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var result = Array(bytes)
    var chunk = 8
    while chunk + 12 <= result.count {
      let length = result[chunk..<chunk + 4].reduce(0) { $0 << 8 | Int($1) }
      let end = chunk + 8 + length
      guard end + 4 <= result.count else { break }
      let sum = crc32(result[chunk + 4..<end])
      for i in 0..<4 { result[end + i] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * UInt32(i))) }
      chunk = end + 4
    }
    return result
  }

  private func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var sum = ~UInt32(0)
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 0 ? 0 : 0xEDB8_8320) }
    }
    return ~sum
  }
}

/// Calls `body` with the path of a file of these bytes, which has no name in any directory.
private func withFile(
  of bytes: UnsafeRawBufferPointer, _ body: (_ path: String) throws -> Void
) throws {
  // In memory, if the system has a place for that.
  let folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
  var template = Array("\(folder)/convex-networks.XXXXXX".utf8CString)
  let descriptor = mkstemp(&template)
  precondition(descriptor >= 0, "mkstemp: \(systemError())")
  defer { close(descriptor) }
  unlink(template)
  var written = 0
  while written < bytes.count {
    let got = write(descriptor, bytes.baseAddress! + written, bytes.count - written)
    precondition(got > 0, "write: \(systemError())")
    written += got
  }
  try body("/proc/self/fd/\(descriptor)")
}
