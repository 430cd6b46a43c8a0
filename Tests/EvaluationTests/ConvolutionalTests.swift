import Glibc
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Evaluation

private func number(_ evaluation: NetworkEvaluation, _ name: String) -> Double {
  for line in evaluation.report.lines where line.name == name {
    if case .number(let value) = line.value { return value }
    if case .count(let value) = line.value { return Double(value) }
  }
  return .nan
}

private func judge(
  _ problem: PatternProgram, _ solution: Bundle? = nil, data: Bundle? = nil, network: Bundle? = nil
) throws -> NetworkEvaluation {
  let data = data ?? problem.data
  let solution = try Evaluation.solution(of: solution ?? problem.solution())
  return try NetworkEvaluation(
    TrainedNetwork(network ?? problem.network),
    on: Examples(data, patterns: solution.needsPatterns), beta: problem.beta,
    certifying: solution)
}

/// Compares everything that is recomputed with the definitions.
private func check(_ problem: PatternProgram) throws {
  let evaluation = try judge(problem, network: problem.kind == .circular ? circular(problem) : nil)
  let label = "\(problem.kind) \(problem.group) \(problem.loss) \(problem.outputs)"
  #expect(evaluation.violations == [], "\(label)")
  #expect(evaluation.warnings == [])
  func close(_ name: String, _ value: Double) {
    #expect(
      abs(number(evaluation, name) - value) <= 1e-12 * max(1, abs(value)), "\(label): \(name)")
  }
  close("loss", problem.lossValue(problem.predictions))
  close("primal_objective", problem.objective)
  close("objective", problem.objective)
  let largest = problem.attained
  close("dual_objective", problem.dualValue(min(1, problem.beta / largest)))
  close("dual_infeasibility", max(0, largest / problem.beta - 1))
  close("recovery_error", 0)
}

/// The circular network of z: with û = 1 (a filter that is a unit impulse) the output weights are z.
private func circular(_ problem: PatternProgram) -> Bundle {
  // The balanced network comes from recover; here only its function counts, and its penalty for one class.
  let d = problem.d
  var hidden: [Double] = []
  var output = [[Double]](repeating: [], count: problem.outputs)
  var groups: [Int32] = []
  let sets =
    problem.group == "pattern"
    ? [Array(0..<problem.outputs)] : (0..<problem.outputs).map { [$0] }
  for (number, set) in sets.enumerated() {
    // û = d^(−1/4) √|ẑ|, ŵ = ẑ/(√d û), by complex sums.
    let angles = { (k: Int, j: Int) in 2 * Double.pi * Double(j * k) / Double(d) }
    let transforms = set.map { c in
      (0..<d).map { k -> (Double, Double) in
        let z = problem.positive[c][0][0]
        let unit = 1 / Double(d).squareRoot()
        return (
          unit * (0..<d).reduce(0) { $0 + z[$1] * cos(angles(k, $1)) },
          -unit * (0..<d).reduce(0) { $0 + z[$1] * sin(angles(k, $1)) }
        )
      }
    }
    let filter = (0..<d).map { k in
      (length(transforms.flatMap { [$0[k].0, $0[k].1] }) / Double(d).squareRoot()).squareRoot()
    }
    func inverse(_ values: [(Double, Double)]) -> [Double] {
      (0..<d).map { j in
        (0..<d).reduce(0) {
          $0 + values[$1].0 * cos(angles($1, j)) - values[$1].1 * sin(angles($1, j))
        } / Double(d).squareRoot()
      }
    }
    let u = inverse(filter.map { ($0, 0) })
    let weights = transforms.map { transform in
      inverse(
        (0..<d).map {
          let scale = 1 / (Double(d).squareRoot() * filter[$0])
          return (transform[$0].0 * scale, transform[$0].1 * scale)
        })
    }
    for shift in 0..<d {
      hidden += (0..<d).map { u[($0 - shift + d) % d] }
      groups.append(Int32(number))
      for c in 0..<problem.outputs {
        output[c].append(set.firstIndex(of: c).map { weights[$0][shift] } ?? 0)
      }
    }
  }
  return Bundle(
    kind: .network,
    tensors: [
      "hidden.weight": Tensor(hidden, shape: [groups.count, d]),
      "output.weight": Tensor(
        output.flatMap(\.self), shape: [problem.outputs, groups.count]),
      "hidden.group": Tensor(groups),
    ],
    metadata: [
      "activation": "circular", "loss": problem.loss, "norm": "nuclear", "group": problem.group,
    ])
}

private let losses = ["squared", "logistic", "hinge", "huber", "quantile-0.7", "cross-entropy"]

