import Foundation
import Tensors
import Testing

/// The files that a run writes: all of them or none, and none of them one that it reads.
@Suite struct OutputsTests {
  /// Bundles of every kind, of a few kB.
  private static let data = Result { () throws -> Folder in
    let folder = try Folder()
    let made = try Tools.shell(
      """
      cifar-extract --synthetic 30 --resize 8x8 -o images && patchify images -o data &&
      patchify --moments images -o moments && arrangements --sample 4 data -o gates &&
      solve --quiet --activation 0.09,0.5,0.47 --beta 1 moments -o solution &&
      recover solution -o network
      """, in: folder)
    guard made.status == 0 else { throw Failure.data(made.errors) }
    return folder
  }

  /// A new folder with copies of the bundles.
  private func folder() throws -> Folder {
    let (data, folder) = (try OutputsTests.data.get(), try Folder())
    for name in data.files {
      try FileManager.default.copyItem(at: data.url(name), to: folder.url(name))
    }
    return folder
  }

  /// Every file of `folder` and what it holds.
  private func contents(_ folder: Folder) throws -> [String: Data] {
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.url.path)
    return Dictionary(
      uniqueKeysWithValues: names.map { ($0, (try? Data(contentsOf: folder.url($0))) ?? Data()) })
  }

  private static let polynomial = "--quiet --activation 0.09,0.5,0.47 --beta 1"

  private static let besides = [
    "evaluate --data moments network --predictions new --confusion old --filters /dev/full -o out",
    "evaluate --data moments network --predictions new --confusion old --filters f.png -o /dev/full",
    "evaluate --data moments network --predictions new --confusion old >/dev/full",
    "cifar-extract --synthetic 5 --contact-sheet new -o /dev/full",
    "cifar-extract --synthetic 5 --contact-sheet old >/dev/full",
    "cifar-extract --synthetic 5 --contact-sheet /dev/full -o out",
    "solve \(polynomial) moments --trace new -o /dev/full",
    "solve \(polynomial) moments --trace old >/dev/full",
    "solve \(polynomial) moments --trace /dev/full -o out",
    "solve \(polynomial) moments --path 3 --trace old --path-table new --path-output dir -o /dev/full",
    "solve \(polynomial) moments --path 3 --trace new --path-table /dev/full --path-output dir -o out",
    "baseline --epochs 2 --neurons 2 data --trace new -o /dev/full",
    "baseline --epochs 2 --neurons 2 data --trace old >/dev/full",
    "baseline --epochs 2 --neurons 2 data --trace /dev/full -o out",
  ]

  @Test(arguments: besides) func allOutputsAppearOrNone(call: String) throws {
    let folder = try folder()
    try Data("earlier".utf8).write(to: folder.url("old"))
    let before = try contents(folder)
    let run = try Tools.shell(call, in: folder)
    #expect(run.failed(1, String(call.prefix { $0 != " " })), "\(run.status): \(run.errors)")
    #expect(run.errors.contains("no space left on device"), "\(run.errors)")
    #expect(try contents(folder) == before)
  }

  @Test func aTraceAppearsWithItsSolution() throws {
    let folder = try folder()
    let before = try contents(folder)
    let solve = "solve \(OutputsTests.polynomial) moments --max-iterations 1 --gap 1e-9 --trace new"
    let strict = try Tools.shell("\(solve) --require-optimal -o out", in: folder)
    #expect(strict.failed(1, "solve"), "\(strict.status): \(strict.errors)")
    #expect(try contents(folder) == before)
    #expect(try Tools.shell("\(solve) -o out", in: folder).status == 0)
    #expect(try Set(contents(folder).keys) == Set(before.keys).union(["new", "out"]))
  }

  /// Of a claim that fails everything is written that tells why.
  @Test func aFalseClaimIsReported() throws {
    let folder = try folder()
    var solution = try folder.read("solution")
    solution.metadata["primal_objective"] = "0.001"
    try folder.write(solution, "forged")
    let run = try Tools.shell(
      "evaluate --data moments --certify forged network --predictions p --filters f --confusion c -o out",
      in: folder)
    #expect(run.failed(1, "evaluate") && run.errors.contains("the claim does not hold"))
    #expect(["p", "f", "c", "out"].allSatisfy { folder.files.contains($0) })
  }

  private static let large = [
    "solve \(polynomial) moments", "recover solution", "baseline --epochs 1 --neurons 9 data",
    "cifar-extract --synthetic 5", "patchify images", "arrangements --sample 4 data",
    "tensor slice --rows 0:20 images", "tensor concat data data", "tensor get images images",
  ]

  @Test(arguments: large) func aFileThatGrowsTooLargeIsAnError(call: String) throws {
    let tool = String(call.prefix { $0 != " " })
    let folder = try folder()
    let before = try contents(folder)
    let filed = try Tools.shell("ulimit -f 1; \(call) -o out", in: folder)
    #expect(filed.failed(1, tool), "\(filed.status): \(filed.errors)")
    #expect(filed.errors.contains("cannot write out: file too large"), "\(filed.errors)")
    #expect(try contents(folder) == before)
    let streamed = try Tools.shell("(ulimit -f 1; \(call) >out)", in: folder)
    #expect(streamed.status == 1, "\(streamed.errors)")
    #expect(
      streamed.errors == "\(tool): cannot write standard output: file too large\n",
      "\(streamed.errors)")
  }

  @Test(arguments: [
    "evaluate --data moments network --predictions",
    "solve \(polynomial) --gap 1e-9 moments -o solved --trace",
    "baseline --epochs 40 --neurons 2 data -o trained --trace",
    "cifar-extract --synthetic 100 -o made --contact-sheet",
  ]) func aFileBesideThatGrowsTooLargeIsAnError(call: String) throws {
    let folder = try folder()
    let before = try contents(folder)
    // The result goes to a pipe, of which no size is too large.
    let call = call.replacingOccurrences(of: " -o [a-z]*", with: "", options: .regularExpression)
    let run = try Tools.shell("(ulimit -f 1; \(call) new) | cat >/dev/null", in: folder)
    let tool = call.prefix { $0 != " " }
    #expect(run.status == 1)
    #expect(run.errors == "\(tool): cannot write new: file too large\n", "\(run.errors)")
    #expect(try contents(folder) == before)
  }
}

