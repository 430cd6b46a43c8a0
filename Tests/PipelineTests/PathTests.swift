import Foundation
import Schema
import Tensors
import Testing

/// A folder with "train", "held" (bundles of `classes` classes, 40 and 60 samples of `patches` patches of three
/// features, in two regions if there are several), and "train.gates", the arrangements of "train".
private func pathFolder(classes: Int, patches: Int) throws -> Folder {
  let folder = try Folder()
  try folder.write(pathData(classes: classes, patches: patches, n: 40, seed: 1), "train")
  try folder.write(pathData(classes: classes, patches: patches, n: 60, seed: 2), "held")
  let run = try Tools.shell("arrangements --sample 12 train -o train.gates", in: folder)
  #expect(run.status == 0, "\(run.errors)")
  return folder
}

private func pathData(classes: Int, patches: Int, n: Int, seed: Int) -> Bundle {
  var random = RandomSource(seed: seed)
  let labels = (0..<n).map { Int32($0 % classes) }
  let x = (0..<n * patches * 3).map { k in
    Float(random.gaussian() + (k % 3 == Int(labels[k / (patches * 3)]) ? 0.8 : 0))
  }
  return Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor(x, shape: [n, patches, 3]),
      "pool": Tensor((0..<patches).map { Int32(2 * $0 / patches) }), "labels": Tensor(labels),
    ],
    metadata: ["classes": ["cat", "dog", "frog"].prefix(classes).joined(separator: ",")])
}

/// The rows of a path's table as text; records an issue where it is not a table as promised.
private func readTable(_ folder: Folder, _ name: String) throws -> [[String]] {
  let text = try String(contentsOf: folder.url(name), encoding: .utf8)
  #expect(text.hasSuffix("\n"))
  let rows = text.split(separator: "\n").map { line in
    line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
  }
  #expect(
    rows.first == ["beta", "primal", "dual", "relative_gap", "neurons", "norm", "validation"])
  for row in rows.dropFirst() {
    #expect(row.count == 7 && row.prefix(6).allSatisfy { Double($0)?.isFinite == true }, "\(row)")
  }
  return Array(rows.dropFirst())
}

/// The report of evaluate on the network of a solution; records an issue where it finds a claim false.
private func report(
  _ solution: String, data: String, certifies: Bool = true, in folder: Folder
) throws -> [String: Double] {
  let claim =
    certifies
    ? "--certify \(solution) --beta $(tensor show \(solution) | awk '$1==\"beta\"{print $2}')" : ""
  let run = try Tools.shell(
    "recover --quiet \(solution) | evaluate --quiet --data \(data) \(claim) -", in: folder)
  #expect(run.status == 0, "\(solution): \(run.errors)")
  return Dictionary(
    run.text.split(separator: "\n").map { line in
      let parts = line.split(separator: "\t")
      return (String(parts[0]), Double(parts[1]) ?? .nan)
    }, uniquingKeysWith: { $1 })
}

