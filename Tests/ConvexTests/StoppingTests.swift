import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct StoppingTests {
  private let problem = Problem(n: 60, pool: [0, 1], d: 4, classes: 3, seed: 71)
  private let beta = 0.05

  @Test func limitsAreStatuses() throws {
    let solver = try problem.solver()
    let loss = 0.5 * inner(problem.y, problem.y)
    for method in PolynomialMethod.allCases {
      let none = solver.solve(beta: beta, method: method, iterations: 0)
      #expect(none.status == .iterationLimit && none.iterations == 0)
      #expect(abs(none.primal - loss) < 1e-12 * loss && none.gap > 1e-7)
      let few = solver.solve(beta: beta, method: method, iterations: 4)
      #expect(few.status == .iterationLimit && few.iterations == 4)
      #expect(few.primal <= loss * (1 + 1e-12) && few.dualValue <= few.primal)
      let late = solver.solve(beta: beta, method: method, seconds: 1e-9)
      #expect(late.status == .timeLimit)
      #expect(late.dualValue >= 0 && late.dualValue <= late.primal)
      // A limit that is not reached does not show, and the solver is as good as new.
      let enough = solver.solve(beta: beta, gap: 1e-4, method: method, iterations: 100_000)
      #expect(enough.status == .optimal && enough.gap <= 1e-4)
    }
    #expect(solver.solve(beta: beta, method: .interiorPoint, iterations: 1).iterations == 1)
    // Where nothing is to be done no limit is reached.
    let zero = solver.solve(beta: 2 * solver.betaMax, iterations: 0)
    #expect(zero.status == .optimal && zero.gap <= 1e-14)
  }

  @Test func anImpossibleGapStalls() throws {
    let solution = try problem.solver().solve(
      beta: beta, gap: 1e-300, method: .interiorPoint, iterations: 5000)
    #expect(solution.status == .stalled || solution.gap <= 0)
    #expect(abs(solution.gap) < 1e-9)
  }

  @Test(arguments: PolynomialMethod.allCases)
  func theTraceIsMonotone(_ method: PolynomialMethod) throws {
    var rows: [TraceRow] = []
    let solution = try problem.solver().solve(beta: beta, gap: 1e-5, method: method) {
      rows.append($0)
    }
    #expect(solution.status == .optimal && rows.count > 2)
    for (before, after) in zip(rows, rows.dropFirst()) {
      #expect(after.primal <= before.primal * (1 + 1e-13))
      #expect(after.dual >= before.dual - 1e-13 * before.primal)
      #expect(after.iteration >= before.iteration && after.seconds >= before.seconds)
      #expect(after.dual <= after.primal * (1 + 1e-12))
    }
    #expect(rows[0].iteration == 0 && rows[0].neurons == 0)
    #expect(rows.last!.gap <= 1e-5 && rows.last!.neurons > 0)
    #expect(rows.last!.iteration == solution.iterations)
  }

  @Test func relativeGaps() {
    #expect(relativeGap(primal: 0, dual: 0) == 0)
    #expect(relativeGap(primal: 0, dual: -1) == .infinity)
    #expect(relativeGap(primal: 2, dual: 1) == 0.5)
    #expect(relativeGap(primal: 1, dual: .nan).isNaN)
  }

  @Test func aBudgetCountsDown() {
    var rule = StoppingRule()
    rule.maximumIterations = 3
    let budget = Budget(rule, startedAt: Budget.now())
    #expect(budget.exhausted == nil && budget.remaining == 3)
    budget.count(2)
    #expect(budget.exhausted == nil && budget.iterations == 2)
    budget.count()
    #expect(budget.exhausted == .iterationLimit && budget.remaining == 0)
    rule.maximumSeconds = 1
    rule.maximumIterations = .max
    #expect(Budget(rule, startedAt: Budget.now() - 2).exhausted == .timeLimit)
  }
}

@Suite struct WarmStartTests {
  @Test func warmStartsChangeNothingButTheWay() throws {
    let problem = Problem(n: 60, pool: [0, 1], d: 4, classes: 2, seed: 72)
    let solver = try problem.solver()
    let cold = solver.solve(beta: 0.1, gap: 1e-8)
    expectCertified(cold, problem, usual, beta: 0.1, gap: 1e-8)
    // From the solution itself, from that of another β, and from nonsense, by both methods.
    let other = solver.solve(beta: 0.3)
    var random = RandomSource(seed: 73)
    let nonsense = (0..<2).map { _ in
      Matrix(4, 25, (0..<4).flatMap { _ in random.symmetric(5).values.map { 1e3 * $0 } })
    }
    for blocks in [cold.blocks, other.blocks, nonsense] {
      let kept = blocks.map { $0.values }
      for method in [PolynomialMethod.admm, .interiorPoint] {
        let gap = method == .admm ? 1e-5 : 1e-8
        let fresh = try problem.solver()
        let warm = fresh.solve(beta: 0.1, gap: gap, method: method, from: .blocks(blocks))
        expectCertified(warm, problem, usual, beta: 0.1, gap: gap)
        #expect(abs(warm.primal - cold.primal) <= 2 * gap * cold.primal)
      }
      #expect(blocks.map { $0.values } == kept)
    }
    // What the warm start is worth counts from the beginning.
    let limited = solver.solve(beta: 0.1, from: .blocks(cold.blocks), iterations: 0)
    #expect(abs(limited.primal - cold.primal) < 1e-6 * cold.primal)
  }
}
