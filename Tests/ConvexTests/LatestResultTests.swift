import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

@Suite struct LatestResultTests {
  @Test func offersAreSpaced() {
    nonisolated(unsafe) var now = 0.0
    let incumbent = LatestResult<Int>(clock: { now })
    #expect(incumbent.value == nil)
    var asked = 0
    func offer(_ number: Int?, seconds: Double) {
      incumbent.offer { _ in
        asked += 1
        now += seconds
        return number
      }
    }
    offer(1, seconds: 2)
    #expect(incumbent.value == 1 && asked == 1)
    // The first took two seconds: for sixty there is no other.
    now = 61
    offer(2, seconds: 0)
    #expect(incumbent.value == 1 && asked == 1)
    now = 62
    offer(nil, seconds: 0)
    #expect(incumbent.value == 1 && asked == 2, "nothing better was offered")
    offer(3, seconds: 0)
    #expect(incumbent.value == 3 && asked == 3)
    incumbent.offer { $0.map { $0 + 1 } }
    #expect(incumbent.value == 4)
    incumbent.take(5)
    #expect(incumbent.value == 5)
  }

  @Test func theFirstOfferMayWaitForHalfOfTheSetUp() {
    nonisolated(unsafe) var now = 100.0
    for waits in [false, true] {
      now = 100
      let incumbent = LatestResult<Int>(after: 4, afterSetUp: waits, clock: { now })
      now = 120
      incumbent.offer { _ in 1 }
      #expect(incumbent.value == (waits ? nil : 1))
      now = 129
      incumbent.offer { _ in 2 }
      #expect(incumbent.value == (waits ? nil : 2))
      now = 130
      incumbent.offer { _ in 3 }
      #expect(incumbent.value == 3)
    }
  }

  @Test func interruptionsEndABudget() {
    nonisolated(unsafe) var isInterrupted = false
    var rule = StoppingRule()
    rule.maximumIterations = 3
    let budget = Budget(rule, startedAt: Budget.now()) { isInterrupted }
    rule.maximumSeconds = 100
    let part = budget.part(rule)
    #expect(budget.exhausted == nil && !part.isOutOfTime)
    isInterrupted = true
    #expect(budget.exhausted == .interrupted && part.exhausted == .interrupted)
    #expect(budget.isOutOfTime && part.secondsLeft < 0)
    budget.count(3)
    #expect(budget.exhausted == .interrupted, "the signal, not the limit that came later")
  }
}

/// Solves with somebody listening to all points, and without.
private func published<Solver: RegularizedSolver>(
  _ make: () throws -> Solver, share: Double = 0.02, gap: Double = 1e-6, start: Solver.Start
) throws -> (points: [any CertifiedSolution], last: Solver.Certified, alone: Solver.Certified) {
  var rule = StoppingRule()
  rule.gap = gap
  rule.maximumIterations = 3000
  func solve(_ listener: ((() -> any CertifiedSolution) -> Void)?) throws -> Solver.Certified {
    let solver = try make()
    let budget = Budget(rule, startedAt: Budget.now())
    budget.listener = listener
    return solver.solution(
      beta: share * solver.betaMax, from: start, rule: rule, budget: budget, trace: { _ in })
  }
  var points: [any CertifiedSolution] = []
  var copies: [[Double]] = []
  let last = try solve { point in
    let point = point()
    points.append(point)
    copies.append(point.dual.values + point.predictions.values)
  }
  for (point, copy) in zip(points, copies) {
    #expect(point.dual.values + point.predictions.values == copy, "a point was written to")
  }
  return (points, last, try solve(nil))
}

