import Evaluation
import LinearAlgebra
import Tensors
import Testing

private typealias Variant = PlantedPatterns.Variant

private func judge(
  _ problem: PlantedPatterns, _ solution: Bundle? = nil, data: Bundle? = nil
) throws -> NetworkEvaluation {
  try NetworkEvaluation(
    TrainedNetwork(problem.network), on: Examples(data ?? problem.data, patterns: true),
    beta: problem.beta, certifying: Evaluation.solution(of: solution ?? problem.solution()))
}

private func number(_ evaluation: NetworkEvaluation, _ name: String) -> Double {
  guard case .number(let value) = evaluation.report.lines.first(where: { $0.name == name })?.value
  else { return .nan }
  return value
}

@Test(arguments: PlantedPatterns.Variant.allCases, [1, 2, 3])
func plantedPatternsAreCertified(_ variant: PlantedPatterns.Variant, _ outputs: Int) throws {
  for seed in 1...8 {
    let problem = PlantedPatterns(variant, outputs: outputs, seed: UInt64(seed))
    let evaluation = try judge(problem)
    #expect(evaluation.violations == [])
    #expect(evaluation.warnings == [])
    #expect(
      evaluation.report.lines.map(\.name) == [
        "samples", "neurons", "loss", "rmse", "objective", "certificate", "primal_objective",
        "dual_objective", "relative_gap", "dual_infeasibility", "primal_infeasibility",
        "recovery_error",
      ])
    for name in ["objective", "primal_objective", "dual_objective"] {
      #expect(abs(number(evaluation, name) / problem.objective - 1) < 1e-12, "\(name)")
    }
    for name in ["relative_gap", "dual_infeasibility", "primal_infeasibility", "recovery_error"] {
      #expect(abs(number(evaluation, name)) < 1e-12, "\(name)")
    }
  }
}

@Test func degenerateDataAreCertified() throws {
  // Repeated, opposite and zero rows, a constant column, more features than samples, one of each.
  func check(_ problem: PlantedPatterns) throws {
    let evaluation = try judge(problem)
    #expect(evaluation.violations == [])
    #expect(abs(number(evaluation, "relative_gap")) < 1e-12)
  }
  for variant in Variant.allCases {
    for seed in 20..<24 as Range<UInt64> {
      try check(
        PlantedPatterns(variant, outputs: 2, seed: seed) { rows in
          rows[1] = rows[0]
          rows[2] = rows[0].map { -2 * $0 }
          rows[3] = rows[3].map { _ in 0 }
          for j in rows.indices { rows[j][2] = j == 3 ? 0 : 1 }
        })
      try check(PlantedPatterns(variant, n: 2, d: 6, outputs: 2, seed: seed))
      try check(PlantedPatterns(variant, n: 1, d: 1, seed: seed))
      // All in a plane.
      try check(
        PlantedPatterns(variant, seed: seed) { rows in
          for j in rows.indices { rows[j][2] = rows[j][0] - rows[j][1] }
        })
    }
  }
}

@Test func largeAndSmallNumbersAreCertified() throws {
  for scale in [1e-50, 1e-9, 1e9, 1e50] {
    var problem = PlantedPatterns(.relu, seed: 3)
    // X → s X, w → w/s: β s is what the constraints come to, so that ν → ν/s.
    problem.x = problem.x.map { $0.map { $0 * scale } }
    problem.positive = problem.positive.map { $0.map { $0.map { $0 / scale / scale } } }
    problem.negative = problem.negative.map { $0.map { $0.map { $0 / scale / scale } } }
    problem.dual = problem.dual.map { $0.map { $0 / scale } }
    problem.predictions = problem.computedPredictions
    problem.targets = zip(problem.predictions, problem.dual).map { zip($0, $1).map(+) }
    problem.objective /= scale * scale
    let evaluation = try judge(problem)
    #expect(evaluation.violations == [], "\(scale)")
  }
}

