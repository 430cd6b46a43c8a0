import Foundation
import Schema
import Tensors
import Testing

/// Two samples [1, 0] and [0, 1], the gates [1, 1], [1, −1] and [−1, 1] with the patterns 11, 10 and 01.
private func arrangements() -> Bundle {
  Bundle(
    kind: .arrangements,
    tensors: [
      "x": Tensor([1.0, 0, 0, 1], shape: [2, 2]), "targets": Tensor([1.0, -1]),
      "gates": Tensor([1.0, 1, 1, -1, -1, 1], shape: [3, 2]),
      "patterns": Tensor([UInt8(3), 1, 2], shape: [3, 1]),
    ], metadata: ["exact": "false"])
}

/// v = [3, 4] and [2, −1], w = [−1, 1] of the third pattern: ŷ = (3, 4) + (2, 0) − (0, 1).
private func solution(gated: Bool = false) -> Bundle {
  var bundle = Bundle(
    kind: .solution,
    tensors: [
      "w": Tensor([0.0, 0, 0, 0, -1, 1], shape: [3, 2]),
      "v": Tensor([3.0, 4, 2, -1, 0, 0], shape: [3, 2]),
      "gates": arrangements().tensors["gates"]!, "index": Tensor([Int32(0), 1, 2]),
      "predictions": Tensor([5.0, 3], shape: [2, 1]), "dual": Tensor([0.0, 0], shape: [2, 1]),
    ],
    metadata: [
      "activation": "relu", "norm": "group", "group": "class", "loss": "squared", "beta": "0.1",
      "status": "optimal", "primal_objective": "1.0", "dual_objective": "1.0",
      "relative_gap": "0.0", "iterations": "2", "command": "solve", "targets": "-1.0,1.0",
    ])
  if gated {
    bundle.tensors["w"] = bundle.tensors["v"]
    bundle.tensors["v"] = nil
    bundle.tensors["thresholds"] = Tensor([0.0, 0, 0])
    bundle.tensors["predictions"] = Tensor([5.0, 4], shape: [2, 1])
    bundle.metadata["activation"] = "gated-relu"
  }
  return bundle
}

@Suite struct RecoverPatternsTests {
  @Test func neuronsAreThoseOfTheSolution() throws {
    let folder = try Folder()
    try folder.write(solution(), "solution")
    let run = try Tools.run("recover", ["solution", "-o", "network"], in: folder)
    // Three neurons for two samples are one too many, which takes the data to mend.
    #expect(run.status == 0 && run.errors.contains("--data"))
    #expect(try Tools.run("recover", ["--quiet", "solution"], in: folder).errors == "")
    let network = try folder.read("network")
    #expect(network.kind == .network)
    let hidden = try #require(network.tensors["hidden.weight"])
    let output = try #require(network.tensors["output.weight"])
    #expect(hidden.shape == [3, 2] && output.shape == [1, 3])
    #expect(network.tensors["hidden.gate"] == nil)
    let (five, two) = (5.0.squareRoot(), 2.0.squareRoot())
    let expected = [3 / five, 4 / five, 2 / five.squareRoot(), -1 / five.squareRoot()]
    #expect(zip(hidden.doubles, expected).allSatisfy { abs($0 - $1) < 1e-15 })
    let weights = [five, five.squareRoot(), -two.squareRoot()]
    #expect(zip(output.doubles, weights).allSatisfy { abs($0 - $1) < 1e-15 })
    #expect(network.metadata["activation"] == "relu" && network.metadata["beta"] == "0.1")
    #expect(network.metadata["targets"] == "-1.0,1.0" && network.metadata["status"] == nil)
    #expect(network.metadata["command"] == "solve\nrecover")
  }

  @Test func gatedNeuronsKeepTheirGates() throws {
    let folder = try Folder()
    try folder.write(solution(gated: true), "solution")
    let run = try Tools.run("recover", ["solution", "-o", "network"], in: folder)
    #expect(run.status == 0 && run.errors == "")
    let network = try folder.read("network")
    #expect(network.tensors["hidden.weight"]?.shape == [2, 2])
    #expect(network.tensors["hidden.gate"]?.doubles == [1, 1, 1, -1])
    #expect(network.tensors["hidden.threshold"]?.doubles == [0, 0])
  }

  @Test func dataBringTheNumberDown() throws {
    let folder = try Folder()
    try folder.write(solution(), "solution")
    try folder.write(arrangements(), "data")
    for arguments in [["--data", "data"], ["--data", "data", "--minimal"]] {
      let run = try Tools.run(
        "recover", arguments + ["solution", "-o", "network"], in: folder)
      #expect(run.status == 0 && run.errors == "")
      let network = try folder.read("network")
      let (u, a) = (
        network.tensors["hidden.weight"]!.doubles, network.tensors["output.weight"]!.doubles
      )
      #expect(a.count == 2)
      for (row, expected) in [5.0, 3].enumerated() {
        let value = a.indices.reduce(0.0) { $0 + a[$1] * max(0, u[2 * $1 + row]) }
        #expect(abs(value - expected) < 1e-14)
      }
      let norm = zip(u, u).reduce(0) { $0 + $1.0 * $1.1 } / 2 + a.reduce(0) { $0 + $1 * $1 } / 2
      #expect(norm <= 5 + 5.0.squareRoot() + 2.0.squareRoot())
      #expect(network.metadata["command"]!.contains("--data BUNDLE"))
    }
    // Without data the solution itself can say that there is nothing to remove.
    let run = try Tools.run("recover", ["--minimal", "solution"], in: folder)
    #expect(run.status == 2 && run.errors.contains("--data") && run.output.isEmpty)
    var minimal = solution(gated: true)
    minimal.metadata["minimal"] = "true"
    try folder.write(minimal, "minimal")
    #expect(try Tools.run("recover", ["--minimal", "minimal", "-o", "n"], in: folder).status == 0)
    let piped = try Tools.shell("recover --minimal --data - solution <data >n", in: folder)
    #expect(piped.status == 0)
    #expect(try Tools.run("recover", ["--minimal", "--data", "-"], in: folder).status == 2)
  }

