import Evaluation
import LinearAlgebra
import Schema
import Tensors
import Testing

private struct Case {
  let samples: Samples
  let bundle: Bundle
  /// n × C, by the definition.
  let outputs: [Double]

  init(n: Int, pool: [Int], d: Int, neurons: Int, outputs count: Int, seed: UInt64) {
    var generator = SeededGenerator(seed)
    let samples = Samples(n, pool: pool, d, &generator)
    let filters = (0..<neurons).map { _ in generator.unit(d) }
    let weights = (0..<count).map { _ in generator.signed(neurons) }
    let regions = (0..<neurons).map { $0 % samples.regions }
    self.samples = samples
    bundle = networkBundle(filters: filters, weights: weights, regions: regions, d: d)
    outputs = (0..<n).flatMap { i in
      (0..<count).map { c in
        (0..<neurons).reduce(0) {
          $0 + weights[c][$1] * samples.neuron(i, regions[$1], filters[$1], coefficients)
        }
      }
    }
  }

  var labels: [String: Tensor] {
    ["labels": Tensor((0..<samples.n).map { Int32($0 % 2) })]
  }
}

@Test(arguments: [
  (1, [0], 1, 1, 1), (5, [0], 4, 3, 1), (70, [0, 0, 0, 0], 5, 7, 3),
  (300, [1, 0, 1, 2, 0, 2], 3, 8, 2),
  (33, [0, 1], 40, 2, 2),
])
func outputsFollowTheDefinition(
  _ n: Int, _ pool: [Int], _ d: Int, _ neurons: Int, _ outputs: Int
) throws {
  let planted = Case(n: n, pool: pool, d: d, neurons: neurons, outputs: outputs, seed: 7)
  let network = try TrainedNetwork(planted.bundle)
  let expected = Matrix(n, outputs, planted.outputs)
  for bundle in [
    planted.samples.dataset(planted.labels), planted.samples.dataset(planted.labels, single: true),
    planted.samples.momentBundle(planted.labels),
  ] {
    let examples = try Examples(bundle)
    _ = try network.check(against: examples)
    let values = try network.function.values(on: examples)
    #expect(largestDifference(values, expected) < 1e-13)
  }
}

@Test func moreThanAColumnSliceOfMoments() throws {
  // d = 40 has 860 moments: the inner dimension is cut.
  let planted = Case(n: 20, pool: [0, 1, 1], d: 40, neurons: 6, outputs: 2, seed: 8)
  let examples = try Examples(planted.samples.momentBundle(planted.labels))
  let values = try TrainedNetwork(planted.bundle).function.values(on: examples)
  #expect(largestDifference(values, Matrix(20, 2, planted.outputs)) < 1e-13)
}

@Test func twoDimensionsAreOnePatch() throws {
  let flat = Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor([1.0, 2, 3, 4, 5, 6], shape: [3, 2]), "targets": Tensor([0.0, 0, 0]),
    ])
  let network = networkBundle(filters: [[0.6, 0.8]], weights: [[2]], regions: nil, d: 2)
  let values = try TrainedNetwork(network).function.values(on: Examples(flat)).values
  let expected = [2.2, 5.0, 7.8].map { (t: Double) in 0.18 * t * t + t + 0.94 }
  #expect(zip(values, expected).allSatisfy { abs($0 - $1) < 1e-13 })
}

@Test func aNetworkWithoutNeuronsSaysZero() throws {
  let samples = Case(n: 4, pool: [0, 1], d: 2, neurons: 1, outputs: 1, seed: 1).samples
  let empty = networkBundle(filters: [], weights: [[]], regions: [], d: 2)
  let answers = ["labels": Tensor([Int32(0), 1, 1, 1])]
  for bundle in [samples.dataset(answers), samples.momentBundle(answers)] {
    let evaluation = try NetworkEvaluation(
      TrainedNetwork(empty), on: Examples(bundle), beta: 1)
    #expect(evaluation.outputs.values == [0, 0, 0, 0])
    // 0 is as near to -1 as to 1: the lower class.
    #expect(
      evaluation.report.text
        == "samples\t4\nclasses\t2\nneurons\t0\nloss\t2.0\naccuracy\t0.25\nobjective\t2.0\n"
        + "recall_0\t1.0\nprecision_0\t0.25\nrecall_1\t0.0\n")
  }
}

@Test func decisionsAndTargets() throws {
  // Filters of length 1 on one feature, σ(t) = t: the output is the feature itself.
  func judge(
    _ x: [Double], _ labels: [Int32], _ outputs: Int, _ metadata: [String: String]
  ) throws -> NetworkEvaluation {
    let network = networkBundle(
      filters: [[1]], weights: (0..<outputs).map { [$0 == 0 ? 1 : Double($0) * 0.5] },
      regions: nil, d: 1, metadata: metadata.merging(["activation": "0,1,0"]) { $1 })
    let data = Bundle(
      kind: .dataset,
      tensors: ["x": Tensor(x, shape: [x.count, 1]), "labels": Tensor(labels)])
    return try NetworkEvaluation(TrainedNetwork(network), on: Examples(data))
  }
  #expect(try judge([-0.1, 0, 0.1], [0, 0, 1], 1, [:]).decisions == [0, 0, 1])
  #expect(try judge([0.4, 0.5, 0.6], [0, 0, 1], 1, ["targets": "0,1"]).decisions == [0, 0, 1])
  #expect(try judge([0.4, 0.5, 0.6], [1, 1, 0], 1, ["targets": "1,0"]).decisions == [1, 0, 0])
  // Outputs x, x/2, x: the first of equals; below zero the middle one is largest.
  #expect(try judge([1, -1], [0, 1], 3, [:]).decisions == [0, 1])
  let evaluation = try judge([0.25, 2], [0, 1], 1, ["targets": "0,1"])
  #expect(evaluation.expected?.values.values == [0, 1])
  #expect(evaluation.report.text.contains("loss\t0.53125\naccuracy\t1.0\n"))
  let hot = try judge([1, 0], [2, 0], 3, ["targets": "-1,1"])
  #expect(hot.expected?.values.values == [-1, -1, 1, 1, -1, -1])
  #expect(try hot.confusionMatrix().counts == [1, 0, 0, 0, 0, 0, 1, 0, 0])
}

@Test func regressionHasNoAccuracy() throws {
  let network = networkBundle(filters: [[1]], weights: [[1], [1]], regions: nil, d: 1)
  let data = Bundle(
    kind: .dataset,
    tensors: [
      "x": Tensor([0.0, 0], shape: [2, 1]),
      "targets": Tensor([0.47, 1.47, 0.47, 0.47], shape: [2, 2]),
    ])
  let evaluation = try NetworkEvaluation(TrainedNetwork(network), on: Examples(data))
  #expect(evaluation.report.text == "samples\t2\nneurons\t1\nloss\t0.5\nrmse\t0.5\n")
  #expect(throws: Failure.self) { try evaluation.confusionMatrix() }
}