@Suite struct PathTests {
  @Test(arguments: [
    ("--activation 0.09,0.5,0.47", 2, 4), ("--activation 0.09,0.5,0.47 --solver admm", 3, 4),
    ("--activation 0.2,-0.3,0.1 --loss hinge", 2, 4),
    ("--activation 0.09,0.5,0.47 --loss cross-entropy", 3, 1),
    ("--activation linear", 3, 4), ("--activation linear --loss logistic", 2, 4),
    ("--activation linear --circular", 2, 1), ("--activation gated-relu", 2, 1),
    ("--activation gated-relu --norm nuclear", 3, 1),
    ("--activation gated-relu --group pattern --loss huber", 3, 1), ("--activation relu", 2, 1),
    ("--activation relu --loss logistic", 2, 1), ("--activation gated-relu", 3, 4),
    ("--activation gated-relu --loss cross-entropy", 3, 4), ("--activation relu", 2, 4),
  ])
  func everySolutionIsThatOfItsBeta(options: String, classes: Int, patches: Int) throws {
    let folder = try pathFolder(classes: classes, patches: patches)
    let data = options.contains("relu") ? "train.gates" : "train"
    let solve = "solve \(options) --gap 1e-5"
    let run = try Tools.shell(
      "\(solve) --beta 0.2 --path 3 --path-table t --path-output d -o last \(data)", in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = try readTable(folder, "t")
    #expect(rows.count == 3 && rows.last?[0] == "0.2" && rows.allSatisfy { $0[6].isEmpty })
    for (k, row) in rows.enumerated() {
      let name = "d/\(k + 1)"
      let solution = try folder.read(name)
      let keys = ["beta", "primal_objective", "dual_objective", "relative_gap"]
      #expect(keys.map { solution.metadata[$0] } == row.prefix(4).map { $0 })
      #expect(solution.metadata["status"] == "optimal" && solution.metadata["certificate"] != nil)
      let numbers = row.prefix(6).map { Double($0)! }
      let (beta, primal, gap, norm) = (numbers[0], numbers[1], numbers[3], numbers[5])
      #expect(gap <= 1e-5)
      let judged = try report(name, data: data, in: folder)
      #expect(judged["neurons"] == numbers[4])
      let objective = try #require(judged["objective"])
      let loss = try #require(judged["loss"])
      #expect(abs(objective - primal) <= 1e-8 * primal)
      #expect(abs((objective - loss) / beta - norm) <= 1e-6 * norm + 1e-9)
      let alone = try Tools.shell("\(solve) --beta \(row[0]) -o alone \(data)", in: folder)
      #expect(alone.status == 0, "\(alone.errors)")
      let other = Double(try folder.read("alone").metadata["primal_objective"] ?? "") ?? .nan
      #expect(abs(other - primal) <= 1.01e-5 * max(other, primal))
    }
    let (last, third) = (try folder.read("last"), try folder.read("d/3"))
    #expect(last.tensors.keys == third.tensors.keys)
    for (name, tensor) in last.tensors { #expect(third.tensors[name]?.doubles == tensor.doubles) }
    #expect(last.metadata["command"]?.hasSuffix("--path 3 --path-output DIR") == true)
    #expect(last.metadata["path"] == nil)
  }

  @Test(arguments: [("0.09,0.5,0.47", 3), ("gated-relu", 2)])
  func validationChooses(activation: String, classes: Int) throws {
    let folder = try pathFolder(classes: classes, patches: 1)
    let data = activation == "gated-relu" ? "train.gates" : "train"
    let run = try Tools.shell(
      """
      solve --activation \(activation) --beta 1e-3 --path 8 --validation held --path-table t \
        --path-output d -o chosen \(data)
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    let rows = try readTable(folder, "t")
    #expect(rows.count == 8)
    let scores = try (1...8).map {
      try report("d/\($0)", data: "held", certifies: false, in: folder)
    }
    for (row, score) in zip(rows, scores) {
      #expect(abs(Double(row[6])! - score["accuracy"]!) < 1e-12)
    }
    // Of the most accurate the one with the smallest loss.
    let best = try #require(
      (0..<8).max {
        (scores[$0]["accuracy"]!, -scores[$0]["loss"]!) < (
          scores[$1]["accuracy"]!, -scores[$1]["loss"]!
        )
      })
    let chosen = try folder.read("chosen")
    #expect(chosen.metadata["beta"] == rows[best][0])
    #expect(chosen.metadata["validation_accuracy"] == rows[best][6])
    let loss = Double(chosen.metadata["validation_loss"] ?? "") ?? .nan
    #expect(abs(loss - scores[best]["loss"]!) <= 1e-3 * loss)
    #expect(run.errors.contains("of the path") == (best == 0 || best == 7))
    _ = try report("chosen", data: data, in: folder)
  }

  @Test func aChoiceAtAnEndWarns() throws {
    let folder = try Folder()
    var train = pathData(classes: 2, patches: 1, n: 40, seed: 1)
    let labels = train.tensors["labels"]!.doubles
    train.tensors["labels"] = nil
    train.metadata["classes"] = nil
    train.tensors["targets"] = Tensor(labels.map { 2 * $0 - 1 })
    try folder.write(train, "train")
    train.tensors["targets"] = Tensor(labels.map { 1 - 2 * $0 })
    try folder.write(train, "opposite")
    for (held, part) in [
      ("train", "beta 0.1, the smallest of the path: a smaller one"),
      ("opposite", "the largest of the path: a larger one"),
    ] {
      let solve = "solve --activation linear --beta 0.1 --path 4 --validation \(held) train -o s"
      let run = try Tools.shell("\(solve) --path-table t", in: folder)
      #expect(
        run.status == 0 && run.errors.contains("\nsolve: warning: ") && run.errors.contains(part))
      #expect(run.errors.split(separator: "\n").count == 2, "\(run.errors)")
      let losses = try readTable(folder, "t").compactMap { Double($0[6]) }
      let solution = try folder.read("s")
      #expect(solution.metadata["validation_loss"] == losses.min().map { "\($0)" })
      #expect(solution.metadata["validation_accuracy"] == nil)
      #expect(try Tools.shell("\(solve) --quiet", in: folder).errors == "")
    }
    // One value is no choice.
    let one = try Tools.shell(
      "solve --activation linear --beta 0.1 --path 1 --validation train train -o s", in: folder)
    #expect(one.status == 0 && one.errors == "", "\(one.errors)")
  }

  @Test func aLimitLeavesWhatWasReached() throws {
    let folder = try pathFolder(classes: 2, patches: 1)
    let options = "--activation relu --loss logistic --beta 1e-3 --gap 1e-9 --path 9"
    let run = try Tools.shell(
      "solve \(options) --path-table t --path-output d --max-iterations 120 train.gates -o s",
      in: folder)
    #expect(run.status == 0 && run.errors.contains("iteration-limit"), "\(run.errors)")
    let rows = try readTable(folder, "t")
    #expect(rows.count > 0 && rows.count < 9)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("d"))
    #expect(files.sorted() == rows.indices.map { "\($0 + 1)" })
    for name in files { _ = try report("d/\(name)", data: "train.gates", in: folder) }
    #expect(try folder.read("s").metadata["beta"] == rows.last?[0])
    let strict = try Tools.shell(
      """
      solve \(options) --path-table u --path-output e --max-iterations 120 --require-optimal \
        train.gates -o r
      """, in: folder)
    #expect(strict.status == 1)
    #expect(folder.files == ["d", "held", "s", "t", "train", "train.gates"])
  }

  @Test(arguments: ["TERM", "INT"])
  func aSignalLeavesWhatWasReached(signal: String) throws {
    let folder = try Folder()
    try folder.write(pathData(classes: 3, patches: 4, n: 400, seed: 1), "train")
    // A minute's work.
    let run = try Tools.shell(
      """
      arrangements --sample 60 train -o train.gates
      env --default-signal=INT,TERM solve --activation gated-relu --loss cross-entropy --beta 1e-4 --gap 1e-12 \
        --path 40 --path-table t --path-output d train.gates -o s & sleep 2; kill -\(signal) $!; wait $!
      """, in: folder)
    #expect(run.status == 0 && run.errors.contains("interrupted"), "\(run.errors)")
    let rows = try readTable(folder, "t")
    #expect(rows.count < 40)
    if !rows.isEmpty {
      let files = try FileManager.default.contentsOfDirectory(atPath: folder.path("d"))
      #expect(files.count == rows.count && files.contains("\(rows.count)"))
      _ = try report("d/\(rows.count)", data: "train.gates", in: folder)
    }
    _ = try report("s", data: "train.gates", in: folder)
  }

  @Test func whatCannotBeWrittenIsRefused() throws {
    let folder = try pathFolder(classes: 2, patches: 4)
    try FileManager.default.createDirectory(
      at: folder.url("here/2"), withIntermediateDirectories: true)
    let before = folder.files
    for (options, status, part) in [
      ("--path-output train -o o", 1, "train is no directory"),
      ("--path-output none/d -o o", 1, "none/d"), ("--path-table none/t -o o", 1, "none/t"),
      ("--path-output here -o o", 1, "here/2 is a directory"),
      ("--path-table here -o o", 1, "here is a directory"),
      ("--path-table /dev/full --path-output d -o o", 1, "no space left"),
      ("--path-table t --path-output d -o /dev/full", 1, "no space left"),
      ("--path-table t --path-output d -o o none", 1, "none"),
      ("--path-table -", 2, "same file"), ("--path-table o -o o", 2, "same file"),
      ("--path-table here/1 --path-output here -o o", 2, "here/1"),
      ("--path-output d -o d/3", 1, "d/3"), ("--path-output here -o here/1", 2, "here/1"),
      ("--path-output - -o o", 2, "directory"),
    ] {
      let data = options.hasSuffix("none") ? "" : "train"
      let run = try Tools.shell(
        "solve --activation 0.09,0.5,0.47 --beta 0.1 --path 3 \(options) \(data)", in: folder)
      #expect(run.status == status && run.errors.contains(part), "\(options): \(run.errors)")
      #expect(run.errors.hasPrefix("solve: ") && run.output.isEmpty)
      #expect(folder.files == before, "\(options)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("here")) == ["2"])
    }
    // A table in the directory is no conflict.
    let run = try Tools.shell(
      "solve --activation 0.09,0.5,0.47 --beta 0.1 --path 3 --path-output d --path-table d/t train >o",
      in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    #expect(try readTable(folder, "d/t").count == 3)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path("d")).sorted() == [
        "1", "2", "3", "t",
      ])
  }

  @Test func aBetaThatMakesTheNetworkZeroIsTheWholePath() throws {
    let folder = try pathFolder(classes: 2, patches: 4)
    let run = try Tools.shell(
      "solve --activation linear --beta 1e6 --path 3 --path-table t --path-output d train -o o",
      in: folder)
    #expect(run.status == 0 && run.errors == "", "\(run.errors)")
    let rows = try readTable(folder, "t")
    #expect(rows.count == 1 && rows[0][4] == "0" && rows[0][5] == "0.0")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("d")) == ["1"])
  }
}
