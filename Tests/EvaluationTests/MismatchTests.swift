import Evaluation
import LinearAlgebra
import Schema
import Tensors
import Testing

private let features = Tensor([0.1, 0.2, 0.3, 0.4], shape: [2, 2])
private let twoLabels = Tensor([Int32(0), 1])

private func data(
  _ changes: [String: Tensor?] = [:], _ metadata: [String: String] = [:], kind: Kind = .dataset
) -> Bundle {
  var tensors = ["x": features, "labels": twoLabels]
  for (name, tensor) in changes { tensors[name] = tensor }
  return Bundle(kind: kind, tensors: tensors, metadata: metadata)
}

private func network(
  _ changes: [String: Tensor?] = [:], _ metadata: [String: String] = [:]
) -> Bundle {
  var bundle = networkBundle(
    filters: [[1, 0], [0.6, 0.8]], weights: [[1, -2]], regions: [0, 0], d: 2, metadata: metadata)
  for (name, tensor) in changes { bundle.tensors[name] = tensor }
  return bundle
}

/// What is said of a network on data; empty where all is well.
private func complaint(_ network: Bundle, _ data: Bundle, _ solution: Bundle? = nil) -> String {
  do {
    _ = try NetworkEvaluation(
      TrainedNetwork(network), on: Examples(data),
      certifying: solution.map { try PolynomialSolution($0) })
    return ""
  } catch let failure as Failure {
    return failure.message
  } catch {
    return "\(error)"
  }
}

@Test func dataAndNetworkThatFit() {
  #expect(complaint(network(), data()) == "")
  #expect(complaint(network(["hidden.region": nil]), data()) == "")
  #expect(complaint(network([:], ["classes": "a,b"]), data([:], ["classes": "a,b"])) == "")
  #expect(complaint(network([:], ["classes": "a,b"]), data()) == "")
}

@Test func wrongKinds() {
  #expect(complaint(data(), data()).contains("kind \"dataset\", expected network"))
  #expect(complaint(network(), network()).contains("expected dataset or moments or arrangements"))
  #expect(
    complaint(network(), data(), network()).contains("kind \"network\", expected solution"))
  #expect(complaint(network(), data([:], [:], kind: .arrangements)) == "")
}

@Test func wrongData() {
  func check(_ changes: [String: Tensor?], _ expected: String, _ metadata: [String: String] = [:]) {
    let found = complaint(network(), data(changes, metadata))
    #expect(found.contains(expected), "\(found)")
  }
  check(["x": nil], "no tensor \"x\"")
  check(
    ["x": Tensor([Int32(1), 2, 3, 4], shape: [2, 2])], "\"x\" of bundle is I32 [2, 2], expected F32"
  )
  check(["x": Tensor(type: .f64, shape: [0, 2])], "it has no samples")
  check(["x": Tensor(type: .f64, shape: [2, 0, 2])], "it has no patches")
  check(["x": Tensor([0.1, .nan, 0, 0], shape: [2, 2])], "1 value that is not finite")
  check(
    ["x": Tensor([Float.infinity, .nan, 0, 0], shape: [2, 2])], "2 values that are not finite")
  check(["pool": Tensor([Int32(0), 0])], "expected I32 [1], one region a patch")
  check(["pool": Tensor([Int32(1)])], "\"pool\" of bundle holds 1")
  check(["pool": Tensor([Int32(-1)])], "\"pool\" of bundle holds -1")
  check(["targets": Tensor([0.0, 1])], "both \"labels\" and \"targets\"")
  check(["labels": Tensor([Int32(0)])], "is I32 [1], but there are 2 samples")
  check(["labels": Tensor([Int32(0), -1])], "label of sample 1 is -1")
  check(["labels": Tensor([Int32(0), 2])], "label of sample 1 is 2, expected 0 to 1")
  check(
    ["labels": Tensor([Int32(2), 1])], "label of sample 0 is 2, expected 0 to 1",
    ["classes": "cat,dog"])
  check([:], "3 classes, but the network has 1 output", ["classes": "a,b,c"])
  check([:], "an empty name", ["classes": "a,,c"])
  check(
    ["labels": nil, "targets": Tensor([1.0, 2, 3, 4], shape: [2, 2])],
    "2 columns, but the network has 1 output")
  check(["labels": nil, "targets": Tensor([1.0, .nan])], "1 value that is not finite")
  let samples = data([
    "x": Tensor(type: .f64, shape: [2, 3, 2]), "pool": Tensor([Int32(2), 0, 2]),
  ])
  #expect(complaint(network(), samples).contains("no patch in region 1"))
}

@Test func wrongMoments() {
  func moments(_ tensor: Tensor) -> Bundle {
    Bundle(kind: .moments, tensors: ["moments": tensor, "labels": twoLabels])
  }
  #expect(complaint(network(), moments(Tensor(type: .f64, shape: [2, 1, 5]))) == "")
  #expect(
    complaint(network(), moments(Tensor(type: .f64, shape: [2, 1, 6]))).contains(
      "not d(d+1)/2+d of any d"))
  #expect(
    complaint(network(), moments(Tensor(type: .f64, shape: [2, 1, 9]))).contains("3 features"))
  #expect(
    complaint(network(), moments(Tensor(type: .f64, shape: [2, 0, 5]))).contains("no regions"))
  var values = [Double](repeating: 0, count: 10)
  values[9] = -.infinity
  #expect(
    complaint(network(), moments(Tensor(values, shape: [2, 1, 5]))).contains(
      "tensor \"moments\" holds 1 value"))
}

