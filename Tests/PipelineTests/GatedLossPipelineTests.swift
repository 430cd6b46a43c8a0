import Foundation
import Schema
import Tensors
import Testing

/// Samples of some classes with patterns of Gaussian gates, as bundles.
private func bundle(
  classes: Int, n: Int = 60, seed: Int = 1, targets: ((Int) -> Double)? = nil
) -> Bundle {
  let d = 4
  var random = RandomSource(seed: seed)
  let labels = (0..<n).map { Int32($0 % classes) }
  let x = (0..<n * d).map { k in
    k % d == d - 1 ? 1 : random.gaussian() + (k % d == Int(labels[k / d]) ? 1 : 0)
  }
  var gateRandom = RandomSource(seed: 100)
  let gates = (0..<20).map { _ in (0..<d).map { _ in gateRandom.gaussian() } }
  let stride = (n + 7) / 8
  var bits = [UInt8](repeating: 0, count: gates.count * stride)
  for (i, gate) in gates.enumerated() {
    for j in 0..<n {
      let product = zip(gate, x[j * d..<(j + 1) * d]).reduce(0) { $0 + $1.0 * $1.1 }
      if product >= 0 { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
  }
  var tensors = [
    "x": Tensor(x, shape: [n, 1, d]), "gates": Tensor(gates.flatMap { $0 }, shape: [20, d]),
    "patterns": Tensor(bits, shape: [20, stride]),
  ]
  if let targets {
    tensors["targets"] = Tensor((0..<n).map(targets), shape: [n])
  } else {
    tensors["labels"] = Tensor(labels)
  }
  return Bundle(kind: .arrangements, tensors: tensors, metadata: ["exact": "false"])
}

private let gated = ["--activation", "gated-relu"]

@Suite struct GatedLossPipelineTests {
  @Test(arguments: [
    ("logistic", 2, "class"), ("hinge", 2, "class"), ("huber", 2, "class"),
    ("cross-entropy", 2, "class"), ("cross-entropy", 3, "pattern"), ("hinge", 3, "class"),
    ("logistic", 3, "pattern"),
  ])
  func everyLossIsSolved(_ loss: String, _ classes: Int, _ group: String) throws {
    let folder = try Folder()
    try folder.write(bundle(classes: classes), "train")
    let run = try Tools.run(
      "solve",
      gated + [
        "--loss", loss, "--group", group, "--beta", "0.5", "--gap", "1e-6", "-o", "out", "train",
      ], in: folder)
    #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    let solution = try folder.read("out")
    #expect(solution.metadata["loss"] == loss && solution.metadata["group"] == group)
    #expect(solution.metadata["status"] == "optimal")
    let primal = Double(solution.metadata["primal_objective"]!)!
    let dual = Double(solution.metadata["dual_objective"]!)!
    #expect(primal > 0 && primal - dual <= 1e-6 * primal && dual <= primal * (1 + 1e-12))
    let outputs = classes == 2 && loss != "cross-entropy" ? 1 : classes
    #expect(solution.tensors["predictions"]?.shape == [60, outputs])
    #expect(solution.tensors["dual"]?.shape == [60, outputs])
    // The same bytes again.
    let again = try Tools.run(
      "solve",
      gated + [
        "--loss", loss, "--group", group, "--beta", "0.5", "--gap", "1e-6", "-o", "again", "train",
      ], in: folder)
    #expect(again.status == 0)
    #expect(
      try Data(contentsOf: folder.url("out")) == Data(contentsOf: folder.url("again")))
  }

  @Test func pathsWarmStartsAndLimitsWork() throws {
    let folder = try Folder()
    try folder.write(bundle(classes: 3), "train")
    try folder.write(bundle(classes: 3, n: 40, seed: 2), "validation")
    let common = gated + ["--loss", "cross-entropy", "--group", "pattern", "--beta", "0.3"]
    let path = try Tools.run(
      "solve",
      common + [
        "--path", "3", "--validation", "validation", "--trace", "trace", "-o", "path", "train",
      ], in: folder)
    #expect(path.status == 0, "\(path.errors)")
    #expect(try folder.read("path").metadata["validation_accuracy"] != nil)
    let trace = try String(contentsOf: folder.url("trace"), encoding: .utf8)
    #expect(trace.contains("# path:"))
    let limited = try Tools.run(
      "solve", common + ["--gap", "1e-9", "--max-iterations", "5", "-o", "five", "train"],
      in: folder)
    #expect(limited.status == 0 && limited.errors.contains("iteration-limit"))
    let warm = try Tools.run(
      "solve", common + ["--warm-start", "path", "-o", "warm", "train"], in: folder)
    #expect(warm.status == 0, "\(warm.errors)")
    #expect(try folder.read("warm").metadata["status"] == "optimal")
  }

  @Test func whatCannotBeIsRefused() throws {
    let folder = try Folder()
    try folder.write(bundle(classes: 2), "train")
    try folder.write(bundle(classes: 2, targets: { Double($0 % 3) - 1 }), "regression")
    func refused(_ arguments: [String], _ file: String, status: Int32, _ text: String) throws {
      let run = try Tools.run(
        "solve", gated + ["--beta", "0.5", "-o", "out"] + arguments + [file], in: folder)
      #expect(run.status == status && run.errors.contains(text), "\(run.errors)")
      #expect(!folder.files.contains("out"))
    }
    try refused(["--loss", "logistic"], "regression", status: 1, "expected -1 or 1")
    try refused(["--loss", "hinge"], "regression", status: 1, "expected -1 or 1")
    try refused(["--loss", "cross-entropy"], "regression", status: 1, "a column a class")
    try refused(["--loss", "cosine"], "train", status: 2, "--loss")
    try refused(["--loss", "hinge", "--targets", "0,1"], "train", status: 2, "--targets")
  }
}
