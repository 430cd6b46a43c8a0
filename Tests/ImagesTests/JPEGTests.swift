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
