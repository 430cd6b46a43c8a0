import Foundation
import Schema
import Tensors
import Testing

/// `solve --path COUNT --folds K`: the path of β is judged by cross-validation.
@Suite struct FoldsTests {
  private let folder: Folder

  /// 45 samples of three classes, as a table, its arrangements, images and moments.
  init() throws {
    folder = try Folder()
    let run = try Tools.shell(
      """
      set -e
      awk 'function r() { s = (s * 16807) % 2147483647; return 2 * s / 2147483647 - 1 }
        BEGIN { s = 7; print "a,b,c,kind"
          for (i = 0; i < 45; ++i) { a = r(); b = r(); e = r()
            printf "%.6f,%.6f,%.6f,%s\\n", a, b, r(), (a + 0.5 * e > 0.3) ? "p" : (b > 0) ? "q" : "r" } }' >table.csv
      tensor from-csv table.csv --labels kind --bias -o data
      arrangements --quiet --sample 8 data -o arr
      cifar-extract --synthetic 40 --resize 6x6 --classes 0,1 -o images
      patchify --quiet --size 3 --stride 3 --pool 2 images -o patches
      patchify --quiet --size 3 --stride 3 --moments images -o moments
      arrangements --quiet --sample 5 patches -o parr
      patchify --quiet --size 3 --stride 3 --defer images | arrangements --quiet --sample 5 -o deferred
      """, in: folder)
    try #require(run.status == 0, "\(run.errors)")
  }

  private func solve(_ arguments: String, _ data: String, _ output: String = "out") throws -> Run {
    try Tools.shell("solve \(arguments) \(data) -o \(output)", in: folder)
  }

  /// The score of each β is that of networks trained on the other folds alone: the same by tensor fold and evaluate.
  @Test func scoresAreThoseOfTheFolds() throws {
    let run = try solve(
      "--activation linear --path 4 --folds 3 --gap 1e-8 --path-table table", "data")
    #expect(run.status == 0, "\(run.errors)")
    let solution = try folder.read("out")
    let steps = try #require(solution.metadata["path"]).split(separator: ",").map {
      $0.split(separator: ":").map { Double($0)! }
    }
    #expect(steps.count == 4)
    // Down to a thousandth of β_max.
    let largest = try #require(solution.metadata["beta_max"].flatMap { Double($0) })
    #expect(abs(steps[3][0] / largest * 1000 - 1) < 1e-9)
    var right = [Double](repeating: 0, count: 4)
    var losses = right
    for fold in 1...3 {
      let parts = try Tools.shell(
        "tensor fold --folds 3 --fold \(fold) --stratify data -o train --rest held", in: folder)
      #expect(parts.status == 0, "\(parts.errors)")
      for (k, step) in steps.enumerated() {
        let run = try Tools.shell(
          "solve --activation linear --beta \(step[0]) --gap 1e-8 train | recover | evaluate --data held --json",
          in: folder)
        let report = try #require(
          JSONSerialization.jsonObject(with: run.output) as? [String: Any])
        right[k] += try #require(report["accuracy"] as? Double) * 15
        losses[k] += try #require(report["loss"] as? Double)
      }
    }
    for k in 0..<4 { #expect(abs(steps[k][1] - right[k] / 45) < 1e-9) }
    let best = (0..<4).filter { abs(steps[$0][1] - steps.map { $0[1] }.max()!) < 1e-9 }
      .min { losses[$0] < losses[$1] }!
    #expect(solution.metadata["beta"] == "\(steps[best][0])")
    let loss = try #require(solution.metadata["validation_loss"].flatMap { Double($0) })
    #expect(abs(loss / losses[best] - 1) < 1e-3)
    #expect(
      run.errors.contains("solve: chose beta \(steps[best][0]), \(best + 1) of 4, with accuracy"))
    #expect(run.errors.contains("over 3 folds"))
    // It is a solution for all samples like any other.
    let judged = try Tools.shell(
      "recover out -o net && evaluate net data --certify out", in: folder)
    #expect(judged.status == 0 && judged.text.contains("\nbeta\t\(steps[best][0])\n"), "\(judged)")
    let table = String(decoding: try Data(contentsOf: folder.url("table")), as: UTF8.self)
    #expect(
      table.split(separator: "\n").dropFirst().map { $0.split(separator: "\t")[6] }
        == steps.map { "\($0[1])" })
  }

  @Test(arguments: [
    ("--activation gated-relu", "arr"), ("--activation relu", "arr"), ("--activation relu", "data"),
    ("--activation gated-relu --loss cross-entropy", "arr"),
    ("--activation gated-relu --group pattern", "parr"), ("--activation relu", "parr"),
    ("--activation gated-relu", "deferred"), ("--activation 0.09,0.5,0.47", "moments"),
    ("--activation 0.09,0.5,0.47", "data"), ("--activation linear", "patches"),
  ])
  func everyProgramIsCrossValidated(_ options: String, _ data: String) throws {
    let run = try solve("\(options) --path 3 --folds 3 --gap 1e-3 --seed 2", data)
    #expect(run.status == 0 && run.errors.contains("over 3 folds"), "\(options), \(data): \(run)")
    let solution = try folder.read("out")
    #expect(solution.metadata["path"]?.split(separator: ",").count == 3)
    let judged = try Tools.shell(
      "recover out -o net && evaluate --quiet net \(data) --certify out", in: folder)
    #expect(judged.status == 0, "\(options), \(data): \(judged.errors)")
    // Training over all patterns proves for as long as it trained, which is not the same every time.
    if data == "data", options.contains("relu") { return }
    // The same seed, the same choice to the last bit.
    #expect(
      try solve("\(options) --path 3 --folds 3 --gap 1e-3 --seed 2", data, "again").status == 0)
    #expect(try Data(contentsOf: folder.url("out")) == Data(contentsOf: folder.url("again")))
  }

  @Test func whatCannotBeChosenIsRefused() throws {
    for (options, status, words): (String, Int32, String) in [
      ("--beta 1 --folds 3", 2, "--folds needs --path"), ("--path 3 --folds 1", 2, "at least 2"),
      ("--path 3 --folds 46", 2, "has 45 samples"),
      ("--path 3 --folds 3 --validation data", 2, "exclude each other"),
      ("", 2, "--beta is missing"),
    ] {
      let run = try solve("--activation linear \(options)", "data")
      #expect(run.failed(status, "solve") && run.errors.contains(words), "\(options): \(run)")
    }
    #expect(!folder.files.contains("out"))
    // A class that only one sample has: one of the parts lacks it.
    let lone = try Tools.shell(
      """
      sed '2s/[a-z]*$/lone/' table.csv | tensor from-csv --labels kind -o lone
      solve --activation linear --path 3 --folds 5 lone -o out
      """, in: folder)
    #expect(lone.status == 0, "\(lone)")
  }

  /// A limit before the folds end chooses nothing, and says so.
  @Test func aLimitChoosesNothing() throws {
    let run = try solve(
      "--activation gated-relu --path 5 --folds 5 --max-seconds 1e-9 --beta 0.1", "arr")
    #expect(run.status == 0, "\(run)")
    #expect(try folder.read("out").metadata["path"] == nil)
    let unknown = try solve(
      "--activation gated-relu --path 5 --folds 5 --max-seconds 1e-9", "arr", "none")
    #expect(unknown.status == 1 || folder.files.contains("none"), "\(unknown)")
  }
}
