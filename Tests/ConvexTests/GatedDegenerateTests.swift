import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct GatedDegenerateTests {
  /// Certified for every β from tiny to too large.
  private func check(
    _ problem: GatedProblem, gap: Double = 1e-7, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let solver = try problem.solver()
    for beta in [1e-8, 1e-4, 0.1, 0.5 * solver.betaMax, 2 * solver.betaMax + 1e-9] {
      let solution = solver.solve(beta: beta, gap: gap)
      #expect(
        solution.status == .optimal, "beta \(beta): gap \(solution.gap)",
        sourceLocation: sourceLocation)
      expectCertified(solution, problem, beta: beta, gap: gap, sourceLocation: sourceLocation)
      #expect(
        solution.predictions.isFinite && solution.dual.isFinite, sourceLocation: sourceLocation)
    }
  }

  @Test func oneSample() throws {
    try check(GatedProblem(n: 1, d: 3, patterns: 4))
    try check(GatedProblem(n: 1, d: 1, patterns: 2, bias: false))
  }

  @Test func oneFeature() throws {
    try check(GatedProblem(n: 20, d: 1, patterns: 6, bias: false))
    try check(GatedProblem(n: 20, d: 1, patterns: 6, bias: true))
  }

  @Test func nothingToFit() throws {
    var problem = GatedProblem(n: 15, d: 3, patterns: 8)
    problem.y = [Double](repeating: 0, count: 15)
    let solution = try problem.solve(beta: 0.1)
    #expect(solution.status == .optimal && solution.primal == 0 && solution.gap == 0)
    #expect(solution.index.isEmpty)
    problem.outputs = 2
    problem.y = (0..<30).map { $0 % 2 == 0 ? 0 : Double($0) }
    try check(problem)
  }

  @Test func constantColumnsAndZeroRows() throws {
    var problem = GatedProblem(n: 24, d: 5, patterns: 12)
    for j in 0..<24 {
      problem.x[5 * j] = 2
      problem.x[5 * j + 1] = 0
    }
    for j in [0, 7, 23] { for k in 0..<5 { problem.x[5 * j + k] = 0 } }
    problem.arrange()
    try check(problem)
    problem.x = problem.x.map { _ in 0 }
    problem.arrange()
    let solution = try problem.solve(beta: 1e-3)
    #expect(solution.status == .optimal && solution.index.isEmpty)
    expectCertified(solution, problem, beta: 1e-3)
  }

  @Test func duplicateAndOppositeRows() throws {
    var problem = GatedProblem(n: 24, d: 4, patterns: 15, bias: false)
    for j in 0..<8 {
      for k in 0..<4 {
        problem.x[4 * (j + 8) + k] = problem.x[4 * j + k]
        problem.x[4 * (j + 16) + k] = -problem.x[4 * j + k]
      }
    }
    problem.arrange()
    try check(problem)
  }

  @Test func rankBelowFeatures() throws {
    var problem = GatedProblem(n: 30, d: 6, patterns: 15)
    for j in 0..<30 { for k in 3..<6 { problem.x[6 * j + k] = 2 * problem.x[6 * j + k - 3] } }
    problem.arrange()
    try check(problem)
  }

  @Test func equalAndEmptyPatterns() throws {
    var problem = GatedProblem(n: 20, d: 3, patterns: 10)
    problem.patterns += problem.patterns + problem.patterns
    problem.patterns.insert([Bool](repeating: false, count: 20), at: 0)
    problem.gates = (0..<31 * 3).map { Double($0) }
    try check(problem)
    problem.patterns = [[Bool](repeating: false, count: 20)]
    problem.gates = [1, 1, 1]
    let solution = try problem.solve(beta: 1e-3)
    #expect(solution.index.isEmpty && solution.status == .optimal)
    expectCertified(solution, problem, beta: 1e-3)
  }

  @Test func patternsThatNearlyCoincide() throws {
    var problem = GatedProblem(n: 40, d: 4, patterns: 3, seed: 8)
    let base = problem.patterns
    for i in 0..<3 {
      for j in 0..<40 {
        var other = base[i]
        other[j].toggle()
        problem.patterns.append(other)
      }
    }
    problem.gates = [Double](repeating: 1, count: problem.patterns.count * 4)
    try check(problem)
  }

  /// Hundreds of patterns for each sample: any Hessian over them is singular.
  @Test func manyMorePatternsThanSamples() throws {
    var problem = GatedProblem(n: 30, d: 4, patterns: 1, bias: false)
    let rows = Matrix(30, 4)
    for k in problem.x.indices { rows.base[k] = problem.x[k] }
    let all = try ExactPatterns(rows, maximum: 10_000).list()
    problem.patterns = (0..<all.patterns.count).map { i in
      (0..<30).map { all.patterns.isActive(i, row: $0) }
    }
    problem.gates = (0..<all.gates.count).map { all.gates.base[$0] }
    #expect(problem.patterns.count == 8180)
    let solver = try problem.solver()
    for share in [0.1, 1e-2, 1e-4] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-5)
      #expect(solution.status == .optimal, "\(share): \(solution.gap)")
      expectCertified(solution, problem, beta: beta, gap: 1e-5)
    }
  }

  @Test func scalesOfFeaturesAndTargets() throws {
    for (features, targets) in [(1e-6, 1.0), (1e6, 1), (1, 1e-6), (1, 1e6), (1e4, 1e-4)] {
      var problem = GatedProblem(n: 25, d: 4, patterns: 10)
      problem.x = problem.x.map { $0 * features }
      problem.y = problem.y.map { $0 * targets }
      let solver = try problem.solver()
      for share in [0.5, 1e-2, 1e-4] {
        let beta = share * solver.betaMax
        let solution = solver.solve(beta: beta, gap: 1e-8)
        #expect(solution.status == .optimal, "\(features), \(targets): \(solution.gap)")
        expectCertified(solution, problem, beta: beta, gap: 1e-8)
      }
    }
  }
}