@Suite struct PublishedPointsTests {
  /// Each point is certified, none is worse than the one before, and telling of them changes nothing.
  private func expect(
    _ points: [any CertifiedSolution], _ last: some CertifiedSolution,
    _ alone: some CertifiedSolution, _ targets: Matrix, _ loss: any Loss, _ name: String
  ) {
    #expect(points.count > 1, "\(name)")
    #expect(last.dual.values == alone.dual.values, "\(name)")
    #expect(last.predictions.values == alone.predictions.values, "\(name)")
    var before = (primal: Double.infinity, dual: -Double.infinity)
    for point in points {
      #expect(point.primal <= before.primal * (1 + 1e-6), "\(name)")
      #expect(point.dualValue >= before.dual - 1e-6 * point.primal, "\(name)")
      #expect(point.dualValue <= last.primal * (1 + 1e-9), "\(name)")
      #expect(point.primal >= last.dualValue * (1 - 1e-9), "\(name)")
      #expect(
        abs(loss.dualValue(point.dual, targets) - point.dualValue) <= 1e-9 * point.primal,
        "\(name)")
      #expect(loss.value(point.predictions, targets) <= point.primal * (1 + 1e-9), "\(name)")
      before = (point.primal, point.dualValue)
    }
  }

  @Test func ofNetworksOverPatterns() throws {
    let several = GatedProblem(n: 60, d: 5, patterns: 12, outputs: 2, seed: 7)
    let data = try ArrangementData(several.bundle)
    let targets = several.targets
    let squared = SquaredLoss()
    let gated = try published({ try GatedSolver(data, targets: targets) }, start: nil)
    expect(gated.points, gated.last, gated.alone, targets, squared, "gated")
    for case let point as ArrangementSolution in gated.points {
      expectCertified(
        point, several, beta: 0.02 * several.betaMax, gap: .infinity)
    }
    let relu = try published({ try ReLUSolver(data, targets: targets) }, gap: 1e-4, start: nil)
    expect(relu.points, relu.last, relu.alone, targets, squared, "relu")
    let nuclear = try published(
      {
        try GatedLossSolver(
          data, targets: targets, loss: .squared, norm: .nuclear, grouping: .perPattern)
      }, gap: 1e-4, start: nil)
    expect(nuclear.points, nuclear.last, nuclear.alone, targets, squared, "nuclear")
    for interior in [true, false] {
      let huber = try published(
        {
          try GatedLossSolver(
            data, targets: targets, loss: .huber, grouping: .perClass,
            prefersInteriorPoint: interior)
        }, gap: 1e-4, start: nil)
      expect(huber.points, huber.last, huber.alone, targets, HuberLoss(), "huber \(interior)")
    }
  }

  @Test func ofLowRank() throws {
    var random = RandomSource(seed: 9)
    let x = (0..<40 * 2).map { $0 % 2 == 0 ? random.gaussian() : 1 }
    let y = (0..<40 * 2).map { _ in random.gaussian() }
    let targets = Matrix(40, 2, y)
    let found = try ExactPatterns(Matrix(40, 2, x), maximum: 1000).list()
    let source = Bundle(kind: .dataset, tensors: ["x": Tensor(x, shape: [40, 2])])
    let patterns = try ArrangementData(
      GatedPatterns(patterns: found.patterns, gates: found.gates, thresholds: nil)
        .bundle(source: source, isExact: true, bound: 0, metadata: [:]))
    let result = try published(
      { try #require(LowRankSolver(data: patterns, targets: targets)) }, start: nil)
    expect(result.points, result.last, result.alone, targets, SquaredLoss(), "low rank")
  }

  @Test(arguments: [LossName.squared, .huber], PolynomialMethod.allCases)
  func ofPolynomials(_ loss: LossName, _ method: PolynomialMethod) throws {
    guard loss == .squared || method != .interiorPoint else { return }
    let problem = Problem(n: 60, pool: [0, 1], d: 4, classes: 3, seed: 71)
    let data = try MomentData(problem.dataset())
    let targets = Matrix(60, 3, problem.y)
    let result = try published(
      {
        let solver = try PolynomialSolver(
          data, targets: targets, activation: usual, loss: loss)
        solver.method = method
        return solver
      }, gap: 1e-4, start: .cold)
    expect(
      result.points, result.last, result.alone, targets, loss.loss, "\(loss) \(method)")
  }
}
