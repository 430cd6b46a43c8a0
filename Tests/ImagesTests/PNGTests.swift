import Foundation
import Images
import Tensors
import Testing

@Suite struct PNGTests {
  static func pattern(width: Int, height: Int, channels: Int) -> Picture {
    var picture = Picture(width: width, height: height, channels: channels)
    for i in picture.pixels.indices {
      picture.pixels[i] = UInt8(truncatingIfNeeded: i * 37 + i / 7)
    }
    return picture
  }

  private func decoded(_ bytes: [UInt8]) throws -> Picture {
    try bytes.withUnsafeBytes { try decodePNG($0, name: "p.png") }
  }

  @Test(arguments: [(1, 1, 1), (1, 1, 3), (7, 5, 3), (32, 32, 3), (33, 2, 1)])
  func keepsEveryPixel(width: Int, height: Int, channels: Int) throws {
    let picture = PNGTests.pattern(width: width, height: height, channels: channels)
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "\(UUID().uuidString).png"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let output = try Output(path: path)
    try writePNG(picture, to: output)
    try output.finish()
    #expect(try readPicture(path: path) == picture)
  }

  @Test func placesPixelsByColumnAndRow() throws {
    var picture = Picture(width: 3, height: 2, channels: 3)
    picture[2, 1, 0] = 9
    #expect(picture.pixels[(1 * 3 + 2) * 3] == 9)
    #expect(picture[2, 1, 0] == 9 && picture[2, 0, 0] == 0)
  }

  @Test func theSamePictureGivesTheSameBytes() throws {
    let picture = PNGTests.pattern(width: 40, height: 30, channels: 3)
    #expect(try encodePNG(picture) == encodePNG(picture))
  }

  @Test func refusesEveryTruncation() throws {
    let bytes = try encodePNG(PNGTests.pattern(width: 5, height: 4, channels: 3))
    for count in 0..<bytes.count - 12 {  // The IEND chunk itself may be missing.
      #expect(throws: Failure.self) { try decoded(Array(bytes.prefix(count))) }
    }
  }

  /// Whatever a changed byte does, it is a picture or a typed error.
  @Test func survivesEveryChangedByte() throws {
    let bytes = try encodePNG(PNGTests.pattern(width: 6, height: 5, channels: 3))
    var refused = 0
    for i in bytes.indices {
      for bit in [UInt8(1), 0x80] {
        var changed = bytes
        changed[i] ^= bit
        do { _ = try decoded(changed) } catch is Failure { refused += 1 }
      }
    }
    #expect(refused > bytes.count)
  }

  @Test func refusesWhatIsNoPNG() throws {
    #expect {
      try decoded(Array("GIF89a, not a PNG at all".utf8))
    } throws: { ($0 as? Failure)?.message.contains("p.png") == true }
  }

  /// A header that claims 60,000 × 60,000 pixels in a hundred bytes, its checksum right.
  @Test func refusesAClaimThatTheBytesCannotHold() throws {
    var bytes = try encodePNG(Picture(width: 1, height: 1, channels: 3))
    let side: [UInt8] = [0, 0, 0xEA, 0x60]
    bytes.replaceSubrange(16..<24, with: side + side)
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes[12..<29] {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    withUnsafeBytes(of: (~crc).bigEndian) { bytes.replaceSubrange(29..<33, with: $0) }
    #expect {
      try decoded(bytes)
    } throws: { ($0 as? Failure)?.message.contains("60000 × 60000") == true }
  }
}
