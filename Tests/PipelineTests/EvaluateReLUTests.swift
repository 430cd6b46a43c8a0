import Foundation
import Schema
import Tensors
import Testing

/// Two samples on a line, all its patterns, and the optimum for β = ½ by hand: x = ±1, y = (2, −1). The
/// patterns are {first}, {second}; v = 2 − β for the first and w = 1 − β for the second, ν = (β, −β).
private func lineFolder(
  _ activation: String = "relu", _ changes: [String: String] = [:],
  solution edit: (inout Bundle) -> Void = { _ in }, data editData: (inout Bundle) -> Void = { _ in }
) throws -> Folder {
  let folder = try Folder()
  var data = Bundle(
    kind: .arrangements,
    tensors: [
      "x": Tensor([1.0, -1], shape: [2, 1, 1]), "targets": Tensor([2.0, -1], shape: [2, 1]),
      "gates": Tensor([1.0, -1], shape: [2, 1]),
      "patterns": Tensor([UInt8(1), 2], shape: [2, 1]),
    ], metadata: ["exact": "true", "bound": "2"])
  editData(&data)
  try folder.write(data, "data")
  var tensors = [
    "gates": Tensor([1.0, -1], shape: [2, 1]), "index": Tensor([Int32(0), 1]),
    "dual": Tensor([0.5, -0.5], shape: [2, 1]), "predictions": Tensor([1.5, -0.5], shape: [2, 1]),
  ]
  // x · u of the second sample is −u: its neuron has u = −½.
  if activation == "relu" {
    tensors["v"] = Tensor([1.5, 0], shape: [2, 1])
    tensors["w"] = Tensor([0, -0.5], shape: [2, 1])
  } else {
    tensors["w"] = Tensor([1.5, 0.5], shape: [2, 1])
  }
  let metadata = [
    "activation": activation, "loss": "squared", "norm": "group", "group": "class", "beta": "0.5",
    "status": "optimal", "primal_objective": "1.25", "dual_objective": "1.25",
    "relative_gap": "0", "iterations": "1", "exact": "true",
  ]
  var solution = Bundle(
    kind: .solution, tensors: tensors, metadata: metadata.merging(changes) { $1 })
  edit(&solution)
  try folder.write(solution, "solution")
  let (a, b) = (1.5.squareRoot(), 0.5.squareRoot())
  var network = Bundle(
    kind: .network,
    tensors: [
      "hidden.weight": Tensor([a, activation == "relu" ? -b : b], shape: [2, 1]),
      "output.weight": Tensor([a, activation == "relu" ? -b : b], shape: [1, 2]),
    ], metadata: ["activation": activation, "loss": "squared", "norm": "group"])
  if activation != "relu" { network.tensors["hidden.gate"] = Tensor([1.0, -1], shape: [2, 1]) }
  try folder.write(network, "network")
  return folder
}

private let certify = ["--data", "data", "--certify", "solution", "--beta", "0.5", "network"]

private func number(_ run: Run, _ name: String) -> Double {
  for line in run.text.split(separator: "\n") {
    let parts = line.split(separator: "\t")
    if parts.count == 2, parts[0] == name { return Double(parts[1]) ?? .nan }
  }
  return .nan
}

@Suite struct EvaluateReLUTests {
  @Test(arguments: ["relu", "gated-relu"])
  func anOptimumByHandIsCertified(_ activation: String) throws {
    let folder = try lineFolder(activation)
    for threads in ["1", "2"] {
      let run = try Tools.run("evaluate", ["--threads", threads] + certify, in: folder)
      #expect(run.status == 0 && run.errors == "", "\(run.errors)")
      for name in ["objective", "primal_objective", "dual_objective"] {
        #expect(abs(number(run, name) - 1.25) < 1e-14)
      }
      #expect(abs(number(run, "relative_gap")) < 1e-14)
      #expect(number(run, "dual_infeasibility") < 1e-14)
      #expect(number(run, "primal_infeasibility") == 0)
      #expect(number(run, "recovery_error") < 1e-14)
    }
    // Without --certify the patterns are not looked at.
    let plain = try Tools.run(
      "evaluate", ["--data", "data", "--predictions", "p", "network"], in: folder)
    #expect(plain.status == 0 && abs(number(plain, "loss") - 0.25) < 1e-14)
    let rows = try String(contentsOf: folder.url("p"), encoding: .utf8).split(separator: "\n")
    #expect(rows.count == 3 && rows[0] == "index\ttarget\toutput")
  }

