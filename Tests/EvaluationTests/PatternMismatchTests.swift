import Evaluation
import LinearAlgebra
import Schema
import Tensors
import Testing

/// What is said of a network, data and a solution; empty where they fit.
private func complaint(
  _ problem: PlantedPatterns, _ solution: Bundle? = nil, data: Bundle? = nil,
  network: Bundle? = nil
) -> String {
  do {
    let solution = try Evaluation.solution(of: solution ?? problem.solution())
    _ = try NetworkEvaluation(
      TrainedNetwork(network ?? problem.network),
      on: Examples(data ?? problem.data, patterns: solution.needsPatterns), certifying: solution)
    return ""
  } catch let failure as Failure {
    return failure.message
  } catch {
    return "\(error)"
  }
}

private let problem = PlantedPatterns(.gated, seed: 50)
private let constrained = PlantedPatterns(.relu, seed: 51)

@Test func dataWithoutFittingPatterns() {
  func check(
    _ expected: String, _ metadata: [String: String] = [:], _ change: (inout Bundle) -> Void
  ) {
    var data = problem.data
    data.metadata.merge(metadata) { $1 }
    change(&data)
    let found = complaint(problem, data: data)
    #expect(found.contains(expected), "\(found)")
  }
  check("") { _ in }
  check("kind \"dataset\", expected arrangements", ["kind": "dataset"]) { _ in }
  check("no tensor \"patterns\"") { $0.tensors["patterns"] = nil }
  check("expected U8 [4, 2], a bit for each of 9 samples") {
    $0.tensors["patterns"] = Tensor(type: .u8, shape: [4, 3])
  }
  check("\"patterns\" of bundle is I32") {
    $0.tensors["patterns"] = Tensor(type: .i32, shape: [4, 2])
  }
  check("no tensor \"gates\"") { $0.tensors["gates"] = nil }
  check("\"gates\" of bundle is F64 [1, 3], expected F64") {
    $0.tensors["gates"] = Tensor([1.0, 2, 3], shape: [1, 3])
  }
  check("not finite") {
    let shape = $0.tensors["gates"]!.shape
    $0.tensors["gates"] = Tensor([Double](repeating: .nan, count: shape[0] * 3), shape: shape)
  }
  check("\"thresholds\" of bundle is F64 [1], expected F64") {
    $0.tensors["thresholds"] = Tensor([0.0])
  }
  check("a bit for each of 27 patches") {
    $0.tensors["x"] = Tensor(type: .f64, shape: [9, 3, 3])
  }
  check("with 2 pooling regions, but bundle is for 1") {
    $0.tensors["x"] = Tensor(type: .f64, shape: [9, 3, 3])
    $0.tensors["pool"] = Tensor([Int32(0), 1, 0])
    $0.tensors["patterns"] = Tensor(
      type: .u8, shape: [$0.tensors["patterns"]!.shape[0], 4])
  }
  check("\"x\" holds 1 value") {
    var values = $0.tensors["x"]!.doubles
    values[5] = .infinity
    $0.tensors["x"] = Tensor(values, shape: [9, 1, 3])
  }
  // Samples of another length or number than the solution's.
  check("needs the training data") {
    $0 = PlantedPatterns(.gated, n: 8, seed: 50).data
  }
  check("2 features, but") { $0 = PlantedPatterns(.gated, d: 2, seed: 50).data }
}