@Test(arguments: PatternProgram.Kind.allCases, losses)
func definitionsAreRecomputed(_ kind: PatternProgram.Kind, _ loss: String) throws {
  let groups = kind == .linear ? ["class"] : ["class", "pattern"]
  for group in groups {
    for outputs in loss == "cross-entropy" ? [2, 3] : [1, 3] {
      for (pool, n) in [([0, 1, 0], 3), ([0, 0], 4), ([0], 7), ([2, 0, 1], 3)] {
        if kind == .circular, pool.count > 1 { continue }
        try check(
          PatternProgram(
            kind, group: group, loss: loss, outputs: outputs, pool: pool, n: n,
            cut: kind == .gated ? 0.3 : 0))
      }
    }
  }
}

@Test(arguments: PatternProgram.Kind.allCases)
func infeasibleDualPointsAreScaled(_ kind: PatternProgram.Kind) throws {
  for loss in losses {
    let problem = PatternProgram(
      kind, loss: loss, outputs: 2, pool: kind == .circular ? [0] : [0, 1, 0], room: 0.8)
    let evaluation = try judge(
      problem, network: kind == .circular ? circular(problem) : nil)
    #expect(abs(number(evaluation, "dual_infeasibility") - 0.25) < 1e-12)
    let expected = problem.dualValue(0.8)
    #expect(
      abs(number(evaluation, "dual_objective") - expected) < 1e-12 * max(1, abs(expected)))
    #expect(evaluation.violations.count == 1 && evaluation.violations[0].contains("dual_inf"))
  }
}

@Test func dualPointsOutsideTheDomainAreFound() throws {
  for (loss, outputs) in [
    ("logistic", 1), ("hinge", 1), ("huber", 1), ("quantile-0.7", 1), ("cross-entropy", 3),
  ] {
    for kind in [PatternProgram.Kind.gated, .linear] {
      var problem = PatternProgram(kind, loss: loss, outputs: outputs, room: 3)
      let feasible = try judge(problem)
      #expect(number(feasible, "dual_infeasibility") < 1e-15)
      // Just outside for one sample; far inside the constraints of the norm.
      let sign = isSigned(loss) ? problem.targets[1][0] : 1
      if loss == "cross-entropy" {
        let label = problem.targets[1].firstIndex(of: 1)!
        problem.dual[1] = problem.targets[1].map { $0 == 1 ? -0.001 : 0 }
        problem.dual[1][(label + 1) % 3] = 0.001
      } else {
        problem.dual[1][0] = loss == "quantile-0.7" ? 0.701 : sign * 1.001
      }
      let evaluation = try judge(problem)
      #expect(abs(number(evaluation, "dual_infeasibility") - 0.001) < 1e-12, "\(loss)")
      #expect(evaluation.violations.contains { $0.hasPrefix("dual_infeasibility is 0.00") })
      // What is reported is of a point inside, a lower bound.
      #expect(number(evaluation, "dual_objective").isFinite)
    }
  }
  func isSigned(_ loss: String) -> Bool { loss == "logistic" || loss == "hinge" }
}

@Test func falseClaimsOfConvolutionalSolutionsAreFound() throws {
  for kind in [PatternProgram.Kind.gated, .relu, .nuclear, .linear] {
    let planted = PatternProgram(kind, outputs: 2, pool: [0, 1, 1, 0])
    func violations(
      _ changes: [String: String] = [:], _ corrupt: (inout PatternProgram) -> Void = { _ in }
    ) throws -> String {
      var problem = planted
      corrupt(&problem)
      var solution = problem.solution()
      // The claim stays.
      let claim = planted.solution(changes).metadata
      for key in ["primal_objective", "dual_objective", "relative_gap", "status", "beta"] {
        solution.metadata[key] = claim[key]
      }
      return try NetworkEvaluation(
        TrainedNetwork(planted.network),
        on: Examples(planted.data, patterns: kind != .linear),
        certifying: Evaluation.solution(of: solution)
      ).violations.joined(separator: "; ")
    }
    #expect(try violations() == "")
    #expect(try violations(["status": "stalled"]) == "")
    #expect(try violations(["relative_gap": "1e-3"]).contains("relative_gap"))
    #expect(try violations(["primal_objective": "1"]).contains("primal_objective"))
    #expect(try violations(["dual_objective": "1"]).contains("dual_objective"))
    #expect(
      try violations(["beta": "\(planted.beta * 0.9)"]).contains("dual_infeasibility is 0.11"))
    #expect(try violations { $0.dual[2][1] *= 1.5 } != "")
    let doubled = try violations {
      $0.positive = $0.positive.map { $0.map { $0.map { $0.map { $0 * 1.01 } } } }
    }
    #expect(doubled.contains("primal_objective") && doubled.contains("recovery_error"))
    if kind != .linear {
      // Another pattern than that of the weights.
      #expect(try violations { $0.index[0] = 0 }.contains("recovery_error"))
      let gate = try violations { $0.gates[1] = $0.gates[1].map { -$0 } }
      #expect(gate.contains("gate 0 of bundle does not attain pattern 1"), "\(gate)")
    }
    if kind == .relu {
      let outside = try violations { $0.positive[1][0][1] = $0.positive[1][0][1].map { -$0 } }
      #expect(outside.contains("primal_infeasibility is "), "\(outside)")
    }
  }
}

