import CPNG
import Tensors

/// Writes `picture` to `output`, which the caller finishes, as an 8-bit gray or RGB PNG.
package func writePNG(_ picture: Picture, to output: Output) throws {
  try encodePNG(picture).withUnsafeBytes { try output.write($0) }
}

/// The largest number of pixels in a picture that is read: as many as can be averaged.
package let largestPicture = AreaAverage.limit

/// The bytes of a PNG file: the same for the same picture.
package func encodePNG(_ picture: Picture) throws -> [UInt8] {
  var image = emptyImage()
  defer { png_image_free(&image) }
  image.width = png_uint_32(picture.width)
  image.height = png_uint_32(picture.height)
  image.format = format(channels: picture.channels)
  func failure() -> Failure { .data("cannot encode a PNG: \(message(of: image))") }
  var size: png_alloc_size_t = 0
  guard png_image_write_to_memory(&image, nil, &size, 0, picture.pixels, 0, nil) != 0 else {
    throw failure()
  }
  var done: CInt = 0
  let encoded = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
    done = png_image_write_to_memory(
      &image, buffer.baseAddress, &size, 0, picture.pixels, 0, nil)
    count = done != 0 ? Int(size) : 0
  }
  guard done != 0 else { throw failure() }
  return encoded
}

/// The picture in the bytes of a PNG file, which messages call `name`.
///
/// Whatever the file holds becomes 8-bit gray or RGB: palettes are looked up, samples of 1, 2, 4 and 16 bits are
/// scaled, transparent pixels are laid on white.
package func decodePNG(_ bytes: UnsafeRawBufferPointer, name: String) throws -> Picture {
  guard bytes.count > 0 else { throw Failure.data("\(name) is empty, expected a PNG file") }
  var image = emptyImage()
  defer { png_image_free(&image) }
  func failure() -> Failure { .data("cannot read \(name) as PNG: \(message(of: image))") }
  guard png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0 else {
    throw failure()
  }
  let (width, height) = (Int(image.width), Int(image.height))
  // Deflate packs at most 1032 bytes into one, and a byte holds at most 8 pixels: larger claims are refused before
  // memory is reserved for them.
  guard width * height <= 8 * 1032 * bytes.count else {
    throw Failure.data("\(name) claims \(width) × \(height) pixels in \(bytes.count) bytes")
  }
  guard width * height <= largestPicture else {
    throw Failure.data("\(name) has \(width)x\(height) pixels, more than \(largestPicture)")
  }
  let channels = image.format & png_uint_32(PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1
  image.format = format(channels: channels)
  // Samples of 16 bits are taken for sRGB, as those of 8 bits are, not for linear light.
  image.flags |= png_uint_32(PNG_IMAGE_FLAG_16BIT_sRGB)
  var background = png_color(red: 255, green: 255, blue: 255)
  var picture = Picture(width: width, height: height, channels: channels)
  guard png_image_finish_read(&image, &background, &picture.pixels, 0, nil) != 0 else {
    throw failure()
  }
  return picture
}

/// The first bytes of every PNG file.
let signatureOfPNG: [UInt8] = [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]

private func emptyImage() -> png_image {
  var image = png_image()
  image.version = png_uint_32(PNG_IMAGE_VERSION)
  return image
}

private func format(channels: Int) -> png_uint_32 {
  channels == 3 ? png_uint_32(PNG_FORMAT_FLAG_COLOR) : 0
}

/// libpng's own message about the error.
private func message(of image: png_image) -> String {
  withUnsafeBytes(of: image.message) { bytes in
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