@Test func wrongNetworks() {
  func check(_ changes: [String: Tensor?], _ expected: String, _ metadata: [String: String] = [:]) {
    let found = complaint(network(changes, metadata), data())
    #expect(found.contains(expected), "\(found)")
  }
  check(
    [:],
    "\"activation\" of bundle is \"tanh\", expected \"relu\", \"gated-relu\", \"linear\", \"circular\" or",
    ["activation": "tanh"])
  check([:], "or a polynomial", ["activation": "1,2,nan"])
  check([:], "or a polynomial", ["activation": "1,2"])
  check([:], "\"loss\" of bundle is \"ramp\"", ["loss": "ramp"])
  check([:], "\"targets\" of bundle is \"1,1\"", ["targets": "1,1"])
  check(["hidden.bias": Tensor([0.0, 0])], "does not use")
  check(["hidden.weight": nil], "no tensor \"hidden.weight\"")
  check(
    ["hidden.weight": Tensor([1.0, 0, 0.6, 0.81], shape: [2, 2])], "filter 1 has length 1.00")
  check(["hidden.weight": Tensor([1.0, 0, .nan, 0], shape: [2, 2])], "not finite")
  check(["output.weight": Tensor([1.0, 2, 3], shape: [1, 3])], "a column for each neuron")
  check(["output.weight": Tensor([1.0, .infinity], shape: [1, 2])], "not finite")
  check(["output.weight": Tensor([1e308, 1e308], shape: [1, 2])], "outputs of bundle are not")
  check(["hidden.region": Tensor([Int32(0)])], "expected I32 [2]")
  check(["hidden.region": Tensor([Int32(0), -1])], "\"hidden.region\" holds -1")
  check(["hidden.region": Tensor([Int32(0), 1])], "1 pooling region, but bundle is for 2")
  check(
    ["hidden.weight": Tensor([1.0, 0, 0, 0, 1, 0], shape: [2, 3])],
    "2 features, but tensor \"hidden.weight\" of bundle is F64 [2, 3], 3 features")
  let regions = data([
    "x": Tensor(type: .f64, shape: [2, 2, 2]), "pool": Tensor([Int32(0), 1]),
  ])
  #expect(complaint(network(["hidden.region": nil]), regions).contains("is for 1"))
  #expect(complaint(network(), regions) == "")
}

@Test func dataThatWentAnotherWay() throws {
  #expect(
    complaint(network([:], ["classes": "a,b"]), data([:], ["classes": "b,a"])).contains(
      "are b,a, but those of bundle are a,b"))
  for name in ["mean", "whiten"] {
    let shape = name == "mean" ? [2] : [1, 2]
    let ours = network([name: Tensor([1.0, 2], shape: shape)])
    #expect(complaint(ours, data([name: Tensor([1.0, 2], shape: shape)])) == "")
    #expect(complaint(ours, data()) == "")
    #expect(
      complaint(ours, data([name: Tensor([1.0, 3], shape: shape)])).contains("patchify --like"))
  }
  let warned = try NetworkEvaluation(
    TrainedNetwork(network([:], ["stride": "4"])), on: Examples(data([:], ["stride": "2"])))
  #expect(warned.warnings == ["\"stride\" is \"2\" in bundle, but \"4\" in bundle"])
}

@Test func solutionsOfOtherProblems() {
  let problem = PlantedProblem(seed: 61)
  let samples = problem.samples.dataset(problem.answers)
  func check(_ solution: Bundle, _ expected: String) {
    let found = complaint(problem.network, samples, solution)
    #expect(found.contains(expected), "\(found)")
  }
  check(problem.solution(), "")
  check(PlantedProblem(n: 39).solution(), "needs the training data")
  check(PlantedProblem(d: 2).solution(), "3 features and 2 region(s), but bundle is for 2 and 2")
  check(PlantedProblem(pool: [0]).solution(), "but bundle is for 3 and 1")
  check(PlantedProblem(outputs: 1).solution(), "has 2 output(s), but bundle has 1")
  check(problem.solution(changes: ["activation": "1,0,0"]), "activations of")
  check(problem.solution(changes: ["targets": "0,2"]), "targets of")
  check(problem.solution(changes: ["beta": "0"]), "\"beta\" is 0.0, expected above 0")
  check(problem.solution(changes: ["relative_gap": "nan"]), "\"relative_gap\" of bundle is \"nan\"")
  check(problem.solution(changes: ["loss": "hinge"]), "is for the hinge loss")
  check(problem.solution(changes: ["loss": "ramp"]), "\"loss\"")
  for name in ["z", "dual", "predictions"] {
    var solution = problem.solution()
    solution.tensors[name] = nil
    check(solution, "no tensor \"\(name)\"")
  }
  for key in ["beta", "status", "primal_objective", "dual_objective", "relative_gap"] {
    var solution = problem.solution()
    solution.metadata[key] = nil
    check(solution, "has no \"\(key)\"")
  }
  var solution = problem.solution()
  solution.tensors["z"] = Tensor(type: .f64, shape: [2, 2, 1, 4, 4])
  check(solution, "expected F64 [C, R, 2, d+1, d+1]")
  solution = problem.solution()
  solution.tensors["dual"] = Tensor(type: .f64, shape: [40, 1])
  check(solution, "they differ in classes or samples")
  solution = problem.solution()
  solution.tensors["dual"] = Tensor([Double](repeating: .nan, count: 80), shape: [40, 2])
  check(solution, "80 values that are not finite")
}
