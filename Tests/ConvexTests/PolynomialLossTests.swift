import Glibc
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// A loss and targets it is defined for, on inputs of some shape.
private struct LossCase: CustomTestStringConvertible, Sendable {
  let loss: LossName
  let problem: Problem
  let activation: PolynomialActivation
  var testDescription: String {
    "\(loss.rawValue), n = \(problem.n), d = \(problem.d), R = \(problem.regions), "
      + "C = \(problem.classes), \(activation.text)"
  }

  static let all: [LossCase] = LossName.allCases.flatMap { loss in
    [([0, 0], 4, 60), ([0, 1, 1], 3, 50), ([0, 1], 6, 20)].enumerated().map { index, shape in
      let (pool, d, n) = shape
      let classes = loss == .crossEntropy ? 2 + index : [1, 3, 1][index]
      return LossCase(
        loss: loss, problem: labelled(loss, n: n, pool: pool, d: d, classes: classes, seed: n + d),
        activation: activations[[0, 0, 4][index]])
    }
  }
}

/// Labels that follow the inputs, with noise, as the targets that the loss takes.
private func labelled(
  _ loss: LossName, n: Int, pool: [Int] = [0, 0], d: Int = 4, classes: Int, seed: Int
) -> Problem {
  var problem = Problem(n: n, pool: pool, d: d, classes: classes, seed: seed)
  var random = RandomSource(seed: seed, stream: 4)
  let units = (0..<classes).map { _ in random.unit(d) }
  for i in 0..<n {
    let scores = units.map { u in
      2 * problem.neuron(i, 0, u, usual) + 0.6 * random.gaussian()
    }
    let label = scores.indices.max { scores[$0] < scores[$1] }!
    for c in 0..<classes {
      let y: Double =
        switch loss {
        case .crossEntropy: c == label ? 1 : 0
        case .logistic, .hinge, .margin: scores[c] > 0.9 ? 1 : -1
        case .huber, .squared, .quantile, .interpolation: 3 * (scores[c] - 0.9)
        }
      problem.y[i * classes + c] = y
    }
  }
  return problem
}

extension Problem {
  fileprivate func solver(
    loss: LossName, _ s: PolynomialActivation = usual, bundle: Bundle? = nil,
    splitsLoss: Bool = true
  ) throws -> PolynomialSolver {
    try PolynomialSolver(
      MomentData(bundle ?? momentBundle()), targets: targets, activation: s, loss: loss,
      splitsLoss: splitsLoss)
  }

  /// ℓ of outputs (n × C), by its definition.
  fileprivate func value(_ loss: LossName, _ outputs: Matrix) -> Double {
    var sum = 0.0
    for i in 0..<n {
      for c in 0..<classes {
        let (z, t) = (outputs[i, c], y[i * classes + c])
        switch loss {
        case .squared: sum += 0.5 * (z - t) * (z - t)
        case .huber: sum += abs(z - t) <= 1 ? 0.5 * (z - t) * (z - t) : abs(z - t) - 0.5
        case .logistic: sum += log(1 + exp(-z * t))
        case .hinge: sum += max(0, 1 - z * t)
        case .quantile(let level): sum += max(level * (t - z), (level - 1) * (t - z))
        case .crossEntropy: sum -= z * t
        case .interpolation, .margin: preconditionFailure("a constraint")
        }
      }
      if loss == .crossEntropy { sum += log((0..<classes).reduce(0) { $0 + exp(outputs[i, $1]) }) }
    }
    return sum
  }

  /// −ℓ*(−ν) by its definition; `nil` outside the domain.
  fileprivate func dualValue(_ loss: LossName, _ dual: Matrix) -> Double? {
    func entropy(_ a: Double) -> Double { a > 0 ? -a * log(a) : 0 }
    var sum = 0.0
    for i in 0..<n {
      var row = 0.0
      for c in 0..<classes {
        let (nu, t) = (dual[i, c], y[i * classes + c])
        row += nu
        switch loss {
        case .squared: sum += nu * t - 0.5 * nu * nu
        case .huber:
          guard abs(nu) <= 1 else { return nil }
          sum += nu * t - 0.5 * nu * nu
        case .quantile(let level):
          guard nu <= level, nu >= level - 1 else { return nil }
          sum += nu * t
        case .logistic, .hinge:
          guard nu * t >= 0, nu * t <= 1 else { return nil }
          sum += loss == .hinge ? nu * t : entropy(nu * t) + entropy(1 - nu * t)
        case .crossEntropy:
          guard t - nu >= 0 else { return nil }
          sum += entropy(t - nu)
        case .interpolation, .margin: return nil
        }
      }
      if loss == .crossEntropy, abs(row) > 1e-12 { return nil }
    }
    return sum
  }
}