@Test func listedPatternsDecideAndNotTheGates() throws {
  // A bit that contradicts the gates of the data, far from the boundary.
  let planted = PatternProgram(.gated, pool: [0, 1, 0])
  var problem = planted
  let row = problem.x.joined().enumerated().max {
    abs(product($0.element, planted.gates[2])) < abs(product($1.element, planted.gates[2]))
  }!.offset
  problem.patterns[2][row].toggle()
  let evaluation = try judge(problem, problem.solution())
  #expect(evaluation.violations.contains { $0.contains("does not attain pattern 2") })
  // The primal point is that of the bits all the same.
  #expect(abs(number(evaluation, "primal_objective") - problem.objective) < 1e-12)
}

@Test func manyRowsProjectAsFew() throws {
  // Two thousand rows and more are looked at by working sets: with every row many times the cone is the same.
  var generator = SeededGenerator(9)
  let (n, d) = (40, 6)
  let x = (0..<n).map { _ in generator.signed(d) }
  let gate = generator.signed(d)
  let signs = x.map { product($0, gate) >= 0 ? 1.0 : -1 }
  let copies = 80
  let rows = (0..<copies).flatMap { copy in x.map { $0.map { $0 * (1 + Double(copy)) } } }
  let few = Matrix(n, d, x.flatMap(\.self))
  let many = Matrix(n * copies, d, rows.flatMap(\.self))
  func lengths(_ matrix: Matrix) -> [Double] {
    (0..<matrix.rows).map { norm(d, matrix.row($0)) }
  }
  let (a, b) = (
    ConeProjection(features: few, lengths: lengths(few)),
    ConeProjection(features: many, lengths: lengths(many))
  )
  let allSigns = (0..<copies).flatMap { _ in signs }
  for _ in 0..<20 {
    let t = generator.signed(d)
    let first = a.bound(t, signs: signs, limit: 0)
    let second = b.bound(t, signs: allSigns, limit: 0)
    #expect(abs(first - second) <= 1e-13 * length(t))
  }
}

@Test func networksWithoutGroupsPayForEveryNeuron() throws {
  let problem = PatternProgram(.gated, group: "pattern", outputs: 2)
  var network = problem.network
  let evaluation = try judge(problem, network: network)
  #expect(abs(number(evaluation, "objective") - problem.objective) < 1e-12)
  network.tensors["hidden.group"] = nil
  let alone = try judge(problem, network: network)
  #expect(number(alone, "objective") > problem.objective + 1e-3)
}

@Test func hostileGroupsAndRegionsAreRefused() throws {
  let problem = PatternProgram(.gated, outputs: 2)
  func complaint(_ change: (inout Bundle) -> Void) -> String {
    var network = problem.network
    change(&network)
    do {
      return try judge(problem, network: network).violations.joined()
    } catch {
      return "\(error)"
    }
  }
  let m = problem.network.tensors["hidden.group"]!.count
  #expect(complaint { _ in } == "")
  for bad in [[Int32](repeating: 1, count: m), Array(repeating: -1, count: m)] {
    #expect(
      complaint { $0.tensors["hidden.group"] = Tensor(bad) }.contains("ascend from 0 without gaps"))
  }
  var jump = [Int32](repeating: 0, count: m)
  jump[m - 1] = 2
  #expect(complaint { $0.tensors["hidden.group"] = Tensor(jump) }.contains("holds 2 at"))
  #expect(
    complaint { $0.tensors["hidden.group"] = Tensor([Int32(0)]) }.contains(
      "hidden.group"))
  #expect(
    complaint { $0.tensors["hidden.region"] = Tensor([Int32](repeating: 5, count: m)) }.contains(
      "is for 6"))
  #expect(complaint { $0.metadata["loss"] = "hinge" }.contains("trained on the hinge loss"))
  #expect(
    complaint { $0.metadata["loss"] = "cross-entropy" }.contains(
      "trained on the cross-entropy loss"))
  // Targets that are none of the loss.
  for (loss, expected) in [
    ("hinge", "expected -1 or 1 for the hinge"), ("cross-entropy", "no distribution"),
  ] {
    var network = problem.network
    network.metadata["loss"] = loss
    let error = #expect(throws: Failure.self) {
      try NetworkEvaluation(TrainedNetwork(network), on: Examples(problem.data))
    }
    #expect("\(error!)".contains(expected))
  }
}