@Test func withoutWeightsZeroIsOptimalAboveBetaMax() throws {
  for variant in Variant.allCases {
    for zeroTargets in [false, true] {
      let planted = PlantedPatterns(variant, outputs: 2, seed: 30)
      var problem = planted
      problem.index = []
      problem.positive = [[], []]
      problem.negative = variant == .relu ? [[], []] : []
      problem.predictions = problem.predictions.map { $0.map { _ in 0 } }
      // ν = y has just β as the largest constraint.
      if zeroTargets { problem.dual = problem.predictions }
      problem.targets = problem.dual
      problem.objective = 0.5 * problem.dual.joined().reduce(0) { $0 + $1 * $1 }
      let evaluation = try judge(problem)
      #expect(evaluation.violations == [])
      #expect(abs(number(evaluation, "primal_objective") - problem.objective) < 1e-14)
      #expect(abs(number(evaluation, "relative_gap")) < 1e-15)
      #expect(evaluation.report.text.contains("neurons\t0\n"))
      if !zeroTargets {
        let below = try judge(problem, problem.solution(["beta": "\(0.99 * problem.beta)"]))
        #expect(abs(number(below, "dual_infeasibility") - 1 / 0.99 + 1) < 1e-12)
        #expect(number(below, "relative_gap") > 1e-5)
      }
    }
  }
}

@Test func falseClaimsOverPatternsAreFound() throws {
  for variant in Variant.allCases {
    let planted = PlantedPatterns(variant, outputs: 2, seed: 41)
    func violations(
      _ changes: [String: String] = [:], _ corrupt: (inout PlantedPatterns) -> Void = { _ in }
    ) throws -> String {
      var problem = planted
      corrupt(&problem)
      // The network, the data and what was not corrupted stay.
      return try NetworkEvaluation(
        TrainedNetwork(planted.network), on: Examples(planted.data, patterns: true),
        certifying: Evaluation.solution(of: problem.solution(changes))
      ).violations.joined(separator: "; ")
    }
    #expect(try violations() == "")
    #expect(try violations { $0.predictions[4][1] += 1e-5 }.contains("recovery_error"))
    #expect(try violations { $0.predictions[4][1] += 1e-5 }.contains("from those of \""))
    #expect(
      try violations { $0.dual = $0.dual.map { $0.map { $0 * 1.01 } } }.contains(
        "dual_infeasibility is 0.01"))
    #expect(try violations { $0.dual[3][0] += 1e-3 } != "")
    #expect(try violations { $0.dual = $0.dual.map { $0.map { -$0 } } }.contains("dual_objective"))
    let doubled = try violations {
      $0.positive = $0.positive.map { $0.map { $0.map { $0 * 1.001 } } }
      $0.negative = $0.negative.map { $0.map { $0.map { $0 * 1.001 } } }
    }
    #expect(doubled.contains("primal_objective") && doubled.contains("the predictions are"))
    let value = planted.objective
    #expect(
      try violations(["primal_objective": "\(value * (1 - 1e-8))"]).contains("primal_objective"))
    #expect(try violations(["dual_objective": "\(value * (1 + 1e-8))"]).contains("dual_objective"))
    #expect(try violations(["relative_gap": "-1"]).contains("relative_gap"))
    #expect(try violations(["status": "time-limit"]) == "")
    #expect(throws: Failure.self) { try violations(["status": "nearly"]) }
    #expect(try violations(["beta": "0.71"]).contains("primal_objective"))
    #expect(try violations(["beta": "0.69"]).contains("dual_infeasibility"))
    // Another pattern than that of the weights: its gate is not the solution's.
    let moved = try violations { $0.index[0] = ($0.index[0] + 1) % $0.patterns.count }
    #expect(moved.contains("the predictions are"), "\(moved)")
    // The weights' pattern, but a gate that does not attain it.
    let gate = try violations { $0.gates[$0.index[0]] = $0.gates[$0.index[0]].map { -$0 } }
    #expect(gate.hasPrefix("gate 0 of bundle does not attain pattern \(planted.index[0])"))
    #expect(throws: Failure.self) { try violations { $0.positive[0][0][0] = 1e308 } }
  }
}

