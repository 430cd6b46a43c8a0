import Foundation
import Testing

@Suite struct MemoryTests {
  /// What docs/trust.md promises, on inputs of 4 MB.
  @Test func toolsTakeNoMoreMemoryThanPromised() throws {
    let folder = try Folder()
    let run = try Tools.run(
      "trials", ["memory", "--sizes", "4", "--folder", folder.path("files")])
    #expect(run.status == 0, "\(run.text)\(run.errors)")
  }

  @Test func theManualHasTheTableOfPromises() throws {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let manual = try String(
      contentsOf: root.appendingPathComponent("docs/trust.md"), encoding: .utf8)
    let run = try Tools.run("trials", ["promises"])
    #expect(run.status == 0 && manual.contains(run.text), "docs/trust.md lacks:\n\(run.text)")
  }
}
