import CJPEG
import Tensors

/// The picture in the bytes of a JPEG file, which messages call `name`: 8-bit gray or RGB, turned as its
/// EXIF metadata say that it is to be seen.
package func decodeJPEG(_ bytes: UnsafeRawBufferPointer, name: String) throws -> Picture {
  guard let base = bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count > 0 else {
    throw Failure.data("\(name) is empty, expected a JPEG file")
  }
  return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CJPEG_MESSAGE)) {
    message in
    func check(_ status: CInt) throws {
      guard status == 0 else {
        let text = String(cString: message.baseAddress!)
        throw Failure.data("cannot read \(name) as JPEG: \(text)")
      }
    }
    var header = cjpeg_picture()
    try check(cjpeg_read_header(base, bytes.count, &header, message.baseAddress!))
    let (width, height) = (Int(header.width), Int(header.height))
    guard width * height <= largestPicture else {
      throw Failure.data("\(name) has \(width)x\(height) pixels, more than \(largestPicture)")
    }
    // A block of 8 × 8 pixels takes at least two bits, of which the last may be missing; with subsampled colours a
    // block stands for 16 × 16.
    guard width * height <= 2048 * bytes.count else {
      throw Failure.data("\(name) claims \(width) × \(height) pixels in \(bytes.count) bytes")
    }
    var picture = Picture(width: width, height: height, channels: Int(header.channels))
    try check(
      picture.pixels.withUnsafeMutableBufferPointer {
        cjpeg_read_pixels(base, bytes.count, $0.baseAddress!, message.baseAddress!)
      })
    return picture.turned(by: Int(header.orientation))
  }
}

extension Picture {
  /// The picture as it is to be seen if EXIF calls its `orientation` a number from 1, as it is, to 8.
  fileprivate func turned(by orientation: Int) -> Picture {
    guard (2...8).contains(orientation) else { return self }
    let isOnItsSide = orientation > 4
    var result = Picture(
      width: isOnItsSide ? height : width, height: isOnItsSide ? width : height,
      channels: channels)
    for y in 0..<result.height {
      for x in 0..<result.width {
        let (right, bottom) = (width - 1, height - 1)
        let (column, row) =
          switch orientation {
          case 2: (right - x, y)
          case 3: (right - x, bottom - y)
          case 4: (x, bottom - y)
          case 5: (y, x)
          case 6: (y, bottom - x)
          case 7: (right - y, bottom - x)
          default: (right - y, x)
          }
        for channel in 0..<channels { result[x, y, channel] = self[column, row, channel] }
      }
    }
    return result
  }
}

/// The first bytes of every JPEG file.
private let signatureOfJPEG: [UInt8] = [0xFF, 0xD8, 0xFF]

/// Reads the picture in the file `path`, a regular file, because pipes and devices may never end: PNG or JPEG, as its
/// first bytes say, whatever its name.
package func readPicture(path: String) throws -> Picture {
  let input = try Input(path: path, regularOnly: true)
  let start = try input.readBytes(signatureOfPNG.count)
  let isPNG = start.withBytes { $0.elementsEqual(signatureOfPNG) }
  guard isPNG || start.withBytes({ $0.starts(with: signatureOfJPEG) }) else {
    throw Failure.data(
      start.count == 0
        ? "\(path) is empty, expected a PNG or JPEG file"
        : "\(path) is no picture: neither a PNG nor a JPEG file")
  }
  let rest = try input.readAll()
  let bytes = Bytes(uninitialized: start.count + rest.count)
  bytes.base.copyMemory(from: start.base, byteCount: start.count)
  (bytes.base + start.count).copyMemory(from: rest.base, byteCount: rest.count)
  return try bytes.withBytes {
    try isPNG ? decodePNG($0, name: path) : decodeJPEG($0, name: path)
  }
}
