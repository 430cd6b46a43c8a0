import Foundation
import Schema
import Tensors
import Testing

/// A folder with data, the network that is optimal for them at β = 100, namely none, and a network
/// that sees one feature.
private func evaluationFolder(_ changes: [String: String] = [:]) throws -> Folder {
  let folder = try Folder()
  let labels = (0..<20).map { Int32($0 % 2) }
  let x: [Double] = (0..<80).map { k in
    let noise = Double((k * 37) % 11) / 11
    return k % 8 < 4 ? noise - 0.6 : noise
  }
  try folder.write(
    Bundle(
      kind: .dataset,
      tensors: ["x": Tensor(x, shape: [20, 1, 4]), "labels": Tensor(labels)],
      metadata: ["classes": "cat,dog"]), "data")
  let y = labels.map { $0 == 0 ? -1.0 : 1 }
  let common = [
    "activation": "0.09,0.5,0.47", "classes": "cat,dog", "loss": "squared", "channels": "1",
    "size": "2",
  ]
  let claim = [
    "beta": "100", "status": "optimal", "primal_objective": "10", "dual_objective": "10",
    "relative_gap": "0", "iterations": "0",
  ]
  try folder.write(
    Bundle(
      kind: .solution,
      tensors: [
        "z": Tensor(type: .f64, shape: [1, 1, 2, 5, 5]), "dual": Tensor(y, shape: [20, 1]),
        "predictions": Tensor(type: .f64, shape: [20, 1]),
      ], metadata: common.merging(claim) { $1 }.merging(changes) { $1 }), "solution")
  try folder.write(
    Bundle(
      kind: .network,
      tensors: [
        "hidden.weight": Tensor(type: .f64, shape: [0, 4]),
        "output.weight": Tensor(type: .f64, shape: [1, 0]),
        "hidden.region": Tensor(type: .i32, shape: [0]),
      ], metadata: common), "empty")
  try folder.write(
    Bundle(
      kind: .network,
      tensors: [
        "hidden.weight": Tensor([1.0, 0, 0, 0, 0, 0.6, 0.8, 0], shape: [2, 4]),
        "output.weight": Tensor([1.0, -2], shape: [1, 2]),
      ], metadata: common), "network")
  return folder
}

private func lines(_ run: Run) -> [String: Double] {
  var result: [String: Double] = [:]
  for line in run.text.split(separator: "\n") {
    let parts = line.split(separator: "\t")
    if parts.count == 2 { result[String(parts[0])] = Double(parts[1]) }
  }
  return result
}

