import Foundation
import Schema
import Tensors
import Testing

/// `tensor standardize`, `split` and `fold`.
@Suite struct PartsTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func tensor(_ arguments: String...) throws -> Run {
    try Tools.run("tensor", arguments, in: folder)
  }

  /// 30 samples of three classes, 15, 10 and 5, whose feature is their number.
  private func samples(_ kind: Kind = .dataset) -> Bundle {
    let numbers = (0..<30).map { Double($0) }
    var tensors = [
      "labels": Tensor((0..<30).map { Int32($0 % 6 < 3 ? 0 : $0 % 6 < 5 ? 1 : 2) }),
      "mean": Tensor(numbers),
    ]
    switch kind {
    case .images:
      tensors["images"] = Tensor(numbers.map { UInt8($0) }, shape: [30, 1, 1, 1])
    case .moments: tensors["moments"] = Tensor(numbers + numbers, shape: [30, 1, 2])
    default: tensors["x"] = Tensor(numbers, shape: [30, 1])
    }
    return Bundle(
      kind: kind, tensors: tensors, metadata: ["classes": "a,b,c", "command": "made by hand"])
  }

  private func numbers(_ name: String) throws -> [Double] {
    let bundle = try folder.read(name)
    let tensor = bundle[.x] ?? bundle[.images] ?? bundle[.moments]!
    return tensor.doubles
  }

  @Test(arguments: [Kind.dataset, .images]) func aSplitIsDisjointAndComplete(_ kind: Kind) throws {
    try folder.write(samples(kind), "in")
    for fraction in ["0.5", "0.7", "0.01", "0.99"] {
      let run = try tensor("split", "--fraction", fraction, "in", "-o", "a", "--rest", "b")
      if fraction == "0.01" {
        #expect(run.failed(1, "tensor") && run.errors.contains("leaves none"), "\(run)")
        #expect(folder.files.sorted() == ["a", "b", "in"])
        continue
      }
      if fraction == "0.99" {
        #expect(run.failed(1, "tensor") && run.errors.contains("all of them"), "\(run)")
        continue
      }
      #expect(run.status == 0, "\(run.errors)")
      let (a, b) = (try numbers("a"), try numbers("b"))
      #expect(a == a.sorted() && b == b.sorted())
      #expect((a + b).sorted() == (0..<30).map { Double($0) })
      #expect(a.count == (fraction == "0.5" ? 15 : 21))
    }
    let (a, b) = (try folder.read("a"), try folder.read("b"))
    #expect(a.metadata["classes"] == "a,b,c" && a[.mean]?.count == 30)
    #expect(a.metadata["command"] == "made by hand\ntensor split --fraction 0.7")
    #expect(b.metadata["command"] == "made by hand\ntensor split --fraction 0.7 --rest FILE")
    let labels = samples(kind)[.labels]!.doubles
    #expect(try numbers("a").map { labels[Int($0)] } == a[.labels]?.doubles)
  }

  @Test func theSeedDecides() throws {
    try folder.write(samples(), "in")
    var parts: [[Double]] = []
    for seed in ["0", "0", "1"] {
      let run = try tensor(
        "split", "--fraction", "0.5", "--seed", seed, "in", "-o", "a", "--rest", "b")
      #expect(run.status == 0)
      parts.append(try numbers("a"))
    }
    #expect(parts[0] == parts[1] && parts[0] != parts[2])
  }

  @Test func strataHaveTheirShares() throws {
    try folder.write(samples(), "in")
    func counts(_ name: String) throws -> [Int] {
      let labels = try folder.read(name)[.labels]!.doubles
      return (0..<3).map { c in labels.count { $0 == Double(c) } }
    }
    #expect(
      try tensor("split", "--fraction", "0.6", "--stratify", "in", "-o", "a", "--rest", "b").status
        == 0)
    #expect(try counts("a") == [9, 6, 3] && counts("b") == [6, 4, 2])
    var seen: [Double] = []
    for fold in 1...5 {
      let run = try tensor(
        "fold", "--folds", "5", "--fold", "\(fold)", "--stratify", "in", "-o", "a", "--rest", "b")
      #expect(run.status == 0, "\(run.errors)")
      #expect(try counts("b") == [3, 2, 1])
      let (rest, train) = (try numbers("b"), try numbers("a"))
      #expect((rest + train).sorted() == (0..<30).map { Double($0) })
      seen += rest
    }
    #expect(seen.sorted() == (0..<30).map { Double($0) })
    // Those who count from 0 get every fold once too.
    let last = try folder.read("b")
    #expect(
      try tensor("fold", "--folds=5", "--fold=0", "--stratify", "in", "-o", "a", "--rest", "b")
        .status == 0)
    #expect(try folder.read("b")[.x]?.doubles == last[.x]?.doubles)
  }

  @Test func partsThatCannotBeAreRefused() throws {
    try folder.write(samples(.moments), "moments")
    var unlabelled = samples()
    unlabelled[.labels] = nil
    try folder.write(unlabelled, "unlabelled")
    var arrangements = samples()
    arrangements.metadata["kind"] = "arrangements"
    try folder.write(arrangements, "arrangements")
    let out = ["-o", "a", "--rest", "b"]
    for (arguments, status, words): ([String], Int32, String) in [
      (["split", "--fraction", "0.5", "--stratify", "unlabelled"] + out, 1, "needs labels"),
      (
        ["split", "--fraction", "0.5", "arrangements"] + out, 1,
        "expected dataset, images or moments"
      ),
      (["fold", "--folds", "31", "--fold", "1", "moments"] + out, 1, "too few for 31 folds"),
      (["fold", "--folds", "3", "--fold", "4", "moments"] + out, 2, "--fold is 4"),
      (["split", "--fraction", "1", "moments"] + out, 2, "between 0 and 1"),
      (["split", "--fraction", "0.5", "moments", "-o", "a"], 2, "--rest FILE"),
      (["split", "--fraction", "0.5", "moments", "-o", "a", "--rest", "a"], 2, "the same file"),
      (
        ["split", "--fraction", "0.5", "moments", "-o", "a", "--rest", "moments"], 2,
        "the same file"
      ),
      (["slice", "--rows", "0:1", "--fraction", "0.5", "moments"], 2, "belongs to split"),
    ] {
      let run = try Tools.run("tensor", arguments, in: folder)
      #expect(run.failed(status, "tensor"), "\(arguments): \(run)")
      #expect(run.errors.contains(words), "\(arguments): \(run.errors)")
    }
    #expect(folder.files == ["arrangements", "moments", "unlabelled"])
    #expect(
      try Tools.run("tensor", ["split", "--fraction", "0.5", "moments"] + out, in: folder).status
        == 0)
  }

  /// One output that cannot be written leaves no other.
  @Test func bothPartsAppearOrNone() throws {
    try folder.write(samples(), "in")
    let run = try tensor("split", "--fraction", "0.5", "in", "-o", "a", "--rest", "none/b")
    #expect(run.failed(1, "tensor"))
    let full = try tensor("split", "--fraction", "0.5", "in", "-o", "a", "--rest", "/dev/full")
    #expect(full.failed(1, "tensor"))
    #expect(folder.files == ["in"])
  }

  @Test(arguments: [false, true]) func standardisedFeaturesHaveMean0AndDeviation1(
    _ isSingle: Bool
  ) throws {
    let values = [1.0, 7, 100, 3, 7, -200, 8, 7, 400, 0, 7, 0]
    let x =
      isSingle ? Tensor(values.map { Float($0) }, shape: [4, 3]) : Tensor(values, shape: [4, 3])
    try folder.write(Bundle(kind: .dataset, tensors: ["x": x]), "in")
    #expect(try tensor("standardize", "in", "-o", "out").status == 0)
    let out = try folder.read("out")
    #expect(out[.x]?.type == x.type)
    // Mean and deviation, the latter divided by n; a constant keeps its value.
    #expect(out[.shift]?.doubles == [3, 0, 75])
    let deviations = [sqrt(9.5), 1, sqrt(46_875)]
    #expect(zip(out[.divisor]!.doubles, deviations).allSatisfy { abs($0 - $1) < 1e-13 * $1 })
    for (i, value) in out[.x]!.doubles.enumerated() {
      let expected = (values[i] - out[.shift]!.doubles[i % 3]) / out[.divisor]!.doubles[i % 3]
      #expect(value == (isSingle ? Double(Float(expected)) : expected))
    }
    #expect(try tensor("standardize", "out").errors.contains("standardised already"))
    #expect(try tensor("standardize", "--like", "in", "in").errors.contains("is not standardised"))
    #expect(try tensor("standardize", "--like", "out", "in", "-o", "again").status == 0)
    #expect(try folder.read("again")[.x]?.doubles == out[.x]?.doubles)
  }

  @Test func whatCannotBeStandardisedIsRefused() throws {
    var gates = samples()
    gates.metadata["kind"] = "arrangements"
    try folder.write(gates, "gates")
    try folder.write(samples(.images), "images")
    try folder.write(
      Bundle(kind: .dataset, tensors: ["x": Tensor([1e308, -1e308], shape: [2, 1])]), "huge")
    try folder.write(
      Bundle(kind: .dataset, tensors: ["x": Tensor([0, 1e-200], shape: [2, 1])]), "tiny")
    try folder.write(
      Bundle(kind: .dataset, tensors: ["x": Tensor([1.0, 2], shape: [1, 2])]), "wide")
    #expect(try tensor("standardize", "wide", "-o", "other").status == 0)
    try folder.write(samples(), "in")
    for (arguments, words) in [
      (["gates"], "find its arrangements anew"), (["images"], "expected dataset"),
      (["huge"], "cannot be standardised"), (["tiny"], "cannot be standardised"),
      (["in", "--like", "other"], "--like has 2 features"),
    ] {
      let run = try Tools.run("tensor", ["standardize"] + arguments, in: folder)
      #expect(run.failed(1, "tensor"), "\(arguments): \(run)")
      #expect(run.errors.contains(words), "\(arguments): \(run.errors)")
    }
  }
}
