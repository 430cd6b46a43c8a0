import Foundation
import Tensors
import Testing

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()

/// The recipes of docs/tutorial.md, as they stand.
@Suite struct TutorialTests {
  /// Whether the Python on the path has these modules.
  private static func python(has modules: String) -> Bool {
    (try? Tools.shell("python3 -c 'import \(modules)'"))?.status == 0
  }

  /// The blocks of code below the heading `title`, with their languages.
  private func blocks(_ title: String) throws -> [(language: String, code: String)] {
    let text = try String(
      contentsOf: root.appendingPathComponent("docs/tutorial.md"), encoding: .utf8)
    let section = try #require(
      text.components(separatedBy: "\n## ").first { $0.hasPrefix(title + "\n") })
    return section.components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }.map {
      let lines = $0.element.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(lines[0]), String(lines[1]))
    }
  }

  private func run(_ title: String) throws -> (folder: Folder, output: String) {
    let folder = try Folder()
    var output = ""
    for (language, code) in try blocks(title) {
      switch language {
      case "sh":
        let run = try Tools.shell("set -e; \(code)", in: folder)
        #expect(run.status == 0, "\(code)\n\(run.errors)")
        output += run.text
      case "python", "python torch":
        let modules = language == "python" ? "numpy" : "numpy, torch"
        guard TutorialTests.python(has: modules) else { continue }
        try Data(code.utf8).write(to: folder.url("recipe.py"))
        let run = try Tools.shell(
          "PYTHONPATH='\(root.path)/python' python3 -B recipe.py", in: folder)
        #expect(run.status == 0, "\(code)\n\(run.errors)")
      default: Issue.record("a block in \(language)")
      }
    }
    return (folder, output)
  }

  private func rows(_ folder: Folder) throws -> [[String]] {
    let text = String(
      decoding: try Data(contentsOf: folder.url("predictions.tsv")), as: UTF8.self)
    return text.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
  }

  @Test func aTable() throws {
    let (folder, output) = try run("A table")
    let rows = try rows(folder)
    #expect(rows.count == 41 && rows[0].prefix(4) == ["index", "name", "prediction", "class"])
    #expect(rows[1][1] == "customer 201")
    // The rule by which the classes were made.
    let table = String(decoding: try Data(contentsOf: folder.url("new.csv")), as: UTF8.self)
    let right = zip(rows.dropFirst(), table.split(separator: "\n").dropFirst()).count { row, line in
      let cells = line.split(separator: ",").map(String.init)
      let (visits, income, age) = (Double(cells[0])!, Double(cells[2])!, Double(cells[3])!)
      return row[3] == (income > 70_000 ? "gold" : visits > 15 && age < 50 ? "young" : "basic")
    }
    #expect(right >= 32)
    #expect(output.contains("\ncertificate\tgates\n") && output.contains("\nrecall_gold\t"))
    #expect(folder.files.contains("confusion.png"))
  }

  @Test func aFolderOfPictures() throws {
    let (folder, output) = try run("A folder of pictures")
    let rows = try rows(folder)
    #expect(rows.map { $0[1] } == ["name", "photo 21.png", "photo 22.png", "photo 23.png"])
    #expect(rows.dropFirst().allSatisfy { $0[3] == "rows" })
    #expect(output.contains("\ncertificate\tgates\n") && folder.files.contains("filters.png"))
  }

  @Test(.enabled(if: TutorialTests.python(has: "numpy"), "no Python with numpy"))
  func arrays() throws {
    let (folder, output) = try run("Arrays, and on to PyTorch")
    #expect(output.contains("\ncertificate\t") && output.contains("\naccuracy\t1.0\n"))
    #expect(try folder.read("network").classNames() == ["below", "above"])
  }

  /// The commonest mistakes, each with what its message says to do.
  @Test func mistakesSayWhatToDo() throws {
    let folder = try Folder()
    let made = try Tools.shell(
      """
      set -e
      printf 'a,b,kind\\n1,2,x\\n3,1,y\\n2,5,x\\n0,4,y\\n1,1,x\\n' >table.csv
      printf 'a;b;kind\\n1;2;x\\n' >semicolons.csv
      tensor from-csv table.csv --labels kind --standardize -o data
      solve --activation linear --beta 0.1 data -o solution; recover solution -o network
      cifar-extract --synthetic 4 --classes 0,1 -o images
      tensor from-csv table.csv --drop kind -o unlabelled
      printf 'PK\\003\\004 and so on' >state.pt
      printf 'a,b,same,kind\\n1,2,7,x\\n3,1,9,y\\n2,5,7,x\\n0,4,9,y\\n1,1,7,x\\n' >leak.csv
      printf 'a,b,kind\\n1e6,2,x\\n3,1,y\\n' >sizes.csv
      printf 'a,b\\n1000,2000\\n3000,1000\\n' >units.csv
      tensor from-csv units.csv --like network -o units
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    for (command, status, words) in [
      ("solve --activation linear --beta 1 table.csv", 1, "tensor from-csv"),
      ("evaluate network state.pt", 1, "a ZIP archive, as PyTorch (.pt)"),
      ("tensor from-csv semicolons.csv --labels kind -o out", 1, "--delimiter ';'"),
      ("evaluate network", 2, "evaluate NETWORK DATA"),
      ("evaluate data network", 1, "the network comes first"),
      ("evaluate solution data", 1, "recover makes a network of it"),
      ("evaluate network data --certify network", 1, "a solution is what solve writes"),
      ("evaluate network images", 1, "patchify makes a dataset of it"),
      ("solve --activation linear --beta 1 images", 1, "patchify"),
      (
        "solve --activation gated-relu --beta 1 data", 1,
        "the command arrangements adds the patterns"
      ),
      ("solve --activation linear --beta 1 unlabelled", 1, "--labels COLUMN or --targets COLUMN"),
      (
        "tensor from-csv leak.csv --labels kind -o out", 0,
        "column \"same\" has one value for each class"
      ),
      (
        "tensor from-csv sizes.csv --labels kind -o out", 0, "--standardize gives them equal weight"
      ),
      ("evaluate network units", 0, "deviations from that of the training data"),
      ("tensor from-csv table.csv --labels species -o out", 1, "has no column \"species\""),
    ] as [(String, Int32, String)] {
      let run = try Tools.shell("\(command) >/dev/null", in: folder)
      #expect(run.status == status, "\(command): \(run)")
      #expect(run.errors.contains(words), "\(command): \(run.errors)")
    }
  }
}
