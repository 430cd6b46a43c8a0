import Convex
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convolution

private let losses: [LossName] = [.logistic, .hinge, .huber, .crossEntropy]

private func draw(_ problem: PooledProblem, _ loss: LossName) -> (bundle: Bundle, targets: Matrix) {
  let (bundle, targets) = problem.draw()
  for j in 0..<targets.rows {
    let isFirst = targets[j, 0] > 0.5
    for c in 0..<targets.columns {
      if loss.hasSigns { targets[j, c] = targets[j, c] > 0.5 ? 1 : -1 }
      if loss == .crossEntropy { targets[j, c] = (c == 0) == isFirst && c < 2 ? 1 : 0 }
    }
  }
  return (bundle, targets)
}

private func solver(
  _ bundle: Bundle, _ targets: Matrix, _ loss: LossName, _ grouping: WeightGrouping
) throws -> ConvolutionalLossSolver {
  try ConvolutionalLossSolver(
    ConvolutionalData(bundle), targets: targets, loss: loss, grouping: grouping,
    budget: Budget(StoppingRule(), startedAt: Budget.now()))
}

private func solve(
  _ solver: ConvolutionalLossSolver, beta: Double, gap: Double = 1e-7,
  from start: ArrangementSolution? = nil, iterations: Int = .max
) -> ArrangementSolution {
  var rule = StoppingRule()
  rule.gap = gap
  rule.maximumIterations = iterations
  return solver.point(
    beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
    trace: { _ in })
}

/// The norm of each group of T (PRd × C), or of weights.
private func groupNorms(
  _ t: Matrix, _ problem: PooledProblem, _ grouping: WeightGrouping
) -> [Double] {
  (0..<problem.gates).flatMap { i in
    let squares = (0..<t.columns).map { c in
      (i * problem.size..<(i + 1) * problem.size).reduce(0) { $0 + t[$1, c] * t[$1, c] }
    }
    return grouping == .perPattern
      ? [squares.reduce(0, +).squareRoot()] : squares.map { $0.squareRoot() }
  }
}

@Suite struct ConvolutionalLossTests {
  /// The claims hold when all is recomputed from the definition: that proves optimality.
  @Test(arguments: losses, WeightGrouping.allCases)
  func optimalityIsCertified(_ loss: LossName, _ grouping: WeightGrouping) throws {
    for (seed, problem) in [
      PooledProblem(), PooledProblem(n: 30, patches: 6, d: 2, gates: 5, isPatterned: false),
    ].enumerated() {
      var problem = problem
      problem.seed = seed + 3
      let (bundle, targets) = draw(problem, loss)
      let f = problem.features(bundle)
      let solver = try solver(bundle, targets, loss, grouping)
      for share in [0.5, 0.05] {
        let beta = share * solver.betaMax
        let solution = solve(solver, beta: beta)
        #expect(solution.status == .optimal && solution.gap <= 1e-7)
        let weights = Matrix(f.columns, targets.columns)
        for (k, gate) in solution.index.enumerated() {
          for c in 0..<targets.columns {
            for a in 0..<problem.size {
              weights[gate * problem.size + a, c] = solution.positive[c][k, a]
            }
          }
        }
        let fitted = product(f, .plain, weights, .plain)
        let norms = groupNorms(weights, problem, grouping)
        let primal = loss.loss.value(fitted, targets) + beta * norms.reduce(0, +)
        #expect(abs(primal - solution.primal) <= 1e-11 * abs(primal))
        let t = product(f, .transposed, solution.dual, .plain)
        #expect(groupNorms(t, problem, grouping).max()! <= beta * (1 + 1e-13))
        let dual = loss.loss.dualValue(solution.dual, targets)
        #expect(abs(dual - solution.dualValue) <= 1e-11 * abs(primal))
        #expect(primal - dual <= 1e-7 * abs(primal))
        for k in 0..<fitted.count {
          #expect(abs(fitted.base[k] - solution.predictions.base[k]) <= 1e-11)
        }
      }
    }
  }

  /// β_max is the largest norm of Fᵀ∇ℓ(0); from there on the network is zero, and below it is not.
  @Test(arguments: losses)
  func zeroFromTheLargestBetaOn(_ loss: LossName) throws {
    let problem = PooledProblem()
    let (bundle, targets) = draw(problem, loss)
    let slope = Matrix(targets.rows, targets.columns)
    loss.loss.residual(Matrix(targets.rows, targets.columns), targets, into: slope)
    let t = product(problem.features(bundle), .transposed, slope, .plain)
    for grouping in WeightGrouping.allCases {
      let solver = try solver(bundle, targets, loss, grouping)
      let largest = groupNorms(t, problem, grouping).max()!
      #expect(abs(solver.betaMax - largest) <= 1e-12 * largest)
      let zero = solve(solver, beta: 1.001 * largest)
      #expect(zero.status == .optimal && zero.index.isEmpty)
      #expect(!solve(solver, beta: 0.98 * largest, gap: 1e-9).index.isEmpty)
    }
  }

  /// With one patch a sample it is the fully-connected program.
  @Test(arguments: losses)
  func onePatchIsFullyConnected(_ loss: LossName) throws {
    let problem = PooledProblem(n: 50, patches: 1, d: 4, regions: 1, gates: 9)
    let (bundle, targets) = draw(problem, loss)
    let solver = try solver(bundle, targets, loss, .perPattern)
    let other = try GatedLossSolver(
      ArrangementData(bundle), targets: targets, loss: loss, grouping: .perPattern)
    #expect(abs(solver.betaMax - other.betaMax) <= 1e-12 * other.betaMax)
    var rule = StoppingRule()
    rule.gap = 1e-7
    let expected = other.point(
      beta: 0.05 * other.betaMax, from: nil, rule: rule,
      budget: Budget(rule, startedAt: Budget.now()), trace: { _ in })
    let solution = solve(solver, beta: 0.05 * solver.betaMax)
    #expect(abs(solution.primal - expected.primal) <= 2e-7 * abs(expected.primal))
  }

  /// From an earlier solution it takes fewer steps; a limit is told.
  @Test func warmStartsAndLimits() throws {
    let problem = PooledProblem()
    let (bundle, targets) = draw(problem, .logistic)
    let solver = try solver(bundle, targets, .logistic, .perClass)
    let beta = 0.05 * solver.betaMax
    let cut = solve(solver, beta: beta, gap: 1e-9, iterations: 10)
    #expect(cut.status == .iterationLimit && cut.gap > 1e-9)
    let whole = solve(solver, beta: beta, gap: 1e-8)
    let again = solve(solver, beta: beta, gap: 1e-6, from: whole)
    #expect(again.status == .optimal && again.iterations < whole.iterations)
  }

  /// Without time to read the samples there is the network that is zero, and no claim about β_max.
  @Test func noTimeMakesNoNetwork() throws {
    let (bundle, targets) = draw(PooledProblem(), .hinge)
    var rule = StoppingRule()
    rule.maximumSeconds = 0
    let budget = Budget(rule, startedAt: Budget.now())
    let solver = try ConvolutionalLossSolver(
      ConvolutionalData(bundle), targets: targets, loss: .hinge, grouping: .perClass,
      budget: budget)
    let solution = solver.point(
      beta: 1, from: nil, rule: rule, budget: budget, trace: { _ in })
    #expect(solution.status == .timeLimit && solution.index.isEmpty)
    #expect(solver.betaMax == .infinity)
    #expect(solution.primal == Double(targets.count) && solution.dualValue == 0)
  }
}
