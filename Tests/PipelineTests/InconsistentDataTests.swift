import Foundation
import Schema
import Tensors
import Testing

/// Data that contradict themselves are refused by every tool that reads them, in the same words.
@Suite struct InconsistentDataTests {
  private static let x = Tensor((0..<12).map { sin(Double($0 * $0)) }, shape: [6, 2])
  private static let labels: [Int32] = [0, 1, 0, 1, 0, 1]

  /// Six samples of two features with the given answers.
  private static func data(
    _ kind: Kind = .dataset, labels: [Int32]? = nil, targets: Tensor? = nil,
    classes: String? = nil
  ) -> Bundle {
    var bundle = Bundle(kind: kind, tensors: [:])
    bundle.tensors[kind == .images ? "images" : "x"] =
      kind == .images ? Tensor(type: .u8, shape: [6, 1, 4, 4]) : x
    bundle.tensors["labels"] = labels.map { Tensor($0) }
    bundle.tensors["targets"] = targets
    bundle.metadata["classes"] = classes
    return bundle
  }

  private static func answers(_ kind: Kind) -> [(bundle: Bundle, words: String)] {
    [
      (
        data(kind, labels: [0, 1, 0, -1, 0, 1], classes: "a,b"),
        "tensor \"labels\" of bad: the label of sample 3 is -1, expected 0 to 1"
      ),
      (
        data(kind, labels: [0, 1, 0, 1, 2, 1], classes: "a,b"),
        "tensor \"labels\" of bad: the label of sample 4 is 2, expected 0 to 1"
      ),
      (
        data(kind, targets: Tensor(type: .f64, shape: [6, 0])),
        "tensor \"targets\" of bad is F64 [6, 0]: it has no columns"
      ),
      (
        data(kind, labels: labels, targets: Tensor([1.0, 2, 3, 4, 5, 6]), classes: "a,b"),
        "bad has both \"labels\" and \"targets\""
      ),
      (data(kind, labels: labels, classes: "a,,b"), "metadata \"classes\" of bad is \"a,,b\""),
      (
        data(kind, labels: labels, classes: "a,b,a"),
        "metadata \"classes\" of bad has the name \"a\" twice"
      ),
    ]
  }

  /// Nothing comes out, and the message has `words`.
  private func expectRefused(_ call: String, _ words: String, in folder: Folder) throws {
    let before = folder.files
    let run = try Tools.shell("\(call) -o out", in: folder)
    #expect(run.failed(1, String(call.prefix { $0 != " " })), "\(call): \(run.errors)")
    #expect(run.errors.contains(words), "\(call): \(run.errors)")
    #expect(folder.files == before, "\(call)")
  }

  @Test func answersThatDoNotFitAreRefused() throws {
    let folder = try Folder()
    let rows = "tensor \"targets\" of bad is F64 [5], but there are 6 samples"
    try folder.write(
      InconsistentDataTests.data(targets: Tensor([1.0, 2, 3, 4, 5])), "bad")
    for call in [
      "arrangements --sample 4 bad", "arrangements --exact bad", "baseline --epochs 1 bad",
      "solve --activation 1,0,0 --beta 1 bad", "solve --activation linear --beta 1 bad",
    ] {
      try expectRefused(call, rows, in: folder)
    }
    for call in ["tensor slice --rows 0:2 bad", "tensor concat bad bad"] {
      try expectRefused(
        call, "tensor \"x\" of bad has 6 rows, but tensor \"targets\" has 5", in: folder)
    }
    for (bundle, words) in InconsistentDataTests.answers(.dataset) {
      try folder.write(bundle, "bad")
      for call in [
        "arrangements --sample 4 bad", "arrangements --exact bad", "baseline --epochs 1 bad",
        "solve --activation 1,0,0 --beta 1 bad", "tensor slice --rows 0:6 bad",
        "tensor concat bad bad",
      ] {
        try expectRefused(call, words, in: folder)
      }
    }
    for (bundle, words) in InconsistentDataTests.answers(.images) {
      try folder.write(bundle, "bad")
      for call in [
        "patchify bad", "patchify --moments bad", "patchify --defer bad",
        "tensor slice --rows 0:6 bad", "tensor concat bad bad",
      ] {
        try expectRefused(call, words, in: folder)
      }
    }
  }

