import Evaluation
import LinearAlgebra
import Schema
import Tensors
import Testing

/// A network of few neurons with its outputs by the definition.
private func planted(
  gated: Bool, thresholds: Bool, pool: [Int], n: Int, d: Int, neurons: Int, outputs: Int,
  seed: UInt64
) -> (network: Bundle, data: Bundle, outputs: [Double]) {
  var generator = SeededGenerator(seed)
  let samples = Samples(n, pool: pool, d, &generator)
  let filters = (0..<neurons).map { _ in generator.signed(d) }
  let gates = (0..<neurons).map { _ in generator.signed(d) }
  let cuts = (0..<neurons).map { _ in thresholds ? 0.3 * generator.signed() : 0 }
  let weights = (0..<outputs).map { _ in generator.signed(neurons) }
  let regions = (0..<neurons).map { $0 % samples.regions }
  var values: [Double] = []
  for i in 0..<n {
    for c in 0..<outputs {
      var sum = 0.0
      for j in 0..<neurons {
        let members = pool.indices.filter { pool[$0] == regions[j] }
        for k in members {
          let patch = Array(samples.patch(i, k))
          let t = product(patch, filters[j])
          let isActive = gated ? product(patch, gates[j]) >= cuts[j] : t > 0
          sum += isActive ? weights[c][j] * t / Double(members.count) : 0
        }
      }
      values.append(sum)
    }
  }
  var network = networkBundle(
    filters: filters, weights: weights, regions: regions, d: d,
    metadata: ["activation": gated ? "gated-relu" : "relu"])
  if gated {
    network.tensors["hidden.gate"] = Tensor(gates.flatMap(\.self), shape: [neurons, d])
    if thresholds { network.tensors["hidden.threshold"] = Tensor(cuts) }
  }
  let data = samples.dataset(["targets": Tensor(type: .f64, shape: [n, outputs])])
  return (network, data, values)
}

@Test(arguments: [(false, false), (true, false), (true, true)])
func rectifiedOutputsFollowTheDefinition(_ gated: Bool, _ thresholds: Bool) throws {
  for (n, pool, d, neurons, outputs) in [
    (1, [0], 1, 1, 1), (40, [0], 5, 7, 3), (300, [0], 3, 20, 1), (50, [1, 0, 1, 1], 4, 9, 2),
  ] {
    let (network, data, values) = planted(
      gated: gated, thresholds: thresholds, pool: pool, n: n, d: d, neurons: neurons,
      outputs: outputs, seed: 12)
    let examples = try Examples(data)
    let trained = try TrainedNetwork(network)
    _ = try trained.check(against: examples)
    let found = try trained.function.values(on: examples)
    #expect(largestDifference(found, Matrix(n, outputs, values)) < 1e-13)
  }
}

@Test func ties() throws {
  // x · g is 0 up to rounding that depends on the order of the sum: it counts as 0, active.
  let x = [0.1, 0.2, 0.3, -0.6, 0.7, -0.1]
  let network = Bundle(
    kind: .network,
    tensors: [
      "hidden.weight": Tensor([1.0, 1, 1, 1, 1, 1], shape: [1, 6]),
      "hidden.gate": Tensor([3.0, 3, 3, 3, 0, 0], shape: [1, 6]),
      "output.weight": Tensor([1.0], shape: [1, 1]),
    ], metadata: ["activation": "gated-relu"])
  // 0.1 + 0.2 + 0.3 - 0.6 in doubles is exactly 2^-55 or so above 0; its negative is below.
  for sign in [1.0, -1] {
    let data = Bundle(
      kind: .dataset,
      tensors: [
        "x": Tensor(x.map { sign * $0 }, shape: [1, 6]), "targets": Tensor([0.0]),
      ])
    let exact = (x[0] + x[1] + x[2] + x[3]) * sign  // exact: all four are nearby binades
    let output = try TrainedNetwork(network).function.values(on: Examples(data))[0, 0]
    #expect((output != 0) == (exact >= 0))
  }
}

@Test func theGatesOfAFirstRowDecideAlone() throws {
  // A zero row is active at threshold 0, and not above it.
  for (threshold, expected) in [(0.0, 2.0), (0.5, 0.0), (-0.5, 2.0)] {
    let network = Bundle(
      kind: .network,
      tensors: [
        "hidden.weight": Tensor([1.0, 0], shape: [1, 2]),
        "hidden.gate": Tensor([0.0, 1], shape: [1, 2]),
        "hidden.threshold": Tensor([threshold]),
        "output.weight": Tensor([1.0], shape: [1, 1]),
      ], metadata: ["activation": "gated-relu"])
    let data = Bundle(
      kind: .dataset, tensors: ["x": Tensor([2.0, 0], shape: [1, 2]), "targets": Tensor([0.0])])
    #expect(try TrainedNetwork(network).function.values(on: Examples(data)).values == [expected])
  }
}

@Test func objectivesOfRectifiedNetworks() throws {
  let data = Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor([1.0, 1], shape: [1, 2]), "targets": Tensor([2.0, -2], shape: [1, 2]),
    ])
  func objective(_ norm: String?) throws -> String {
    var network = networkBundle(
      filters: [[3, 4], [-1, 0]], weights: [[1, 5], [-2, 0]], regions: nil, d: 2,
      metadata: ["activation": "relu"])
    network.metadata["norm"] = norm
    return try NetworkEvaluation(TrainedNetwork(network), on: Examples(data), beta: 2).report.text
  }
  // Outputs (7, -14): loss ½(25 + 144); ½(25 + 1 + 9 + 25) and ½(25 + 1 + 5 + 25).
  let expected = "samples\t1\nneurons\t2\nloss\t84.5\nrmse\t9.192388155425117\nobjective\t"
  #expect(try objective(nil) == expected + "144.5\n")
  #expect(try objective("group") == expected + "144.5\n")
  #expect(try objective("nuclear") == expected + "140.5\n")
  #expect(throws: Failure.self) { try objective("spectral") }
}

@Test func rectifiedNetworksWithoutNeurons() throws {
  for kind in ["relu", "gated-relu"] {
    var network = networkBundle(
      filters: [], weights: [[], []], regions: nil, d: 3, metadata: ["activation": kind])
    if kind != "relu" { network.tensors["hidden.gate"] = Tensor(type: .f64, shape: [0, 3]) }
    let data = Bundle(
      kind: .dataset,
      tensors: ["x": Tensor(type: .f64, shape: [2, 3]), "labels": Tensor([Int32(0), 1])])
    let evaluation = try NetworkEvaluation(TrainedNetwork(network), on: Examples(data), beta: 1)
    #expect(evaluation.outputs.values == [0, 0, 0, 0])
    #expect(evaluation.report.text.contains("neurons\t0\nloss\t1.0\n"))
    #expect(evaluation.report.text.contains("objective\t1.0\n"))
  }
}