/// Holds a solution against the definitions: both points are feasible, both values theirs.
private func expectCertified(
  _ solution: PolynomialSolution, _ problem: Problem, _ loss: LossName, _ s: PolynomialActivation,
  beta: Double, gap: Double, status: Status = .optimal,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let (n, classes, regions, m) = (problem.n, problem.classes, problem.regions, problem.order)
  let features = (0..<n).map { i in (0..<regions).map { problem.feature(i, $0, s) } }
  let outputs = Matrix(n, classes)
  var norm = 0.0
  for (c, block) in solution.blocks.enumerated() {
    for row in 0..<2 * regions {
      let z = zMatrix(block, row: row, order: m)
      let values = eigenvalues(z)
      let excess = (0..<m - 1).reduce(-z[m - 1, m - 1]) { $0 + z[$1, $1] }
      #expect(values[0] >= -1e-12 * max(0, values[m - 1]), sourceLocation: sourceLocation)
      #expect(abs(excess) <= 1e-11 * max(0, z[m - 1, m - 1]), sourceLocation: sourceLocation)
      norm += z[m - 1, m - 1]
      for i in 0..<n {
        outputs[i, c] +=
          (row < regions ? 1 : -1) * inner(features[i][row % regions].values, z.values)
      }
    }
  }
  #expect(
    relativeDistance(solution.predictions, outputs) <= 1e-8 || largestEntry(outputs) == 0,
    sourceLocation: sourceLocation)
  let primal = problem.value(loss, outputs) + beta * norm
  #expect(abs(primal - solution.primal) <= 1e-9 * primal, sourceLocation: sourceLocation)

  let dual = try #require(
    problem.dualValue(loss, solution.dual), "ν is outside the conjugate's domain",
    sourceLocation: sourceLocation)
  #expect(abs(dual - solution.dualValue) <= 1e-9 * primal, sourceLocation: sourceLocation)
  var random = RandomSource(seed: 6)
  for c in 0..<classes {
    for region in 0..<regions {
      let sum = Matrix(m, m)
      for i in 0..<n {
        for p in 0..<m * m { sum.base[p] += solution.dual[i, c] * features[i][region].base[p] }
      }
      for sign in [1.0, -1.0] {
        for _ in 0..<6 {
          #expect(
            climb(sum, from: random.unit(m - 1), sign: sign) <= beta * (1 + 1e-9),
            sourceLocation: sourceLocation)
        }
      }
    }
  }
  #expect(primal - dual <= gap * primal, sourceLocation: sourceLocation)
  #expect(primal - dual >= -1e-11 * primal, sourceLocation: sourceLocation)
  #expect(solution.status == status, sourceLocation: sourceLocation)
}