@Suite struct EvaluateTests {
  @Test func reportsOnStandardOutput() throws {
    let folder = try evaluationFolder()
    let run = try Tools.run("evaluate", ["--data", "data", "network"], in: folder)
    #expect(run.status == 0 && run.errors == "")
    let names = run.text.split(separator: "\n").map { $0.split(separator: "\t")[0] }
    #expect(
      names == [
        "samples", "classes", "neurons", "loss", "accuracy", "recall_cat", "precision_cat",
        "recall_dog", "precision_dog",
      ])
    #expect(lines(run)["samples"] == 20)
    // The network on standard input, the report into a file, one thread or three: the same bytes.
    let input = try Data(contentsOf: folder.url("network"))
    for threads in ["1", "3"] {
      let other = try Tools.run(
        "evaluate", ["--data=data", "--threads", threads, "-o", "report"], input: input,
        in: folder)
      #expect(other.status == 0 && other.output.isEmpty)
      #expect(try Data(contentsOf: folder.url("report")) == run.output)
    }
    let objective = try Tools.run(
      "evaluate", ["--data", "data", "--beta", "0.5", "network"], in: folder)
    let report = lines(objective)
    #expect(abs((report["objective"] ?? 0) - (report["loss"] ?? 0) - 1.5) < 1e-12)
  }

  @Test func arrangementsHoldTheDataToo() throws {
    let folder = try evaluationFolder()
    var data = try folder.read("data")
    data.metadata["kind"] = "arrangements"
    data.tensors["patterns"] = Tensor(type: .u8, shape: [100, 3])
    data.tensors["gates"] = Tensor([Double.nan], shape: [1, 1])
    try folder.write(data, "arrangements")
    let plain = try Tools.run("evaluate", ["--data", "data", "network"], in: folder)
    let run = try Tools.run("evaluate", ["--data", "arrangements", "network"], in: folder)
    #expect(run.status == 0 && run.output == plain.output)
    let whole = try Data(contentsOf: folder.url("arrangements"))
    try whole.dropLast().write(to: folder.url("arrangements"))
    let short = try Tools.run("evaluate", ["--data", "arrangements", "network"], in: folder)
    #expect(short.status == 1 && short.errors.contains("unexpected end"))
  }

  @Test func printsJSON() throws {
    let folder = try evaluationFolder()
    let arguments = ["--data", "data", "--certify", "solution", "--beta", "100", "empty"]
    let text = try Tools.run("evaluate", arguments, in: folder)
    let json = try Tools.run("evaluate", ["--json"] + arguments, in: folder)
    #expect(text.status == 0 && json.status == 0)
    let values = try #require(
      try JSONSerialization.jsonObject(with: json.output) as? [String: Any])
    #expect(values["certificate"] as? String == "global")
    let object = values.compactMapValues { $0 as? Double }
    #expect(object == lines(text))
    #expect(object["relative_gap"] == 0 && object["objective"] == 10)
  }

  /// What baseline trains without a penalty.
  @Test func withoutAPenaltyTheObjectiveIsTheLoss() throws {
    let folder = try evaluationFolder()
    let run = try Tools.run("evaluate", ["--data", "data", "--beta", "0", "network"], in: folder)
    #expect(run.status == 0 && run.errors == "")
    #expect(lines(run)["objective"] == lines(run)["loss"])
    #expect(lines(run)["objective"] != nil)
  }

  @Test func aFalseClaimFailsAfterTheReport() throws {
    for (key, value) in [
      ("primal_objective", "9.9"), ("dual_objective", "10.1"), ("beta", "0.01"),
    ] {
      let folder = try evaluationFolder([key: value])
      let run = try Tools.run(
        "evaluate", ["--data", "data", "--certify", "solution", "empty"], in: folder)
      #expect(run.status == 1)
      #expect(run.errors.hasPrefix("evaluate: the claim does not hold: "))
      #expect(lines(run)["recovery_error"] == 0)
    }
    // Another network than the solution's.
    let folder = try evaluationFolder()
    let run = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "solution", "network"], in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("recovery_error"))
  }

  @Test func writesTableAndPictures() throws {
    let folder = try evaluationFolder()
    let run = try Tools.run(
      "evaluate",
      [
        "--data", "data", "--predictions", "p.tsv", "--filters", "f.png", "--confusion", "c.png",
        "network",
      ], in: folder)
    #expect(run.status == 0 && run.errors == "")
    let rows = try String(contentsOf: folder.url("p.tsv"), encoding: .utf8).split(separator: "\n")
      .map { $0.split(separator: "\t") }
    #expect(rows.count == 21)
    #expect(rows[0] == ["index", "label", "prediction", "class", "output"])
    // The table tells the loss and the accuracy again.
    var loss = 0.0
    var right = 0
    for row in rows.dropFirst() {
      #expect(row[3] == (row[2] == "0" ? "cat" : "dog"))
      let difference = try #require(Double(row[4])) - (row[1] == "0" ? -1 : 1)
      loss += 0.5 * difference * difference
      right += row[1] == row[2] ? 1 : 0
    }
    #expect(abs(loss - (lines(run)["loss"] ?? 0)) < 1e-12)
    #expect(Double(right) / 20 == lines(run)["accuracy"])
    for name in ["f.png", "c.png"] {
      let bytes = try Data(contentsOf: folder.url(name))
      #expect(bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    }
    #expect(folder.files == ["c.png", "data", "empty", "f.png", "network", "p.tsv", "solution"])
  }

  @Test func badInputWritesNothing() throws {
    let folder = try evaluationFolder()
    let before = folder.files
    var bad = try folder.read("data")
    bad.tensors["x"] = Tensor([Float.nan, 1], shape: [2, 1, 1])
    try folder.write(bad, "data")
    for arguments in [
      ["--data", "data", "network"], ["--data", "solution", "network"],
      ["--data", "missing", "network"], ["--data", "data", "data"],
      ["--data", "data", "--certify", "network", "network"],
    ] {
      let run = try Tools.run(
        "evaluate", arguments + ["--predictions", "p", "--confusion", "c", "-o", "o"], in: folder)
      #expect(run.status == 1)
      #expect(run.errors.hasPrefix("evaluate: ") && run.output.isEmpty)
      #expect(folder.files == before)
    }
    // A picture that cannot be drawn is found before the table is written.
    let good = try evaluationFolder()
    var network = try good.read("network")
    network.metadata["channels"] = nil
    try good.write(network, "network")
    let run = try Tools.run(
      "evaluate", ["--data", "data", "--predictions", "p", "--filters", "f", "network"], in: good)
    #expect(run.status == 1 && run.errors.contains("\"channels\""))
    #expect(good.files == before && run.output.isEmpty)
  }

  @Test func badUsage() throws {
    let folder = try evaluationFolder()
    for arguments in [
      ["network"], ["--data", "-", "-"], ["--data", "-"], ["--data", "data", "--certify", "-"],
      ["--data", "data", "--beta", "-1", "network"], ["--data", "data", "--beta", "x", "network"],
      ["--data", "data", "--predictions", "-", "network"], ["--data", "data", "a", "b"],
      ["--data", "data", "--nonsense", "network"], ["--data"],
    ] {
      let run = try Tools.run("evaluate", arguments, in: folder)
      #expect(run.status == 2, "\(arguments): \(run.errors)")
      #expect(run.errors.hasPrefix("evaluate: ") && run.output.isEmpty)
    }
  }

  @Test func aFullDiskIsReported() throws {
    let folder = try evaluationFolder()
    let run = try Tools.shell("evaluate --data data network > /dev/full", in: folder)
    #expect(run.status == 1)
    #expect(run.errors.contains("no space left"))
  }
}