  /// A stray number must not make millions of classes; without answers there is nothing to contradict.
  @Test func arrangementsNeedNoAnswers() throws {
    let folder = try Folder()
    try folder.write(InconsistentDataTests.data(labels: [0, 1, 0, 1, 2_000_000, 1]), "bad")
    for call in ["arrangements --sample 4 bad", "solve --activation 1,0,0 --beta 1 bad"] {
      try expectRefused(call, "the label of sample 4 is 2000000, expected 0 to 999", in: folder)
    }
    try folder.write(InconsistentDataTests.data(), "bare")
    #expect(try Tools.shell("arrangements --sample 4 bare -o out", in: folder).status == 0)
  }

  @Test func namesThatStandForTwoAreRefused() throws {
    let folder = try Folder()
    for (table, options) in [
      ("a,a,y\\n1,2,3\\n4,5,6\\n", "--targets y"), ("a,y,a\\n1,2,3\\n4,5,6\\n", "--labels y"),
      ("y,a,y\\n1,2,3\\n4,5,6\\n", "--targets y"), ("y,a,y\\n1,2,3\\n4,5,6\\n", "--targets 1"),
      ("a,b,a\\n1,2,3\\n4,5,6\\n", ""),
    ] {
      let twice = table.hasPrefix("y") ? "y" : "a"
      try Tools.shell("printf '\(table)' > table", in: folder)
      try expectRefused(
        "tensor from-csv table \(options)", "the first line of table has 2 columns \"\(twice)\"",
        in: folder)
    }
    // Columns without names are no two of one name, and numbers are no names.
    for table in ["a,,\\n1,2,3\\n", "1,1,2\\n1,2,3\\n"] {
      #expect(try Tools.shell("printf '\(table)' | tensor from-csv", in: folder).status == 0)
    }
  }

  /// Metadata that may be missing, and are there and say nothing.
  @Test func unreadableMetadataAreNotTakenForMissing() throws {
    let folder = try Folder()
    try folder.write(
      InconsistentDataTests.data(labels: InconsistentDataTests.labels, classes: "a,b"), "data")
    let made = try Tools.shell(
      """
      arrangements --quiet --exact data -o gates && solve --activation relu --beta 0.1 gates -o solution &&
      recover solution -o network && evaluate --data gates --certify solution network
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    let solve = "solve --activation relu --beta 0.1"
    for (name, key, calls) in [
      ("data", "bias", ["arrangements --sample 3 bad", "baseline --epochs 1 bad"]),
      ("data", "exact", ["solve --activation linear --beta 1 bad"]),
      (
        "gates", "exact",
        ["\(solve) bad", "evaluate --data bad network", "recover --minimal --data bad solution"]
      ),
      (
        "solution", "exact",
        [
          "recover bad", "evaluate --data gates --certify bad network",
          "\(solve) --warm-start bad gates",
        ]
      ),
      ("solution", "minimal", ["recover --minimal bad", "recover bad"]),
      ("solution", "bias", ["recover bad"]),
      ("solution", "beta", ["\(solve) --warm-start bad gates"]),
      ("solution", "relative_gap", ["\(solve) --warm-start bad gates"]),
      ("network", "regions", ["evaluate --data gates bad"]),
    ] as [(String, String, [String])] {
      let original = try folder.read(name)
      for value in ["relu", "nan", "\u{1B}", "", key == "regions" ? "1.0" : "0x1"] {
        var bundle = original
        bundle.metadata[key] = value
        try folder.write(bundle, "bad")
        for call in calls {
          try expectRefused(call, "metadata \"\(key)\" of bad is ", in: folder)
        }
      }
    }
  }

  @Test func threadsHaveALimit() throws {
    for tool in ["solve --activation 1,0,0 --beta 1", "patchify", "evaluate --data d"] {
      let run = try Tools.shell("\(tool) --threads 100000000 </dev/null")
      #expect(run.failed(2, String(tool.prefix { $0 != " " })), "\(run.errors)")
      #expect(
        run.errors.contains("--threads is \"100000000\", expected a whole number from 1 to "))
    }
    let few = try Tools.shell(
      "cifar-extract --synthetic 4 | patchify --threads 64 | tensor show | grep -c x")
    #expect(few.status == 0, "\(few.errors)")
  }
}