@Test func weightsOutsideTheirConesAreFound() throws {
  var problem = PlantedPatterns(.relu, seed: 42)
  let place = 0
  let isPositive = length(problem.positive[0][place]) > 0
  // A step over the nearest facet, with everything else made to fit.
  var v = isPositive ? problem.positive[0][place] : problem.negative[0][place]
  let facets = problem.cone(problem.index[place])
  let nearest = facets.min { product($0, v) / length($0) < product($1, v) / length($1) }!
  let step = product(nearest, v) / product(nearest, nearest) + 1e-6
  v = zip(v, nearest).map { $0 - step * $1 }
  if isPositive { problem.positive[0][place] = v } else { problem.negative[0][place] = v }
  problem.predictions = problem.computedPredictions
  problem.targets = zip(problem.predictions, problem.dual).map { zip($0, $1).map(+) }
  let evaluation = try judge(problem)
  let expected = 1e-6 * length(nearest) / length(v)
  #expect(abs(number(evaluation, "primal_infeasibility") / expected - 1) < 1e-6)
  #expect(evaluation.violations.contains { $0.hasPrefix("primal_infeasibility is ") })
}

@Test func aPatternOfTheDataThatWasChangedIsFound() throws {
  for variant in Variant.allCases {
    var problem = PlantedPatterns(variant, seed: 43)
    let solution = problem.solution()
    // A bit of the pattern in use, for a sample that is far from the boundary.
    let used = problem.index[0]
    let j = problem.x.indices.max {
      abs(product(problem.x[$0], problem.gates[used]))
        < abs(product(problem.x[$1], problem.gates[used]))
    }!
    problem.patterns[used][j].toggle()
    let evaluation = try judge(problem, solution)
    #expect(evaluation.violations.contains { $0.contains("does not attain pattern \(used)") })
  }
}

@Test func gatesOfTheDataThatWereChangedAreFound() throws {
  let problem = PlantedPatterns(.gated, seed: 43)
  var data = problem.data
  let used = problem.index[0]
  var gates = problem.gates
  // Another gate with the same pattern is as good.
  gates[used] = gates[used].map { 2 * $0 }
  data.tensors["gates"] = Tensor(gates.flatMap(\.self), shape: [gates.count, 3])
  #expect(try judge(problem, data: data).violations == [])
  gates[used] = gates[used].map { -$0 }
  data.tensors["gates"] = Tensor(gates.flatMap(\.self), shape: [gates.count, 3])
  #expect(
    try judge(problem, data: data).violations.contains {
      $0.hasPrefix("gate \(used) of bundle does not attain pattern \(used)")
    })
}

@Test func aPatternThatTheSolverDidNotSeeMakesAGap() throws {
  // One more pattern whose constraint is violated: the same solution is optimal no longer.
  for variant in [Variant.gated, .relu] {
    let problem = PlantedPatterns(variant, n: 12, gates: 60, seed: 44)
    var fewer = problem
    let left = problem.index[0]
    fewer.patterns.remove(at: left)
    fewer.gates.remove(at: left)
    // For the data without the best pattern ν is feasible with room, and no longer the best.
    fewer.index = [0]
    let evaluation = try judge(fewer)
    #expect(number(evaluation, "dual_infeasibility") == 0)
    #expect(number(evaluation, "relative_gap") > 1e-3)
  }
}

@Test func theObjectiveIsThatOfTheWeights() throws {
  // Unbalanced neurons predict the same and cost more.
  let problem = PlantedPatterns(.nuclear, outputs: 3, seed: 46)
  var network = problem.network
  network.tensors["hidden.weight"] = Tensor(
    network.tensors["hidden.weight"]!.doubles.map { $0 * 2 }, shape: [1, 3])
  network.tensors["output.weight"] = Tensor(
    network.tensors["output.weight"]!.doubles.map { $0 / 2 }, shape: [3, 1])
  let evaluation = try NetworkEvaluation(
    TrainedNetwork(network), on: Examples(problem.data), beta: problem.beta)
  let loss = number(evaluation, "loss")
  let balanced = problem.objective - loss
  // ½(4 s + s/4) instead of s.
  #expect(abs(number(evaluation, "objective") - loss - 2.125 * balanced) < 1e-12)
}
