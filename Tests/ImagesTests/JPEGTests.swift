import Foundation
import Images
import Tensors
import Testing

private let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("Fuzzing/corpus/jpeg")

private func decoded(_ bytes: Data) throws -> Picture {
  try bytes.withUnsafeBytes { try decodeJPEG($0, name: "picture.jpg") }
}

private func decoded(_ name: String) throws -> Picture {
  try decoded(Data(contentsOf: corpus.appendingPathComponent(name)))
}

/// The picture is red = 20 x, green = 20 y, blue = 10 (x + y); the numbers are those that Pillow reads.
@Test func jpegPicturesAreReadAsPillowReadsThem() throws {
  let colour = try decoded("good-no-subsampling")
  #expect((colour.width, colour.height, colour.channels) == (10, 12, 3))
  for (x, y, values) in [(0, 0, [0, 0, 0]), (3, 5, [58, 101, 81]), (9, 11, [184, 219, 199])] {
    #expect((0..<3).map { Int(colour[x, y, $0]) } == values)
  }
  let gray = try decoded("good-gray")
  #expect((gray.width, gray.height, gray.channels) == (10, 12, 1))
  #expect((gray[0, 0, 0], gray[3, 5, 0], gray[9, 11, 0]) == (0, 59, 181))
  #expect(try decoded("good-progressive").width == 10)
  #expect(try decoded("good-restarts").width == 40)
}

@Test(arguments: [
  ("empty", "is empty"), ("start-only", "JPEG"), ("cut-in-header", "JPEG"),
  ("cut-in-data", "Premature end"), ("no-end", "Premature end"),
  ("cut-progressive", "Premature end"),
  ("huge", "65500x65500 pixels, more than"), ("no-rows", "JPEG"), ("cmyk", "4 components"),
  ("twelve-bits", "precision"), ("many-scans", "JPEG"),
  ("bad-huffman-table", "Huffman"),
])
func damagedJPEGsAreRefused(_ name: String, _ words: String) throws {
  do {
    _ = try decoded(name)
    Issue.record("\(name) is accepted")
  } catch Failure.data(let message) {
    #expect(message.contains("picture.jpg") && message.contains(words), "\(message)")
  }
}

/// A picture that is cut anywhere is refused, whatever is left of it.
@Test func everyCutIsNoticed() throws {
  for name in ["good-colour", "good-progressive"] {
    let bytes = try Data(contentsOf: corpus.appendingPathComponent(name))
    for count in 0..<bytes.count - 1 {
      #expect(throws: Failure.self, "\(name), \(count) bytes") { try decoded(bytes.prefix(count)) }
    }
    _ = try decoded(bytes)
  }
}

/// The picture with an EXIF block that says `orientation`, the first byte of whose TIFF structure is `order`.
private func withOrientation(_ value: UInt8, _ order: Character = "M", type: UInt8 = 3) throws
  -> Data
{
  let picture = try Data(contentsOf: corpus.appendingPathComponent("good-no-subsampling"))
  let isLittle = order == "I"
  func number(_ value: Int, _ bytes: Int) -> [UInt8] {
    let big = (0..<bytes).map { UInt8(value >> (8 * (bytes - 1 - $0)) & 0xFF) }
    return isLittle ? big.reversed() : big
  }
  var tiff = Array(String(repeating: order, count: 2).utf8) + number(42, 2) + number(8, 4)
  // Two entries: the width, and the orientation.
  tiff += number(2, 2) + number(0x0100, 2) + number(3, 2) + number(1, 4) + number(9, 2) + [0, 0]
  tiff += number(0x0112, 2) + number(Int(type), 2) + number(1, 4) + number(Int(value), 2) + [0, 0]
  let block = Array("Exif\0\0".utf8) + tiff
  let marker = [0xFF, 0xE1, UInt8((block.count + 2) >> 8), UInt8((block.count + 2) & 0xFF)]
  return picture.prefix(2) + Data(marker + block) + picture.dropFirst(2)
}

/// A phone that was held on its side stores the picture as its sensor saw it.
@Test func picturesAreTurnedAsEXIFSays() throws {
  let plain = try decoded("good-no-subsampling")
  let (w, h) = (plain.width - 1, plain.height - 1)
  // Where the pixel in the upper left corner, and its neighbour to the right, come from.
  let corners: [(UInt8, (Int, Int), (Int, Int))] = [
    (1, (0, 0), (1, 0)), (2, (w, 0), (w - 1, 0)), (3, (w, h), (w - 1, h)), (4, (0, h), (1, h)),
    (5, (0, 0), (0, 1)), (6, (0, h), (0, h - 1)), (7, (w, h), (w, h - 1)), (8, (w, 0), (w, 1)),
  ]
  for (orientation, first, second) in corners {
    for order in ["M", "I"] as [Character] {
      let turned = try decoded(withOrientation(orientation, order))
      #expect(turned.width == (orientation > 4 ? h + 1 : w + 1))
      #expect(turned.height == (orientation > 4 ? w + 1 : h + 1))
      for channel in 0..<3 {
        #expect(turned[0, 0, channel] == plain[first.0, first.1, channel], "\(orientation)")
        #expect(turned[1, 0, channel] == plain[second.0, second.1, channel], "\(orientation)")
      }
    }
  }
  // What is no orientation leaves the picture as it is.
  for data in [
    try withOrientation(0), try withOrientation(9), try withOrientation(6, type: 4),
    try withOrientation(6, "X"),
  ] {
    #expect(try decoded(data) == plain)
  }
}

/// Blocks that are cut, or point beyond themselves, are read as far as they go.
@Test func damagedEXIFIsNoHarm() throws {
  let whole = [UInt8](try withOrientation(6))
  let plain = try decoded("good-no-subsampling")
  let block = Int(whole[4]) << 8 + Int(whole[5])
  for length in 2..<block {
    var cut = whole
    cut.replaceSubrange(4..<6, with: [UInt8(length >> 8), UInt8(length & 0xFF)])
    cut.removeSubrange(4 + length..<4 + block)
    let picture = try decoded(Data(cut))
    #expect(picture.pixels.count == plain.pixels.count)
  }
  for place in 10..<4 + block {
    var changed = whole
    changed[place] = 0xFF
    _ = try decoded(Data(changed))
  }
}
