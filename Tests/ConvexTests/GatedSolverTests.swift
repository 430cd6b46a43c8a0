import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct GatedSolverTests {
  @Test(arguments: [
    (n: 30, d: 4, patterns: 12), (120, 20, 60), (60, 3, 300), (300, 10, 40), (400, 3, 900),
    (90, 100, 20),
  ])
  func everyBetaIsCertified(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: shape.patterns, seed: shape.n)
    let solver = try problem.solver()
    #expect(abs(solver.betaMax - problem.betaMax) <= 1e-12 * problem.betaMax)
    for share in [0.9, 0.3, 3e-2, 1e-3, 1e-5] {
      let beta = share * problem.betaMax
      let solution = solver.solve(beta: beta)
      #expect(solution.status == .optimal, "\(shape), \(share): \(solution.gap)")
      expectCertified(solution, problem, beta: beta)
      #expect(!solution.index.isEmpty)
    }
  }

  @Test func outputsAreProblemsOfTheirOwn() throws {
    let problem = GatedProblem(n: 70, d: 6, patterns: 30, outputs: 3)
    let beta = 0.05 * problem.betaMax
    let solution = try problem.solve(beta: beta)
    expectCertified(solution, problem, beta: beta)
    var primal = 0.0
    for c in 0..<3 {
      var single = problem
      single.outputs = 1
      single.y = (0..<70).map { problem.y[3 * $0 + c] }
      let alone = try single.solve(beta: beta)
      primal += alone.primal
      for j in 0..<70 {
        #expect(abs(alone.predictions[j, 0] - solution.predictions[j, c]) < 1e-4)
      }
    }
    #expect(abs(primal - solution.primal) <= 2e-9 * primal)
  }

  /// Blocks of samples with a pattern each, whose ‖Xᵀ D ν‖ are exactly β; all others are below.
  @Test func aPlantedOptimumIsFound() throws {
    var random = RandomSource(seed: 5)
    let (blocks, size, d) = (6, 9, 4)
    let n = blocks * size
    let beta = 0.7
    let x = random.signed(n * d)
    var nu = random.signed(n)
    var patterns: [[Bool]] = []
    for b in 0..<blocks {
      let pattern = (0..<n).map { $0 / size == b }
      patterns.append(pattern)
      let t = GatedProblem(n: n, d: d, x: x, y: nu, patterns: [pattern])
        .correlations(Matrix(n, 1, nu), output: 0)[0]
      for j in 0..<n where pattern[j] { nu[j] *= beta / inner(t, t).squareRoot() }
    }
    while patterns.count < 40 {
      let pattern = (0..<n).map { _ in random.uniform() < 0.15 }
      let t = GatedProblem(n: n, d: d, x: x, y: nu, patterns: [pattern])
        .correlations(Matrix(n, 1, nu), output: 0)[0]
      if inner(t, t).squareRoot() < 0.95 * beta { patterns.insert(pattern, at: 0) }
    }
    var problem = GatedProblem(n: n, d: d, x: x, y: nu, patterns: patterns)
    let correlations = problem.correlations(Matrix(n, 1, nu), output: 0)
    var expected: [Int: [Double]] = [:]
    var optimum = 0.5 * inner(nu, nu)
    for (i, t) in correlations.enumerated() where inner(t, t).squareRoot() > 0.99 * beta {
      let length = 0.2 + Double(expected.count)
      let w = t.map { $0 * length / beta }
      expected[i] = w
      optimum += beta * length
      for j in 0..<n where patterns[i][j] { problem.y[j] += inner(w, problem.row(j)) }
    }
    #expect(expected.count == blocks)
    for form in GatedForm.allCases {
      let solution = try problem.solve(beta: beta, gap: 1e-12, form: form)
      expectCertified(solution, problem, beta: beta, gap: 1e-11)
      #expect(abs(solution.primal - optimum) <= 1e-11 * optimum)
      #expect(solution.index == expected.keys.sorted())
      for (row, i) in solution.index.enumerated() {
        let w = copied(solution.positive[0].row(row), d)
        #expect(zip(w, expected[i] ?? []).allSatisfy { abs($0 - $1) < 1e-5 })
      }
      for j in 0..<n { #expect(abs(solution.dual[j, 0] - nu[j]) < 1e-5) }
    }
  }

  @Test(arguments: [(n: 80, d: 3, patterns: 9), (60, 12, 25), (250, 6, 30)])
  func theFormsAgree(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: shape.patterns, seed: 9)
    for share in [0.5, 2e-2, 1e-4] {
      let beta = share * problem.betaMax
      let solutions = try GatedForm.allCases.map {
        try problem.solve(beta: beta, gap: 1e-8, form: $0)
      }
      for (solution, form) in zip(solutions, GatedForm.allCases) {
        #expect(solution.status == .optimal, "\(form) at \(share): \(solution.gap)")
        expectCertified(solution, problem, beta: beta, gap: 1e-8)
        #expect(abs(solution.primal - solutions[0].primal) <= 2e-8 * solution.primal)
      }
    }
  }

  /// One feature makes every group a single weight: the lasso, by coordinate descent.
  @Test func oneFeatureIsTheLasso() throws {
    var problem = GatedProblem(n: 40, d: 1, patterns: 1, bias: false, seed: 3)
    var random = RandomSource(seed: 4)
    problem.patterns = (0..<15).map { _ in (0..<40).map { _ in random.uniform() < 0.5 } }
    problem.gates = (0..<15).map { _ in random.gaussian() }
    let columns = problem.patterns.map { pattern in
      (0..<40).map { pattern[$0] ? problem.x[$0] : 0 }
    }
    for share in [0.6, 0.1, 1e-3] {
      let beta = share * problem.betaMax
      var w = [Double](repeating: 0, count: 15)
      var residual = problem.y
      for _ in 0..<20_000 {
        for (i, column) in columns.enumerated() {
          let square = inner(column, column)
          let value = inner(column, residual) + square * w[i]
          let next = (abs(value) > beta ? value - (value > 0 ? beta : -beta) : 0) / square
          for j in 0..<40 { residual[j] -= (next - w[i]) * column[j] }
          w[i] = next
        }
      }
      let optimum = 0.5 * inner(residual, residual) + beta * w.reduce(0) { $0 + abs($1) }
      let solution = try problem.solve(beta: beta, gap: 1e-11)
      #expect(abs(solution.primal - optimum) <= 1e-9 * optimum)
      for (row, i) in solution.index.enumerated() {
        #expect(abs(solution.positive[0][row, 0] - w[i]) < 1e-3)
      }
    }
  }

  @Test func zeroFromBetaMaxOn() throws {
    let problem = GatedProblem(n: 50, d: 5, patterns: 20, outputs: 2)
    let solver = try problem.solver()
    let norm = inner(problem.y, problem.y)
    for factor in [1.0, 1 + 1e-12, 2, 1e6] {
      let solution = solver.solve(beta: factor * solver.betaMax, gap: 1e-12, iterations: 0)
      #expect(solution.status == .optimal && solution.index.isEmpty && solution.iterations == 0)
      #expect(abs(solution.primal - 0.5 * norm) < 1e-12 * norm)
      expectCertified(solution, problem, beta: factor * solver.betaMax, gap: 1e-12)
    }
    let below = solver.solve(beta: 0.999 * solver.betaMax)
    #expect(!below.index.isEmpty && below.status == .optimal)
    expectCertified(below, problem, beta: 0.999 * solver.betaMax)
  }

  @Test func limitsLeaveACertificate() throws {
    let problem = GatedProblem(n: 300, d: 8, patterns: 50, outputs: 2)
    let solver = try problem.solver()
    let beta = 1e-3 * solver.betaMax
    for iterations in [0, 1, 2, 5, 12] {
      let solution = solver.solve(beta: beta, gap: 1e-12, iterations: iterations)
      #expect(solution.status == .iterationLimit && solution.iterations <= iterations)
      expectCertified(solution, problem, beta: beta, gap: 1)
    }
    let late = solver.solve(beta: beta, seconds: 1e-9)
    #expect(late.status == .timeLimit)
    expectCertified(late, problem, beta: beta, gap: 1)
    let impossible = solver.solve(beta: beta, gap: 1e-300)
    #expect(impossible.status == .stalled || impossible.gap <= 0)
    expectCertified(impossible, problem, beta: beta, gap: 1e-9)
  }

  @Test func theTraceIsMonotone() throws {
    let problem = GatedProblem(n: 250, d: 7, patterns: 60, outputs: 3)
    let solver = try problem.solver()
    var rows: [TraceRow] = []
    let solution = solver.solve(beta: 0.01 * solver.betaMax) { rows.append($0) }
    #expect(rows.count > 6)
    for (before, after) in zip(rows, rows.dropFirst()) {
      #expect(after.primal <= before.primal && after.dual >= before.dual)
      #expect(after.iteration >= before.iteration && after.seconds >= before.seconds)
    }
    let last = try #require(rows.last)
    #expect(abs(last.primal - solution.primal) <= 1e-12 * solution.primal)
    #expect(abs(last.dual - solution.dualValue) <= 1e-12 * solution.primal)
  }

  @Test func aWarmStartSavesWork() throws {
    let problem = GatedProblem(n: 200, d: 10, patterns: 60, outputs: 2)
    let solver = try problem.solver()
    let beta = 0.02 * solver.betaMax
    let cold = solver.solve(beta: beta)
    let same = solver.solve(beta: beta, from: cold)
    #expect(same.iterations <= 2 && same.status == .optimal)
    let near = solver.solve(beta: 0.9 * beta, from: cold)
    let far = solver.solve(beta: 0.9 * beta)
    expectCertified(near, problem, beta: 0.9 * beta)
    #expect(near.iterations < far.iterations)
    #expect(abs(near.primal - far.primal) <= 2e-9 * far.primal)
    // One that is of no use is no harm.
    let up = solver.solve(beta: 0.99 * solver.betaMax, from: cold)
    expectCertified(up, problem, beta: 0.99 * solver.betaMax)
    let zero = solver.solve(beta: solver.betaMax)
    expectCertified(solver.solve(beta: beta, from: zero), problem, beta: beta)
  }

  @Test func manyPatternsCostLittle() throws {
    var problem = GatedProblem(n: 60, d: 8, patterns: 20_000, seed: 12)
    problem.y = (0..<60).map { max(0, problem.x[8 * $0]) - max(0, problem.x[8 * $0 + 1]) }
    let beta = 0.1 * problem.betaMax
    let solution = try problem.solve(beta: beta, gap: 1e-6)
    expectCertified(solution, problem, beta: beta, gap: 1e-6)
    #expect(solution.index.count < 200)
  }
}
