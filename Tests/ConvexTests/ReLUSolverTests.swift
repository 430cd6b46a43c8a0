import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct ReLUSolverTests {
  @Test(arguments: [
    (n: 20, d: 4, patterns: 12), (60, 8, 30), (30, 40, 10), (90, 3, 60), (70, 12, 15),
  ])
  func everyBetaIsCertified(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: shape.patterns, seed: shape.n)
    let solver = try problem.reluSolver()
    #expect(abs(solver.betaMax - problem.reluBetaMax) <= 1e-10 * solver.betaMax)
    for share in [0.9, 0.3, 3e-2, 1e-3, 1e-5] {
      let beta = share * solver.betaMax
      let solution = solver.train(beta: beta)
      #expect(solution.status == .optimal, "\(shape), \(share): \(solution.gap)")
      expectReLUCertified(solution, problem, beta: beta, "\(shape), \(share)")
      #expect(!solution.index.isEmpty)
    }
  }

  @Test(arguments: [(n: 25, d: 5, patterns: 15), (50, 10, 40), (12, 20, 8), (80, 4, 30)])
  func theMethodsAgree(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: shape.patterns, seed: 9)
    let solvers = try ReLUSolver.Method.allCases.map { try problem.reluSolver($0) }
    var newton = 0
    for share in [0.5, 0.1, 2e-2, 1e-4] {
      let beta = share * solvers[0].betaMax
      let solutions = solvers.map { $0.train(beta: beta, gap: 1e-7) }
      for (solver, solution) in zip(solvers, solutions) {
        // Newton's method alone may end early; what it says of itself is so even then.
        let isSure = solver.method != .newton || solution.status == .optimal
        let gap = isSure ? 1e-7 : 1
        #expect(
          !isSure || solution.status == .optimal,
          "\(solver.method), \(shape), \(share): \(solution.gap)")
        expectReLUCertified(
          solution, problem, beta: beta, gap: gap, "\(solver.method), \(shape), \(share)")
        #expect(abs(solution.primal - solutions[0].primal) <= 1.1 * gap * solution.primal)
        newton += solver.method == .newton && isSure ? 1 : 0
      }
    }
    #expect(newton >= 1, "the test would show nothing")
  }

  /// Data of rank 3, over all cells and over some.
  @Test(arguments: [(2, 1), (2, 4), (1, 1)])
  func theSolverOfSmallRankAgrees(_ features: Int, _ step: Int) throws {
    var random = RandomSource(seed: 20 + step)
    let n = 14
    var problem = GatedProblem(
      n: n, d: features + 1,
      x: (0..<n * (features + 1)).map { ($0 + 1) % (features + 1) == 0 ? 1 : random.gaussian() },
      y: (0..<n).map { _ in random.gaussian() }, patterns: [])
    let exact = try ExactPatterns(Matrix(n, features + 1, problem.x), maximum: 1000).list()
    for i in stride(from: 0, to: exact.patterns.count, by: step) {
      problem.patterns.append((0..<n).map { exact.patterns.isActive(i, row: $0) })
      problem.gates += copied(exact.gates.row(i), features + 1)
    }
    problem.gates.removeFirst(problem.gates.count - problem.patterns.count * (features + 1))
    let data = try ArrangementData(problem.bundle)
    let cells = try #require(LowRankSolver(data: data, targets: problem.targets))
    for method in [ReLUSolver.Method.automatic, .interiorPoint] {
      let solver = try problem.reluSolver(method)
      #expect(abs(solver.betaMax - cells.betaMax) <= 1e-10 * cells.betaMax)
      for share in [0.3, 1e-2, 1e-4] {
        let beta = share * solver.betaMax
        let solution = solver.train(beta: beta, gap: 1e-7)
        let other = cells.train(beta: beta, gap: 1e-7)
        #expect(solution.status == .optimal, "\(method), \(share): \(solution.gap)")
        #expect(other.status == .optimal, "\(share): \(other.gap)")
        expectReLUCertified(solution, problem, beta: beta, gap: 1e-7, "\(method), \(share)")
        expectReLUCertified(other, problem, beta: beta, gap: 1e-7, "\(share)")
        #expect(abs(solution.primal - other.primal) <= 1.1e-7 * other.primal)
      }
    }
  }

  /// Rounds of projected neurons alone come near the optimum where that has few neurons.
  @Test(arguments: [1, 3]) func columnsComeNearTheOptimum(_ outputs: Int) throws {
    let problem = GatedProblem(n: 40, d: 6, patterns: 20, outputs: outputs)
    let solver = try problem.reluSolver()
    let beta = 0.5 * solver.betaMax
    var rule = StoppingRule()
    rule.gap = 1e-6
    let budget = Budget(rule, startedAt: Budget.now())
    let points = solver.outputs.map {
      PatternIncumbent($0.y, dimension: 6, loss: SquaredLoss(), beta: beta)
    }
    _ = solver.offerAtoms(
      Array(0..<outputs), points, beta: beta, gap: rule.gap, budget, report: {})
    let solution = solver.compose(points, beta: beta, iterations: budget.iterations)
    #expect(budget.iterations <= 10)
    expectReLUCertified(solution, problem, beta: beta, gap: 1e-2)
    let best = solver.train(beta: beta, gap: 1e-6)
    #expect(solution.primal <= 1.005 * best.primal, "\(solution.primal), \(best.primal)")
  }

  @Test func outputsAreProblemsOfTheirOwn() throws {
    let problem = GatedProblem(n: 40, d: 6, patterns: 20, outputs: 3)
    let solver = try problem.reluSolver()
    let beta = 0.05 * solver.betaMax
    let solution = solver.train(beta: beta)
    #expect(solution.status == .optimal)
    expectReLUCertified(solution, problem, beta: beta)
    var (primal, largest) = (0.0, 0.0)
    for c in 0..<3 {
      var single = problem
      single.outputs = 1
      single.y = (0..<40).map { problem.y[3 * $0 + c] }
      let alone = try single.reluSolver()
      largest = max(largest, alone.betaMax)
      let point = alone.train(beta: beta)
      primal += point.primal
      for j in 0..<40 {
        #expect(abs(point.predictions[j, 0] - solution.predictions[j, c]) < 1e-3)
      }
    }
    #expect(largest == solver.betaMax)
    #expect(abs(primal - solution.primal) <= 2e-8 * primal)
    // Between the largest and the smallest of the outputs' β some are zero.
    let high = solver.train(beta: 0.9 * solver.betaMax)
    expectReLUCertified(high, problem, beta: 0.9 * solver.betaMax)
  }

  /// One feature and its sign: neurons x₊ and (−x)₊, a lasso of four columns in two pairs.
  @Test func oneFeatureByHand() throws {
    var random = RandomSource(seed: 4)
    let x = (0..<30).map { _ in random.gaussian() }
    let y = x.map { 2 * max(0, $0) - 1.5 * max(0, -$0) + 0.1 * random.gaussian() }
    var problem = GatedProblem(
      n: 30, d: 1, x: x, y: y, patterns: [x.map { $0 >= 0 }, x.map { $0 <= 0 }])
    problem.gates = [1, -1]
    let solver = try problem.reluSolver()
    for beta in [0.01, 1, 5, 20] {
      let solution = solver.train(beta: beta, gap: 1e-11)
      var optimum = 0.5 * inner(y, y)
      for sign in [1.0, -1] {
        let column = x.map { max(0, sign * $0) }
        let square = inner(column, column)
        let excess = max(0, abs(inner(column, y)) - beta)
        optimum -= 0.5 * excess * excess / square
      }
      #expect(abs(solution.primal - optimum) <= 1e-10 * optimum)
      expectReLUCertified(solution, problem, beta: beta, gap: 1e-11)
    }
  }

  @Test func zeroFromBetaMaxOn() throws {
    let problem = GatedProblem(n: 50, d: 5, patterns: 20, outputs: 2)
    let solver = try problem.reluSolver()
    let square = inner(problem.y, problem.y)
    for factor in [1.0, 1 + 1e-12, 2, 1e6] {
      let beta = factor * solver.betaMax
      let solution = solver.train(beta: beta, gap: 1e-10, iterations: 0)
      #expect(solution.status == .optimal && solution.index.isEmpty && solution.iterations == 0)
      #expect(abs(solution.primal - 0.5 * square) < 1e-12 * square)
      expectReLUCertified(solution, problem, beta: beta, gap: 1e-10)
    }
    let below = solver.train(beta: 0.999 * solver.betaMax)
    #expect(!below.index.isEmpty && below.status == .optimal)
    #expect(below.primal < 0.5 * square)
    expectReLUCertified(below, problem, beta: 0.999 * solver.betaMax)
  }

  @Test func limitsLeaveACertificate() throws {
    let problem = GatedProblem(n: 120, d: 10, patterns: 40, outputs: 2)
    for method in ReLUSolver.Method.allCases {
      let solver = try problem.reluSolver(method)
      let beta = 1e-3 * solver.betaMax
      for iterations in [0, 1, 2, 7] {
        let solution = solver.train(beta: beta, gap: 1e-12, iterations: iterations)
        #expect(solution.status == .iterationLimit, "\(method), \(iterations)")
        #expect(solution.iterations <= iterations)
        expectReLUCertified(solution, problem, beta: beta, gap: 1, "\(method), \(iterations)")
        // What can be had without an iteration.
        #expect(solution.dualValue > 0)
      }
      let late = solver.train(beta: beta, seconds: 1e-9)
      #expect(late.status == .timeLimit)
      expectReLUCertified(late, problem, beta: beta, gap: 1, "\(method)")
    }
    let small = GatedProblem(n: 20, d: 4, patterns: 8)
    let impossible = try small.reluSolver().train(beta: 0.1, gap: 1e-300)
    #expect(impossible.status == .stalled || impossible.gap <= 0)
    expectReLUCertified(impossible, small, beta: 0.1, gap: 1e-8)
  }

  @Test func theTraceIsMonotone() throws {
    let problem = GatedProblem(n: 60, d: 7, patterns: 30, outputs: 2)
    let solver = try problem.reluSolver()
    var rows: [TraceRow] = []
    let solution = solver.train(beta: 0.01 * solver.betaMax) { rows.append($0) }
    #expect(rows.count > 4)
    for (before, after) in zip(rows, rows.dropFirst()) {
      #expect(after.primal <= before.primal && after.dual >= before.dual)
      #expect(after.iteration >= before.iteration && after.seconds >= before.seconds)
      #expect(after.primal >= after.dual)
    }
    let last = try #require(rows.last)
    #expect(abs(last.primal - solution.primal) <= 1e-11 * solution.primal)
    #expect(abs(last.dual - solution.dualValue) <= 1e-11 * solution.primal)
  }

  @Test func aWarmStartSavesWork() throws {
    let problem = GatedProblem(n: 70, d: 8, patterns: 40, outputs: 2)
    let solver = try problem.reluSolver()
    let beta = 0.02 * solver.betaMax
    let cold = solver.train(beta: beta, gap: 1e-6)
    let same = solver.train(beta: beta, gap: 1e-6, from: cold)
    #expect(same.status == .optimal && same.iterations < cold.iterations)
    expectReLUCertified(same, problem, beta: beta, gap: 1e-6)
    let near = solver.train(beta: 0.9 * beta, gap: 1e-6, from: cold)
    expectReLUCertified(near, problem, beta: 0.9 * beta, gap: 1e-6)
    #expect(near.status == .optimal)
    // One that is of no use is no harm.
    let high = 0.99 * solver.betaMax
    expectReLUCertified(
      solver.train(beta: high, gap: 1e-6, from: cold), problem, beta: high, gap: 1e-6)
    let zero = solver.train(beta: solver.betaMax)
    let fresh = solver.train(beta: beta, gap: 1e-6, from: zero)
    #expect(fresh.status == .optimal)
    expectReLUCertified(fresh, problem, beta: beta, gap: 1e-6)
  }

  @Test func aPathIsSolvedFromPointToPoint() throws {
    let problem = GatedProblem(n: 50, d: 6, patterns: 25)
    let solver = try problem.reluSolver()
    let path = RegularizationPath(from: solver.betaMax, to: 1e-3 * solver.betaMax, count: 5)
    var start: ArrangementSolution?
    var before = Double.infinity
    for beta in path.betas {
      let solution = solver.train(beta: beta, gap: 1e-7, from: start)
      #expect(solution.status == .optimal, "\(beta): \(solution.gap)")
      expectReLUCertified(solution, problem, beta: beta, gap: 1e-7)
      let alone = solver.train(beta: beta, gap: 1e-7)
      #expect(abs(alone.primal - solution.primal) <= 1.1e-7 * alone.primal)
      #expect(solution.primal < before)
      (start, before) = (solution, solution.primal)
    }
  }

  /// The gated program has the same columns without the cones: it can only be lower.
  @Test func conesCost() throws {
    let problem = GatedProblem(n: 60, d: 6, patterns: 12, seed: 15)
    let beta = 0.01 * problem.betaMax
    let gated = try problem.solve(beta: beta)
    let relu = try problem.reluSolver().train(beta: beta)
    #expect(relu.primal > gated.dualValue && relu.primal > gated.primal)
    // On the training data the network is what its patterns say.
    let solver = try problem.reluSolver()
    let outputs = solver.predictions(relu, on: Matrix(60, 6, problem.x))
    for j in 0..<60 { #expect(abs(outputs[j, 0] - relu.predictions[j, 0]) < 1e-9) }
  }
}

