import Evaluation
import LinearAlgebra
import Schema
import Tensors
import Testing

private func judge(_ problem: PlantedProblem, _ solution: Bundle, moments: Bool = false) throws
  -> NetworkEvaluation
{
  let bundle =
    moments
    ? problem.samples.momentBundle(problem.answers) : problem.samples.dataset(problem.answers)
  return try NetworkEvaluation(
    TrainedNetwork(problem.network), on: Examples(bundle), beta: problem.beta,
    certifying: PolynomialSolution(solution))
}

private func number(_ evaluation: NetworkEvaluation, _ name: String) -> Double {
  guard case .number(let value) = evaluation.report.lines.first(where: { $0.name == name })?.value
  else { return .nan }
  return value
}

@Test(arguments: [1, 2, 3], [false, true])
func aPlantedOptimumIsCertified(_ outputs: Int, _ moments: Bool) throws {
  let problem = PlantedProblem(outputs: outputs, seed: UInt64(10 + outputs))
  let evaluation = try judge(problem, problem.solution(), moments: moments)
  #expect(evaluation.violations == [])
  #expect(
    evaluation.report.lines.map(\.name) == [
      "samples", "neurons", "loss", "rmse", "objective", "certificate", "primal_objective",
      "dual_objective", "relative_gap", "dual_infeasibility", "primal_infeasibility",
      "recovery_error",
    ])
  for name in ["objective", "primal_objective", "dual_objective"] {
    #expect(abs(number(evaluation, name) / problem.objective - 1) < 1e-12, "\(name)")
  }
  #expect(abs(number(evaluation, "relative_gap")) < 1e-12)
  #expect(number(evaluation, "dual_infeasibility") < 1e-12)
  #expect(number(evaluation, "primal_infeasibility") < 1e-12)
  #expect(number(evaluation, "recovery_error") < 1e-12)
}

@Test func theDualBoundIsNeverBelowASampledFilter() throws {
  var generator = SeededGenerator(21)
  let samples = Samples(15, pool: [0, 0], 3, &generator)
  let moments = samples.moments
  let width = 9
  for _ in 0..<10 {
    let nu = generator.signed(15)
    var sums = [Double](repeating: 0, count: width)
    for i in 0..<15 { for k in 0..<width { sums[k] += nu[i] * moments[i * width + k] } }
    let bound = try #require(
      dualNorm(
        sums, sumOfDual: nu.reduce(0, +),
        PolynomialActivation(
          a: coefficients.a, b: coefficients.b, c: coefficients.c), dimension: 3))
    for _ in 0..<300 {
      let u = generator.unit(3)
      let value = (0..<15).reduce(0) { $0 + nu[$1] * samples.neuron($1, 0, u, coefficients) }
      #expect(abs(value) <= bound * (1 + 1e-13))
    }
    let attained = samples.largestConstraint(nu, 0, &generator).value
    #expect(abs(abs(attained) / bound - 1) < 1e-9)
  }
}

@Test func aboveBetaMaxZeroIsOptimal() throws {
  var generator = SeededGenerator(22)
  let samples = Samples(12, pool: [0, 1], 2, &generator)
  let y = (0..<12).map { $0 % 2 == 0 ? -1.0 : 1.0 }
  let labels = ["labels": Tensor((0..<12).map { Int32($0 % 2) })]
  let largest = (0..<2).map { abs(samples.largestConstraint(y, $0, &generator).value) }.max()!
  func solution(_ beta: Double) throws -> PolynomialSolution {
    try PolynomialSolution(
      Bundle(
        kind: .solution,
        tensors: [
          "z": Tensor(type: .f64, shape: [1, 2, 2, 3, 3]), "dual": Tensor(y, shape: [12, 1]),
          "predictions": Tensor(type: .f64, shape: [12, 1]),
        ],
        metadata: [
          "activation": "0.09,0.5,0.47", "beta": "\(beta)", "status": "optimal",
          "primal_objective": "6", "dual_objective": "6", "relative_gap": "0", "gap": "1e-4",
        ]))
  }
  let empty = networkBundle(filters: [], weights: [[]], regions: [], d: 2)
  let examples = try Examples(samples.dataset(labels))
  let above = try NetworkEvaluation(
    TrainedNetwork(empty), on: examples, certifying: solution(largest * 1.0001))
  #expect(above.violations == [])
  #expect(number(above, "relative_gap") == 0)
  let below = try NetworkEvaluation(
    TrainedNetwork(empty), on: examples, certifying: solution(largest * 0.99))
  #expect(abs(number(below, "dual_infeasibility") - 1 / 0.99 + 1) < 1e-8)
  #expect(number(below, "relative_gap") > 1e-5)
  #expect(below.violations.count == 3)  // the dual value, the gap, the infeasibility
}

