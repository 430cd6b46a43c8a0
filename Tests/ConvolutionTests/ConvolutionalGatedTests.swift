import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors
import Testing

@testable import Convolution

private func solver(
  _ bundle: Bundle, _ targets: Matrix, _ grouping: WeightGrouping = .perPattern,
  form: FeatureForm? = nil
) throws -> ConvolutionalGatedSolver {
  try ConvolutionalGatedSolver(
    ConvolutionalData(bundle), targets: targets, grouping: grouping,
    budget: Budget(StoppingRule(), startedAt: Budget.now()), form: form)
}

private func solve(
  _ solver: ConvolutionalGatedSolver, beta: Double, gap: Double = 1e-9,
  from start: ArrangementSolution? = nil, iterations: Int = .max
) -> ArrangementSolution {
  var rule = StoppingRule()
  rule.gap = gap
  rule.maximumIterations = iterations
  return solver.point(
    beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
    trace: { _ in })
}

@Suite struct ConvolutionalGatedTests {
  /// The claims hold when all is recomputed from the definition: that proves optimality.
  @Test(arguments: [WeightGrouping.perClass, .perPattern], FeatureForm.allCases)
  func optimalityIsCertified(_ grouping: WeightGrouping, _ form: FeatureForm) throws {
    for (seed, problem) in [
      PooledProblem(), PooledProblem(n: 25, patches: 9, d: 4, regions: 3, gates: 12, outputs: 3),
      PooledProblem(n: 80, patches: 4, d: 2, regions: 1, gates: 5, outputs: 1, isPatterned: false),
    ].enumerated() {
      var problem = problem
      problem.seed = seed + 1
      let (bundle, targets) = problem.draw()
      let f = problem.features(bundle)
      let solver = try solver(bundle, targets, grouping, form: form)
      for share in [0.5, 0.05, 0.001] {
        let beta = share * solver.betaMax
        let gap = form == .dense ? 1e-9 : 1e-6
        let solution = solve(solver, beta: beta, gap: gap)
        #expect(solution.status == .optimal)
        let truth = Recomputed(
          solution, features: f, targets: targets, beta: beta, size: problem.size,
          grouping: grouping)
        #expect(abs(truth.primal - solution.primal) <= 1e-11 * solution.primal)
        #expect(abs(truth.dual - solution.dualValue) <= 1e-11 * solution.primal)
        #expect(truth.largest <= 1 + 1e-13)
        #expect(truth.gap <= gap)
        #expect(truth.predictionError <= 1e-11)
      }
    }
  }

  /// β_max is the largest norm of FᵀY; from there on the network is zero, and below it is not.
  @Test func zeroFromTheLargestBetaOn() throws {
    let problem = PooledProblem()
    let (bundle, targets) = problem.draw()
    let f = problem.features(bundle)
    var norms = (0..<problem.gates).map { _ in [0.0, 0.0] }
    for column in 0..<f.columns {
      for c in 0..<2 {
        let t = (0..<problem.n).reduce(0) { $0 + f[$1, column] * targets[$1, c] }
        norms[column / problem.size][c] += t * t
      }
    }
    let whole = norms.map { ($0[0] + $0[1]).squareRoot() }.max()!
    let single = norms.flatMap { $0 }.max()!.squareRoot()
    for (grouping, largest) in [(WeightGrouping.perPattern, whole), (.perClass, single)] {
      let solver = try solver(bundle, targets, grouping)
      #expect(abs(solver.betaMax - largest) <= 1e-12 * largest)
      let zero = solve(solver, beta: 1.001 * largest)
      #expect(zero.status == .optimal && zero.index.isEmpty && zero.gap <= 1e-11)
      #expect(!solve(solver, beta: 0.99 * largest).index.isEmpty)
    }
  }