@Suite struct ReLUDegenerateTests {
  /// Certified for every β from tiny to too large.
  private func check(
    _ problem: GatedProblem, gap: Double = 1e-6, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let solver = try problem.reluSolver()
    let largest = problem.reluBetaMax
    #expect(
      abs(solver.betaMax - largest) <= 1e-9 * (1e-3 + largest), sourceLocation: sourceLocation)
    for beta in [1e-8, 1e-4, 0.1, 0.5 * solver.betaMax, 2 * solver.betaMax + 1e-9]
    where beta > 0 {
      let solution = solver.train(beta: beta, gap: gap)
      // Of smaller β double precision leaves less, how much differs between BLAS kernels, and the
      // certificate says how much: it is held to what it says.
      let reached = beta > 1e-5 * solver.betaMax ? gap : max(gap, solution.gap)
      #expect(
        solution.status == (reached > gap ? .stalled : .optimal),
        "beta \(beta): gap \(solution.gap)", sourceLocation: sourceLocation)
      expectReLUCertified(
        solution, problem, beta: beta, gap: reached, "beta \(beta)",
        sourceLocation: sourceLocation)
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
    let solution = try problem.reluSolver().train(beta: 0.1)
    #expect(solution.status == .optimal && solution.primal == 0 && solution.gap == 0)
    #expect(solution.index.isEmpty)
    problem.outputs = 2
    problem.y = (0..<30).map { $0 % 2 == 0 ? 0 : Double($0) }
    try check(problem)
  }

  @Test func oneLabelOnly() throws {
    for bias in [true, false] {
      var problem = GatedProblem(n: 20, d: 4, patterns: 10, bias: bias)
      problem.y = [Double](repeating: 1, count: 20)
      try check(problem)
    }
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
    let solution = try problem.reluSolver().train(beta: 1e-3)
    #expect(solution.status == .optimal && solution.index.isEmpty)
    expectReLUCertified(solution, problem, beta: 1e-3)
  }

  @Test func duplicateAndOppositeRows() throws {
    var problem = GatedProblem(n: 24, d: 4, patterns: 15, bias: false)
    for j in 0..<8 {
      for k in 0..<4 {
        problem.x[4 * (j + 8) + k] = 3 * problem.x[4 * j + k]
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
    problem.gates += problem.gates + problem.gates
    // All samples on the other side: b·g < 0 for a bias b, and the rest small.
    problem.patterns.insert([Bool](repeating: false, count: 20), at: 0)
    problem.gates = [1e-9, 1e-9, -1] + problem.gates
    try check(problem)
    problem.patterns = [[Bool](repeating: false, count: 20)]
    problem.gates = [1e-9, 1e-9, -1]
    let solution = try problem.reluSolver().train(beta: 1e-3)
    #expect(solution.index.isEmpty && solution.status == .optimal)
    expectReLUCertified(solution, problem, beta: 1e-3)
  }

  /// Patterns whose cones are 0 alone, or have no inside: what is no cell has no neuron.
  @Test func patternsThatAreNoCells() throws {
    var problem = GatedProblem(n: 30, d: 3, patterns: 6, seed: 8)
    var random = RandomSource(seed: 9)
    for _ in 0..<6 {
      problem.patterns.append((0..<30).map { _ in random.uniform() < 0.5 })
      problem.gates += random.signed(3)
    }
    try check(problem)
  }

  /// Cuts at x·g ≥ t ‖g‖: some patterns are cells still, of others the cone is small or 0.
  @Test func thresholds() throws {
    for (threshold, bias) in [(0.2, true), (0.5, false)] {
      var problem = GatedProblem(n: 20, d: 3, patterns: 15, bias: bias, seed: 3)
      problem.patterns = (0..<15).map { i in
        let gate = Array(problem.gates[3 * i..<3 * i + 3])
        let cut = threshold * inner(gate, gate).squareRoot()
        return (0..<20).map { inner(problem.row($0), gate) >= cut }
      }
      try check(problem)
    }
  }

  /// With a threshold x and −x may both be off, and x off while 3x is on: v must be orthogonal to x.
  @Test func thresholdsOnRepeatedRows() throws {
    var problem = GatedProblem(n: 12, d: 4, patterns: 10, bias: false, seed: 5)
    for k in 0..<4 {
      problem.x[4 + k] = -problem.x[k]
      problem.x[8 + k] = 3 * problem.x[12 + k]
      problem.x[16 + k] = problem.x[20 + k]
    }
    problem.patterns = (0..<10).map { i in
      let gate = Array(problem.gates[4 * i..<4 * i + 4])
      return (0..<12).map { inner(problem.row($0), gate) >= 0.5 * inner(gate, gate).squareRoot() }
    }
    #expect(problem.patterns.contains { !$0[0] && !$0[1] })
    #expect(problem.patterns.contains { $0[2] && !$0[3] })
    try check(problem)
  }

  /// A gate that is orthogonal to x has x and −x on.
  @Test func tiesOfOppositeRows() throws {
    var problem = GatedProblem(
      n: 6, d: 3,
      x: [1, 0, 0, -1, 0, 0, 0, 1, 0, 1, 1, 1, 1, -1, 2, 0, 0, -1], y: [1, 2, -1, 0.5, 1, 3],
      patterns: [])
    problem.gates = [0, 1, 1, 0, 1, 0, 1, 0, 0, -1, 2, 1, 0, -1, 0]
    problem.arrange()
    #expect(problem.patterns[0][0] && problem.patterns[0][1])
    try check(problem)
  }

  @Test func scalesOfFeaturesAndTargets() throws {
    for (features, targets) in [(1e-6, 1.0), (1e6, 1), (1, 1e-6), (1, 1e6), (1e4, 1e-4)] {
      var problem = GatedProblem(n: 25, d: 4, patterns: 10)
      problem.x = problem.x.map { $0 * features }
      problem.y = problem.y.map { $0 * targets }
      let solver = try problem.reluSolver()
      for share in [0.5, 1e-2, 1e-4] {
        let beta = share * solver.betaMax
        let solution = solver.train(beta: beta, gap: 1e-7)
        #expect(solution.status == .optimal, "\(features), \(targets): \(solution.gap)")
        expectReLUCertified(
          solution, problem, beta: beta, gap: 1e-7, "\(features), \(targets), \(share)")
      }
    }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    var bundle = GatedProblem(n: 6, d: 2, patterns: 3).bundle
    bundle.tensors["x"] = Tensor([Double](repeating: 1, count: 24), shape: [6, 2, 2])
    #expect(throws: Failure.self) { try ArrangementData(bundle) }
  }
}