@Test func solutionsOfOtherShapesAreRefused() throws {
  let problem = PatternProgram(.gated, outputs: 2)
  func complaint(_ data: Bundle? = nil, _ change: (inout Bundle) -> Void = { _ in }) -> String {
    var solution = problem.solution()
    change(&solution)
    do {
      return try judge(problem, solution, data: data).violations.joined()
    } catch {
      return "\(error)"
    }
  }
  #expect(complaint() == "")
  #expect(
    complaint { $0.tensors["w"] = Tensor(type: .f64, shape: [2, 3, 0, 3]) }.contains("[2, 3, 0, 3]")
  )
  #expect(
    complaint { $0.tensors["w"] = Tensor(type: .f64, shape: [2, 3, 3, 3]) }.contains(
      "2 pooling region(s), but bundle is for 3"))
  #expect(
    complaint { $0.tensors["w"] = Tensor(type: .f64, shape: [1, 3, 2, 3]) }.contains(
      "expected F64 [2, 3, 2, 3]"))
  var data = problem.data
  data.tensors["patterns"] = nil
  #expect(complaint(data).contains("has no tensor"))
  data = problem.data
  var values = data.tensors["x"]!.doubles
  values[7] = .nan
  data.tensors["x"] = Tensor(values, shape: data.tensors["x"]!.shape)
  #expect(complaint(data).contains("holds 1 value that is not finite"))
}

@Test func targetsFollowTheLoss() throws {
  var bundle = Bundle(
    kind: .dataset,
    tensors: ["x": Tensor(type: .f64, shape: [3, 2]), "labels": Tensor([Int32(0), 2, 1])],
    metadata: ["classes": "a,b,c"])
  func expected(_ loss: LossName, outputs: Int, _ text: String? = nil) throws -> [Double] {
    let network = Bundle(
      kind: .network, tensors: [:], metadata: text.map { ["targets": $0] } ?? [:])
    return try ExpectedOutputs(
      Examples(bundle), targets: network.targetValues(outputs: outputs, loss: loss),
      outputs: outputs, classes: nil, loss: loss
    ).values.values
  }
  #expect(try expected(.squared, outputs: 3) == [1, 0, 0, 0, 0, 1, 0, 1, 0])
  #expect(try expected(.huber, outputs: 3) == [1, 0, 0, 0, 0, 1, 0, 1, 0])
  #expect(try expected(.crossEntropy, outputs: 3, "0,1") == [1, 0, 0, 0, 0, 1, 0, 1, 0])
  for loss in [LossName.logistic, .hinge] {
    #expect(try expected(loss, outputs: 3) == [1, -1, -1, -1, -1, 1, -1, 1, -1])
    #expect(throws: Failure.self) { try expected(loss, outputs: 3, "0,1") }
  }
  #expect(throws: Failure.self) { try expected(.crossEntropy, outputs: 3, "-1,1") }
  bundle.tensors["labels"] = Tensor([Int32(0), 1, 1])
  bundle.metadata["classes"] = "a,b"
  #expect(try expected(.logistic, outputs: 1) == [-1, 1, 1])
  #expect(try expected(.hinge, outputs: 1, "1,-1") == [1, -1, -1])
  #expect(try expected(.crossEntropy, outputs: 2) == [1, 0, 0, 1, 0, 1])
  #expect(throws: Failure.self) { try expected(.crossEntropy, outputs: 1) }
}

@Test func lossesKeepTheirDigits() {
  let zero = Matrix(1, 2, [0, 1])
  // log Σ e^z − z_1 for z = (0, 40): e^−40.
  let far = Matrix(1, 2, [0, 40])
  #expect(abs(LossName.crossEntropy.value(far, zero) / exp(-40) - 1) < 1e-14)
  #expect(LossName.crossEntropy.value(Matrix(1, 2, [1e4, 0]), zero) == 1e4)
  let one = Matrix(1, 1, [1])
  #expect(abs(LossName.logistic.value(Matrix(1, 1, [40]), one) / exp(-40) - 1) < 1e-14)
  #expect(LossName.logistic.value(Matrix(1, 1, [-1e4]), one) == 1e4)
}