  @Test func zeroSolutionsHaveNoNeurons() throws {
    let folder = try Folder()
    var zero = solution()
    for name in ["v", "w", "gates"] { zero.tensors[name] = Tensor(type: .f64, shape: [0, 2]) }
    zero.tensors["index"] = Tensor(type: .i32, shape: [0])
    zero.tensors["predictions"] = Tensor(type: .f64, shape: [2, 1])
    try folder.write(zero, "zero")
    try folder.write(arrangements(), "data")
    for arguments in [[], ["--minimal", "--data", "data"]] {
      let run = try Tools.run("recover", arguments + ["zero", "-o", "n"], in: folder)
      #expect(run.status == 0 && run.errors == "")
      let network = try folder.read("n")
      #expect(network.tensors["hidden.weight"]?.shape == [0, 2])
      #expect(network.tensors["output.weight"]?.shape == [1, 0])
    }
  }

  @Test func whatIsNoSolutionWritesNothing() throws {
    let folder = try Folder()
    func changed(_ name: String, _ tensor: Tensor?) -> Bundle {
      var bundle = solution()
      bundle.tensors[name] = tensor
      return bundle
    }
    func metadata(_ key: String, _ value: String?) -> Bundle {
      var bundle = solution()
      bundle.metadata[key] = value
      return bundle
    }
    let nan = Tensor([3.0, 4, .nan, -1, 0, 0], shape: [3, 2])
    for (bundle, part) in [
      (changed("v", nil), "no tensor \"v\""), (changed("w", nil), "no tensor \"w\""),
      (changed("v", nan), "not finite"), (changed("gates", nan), "not finite"),
      (changed("w", Tensor(type: .f32, shape: [3, 2])), "F32"),
      (changed("w", Tensor(type: .f64, shape: [2, 2])), "expected F64 [3, 2]"),
      (changed("w", Tensor(type: .f64, shape: [2, 3, 2])), "expected F64 [3, 2]"),
      (changed("gates", Tensor(type: .f64, shape: [3, 0])), "expected F64 [3, 2]"),
      (changed("gates", nil), "no tensor \"gates\""),
      (changed("thresholds", Tensor([0.0])), "expected F64 [3]"),
      (changed("index", nil), "no tensor \"index\""),
      (changed("index", Tensor([Int32(0), 1])), "expected F64 [2, 2]"),
      (changed("index", Tensor([Int32(-1), 1, 2])), "holds -1"),
      (changed("index", Tensor([Int32(1), 1, 2])), "ascend"),
      (changed("predictions", nil), "no tensor \"predictions\""),
      (changed("predictions", Tensor([5.0, .infinity], shape: [2, 1])), "not finite"),
      (changed("predictions", Tensor(type: .f64, shape: [0, 1])), "or have none"),
      (changed("predictions", Tensor(type: .f64, shape: [2, 2])), "dual"),
      (changed("dual", nil), "no tensor \"dual\""),
      (metadata("kind", "network"), "kind \"network\""),
      (metadata("norm", nil), "\"norm\""), (metadata("norm", "nuclear"), "nuclear"),
      (metadata("norm", "one"), "group or nuclear"), (metadata("activation", "relu6"), "relu6"),
      (metadata("status", "fine"), "status"),
    ] {
      try folder.write(bundle, "bad")
      let run = try Tools.run("recover", ["bad", "-o", "n"], in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
      #expect(run.errors.hasPrefix("recover: ") && run.output.isEmpty)
      #expect(folder.files == ["bad"])
    }
  }

  @Test func otherDataAreRefused() throws {
    let folder = try Folder()
    try folder.write(solution(), "solution")
    func changed(_ name: String, _ tensor: Tensor?) -> Bundle {
      var bundle = arrangements()
      bundle.tensors[name] = tensor
      return bundle
    }
    for (bundle, part) in [
      (changed("x", Tensor([1.0, 0, 0, 2], shape: [2, 2])), "predictions"),
      (changed("x", nil), "no tensor \"x\""),
      (changed("gates", Tensor([1.0, 1, 1, -1, -1, 2], shape: [3, 2])), "pattern 2"),
      (changed("thresholds", Tensor([0.0, 0, 1])), "pattern 2"),
      (solution(), "arrangements"),
    ] {
      try folder.write(bundle, "data")
      let run = try Tools.run(
        "recover", ["--minimal", "--data", "data", "solution", "-o", "n"], in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
      #expect(folder.files == ["data", "solution"])
    }
    let polynomial = Bundle(
      kind: .solution, tensors: ["z": Tensor(type: .f64, shape: [1, 1, 2, 3, 3])],
      metadata: ["activation": "1.0,0.0,0.0"])
    try folder.write(polynomial, "z")
    #expect(try Tools.run("recover", ["--minimal", "z"], in: folder).status == 2)
  }
}