@Suite struct PolynomialLossTests {
  @Test(arguments: LossCase.all)
  private func theOptimumIsCertifiedByTheDefinitions(_ test: LossCase) throws {
    let solver = try test.problem.solver(loss: test.loss, test.activation)
    var previous = 0.0
    // One solver, as on a path, and down to where the norm hardly matters.
    for share in [0.5, 0.1, 1e-2] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-4)
      try expectCertified(
        solution, test.problem, test.loss, test.activation, beta: beta, gap: 1e-4)
      // The optimum falls with β.
      #expect(previous == 0 || solution.primal <= previous * (1 + 1e-4))
      previous = solution.primal
    }
  }

  @Test func squaredLossAgreesWithItsOwnAlgorithm() throws {
    for (pool, n, classes) in [([0, 0], 60, 2), ([0, 1, 1], 25, 1)] {
      let problem = Problem(n: n, pool: pool, d: 4, classes: classes, seed: 31 + n)
      let reference = try problem.solver()
      let solver = try problem.solver(loss: .squared)
      #expect(abs(solver.betaMax - reference.betaMax) <= 1e-10 * reference.betaMax)
      let beta = 0.1 * reference.betaMax
      let first = reference.solve(beta: beta, gap: 1e-6)
      let second = solver.solve(beta: beta, gap: 1e-6)
      #expect(first.status == .optimal && second.status == .optimal)
      #expect(abs(first.primal - second.primal) <= 1e-6 * first.primal)
      // Strongly convex: ½ ‖ŷ − ŷ*‖² is at most the distance from the optimum, of each.
      let difference = zip(first.predictions.values, second.predictions.values).map { $0 - $1 }
      #expect(inner(difference, difference) <= 8 * 1e-6 * first.primal)
    }
  }

  @Test(arguments: LossName.allCases)
  func zeroFromBetaMaxOn(_ loss: LossName) throws {
    let classes = loss == .crossEntropy ? 3 : 1
    let problem = labelled(loss, n: 40, pool: [0, 1], d: 3, classes: classes, seed: 41)
    let solver = try problem.solver(loss: loss)
    let above = solver.solve(beta: solver.betaMax * (1 + 1e-9), gap: 1e-7)
    #expect(above.status == .optimal && above.blocks.areZero)
    // A little below it is not: a neuron lowers the objective.
    let below = solver.solve(beta: 0.95 * solver.betaMax, gap: 1e-6)
    #expect(!below.blocks.areZero && below.primal < above.primal)
    // β_max is the largest slope of ℓ along a neuron: climbed to from below.
    var random = RandomSource(seed: 42)
    var largest = 0.0
    for _ in 0..<3000 {
      let u = random.unit(problem.d)
      for region in 0..<problem.regions {
        let activity = (0..<problem.n).map { problem.neuron($0, region, u, usual) }
        for c in 0..<classes {
          let t = 1e-6
          let values = [t, -t].map { step in
            let outputs = Matrix(problem.n, classes)
            for i in 0..<problem.n { outputs[i, c] = step * activity[i] }
            return problem.value(loss, outputs)
          }
          largest = max(largest, abs(values[0] - values[1]) / (2 * t))
        }
      }
    }
    #expect(largest <= solver.betaMax * (1 + 1e-6))
    #expect(largest >= 0.97 * solver.betaMax)
  }

  @Test func twoClassesOfCrossEntropyAreLogisticLoss() throws {
    // log(e^a + e^b) − a = log(1 + e^(b − a)), and a network f costs the same as (−f/2, f/2), which is
    // the cheapest pair that differs by f.
    let signs = labelled(.logistic, n: 50, d: 3, classes: 1, seed: 51)
    var pairs = signs
    pairs.classes = 2
    pairs.y = signs.y.flatMap { $0 > 0 ? [0.0, 1] : [1, 0] }
    let logistic = try signs.solver(loss: .logistic)
    let beta = 0.1 * logistic.betaMax
    let one = logistic.solve(beta: beta, gap: 1e-5)
    let two = try pairs.solver(loss: .crossEntropy).solve(beta: beta, gap: 1e-5)
    #expect(one.status == .optimal && two.status == .optimal)
    #expect(abs(one.primal - two.primal) <= 2e-5 * one.primal)
  }

  @Test func anyFormOfTheDataGivesTheSame() throws {
    let problem = labelled(.crossEntropy, n: 40, pool: [0, 1, 1], d: 3, classes: 3, seed: 61)
    let beta = 0.3
    let exact = try problem.solver(loss: .crossEntropy).solve(beta: beta, gap: 1e-5)
    for bundle in [
      problem.dataset(), problem.dataset(single: true), problem.momentBundle(single: true),
    ] {
      let other = try problem.solver(loss: .crossEntropy, bundle: bundle).solve(
        beta: beta, gap: 1e-5)
      #expect(other.status == .optimal)
      #expect(abs(other.primal - exact.primal) <= 2e-5 * exact.primal)
    }
  }

  @Test func limitsLeaveTheBestPoint() throws {
    let problem = labelled(.crossEntropy, n: 60, pool: [0, 1], d: 4, classes: 4, seed: 71)
    let solver = try problem.solver(loss: .crossEntropy)
    let beta = 0.02 * solver.betaMax
    for iterations in [0, 1, 7, 23] {
      let solution = try problem.solver(loss: .crossEntropy).solve(
        beta: beta, gap: 1e-9, iterations: iterations)
      try expectCertified(
        solution, problem, .crossEntropy, usual, beta: beta, gap: 1, status: .iterationLimit)
      #expect(solution.iterations <= iterations)
    }
    var rows: [TraceRow] = []
    let done = solver.solve(beta: beta, gap: 1e-4) { rows.append($0) }
    #expect(rows.count > 1 && rows[0].iteration == 0)
    for (earlier, later) in zip(rows, rows.dropFirst()) {
      #expect(later.primal <= earlier.primal && later.dual >= earlier.dual)
      #expect(later.iteration >= earlier.iteration)
    }
    // From the solution there is little left to do.
    let again = try problem.solver(loss: .crossEntropy).solve(
      beta: beta, gap: 1e-3, from: .blocks(done.blocks))
    #expect(again.status == .optimal && again.primal <= done.primal * (1 + 1e-9))
    #expect(again.iterations < done.iterations)
  }

  @Test func aPathChoosesByAccuracy() throws {
    let problem = labelled(.crossEntropy, n: 60, d: 3, classes: 3, seed: 81)
    let solver = try problem.solver(loss: .crossEntropy)
    var start = PolynomialSolver.Start.cold
    var rule = StoppingRule()
    rule.gap = 1e-3
    let budget = Budget(rule, startedAt: Budget.now())
    for beta in RegularizationPath(from: solver.betaMax, to: 1e-2 * solver.betaMax, count: 4).betas
    {
      let point = solver.point(beta: beta, from: start, rule: rule, budget: budget) { _ in }
      #expect(relativeGap(primal: point.primal, dual: point.dual) <= 1e-3)
      start = solver.start(at: point)
    }
  }
}
