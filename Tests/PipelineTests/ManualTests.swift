import Foundation
import Testing

/// What `make install` puts beside the tools: manual pages and completion.
@Suite struct ManualTests {
  static let tools = [
    "cifar-extract", "patchify", "arrangements", "gram", "solve", "recover", "evaluate", "baseline",
    "generate",
    "tensor",
  ]

  /// The repository, which holds this file.
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func has(_ program: String) -> Bool {
    (try? Tools.shell("command -v \(program) >/dev/null"))?.status == 0
  }

  /// The options in the help of a tool, with `--`.
  private func options(of tool: String) throws -> [String] {
    let help = try Tools.run(tool, ["--help"]).text
    let section = help.components(separatedBy: "\noptions:\n")[1]
      .components(separatedBy: "\nexamples:\n")[0]
    return section.split(separator: "\n").filter { $0.hasPrefix("  -") }.compactMap {
      $0.split(whereSeparator: { " ,".contains($0) }).first { $0.hasPrefix("--") }.map(String.init)
    }
  }

  /// What bash puts in the place of the last of `words`.
  private func completed(_ words: [String], in folder: Folder? = nil) throws -> [String] {
    let function = "_" + words[0].replacingOccurrences(of: "-", with: "_")
    let list = words.map { "'\($0)'" }.joined(separator: " ")
    let run = try Tools.shell(
      """
      source <(\(words[0]) --completion bash) && COMP_WORDS=(\(list)) COMP_CWORD=\(words.count - 1)
      \(function); printf '%s\\n' "${COMPREPLY[@]}"; complete -p \(words[0]) >&2
      """, in: folder)
    #expect(run.status == 0 && run.errors.contains("-F \(function) \(words[0])"), "\(run.errors)")
    return run.text.split(separator: "\n").map(String.init)
  }

  @Test(arguments: tools) func bashCompletesEveryOption(_ tool: String) throws {
    let names = try options(of: tool)
    #expect(names.count > 4)
    #expect(Set(try completed([tool, "-"])) == Set(names))
    #expect(try completed([tool, "--outp"]) == ["--output"])
  }

  @Test func bashCompletesWordsAndFiles() throws {
    let folder = try Folder()
    try Data().write(to: folder.url("data"))
    #expect(try completed(["solve", "--loss", "h"], in: folder) == ["hinge", "huber"])
    #expect(try completed(["solve", "--loss", "=", "log"], in: folder) == ["logistic"])
    #expect(try completed(["solve", "--loss", "="], in: folder).contains("squared"))
    #expect(try completed(["solve", "--validation", "d"], in: folder) == ["data"])
    #expect(try completed(["solve", "-o", "d"], in: folder) == ["data"])
    #expect(try completed(["solve", "--beta", "d"], in: folder) == [])
    #expect(try completed(["solve", "d"], in: folder) == ["data"])
    #expect(try completed(["tensor", "from"], in: folder) == ["from-csv", "from-npy"])
    #expect(try completed(["tensor", "show", "d"], in: folder) == ["data"])
  }

  @Test func anotherShellIsRefused() throws {
    for arguments in [["--completion", "fish"], ["--completion"], ["--completion=csh"]] {
      let run = try Tools.run("solve", arguments)
      #expect(run.status == 2 && run.text == "", "\(run.errors)")
    }
  }

  @Test(
    .enabled(if: has("zsh"), "zsh is not installed: its completion is not tried"), arguments: tools)
  func zshReadsItsCompletion(_ tool: String) throws {
    let folder = try Folder()
    let run = try Tools.shell("\(tool) --completion zsh >_tool && zsh -n _tool", in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
  }

  @Test(arguments: tools) func zshCompletesEveryOption(_ tool: String) throws {
    let text = try Tools.run(tool, ["--completion", "zsh"]).text
    #expect(text.hasPrefix("#compdef \(tool)\n"))
    for name in try options(of: tool) { #expect(text.contains(name), "\(name)") }
  }

  @Test(.enabled(if: has("mandoc"), "mandoc is not installed: manual pages are not looked at"))
  func manualPagesAreClean() throws {
    let folder = try Folder()
    let tools = ManualTests.tools.map { "\($0) --manual >\($0).1" }.joined(separator: "\n")
    let run = try Tools.shell(
      """
      set -e
      \(tools)
      LC_ALL=C awk -v name=convex-networks-format -v date=2026-11-29 -v source=convex-networks \
        -f '\(ManualTests.root.path)/docs/manual.awk' '\(ManualTests.root.path)/docs/format.md' >format.5
      for page in *.1 *.5; do mandoc -T lint "$page" || echo "$page"; done
      """, in: folder)
    #expect(run.status == 0 && run.text == "" && run.errors == "", "\(run.text)\(run.errors)")
  }

  /// The page of the format has what the Markdown has.
  @Test func theFormatsPageIsWhole() throws {
    let page = try Tools.shell(
      """
      LC_ALL=C awk -v name=convex-networks-format -v date=2026-11-29 -v source=convex-networks \
        -f '\(ManualTests.root.path)/docs/manual.awk' '\(ManualTests.root.path)/docs/format.md'
      """)
    #expect(page.status == 0, "\(page.errors)")
    let text = page.text
    let source = try String(
      contentsOf: ManualTests.root.appendingPathComponent("docs/format.md"), encoding: .utf8)
    let headings = source.split(separator: "\n").filter { $0.hasPrefix("## ") }
    #expect(headings.count == text.split(separator: "\n").filter { $0.hasPrefix(".SH ") }.count - 2)
    #expect(headings.count > 5)
    #expect(text.utf8.split(separator: UInt8(ascii: "\n")).allSatisfy { $0.count <= 90 })
    #expect(!text.contains("**") && !text.contains("]("))
    for word in ["patterns", "divisor", "class_weights"] {
      #expect(text.contains(word), "\(word)")
    }
  }
}
