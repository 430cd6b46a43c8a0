import Foundation
import Schema
import Tensors
import Testing

/// Arrangements of random data with three outputs, or of as many labels.
private func arrangements(
  n: Int = 24, d: Int = 4, gates count: Int = 9, outputs: Int = 3, seed: Int = 1
) -> Bundle {
  var random = RandomSource(seed: seed, stream: 31)
  let x = (0..<n * d).map { _ in random.gaussian() }
  let gates = (0..<count * d).map { _ in random.gaussian() }
  let stride = (n + 7) / 8
  var bits = [UInt8](repeating: 0, count: count * stride)
  for i in 0..<count {
    for j in 0..<n {
      let product = (0..<d).reduce(0.0) { $0 + x[j * d + $1] * gates[i * d + $1] }
      if product >= 0 { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
  }
  let targets = (0..<n * outputs).map { _ in random.gaussian() }
  return Bundle(
    kind: .arrangements,
    tensors: [
      "x": Tensor(x, shape: [n, 1, d]), "gates": Tensor(gates, shape: [count, d]),
      "patterns": Tensor(bits, shape: [count, stride]),
      "targets": Tensor(targets, shape: [n, outputs]),
    ], metadata: ["exact": "false", "command": "made"])
}

/// The report of `evaluate`.
private func report(_ run: Run) -> [String: Double] {
  Dictionary(
    run.text.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: "\t")
      return parts.count == 2 ? Double(parts[1]).map { (String(parts[0]), $0) } : nil
    }, uniquingKeysWith: { $1 })
}

@Suite struct NuclearNormPipelineTests {
  private let solve = ["--activation", "gated-relu", "--norm", "nuclear", "--beta"]

  @Test func fromArrangementsToReport() throws {
    let folder = try Folder()
    try folder.write(arrangements(), "data")
    let run = try Tools.run(
      "solve", solve + ["0.5", "--gap", "1e-7", "-o", "s", "data"], in: folder)
    #expect(run.status == 0 && run.errors == "")
    for arguments in [[], ["--minimal"]] {
      #expect(try Tools.run("recover", arguments + ["s", "-o", "n"], in: folder).status == 0)
      let evaluation = try Tools.run(
        "evaluate", ["--data", "data", "--certify", "s", "--beta", "0.5", "n"], in: folder)
      #expect(evaluation.status == 0, "\(evaluation.errors)")
      let values = report(evaluation)
      #expect(values["relative_gap"]! <= 1e-7 && values["dual_infeasibility"]! <= 1e-9)
      #expect(values["recovery_error"]! <= 1e-11)
      let (objective, primal) = (values["objective"]!, values["primal_objective"]!)
      #expect(abs(objective - primal) <= 1e-9 * primal)
    }
    let solution = try folder.read("s")
    #expect(solution.metadata["norm"] == "nuclear" && solution.metadata["minimal"] == "true")
    #expect(solution.tensors["w"]!.shape.first == 3)
    // The same bytes on a second run, and an optimum that is one for one thread too.
    let again = try Tools.run("solve", solve + ["0.5", "--gap", "1e-7", "data"], in: folder)
    #expect(again.output == (try Data(contentsOf: folder.url("s"))))
    let single = try Tools.run(
      "solve", solve + ["0.5", "--gap", "1e-7", "--threads", "1", "-o", "s1", "data"], in: folder)
    #expect(single.status == 0)
    let values = try ["s", "s1"].map { try folder.read($0).read(.primalObjective) }
    #expect(abs(values[0] - values[1]) <= 2e-7 * values[0])
  }

  @Test func withOneOutputItIsTheGroupNorm() throws {
    let folder = try Folder()
    try folder.write(arrangements(outputs: 1), "data")
    for norm in ["group", "nuclear"] {
      let run = try Tools.run(
        "solve",
        ["--activation", "gated-relu", "--norm", norm, "--beta", "0.5", "--gap", "1e-8"]
          + ["-o", norm, "data"], in: folder)
      #expect(run.status == 0 && run.errors == "")
    }
    let values = try ["group", "nuclear"].map { try folder.read($0).read(.primalObjective) }
    #expect(abs(values[0] - values[1]) <= 1e-8 * values[0])
    #expect(try Tools.run("recover", ["nuclear", "-o", "n"], in: folder).status == 0)
  }

  @Test func startsWarmTracesAndStopsAtLimits() throws {
    let folder = try Folder()
    try folder.write(arrangements(n: 60, d: 6, gates: 20), "data")
    #expect(
      try Tools.run("solve", solve + ["1", "--gap", "1e-5", "-o", "one", "data"], in: folder).status
        == 0)
    let trace = ["--trace", "trace", "--gap", "1e-5", "-o", "two", "data"]
    #expect(try Tools.run("solve", solve + ["0.8"] + trace, in: folder).status == 0)
    let cold = try String(contentsOf: folder.url("trace"), encoding: .utf8)
      .split(separator: "\n").count
    let warm = ["--warm-start", "one"] + trace
    #expect(try Tools.run("solve", solve + ["0.8"] + warm, in: folder).status == 0)
    let rows = try String(contentsOf: folder.url("trace"), encoding: .utf8).split(separator: "\n")
    #expect(rows.count > 1 && rows.count <= cold)
    #expect(rows[1].split(separator: "\t").count == 7)
    let limited = ["0.8", "--max-iterations", "2", "-o", "three", "data"]
    let run = try Tools.run("solve", solve + limited, in: folder)
    #expect(run.status == 0 && run.errors.contains("iteration-limit"))
    #expect(try folder.read("three").metadata["status"] == "iteration-limit")
    let refused = try Tools.run(
      "solve", solve + ["0.8", "--max-iterations", "2", "--require-optimal", "data"], in: folder)
    #expect(refused.status == 1 && refused.output.isEmpty)
    // Its limits do not make its claims wrong.
    #expect(try Tools.run("recover", ["three", "-o", "n"], in: folder).status == 0)
    let evaluation = try Tools.run(
      "evaluate", ["--data", "data", "--certify", "three", "--beta", "0.8", "n"], in: folder)
    #expect(report(evaluation)["recovery_error"]! < 1e-10)
  }

  @Test func zeroNetworksAtBetaMax() throws {
    let folder = try Folder()
    try folder.write(arrangements(), "data")
    let run = try Tools.run("solve", solve + ["1e9", "-o", "s", "data"], in: folder)
    #expect(run.status == 0 && run.errors == "")
    let solution = try folder.read("s")
    #expect(solution.tensors["index"]!.shape == [0])
    #expect(solution.tensors["w"]!.shape == [3, 0, 4])
    let chain = try Tools.shell(
      "recover --minimal s | evaluate --data data --certify s --beta 1e9", in: folder)
    #expect(chain.status == 0, "\(chain.errors)")
    #expect(report(chain)["neurons"] == 0 && report(chain)["relative_gap"]! <= 1e-11)
  }
}