/// What is read is not written to, under whatever name.
extension OutputsTests {
  private static let onto: [(call: String, input: String)] =
    [
      ("solve \(polynomial) moments -o out --trace", "moments"),
      ("solve \(polynomial) -o out --trace", "moments <moments"),
      ("solve \(polynomial) --path 2 moments -o out --path-table", "moments"),
      ("solve \(polynomial) --path 2 --validation data moments -o out --trace", "data"),
      ("solve \(polynomial) --path 2 --validation data moments -o", "data"),
      ("solve \(polynomial) --warm-start solution moments -o out --trace", "solution"),
      ("baseline --epochs 1 data -o out --trace", "data"),
      ("baseline --epochs 1 --validation gates data -o out --trace", "gates"),
      ("baseline --epochs 1 --validation gates data -o", "gates"),
      ("patchify --like moments images -o", "moments"),
      ("recover --data gates solution -o", "gates"),
      ("cifar-extract records -o out --contact-sheet", "records"),
    ]
    + ["predictions", "filters", "confusion"].flatMap { option in
      ["network", "moments", "solution"].map {
        ("evaluate --data moments --certify solution network -o out --\(option)", $0)
      }
    }
    + ["moments", "solution"].map {
      ("evaluate --data moments --certify solution network -o", $0)
    }

  @Test(arguments: onto) func noInputIsWrittenTo(call: String, input: String) throws {
    let folder = try folder()
    try Data(count: 3073).write(to: folder.url("records"))
    let name = String(input.prefix { $0 != " " })
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("link"), withDestinationPath: "./\(name)")
    try FileManager.default.linkItem(at: folder.url(name), to: folder.url("hard"))
    let before = try contents(folder)
    for other in ["./\(input)", "link", "hard"] {
      let redirection = input == name || other.hasPrefix(".") ? "" : input.dropFirst(name.count)
      let run = try Tools.shell("\(call) \(other)\(redirection)", in: folder)
      #expect(run.failed(2, String(call.prefix { $0 != " " })), "\(other): \(run.errors)")
      #expect(run.errors.contains("name the same file"), "\(run.errors)")
      #expect(try contents(folder) == before, "\(other)")
    }
  }

  @Test func filesOfDirectoriesAreInputsToo() throws {
    let folder = try folder()
    let made = try Tools.shell(
      """
      mkdir -p tree/a path && cifar-extract --synthetic 1 --contact-sheet tree/a/1.png -o made &&
      cp tree/a/1.png tree/a/2.png && cp moments path/2 &&
      mkdir batches && for i in 1 2 3 4 5; do head -c 3073 /dev/zero >batches/data_batch_$i.bin; done
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    let before = try contents(folder)
    for call in [
      "cifar-extract --png tree -o out --contact-sheet tree/a/1.png",
      "cifar-extract --png tree --per-class 1 -o out --contact-sheet tree/a/2.png",
      "cifar-extract --png tree -o tree/a/1.png",
      "cifar-extract batches -o out --contact-sheet batches/data_batch_3.bin",
      "cifar-extract batches -o batches/data_batch_3.bin",
      "solve \(OutputsTests.polynomial) --path 2 --path-output path path/2 -o out",
      "solve \(OutputsTests.polynomial) --path 2 --path-output path -o out <path/2",
    ] {
      let run = try Tools.shell(call, in: folder)
      #expect(run.failed(2, String(call.prefix { $0 != " " })), "\(call): \(run.errors)")
      #expect(try contents(folder) == before, "\(call)")
    }
  }

  /// The result may take the place of the operand, or of the solution that the search starts from.
  @Test func aResultMayReplaceWhatItComesFrom() throws {
    let folder = try folder()
    for call in [
      "solve \(OutputsTests.polynomial) --warm-start solution moments -o solution",
      "evaluate --data moments --certify solution --predictions table network -o report",
      "cifar-extract --png tree --contact-sheet tree/sheet.png -o tree/images",
      "recover solution -o solution", "tensor slice --rows 0:9 data -o data",
      "cifar-extract --synthetic 5 --contact-sheet images -o images.5 <images",
    ] {
      let run = try Tools.shell(
        "mkdir -p tree/a; [ -e tree/a/1.png ] || cifar-extract --synthetic 1 --contact-sheet tree/a/1.png "
          + ">made; \(call)", in: folder)
      #expect(run.status == 0, "\(call): \(run.errors)")
    }
  }
}
