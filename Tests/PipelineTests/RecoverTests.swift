import Foundation
import Schema
import Tensors
import Testing

/// A folder with the solution Z = 2 p pᵀ + q qᵀ, Z' = ½ r rᵀ, p = [1, 0, 1], q = [0, 1, 1],
/// r = [0.6, 0.8, 1] of one class and region.
private func solutionFolder() throws -> Folder {
  let folder = try Folder()
  try folder.write(solution(), "solution")
  return folder
}

private func outer(_ p: [Double], _ weight: Double) -> [Double] {
  p.flatMap { x in p.map { weight * x * $0 } }
}

private func solution() -> Bundle {
  let positive = zip(outer([1, 0, 1], 2), outer([0, 1, 1], 1)).map { $0 + $1 }
  return Bundle(
    kind: .solution,
    tensors: [
      "z": Tensor(positive + outer([0.6, 0.8, 1], 0.5), shape: [1, 1, 2, 3, 3]),
      "dual": Tensor([0.0, 0], shape: [2, 1]), "predictions": Tensor([1.0, 2], shape: [2, 1]),
      "mean": Tensor([0.5, 0.25]),
    ],
    metadata: [
      "activation": "1.0,0.5,0.0", "beta": "0.1", "size": "1", "channels": "2",
      "status": "optimal", "command": "solve",
    ])
}

@Suite struct RecoverTests {
  @Test func neuronsAddUpToTheSolution() throws {
    let folder = try solutionFolder()
    let run = try Tools.run("recover", ["solution", "-o", "network"], in: folder)
    #expect(run.status == 0 && run.errors == "" && run.output.isEmpty)
    let network = try folder.read("network")
    #expect(network.kind == .network)
    let filters = try #require(network.tensors["hidden.weight"])
    let weights = try #require(network.tensors["output.weight"]).doubles
    #expect(filters.shape == [3, 2] && weights.count == 3)
    #expect(network.tensors["hidden.region"]?.doubles == [0, 0, 0])
    var sum = [Double](repeating: 0, count: 9)
    for (j, weight) in weights.enumerated() {
      let u = Array(filters.doubles[2 * j..<2 * j + 2])
      #expect(abs(u[0] * u[0] + u[1] * u[1] - 1) < 1e-14)
      for (i, value) in outer(u + [1], weight).enumerated() { sum[i] += value }
    }
    let z = solution().tensors["z"]!.doubles
    for i in 0..<9 { #expect(abs(sum[i] - z[i] + z[9 + i]) < 1e-13) }
    // The largest first, and what belongs to Z' negative.
    #expect(weights[0] >= weights[1] && weights[1] > 0 && abs(weights[2] + 0.5) < 1e-14)
    // What evaluation needs goes on; what speaks of the solve does not.
    #expect(network.tensors["mean"]?.doubles == [0.5, 0.25] && network.tensors["dual"] == nil)
    #expect(network.metadata["size"] == "1" && network.metadata["status"] == nil)
    #expect(network.metadata["command"] == "solve\nrecover")
    // The same bytes on standard output, with any number of threads.
    let bytes = try Data(contentsOf: folder.url("network"))
    let input = try Data(contentsOf: folder.url("solution"))
    for threads in ["1", "2"] {
      #expect(try Tools.run("recover", ["--threads", threads], input: input).output == bytes)
    }
  }

  @Test func toleranceDropsTheSmall() throws {
    let folder = try solutionFolder()
    for (tolerance, count) in [("1e-3", 3), ("0.3", 2), ("1", 1)] {
      let run = try Tools.run(
        "recover", ["--tolerance", tolerance, "-o", "n", "solution"], in: folder)
      #expect(run.status == 0)
      let shape = try folder.read("n").tensors["output.weight"]?.shape
      #expect(shape == [1, count], "\(tolerance)")
    }
  }

  @Test func theZeroSolutionHasNoNeurons() throws {
    let folder = try solutionFolder()
    var zero = solution()
    zero.tensors["z"] = Tensor(type: .f64, shape: [2, 3, 2, 3, 3])
    try folder.write(zero, "zero")
    let run = try Tools.run("recover", ["zero", "-o", "n"], in: folder)
    #expect(run.status == 0)
    let network = try folder.read("n")
    #expect(network.tensors["hidden.weight"]?.shape == [0, 2])
    #expect(network.tensors["output.weight"]?.shape == [2, 0])
  }

  @Test func whatIsNoSolutionWritesNothing() throws {
    let folder = try solutionFolder()
    let good = solution()
    func z(_ change: (inout [Double]) -> Void) -> Bundle {
      var bundle = good
      var values = good.tensors["z"]!.doubles
      change(&values)
      bundle.tensors["z"] = Tensor(values, shape: [1, 1, 2, 3, 3])
      return bundle
    }
    func changed(_ name: String, _ tensor: Tensor?) -> Bundle {
      var bundle = good
      bundle.tensors[name] = tensor
      return bundle
    }
    func metadata(_ key: String, _ value: String?) -> Bundle {
      var bundle = good
      bundle.metadata[key] = value
      return bundle
    }
    let floats = Tensor(good.tensors["z"]!.doubles.map { Float($0) }, shape: [1, 1, 2, 3, 3])
    for (bundle, part) in [
      (z { $0[4] = .nan }, "not finite"), (z { $0[1] += 1 }, "not symmetric"),
      (z { $0[0] = -1 }, "not positive semidefinite"), (z { $0[17] += 1 }, "trace of Z'"),
      (changed("z", nil), "no tensor \"z\""), (changed("z", floats), "F32"),
      (changed("z", Tensor([1.0])), "[C, R, 2, d+1, d+1]"),
      (changed("z", Tensor(type: .f64, shape: [1, 1, 2, 3, 4])), "[C, R, 2, d+1, d+1]"),
      (changed("z", Tensor(type: .f64, shape: [0, 1, 2, 3, 3])), "[C, R, 2, d+1, d+1]"),
      (changed("z", Tensor(type: .f64, shape: [1, 0, 2, 3, 3])), "[C, R, 2, d+1, d+1]"),
      (metadata("kind", "network"), "kind \"network\""), (metadata("kind", nil), "\"kind\""),
      (metadata("activation", nil), "\"activation\""),
      (metadata("activation", "tanh"), "or a polynomial such as"),
    ] {
      try folder.write(bundle, "bad")
      let run = try Tools.run("recover", ["bad", "-o", "n"], in: folder)
      #expect(run.status == 1 && run.errors.contains(part), "\(part): \(run.errors)")
      #expect(run.errors.hasPrefix("recover: ") && run.output.isEmpty)
      #expect(folder.files == ["bad", "solution"])
    }
    let whole = try Data(contentsOf: folder.url("solution"))
    for count in [0, 8, whole.count - 1] {
      let run = try Tools.run("recover", [], input: whole.prefix(count))
      #expect(run.status == 1 && run.output.isEmpty && run.errors.hasPrefix("recover: "))
    }
  }

  @Test func usageAndFullDisks() throws {
    let folder = try solutionFolder()
    for arguments in [
      ["--tolerance", "0"], ["--tolerance", "2"], ["--tolerance", "nan"], ["--nonsense"],
      ["a", "b"],
    ] {
      let run = try Tools.run("recover", arguments, in: folder)
      #expect(run.status == 2 && run.errors.hasPrefix("recover: ") && run.output.isEmpty)
    }
    for target in ["> /dev/full", "-o /dev/full"] {
      let run = try Tools.shell("recover solution \(target)", in: folder)
      #expect(run.status == 1 && run.errors.contains("no space left"))
    }
  }
}