  /// With one patch a sample it is the fully-connected program, which has a solver of its own.
  @Test func onePatchIsFullyConnected() throws {
    let problem = PooledProblem(n: 60, patches: 1, d: 5, regions: 1, gates: 9, outputs: 1)
    let (bundle, targets) = problem.draw()
    let solver = try solver(bundle, targets)
    let other = try GatedSolver(ArrangementData(bundle), targets: targets)
    #expect(abs(solver.betaMax - other.betaMax) <= 1e-12 * other.betaMax)
    let beta = 0.02 * solver.betaMax
    var rule = StoppingRule()
    rule.gap = 1e-10
    let expected = other.point(
      beta: beta, from: nil, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      trace: { _ in })
    let solution = solve(solver, beta: beta, gap: 1e-10)
    #expect(abs(solution.primal - expected.primal) <= 1e-9 * expected.primal)
    #expect(solution.index == expected.index)
  }

  /// Gates decide as patterns do, also where x·g is the threshold itself.
  @Test(arguments: [0.0, 1.0, 1.5])
  func gatesDecideTies(_ threshold: Double) throws {
    var problem = PooledProblem(n: 30, threshold: threshold, isGrid: true)
    let (bundle, targets) = problem.draw()
    let x = bundle.tensors["x"]!.doubles
    let g = bundle.tensors["gates"]!.doubles
    var ties = 0
    for i in 0..<problem.gates {
      for j in 0..<problem.n * problem.patches {
        var product = 0.0
        for a in 0..<3 { product += x[j * 3 + a] * g[i * 3 + a] }
        ties += product == threshold ? 1 : 0
      }
    }
    #expect(ties > 20)
    problem.isPatterned = false
    var bare = bundle
    bare.tensors["patterns"] = nil
    let f = problem.features(bundle)
    for source in [bundle, bare] {
      let features = PooledFeatures(
        try ConvolutionalData(source), members: Array(0..<problem.gates))
      let read = Matrix(problem.n, f.columns)
      features.reader().read(0..<problem.n, into: read.base)
      for k in 0..<f.count { #expect(abs(read.base[k] - f.base[k]) <= 1e-14) }
    }
    #expect(targets.rows == problem.n)
  }

  /// Gates that are alike, and a gate that no patch opens, neither hinder nor count.
  @Test(arguments: [FeatureForm.dense, .gram])
  func gatesThatRepeatDoNoHarm(_ form: FeatureForm) throws {
    let problem = PooledProblem(gates: 6, isPatterned: false)
    var (bundle, targets) = problem.draw()
    let beta = 0.02 * (try solver(bundle, targets).betaMax)
    let expected = solve(try solver(bundle, targets), beta: beta, gap: 1e-8)
    let g = bundle.tensors["gates"]!.doubles
    bundle.tensors["gates"] = Tensor(g + g + [0, 0, 0], shape: [13, 3])
    bundle.tensors["thresholds"] = Tensor(Array(repeating: 0.0, count: 12) + [1])
    let solution = solve(try solver(bundle, targets, form: form), beta: beta, gap: 1e-7)
    #expect(solution.status == .optimal)
    #expect(!solution.index.contains(12))
    #expect(abs(solution.primal - expected.primal) <= 1e-6 * expected.primal)
  }

  @Test func predictionsOnTheTrainingDataAreThose() throws {
    let problem = PooledProblem(threshold: 0.5, isPatterned: false)
    let (bundle, targets) = problem.draw()
    let solver = try solver(bundle, targets)
    let solution = solve(solver, beta: 0.05 * solver.betaMax)
    let again = solver.predictions(solution, on: try PatchSource(bundle))
    for k in 0..<again.count {
      #expect(abs(again.base[k] - solution.predictions.base[k]) <= 1e-12)
    }
  }

  /// A start at the solution needs next to nothing; one at another β helps.
  @Test(arguments: [WeightGrouping.perClass, .perPattern])
  func warmStartsAreTaken(_ grouping: WeightGrouping) throws {
    let problem = PooledProblem(n: 60, gates: 15)
    let (bundle, targets) = problem.draw()
    let first = try solver(bundle, targets, grouping)
    let beta = 0.01 * first.betaMax
    let cold = solve(first, beta: beta)
    let warm = solve(try solver(bundle, targets, grouping), beta: beta, gap: 1e-8, from: cold)
    #expect(warm.status == .optimal)
    #expect(warm.iterations <= 2)
    #expect(abs(warm.primal - cold.primal) <= 2e-8 * cold.primal)
  }

  /// A limit leaves a point whose claims hold.
  @Test func limitsLeaveCertifiedPoints() throws {
    let problem = PooledProblem(n: 60, gates: 15)
    let (bundle, targets) = problem.draw()
    let f = problem.features(bundle)
    let solver = try solver(bundle, targets)
    let beta = 0.01 * solver.betaMax
    var last = Double.infinity
    for iterations in [0, 3, 6, 12] {
      let solution = solve(solver, beta: beta, gap: 1e-12, iterations: iterations)
      let truth = Recomputed(
        solution, features: f, targets: targets, beta: beta, size: problem.size,
        grouping: .perPattern)
      #expect(solution.status == .iterationLimit || solution.gap <= 1e-12)
      #expect(solution.iterations <= iterations)
      #expect(truth.gap <= solution.gap + 1e-11)
      #expect(truth.largest <= 1 + 1e-13)
      #expect(solution.gap <= last)
      last = solution.gap
    }
    var rule = StoppingRule()
    rule.maximumSeconds = 0
    let budget = Budget(rule, startedAt: Budget.now())
    let none = try ConvolutionalGatedSolver(
      ConvolutionalData(bundle), targets: targets, grouping: .perPattern, budget: budget
    ).point(beta: beta, from: nil, rule: rule, budget: budget, trace: { _ in })
    #expect(none.status == .timeLimit && none.index.isEmpty)
  }

  /// Minimisers of the bounded quadratic of a step exist for H of the model: it is that of M exactly where G is
  /// all that the low-rank form knows.
  @Test func bothSystemsAgree() throws {
    let problem = PooledProblem(n: 50, patches: 4, d: 3, regions: 1, gates: 6, outputs: 2)
    let (bundle, targets) = problem.draw()
    let q = problem.gates * problem.size
    let stream = FeatureStream(
      PooledFeatures(try ConvolutionalData(bundle), members: Array(0..<problem.gates)))
    func moments(_ form: FeatureForm) -> FeatureMoments {
      FeatureMoments(
        stream, targets: targets, form: form, proceed: { true }, progress: { _ in })!
    }
    let problems = GroupProblem.all(outputs: 2, shared: true)
    let dense = moments(.dense)
    let direct = DirectGramSystem(
      (dense.gram as! DenseGram).matrix, groupSize: problem.size, problems: problems)
    let eta = [0.1, 0, 2, 0.03, 0, 0.4]
    let t = Matrix(q, 2)
    var random = RandomSource(seed: 5)
    for k in 0..<t.count { t.base[k] = random.gaussian() }
    let x = Matrix(copying: t)
    for j in 0..<q where eta[j / problem.size] == 0 {
      for c in 0..<2 { x[j, c] = 0 }
    }
    func results(_ system: any GramSystem) -> [Double] {
      #expect(system.factor(0, eta))
      let (z, h) = (Matrix(q, 2), Matrix(5, 5))
      system.apply(x, into: z)
      system.hessian(0, [0, 1, 2, 3, 5], directions: t, into: h.base)
      return z.values + h.values
    }
    let expected = results(direct)
    for form in [FeatureForm.gram, .samples] {
      let gram = moments(form).gram as! CentredGram
      let (product, truth) = (Matrix(q, 2), Matrix(q, 2))
      gram.multiply(t, into: product, within: nil)
      dense.gram.multiply(t, into: truth, within: nil)
      for k in 0..<truth.count {
        #expect(abs(product.base[k] - truth.base[k]) <= 1e-4 * (1 + abs(truth.base[k])))
      }
      let low = LowRankGramSystem(
        gram, groupSize: problem.size, rank: q, problems: problems, proceed: { true },
        progress: { _ in })!
      for (mine, theirs) in zip(results(low), expected) {
        #expect(abs(mine - theirs) <= 1e-4 * (1 + abs(theirs)))
      }
    }
  }
}