@Test func aGapThatIsThereMustBeClaimed() throws {
  var problem = PlantedProblem(seed: 31)
  // A feasible dual point that is not optimal.
  problem.dual = problem.dual.map { $0 * 0.99 }
  let honest = try judge(problem, problem.solution())
  let (dual, gap) = (number(honest, "dual_objective"), number(honest, "relative_gap"))
  #expect(gap > 1e-5)
  func violations(_ claimed: Double) throws -> [String] {
    try judge(
      problem,
      problem.solution(
        gap: claimed, changes: ["dual_objective": "\(dual)", "gap": "1"])
    )
    .violations
  }
  #expect(try violations(gap) == [])
  let raised = try violations(gap * 2)
  #expect(raised.count == 1 && raised[0].contains("but the claimed objectives have"))
  let lowered = try violations(gap * 0.999)
  #expect(lowered.count == 2 && lowered[1].hasPrefix("relative_gap"))
}

@Test func everyCorruptionIsFound() throws {
  let planted = PlantedProblem(seed: 41)
  func violations(
    _ changes: [String: String] = [:], _ corrupt: (inout PlantedProblem) -> Void = { _ in }
  ) throws -> String {
    var problem = planted
    corrupt(&problem)
    return try judge(problem, problem.solution(changes: changes)).violations
      .joined(separator: "; ")
  }
  #expect(try violations() == "")
  #expect(try violations { $0.predictions[7] += 1e-5 }.contains("recovery_error"))
  #expect(try violations { $0.predictions[7] += 1e-5 }.contains("those of \"z\""))
  let scaled = try violations { $0.dual = $0.dual.map { $0 * 1.01 } }
  #expect(scaled.contains("dual_infeasibility is 0.01"))
  #expect(try violations { $0.dual[3] += 1e-3 } != "")
  // A constant on the diagonal of one Z: the trace no longer fits, and the predictions change.
  #expect(try violations { $0.z[0] += 1e-4 }.contains("primal_infeasibility"))
  #expect(try violations { $0.z[1] += 1e-4 }.contains("primal_infeasibility"))
  #expect(try violations { $0.z[15] -= 1e-4 }.contains("primal_"))
  // Everything consistent but the wrong network weight: twice Z.
  #expect(
    try violations { $0.z = $0.z.map { $0 * 1.001 } }.contains("primal_objective"))
  let value = planted.objective
  #expect(
    try violations(["primal_objective": "\(value * (1 - 1e-8))"]).contains("primal_objective"))
  #expect(try violations(["dual_objective": "\(value * (1 + 1e-8))"]).contains("dual_objective"))
  #expect(try violations(["status": "iteration-limit"]) == "")
  #expect(throws: Failure.self) { try violations(["status": "Optimal"]) }
  // Optimal is what reached the gap that was asked for.
  let reached = try violations(["relative_gap": "1e-10", "gap": "1e-11"])
  #expect(reached.contains("\"optimal\" with a relative_gap of 1e-10, above the 1e-11"))
  #expect(try violations(["relative_gap": "1e-10", "gap": "1e-11", "status": "stalled"]) == "")
  #expect(try violations(["gap": "0"]).contains("the gap asked for is 0.0"))
  #expect(try violations(["certificate": "global"]) == "")
  #expect(try violations(["certificate": "gates"]).contains("certificate is \"global\", not"))
  #expect(try violations(["beta": "0.31"]).contains("primal_objective"))
  #expect(try violations(["beta": "0.29"]).contains("dual_infeasibility"))
  #expect(try violations(["relative_gap": "-1"]).contains("relative_gap"))
  // Values that overflow must not slip through a comparison.
  #expect(throws: Failure.self) { try violations { $0.z[0] = 1e308 } }
  #expect(throws: Failure.self) { try violations { $0.dual = $0.dual.map { $0 * 1e308 } } }
}

@Test func zAndItsMirrorAreTheSame() throws {
  // Z and Z′ enter with opposite signs: adding a feasible matrix to both changes only the norm.
  var problem = PlantedProblem(outputs: 1, seed: 51)
  let p = [0.6, 0.8, 0, 1]
  for sign in 0..<2 {
    for j in 0..<4 { for k in 0..<4 { problem.z[sign * 16 + j * 4 + k] += p[j] * p[k] } }
  }
  let evaluation = try judge(problem, problem.solution())
  #expect(
    abs(number(evaluation, "primal_objective") - problem.objective - 2 * problem.beta) < 1e-12)
  #expect(number(evaluation, "primal_infeasibility") < 1e-12)
  #expect(evaluation.violations.allSatisfy { !$0.contains("predictions") })
}