  @Test func whatDoesNotHoldIsNamed() throws {
    func check(
      _ expected: String, _ activation: String = "relu", _ changes: [String: String] = [:],
      solution: (inout Bundle) -> Void = { _ in }, data: (inout Bundle) -> Void = { _ in }
    ) throws {
      let folder = try lineFolder(activation, changes, solution: solution, data: data)
      let run = try Tools.run("evaluate", certify, in: folder)
      #expect(run.status == 1, "\(expected)")
      #expect(run.errors.contains("evaluate: the claim does not hold: "), "\(run.errors)")
      #expect(run.errors.contains(expected), "\(run.errors)")
      #expect(number(run, "samples") == 2)
    }
    try check("the status is \"optimal\"", "relu", ["relative_gap": "1e-3"])
    try check("primal_objective is 1.25", "relu", ["primal_objective": "1.2"])
    try check("dual_objective is 1.2", "gated-relu", ["dual_objective": "1.3"])
    try check("dual_infeasibility is ", "gated-relu", ["beta": "0.4"])
    try check("primal_infeasibility is 1.0") {
      $0.tensors["v"] = Tensor([-1.5, 0], shape: [2, 1])
    }
    try check("the predictions are ") { $0.tensors["index"] = Tensor([Int32(1), 0]) }
    try check("does not attain pattern 0", "gated-relu") {
      $0.tensors["gates"] = Tensor([-1.0, -1], shape: [2, 1])
    }
    // A pattern that the solver had not, for which ν is not feasible.
    try check("dual_infeasibility is 1.0", "gated-relu") { _ in
    } data: {
      $0.tensors["gates"] = Tensor([1.0, -1, 0], shape: [3, 1])
      $0.tensors["patterns"] = Tensor([UInt8(1), 2, 3], shape: [3, 1])
    }
  }

  @Test func aListIsCompleteIfTheDataSaySo() throws {
    // The flag of the arrangements plays no part.
    for flag in ["true", "false"] {
      let run = try Tools.run(
        "evaluate", certify, in: lineFolder(data: { $0.metadata["exact"] = flag }))
      #expect(run.status == 0 && run.text.contains("certificate\tglobal\n"), "\(run.errors)")
    }
    // Of three cells of a plane, not all six: no solution may say that these are all.
    let folder = try lineFolder { _ in
    } data: {
      $0.tensors["gates"] = Tensor([1.0], shape: [1, 1])
      $0.tensors["patterns"] = Tensor([UInt8(1)], shape: [1, 1])
    }
    let run = try Tools.run("evaluate", certify, in: folder)
    #expect(run.status == 1)
  }

  @Test func badBundlesWriteNothing() throws {
    func check(
      _ expected: String, solution: (inout Bundle) -> Void = { _ in },
      data: (inout Bundle) -> Void = { _ in }
    ) throws {
      let folder = try lineFolder("relu", solution: solution, data: data)
      let run = try Tools.run(
        "evaluate", ["--predictions", "p", "-o", "report"] + certify, in: folder)
      #expect(run.status == 1)
      #expect(run.errors.hasPrefix("evaluate: ") && run.errors.contains(expected), "\(run.errors)")
      #expect(folder.files == ["data", "network", "solution"])
    }
    try check("expected arrangements") { _ in
    } data: {
      $0.metadata["kind"] = "dataset"
    }
    try check("no tensor \"patterns\"") { _ in
    } data: {
      $0.tensors["patterns"] = nil
    }
    try check("holds 2, but data has 2 patterns") { $0.tensors["index"] = Tensor([Int32(0), 2]) }
    try check("not finite") { $0.tensors["v"] = Tensor([.nan, 0.0], shape: [2, 1]) }
    try check("expected F64 [2, 1]") { $0.tensors["w"] = Tensor([0.0, 0], shape: [1, 2]) }
    try check("\"norm\"") { $0.metadata["norm"] = "nuclear" }
    try check("activations of") {
      $0.metadata["activation"] = "gated-relu"
      $0.tensors["v"] = nil
    }
  }

  /// Rows with few decimals and gates that are rows: many products are 0 up to rounding, and whoever
  /// applies a gate has to find the same side as whoever listed the patterns.
  @Test func samplesOnTheBoundaryKeepTheirSide() throws {
    let folder = try Folder()
    var text = "a,b,c,d,e,y\n"
    var state: UInt32 = 7
    func digit() -> Int {
      state = state &* 1_664_525 &+ 1_013_904_223
      return Int(state >> 16) % 7 - 3
    }
    for i in 0..<150 {
      let row = (0..<5).map { _ in "\(Double(digit()) / 10)" }
      text += row.joined(separator: ",") + ",\(i % 3 == 0 ? -1 : 1)\n"
    }
    try Data(text.utf8).write(to: folder.url("points.csv"))
    let run = try Tools.shell(
      """
      tensor from-csv points.csv --targets y -o points &&
      arrangements --sample 60 --sampler samples points -o data &&
      solve --activation gated-relu --beta 0.02 --gap 1e-8 data -o solution --quiet &&
      recover solution -o network &&
      evaluate --data data --certify solution --beta 0.02 network
      """, in: folder)
    #expect(run.status == 0, "\(run.errors)")
    #expect(number(run, "recovery_error") < 1e-12)
    #expect(
      abs(number(run, "objective") / number(run, "primal_objective") - 1) < 1e-12)
    let points = try folder.read("data")
    let (x, gates) = (points.tensors["x"]!.doubles, points.tensors["gates"]!.doubles)
    // The test would show nothing were there no ties.
    var ties = 0
    for j in 0..<150 {
      for g in 0..<gates.count / 5 {
        let product = (0..<5).reduce(0) { $0 + x[5 * j + $1] * gates[5 * g + $1] }
        ties += abs(product) < 1e-12 ? 1 : 0
      }
    }
    #expect(ties > 20)
  }
}