@Test func solutionsThatAreNone() {
  func check(
    _ expected: String, _ changes: [String: String] = [:], of problem: PlantedPatterns = problem,
    _ change: (inout Bundle) -> Void = { _ in }
  ) {
    var solution = problem.solution(changes)
    change(&solution)
    let found = complaint(problem, solution)
    #expect(found.contains(expected), "\(found)")
  }
  check(
    "expected \"relu\", \"gated-relu\", \"linear\", \"circular\" or a polynomial",
    ["activation": "gated"])
  check("activations of", ["activation": "relu"]) { $0.tensors["v"] = $0.tensors["w"] }
  check("no tensor \"z\"", ["activation": "1,0,0"])
  check("no tensor \"v\"", ["activation": "relu"])
  check("a tensor \"v\"") { $0.tensors["v"] = $0.tensors["w"] }
  check("no tensor \"w\"", of: constrained) { $0.tensors["w"] = nil }
  check("is \"nuclear\", expected \"group\"", ["norm": "nuclear"], of: constrained)
  check("\"norm\" of bundle is \"spectral\"", ["norm": "spectral"])
  check("\"group\" of bundle is \"layer\"", ["group": "layer"])
  check("\"loss\" of bundle is \"ramp\"", ["loss": "ramp"])
  check("is for the hinge loss", ["loss": "hinge"])
  check("expected above 0", ["beta": "-1"])
  check("\"beta\" of bundle is \"inf\"", ["beta": "inf"])
  check("has no \"status\"") { $0.metadata["status"] = nil }
  check("no tensor \"index\"") { $0.tensors["index"] = nil }
  check("\"index\" of bundle is F64 [1]") { $0.tensors["index"] = Tensor([0.0]) }
  for bad in [-1, Int32(problem.patterns.count), .max, .min] {
    check("\"index\" of bundle holds \(bad), but bundle has") {
      $0.tensors["index"] = Tensor([bad])
    }
  }
  check("holds 2 twice", of: PlantedPatterns(.gated, outputs: 2, seed: 50)) {
    $0.tensors["index"] = Tensor([Int32(2), 2])
  }
  check("\"w\" of bundle is F64 [1, 2], expected F64 [1, 3]", of: constrained) {
    $0.tensors["w"] = Tensor([1.0, 2], shape: [1, 2])
  }
  check("\"w\" of bundle is F64 [2, 1, 3], expected F64 [1, 3]") {
    $0.tensors["w"] = Tensor(type: .f64, shape: [2, 1, 3])
  }
  check("\"gates\" of bundle is F64 [1, 4], expected F64 [1, 3]") {
    $0.tensors["gates"] = Tensor(type: .f64, shape: [1, 4])
  }
  check("\"thresholds\" of bundle is F64 [3]") { $0.tensors["thresholds"] = Tensor([0.0, 0, 0]) }
  check("\"predictions\" is F64 [9, 2]: they differ") {
    $0.tensors["predictions"] = Tensor(type: .f64, shape: [9, 2])
  }
  check("\"dual\" of bundle is F64 [0, 1]") {
    for name in ["dual", "predictions"] { $0.tensors[name] = Tensor(type: .f64, shape: [0, 1]) }
  }
  check("\"w\" of bundle holds 3 values that are not finite") {
    $0.tensors["w"] = Tensor([Double](repeating: .nan, count: 3), shape: [1, 3])
  }
  check("\"dual\" of bundle holds") {
    $0.tensors["dual"] = Tensor([Double](repeating: .infinity, count: 9), shape: [9, 1])
  }
  for problem in [problem, constrained] {
    check("overflow", of: problem) {
      $0.tensors["dual"] = Tensor(
        problem.dual.joined().map { $0 > 0 ? 1e308 : -1e308 }, shape: [9, 1])
    }
  }
}

@Test func networksOfOtherPrograms() {
  func check(
    _ expected: String, of problem: PlantedPatterns = problem, _ change: (inout Bundle) -> Void
  ) {
    var network = problem.network
    change(&network)
    let found = complaint(problem, network: network)
    #expect(found.contains(expected), "\(found)")
  }
  check("activations of") { $0 = constrained.network }
  check("has 2 output(s), but bundle has 1") {
    $0 = PlantedPatterns(.gated, outputs: 2, seed: 50).network
  }
  check("no tensor \"hidden.gate\"") { $0.tensors["hidden.gate"] = nil }
  check("\"hidden.gate\", which a network with activation \"relu\" does not use", of: constrained) {
    $0.tensors["hidden.gate"] = $0.tensors["hidden.weight"]
  }
  check("\"hidden.bias\" of bundle is F64 [2]") { $0.tensors["hidden.bias"] = Tensor([0.0, 1]) }
  check("\"hidden.gate\" of bundle is F64 [1, 2], expected F64 [1, 3]") {
    $0.tensors["hidden.gate"] = Tensor([1.0, 2], shape: [1, 2])
  }
  check("\"hidden.gate\" of bundle holds 1 value") {
    $0.tensors["hidden.gate"] = Tensor([1.0, .nan, 2], shape: [1, 3])
  }
  check("\"hidden.threshold\" of bundle is F64 [2]") {
    $0.tensors["hidden.threshold"] = Tensor([1.0, 2])
  }
  check("\"norm\"") { $0.metadata["norm"] = "l0" }
  check("3 features, but tensor \"hidden.weight\"") {
    $0.tensors["hidden.weight"] = Tensor(type: .f64, shape: [1, 4])
    $0.tensors["hidden.gate"] = Tensor(type: .f64, shape: [1, 4])
  }
  let moments = Bundle(
    kind: .moments,
    tensors: [
      "moments": Tensor(type: .f64, shape: [9, 1, 9]), "targets": Tensor(type: .f64, shape: [9]),
    ])
  #expect(throws: Failure.self) {
    try NetworkEvaluation(TrainedNetwork(problem.network), on: Examples(moments))
  }
  #expect(complaint(problem, data: moments).contains("expected dataset or arrangements"))
}
