import Foundation
import Testing

/// The committed inputs, a folder a reader, each named after what is nasty about it.
private let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .appendingPathComponent("corpus")

@Suite struct ReplayTests {
  /// Whatever the file holds, the reader accepts or refuses it and does nothing else. Files called `good…` are
  /// accepted, so that this does not pass because nothing is read at all.
  @Test(arguments: Reader.allCases)
  func readersWithstandTheCorpus(_ reader: Reader) throws {
    let folder = corpus.appendingPathComponent(reader.rawValue)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(names.count > 10)
    for name in names.sorted() {
      let bytes = try Data(contentsOf: folder.appendingPathComponent(name))
      let start = Date()
      let isAccepted = bytes.withUnsafeBytes { reader.accepts($0) }
      #expect(Date().timeIntervalSince(start) < 5, "\(reader) takes its time with \(name)")
      if name.hasPrefix("good") { #expect(isAccepted, "\(reader) refuses \(name)") }
    }
  }
}
