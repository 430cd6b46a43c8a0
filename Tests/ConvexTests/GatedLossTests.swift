import Glibc
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

extension GatedProblem {
  /// Targets that `loss` is defined for, of the same problem.
  func targets(for loss: LossName) -> GatedProblem {
    var result = self
    switch loss {
    case .logistic, .hinge: result.y = y.map { $0 > 0 ? 1 : -1 }
    case .crossEntropy:
      for j in 0..<n {
        let row = y[j * outputs..<(j + 1) * outputs]
        let largest = row.max()!
        for c in 0..<outputs { result.y[j * outputs + c] = y[j * outputs + c] == largest ? 1 : 0 }
      }
    default: break
    }
    return result
  }

  func lossSolver(
    _ loss: LossName, _ grouping: WeightGrouping = .perClass, interior: Bool? = nil
  ) throws -> GatedLossSolver {
    try GatedLossSolver(
      ArrangementData(bundle), targets: targets, loss: loss, grouping: grouping,
      prefersInteriorPoint: interior)
  }

  /// Of each group its norm: of ‖Xᵀ D_i ν_c‖ or of ‖Xᵀ D_i N‖_F.
  func groupNorms(_ nu: Matrix, _ grouping: WeightGrouping) -> [Double] {
    let squares = (0..<outputs).map { c in correlations(nu, output: c).map { inner($0, $0) } }
    guard grouping == .perPattern else { return squares.flatMap { $0.map { $0.squareRoot() } } }
    return patterns.indices.map { i in squares.reduce(0) { $0 + $1[i] }.squareRoot() }
  }
}

extension GatedLossSolver {
  func solve(
    beta: Double, gap: Double = 1e-8, from start: ArrangementSolution? = nil,
    iterations: Int? = nil
  ) -> ArrangementSolution {
    var rule = StoppingRule()
    rule.gap = gap
    if let iterations { rule.maximumIterations = iterations }
    return point(
      beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      trace: { _ in })
  }
}

/// Holds a solution against the definitions, with loops that share nothing with the solver, and returns
/// the primal value.
@discardableResult
private func expectCertified(
  _ solution: ArrangementSolution, _ problem: GatedProblem, _ loss: LossName,
  _ grouping: WeightGrouping, beta: Double, gap: Double,
  sourceLocation: SourceLocation = #_sourceLocation
) -> Double {
  let (n, d, outputs) = (problem.n, problem.d, problem.outputs)
  let f = Matrix(n, outputs)
  var penalty = 0.0
  for (row, i) in solution.index.enumerated() {
    var squares: [Double] = []
    for c in 0..<outputs {
      let w = copied(solution.positive[c].row(row), d)
      squares.append(inner(w, w))
      for j in 0..<n where problem.patterns[i][j] { f[j, c] += inner(w, problem.row(j)) }
    }
    penalty +=
      grouping == .perPattern
      ? squares.reduce(0, +).squareRoot() : squares.reduce(0) { $0 + $1.squareRoot() }
  }
  for k in 0..<f.count {
    #expect(
      abs(f.base[k] - solution.predictions.base[k]) <= 1e-9 * (1 + abs(f.base[k])),
      sourceLocation: sourceLocation)
  }
  var (primal, dual) = (beta * penalty, 0.0)
  for j in 0..<n {
    let y = (0..<outputs).map { problem.y[j * outputs + $0] }
    let nu = (0..<outputs).map { solution.dual[j, $0] }
    if loss == .crossEntropy {
      primal += logSum((0..<outputs).map { f[j, $0] })
      #expect(abs(nu.reduce(0, +)) <= 1e-9, sourceLocation: sourceLocation)
    }
    for c in 0..<outputs {
      let (z, a) = (f[j, c], y[c] * nu[c])
      switch loss {
      case .squared:
        primal += 0.5 * (z - y[c]) * (z - y[c])
        dual += nu[c] * y[c] - 0.5 * nu[c] * nu[c]
      case .logistic:
        primal += logSum([0, -y[c] * z])
        dual += entropy(a) + entropy(1 - a)
      case .hinge:
        primal += max(0, 1 - y[c] * z)
        dual += a
      case .huber:
        let e = abs(z - y[c])
        primal += e <= 1 ? 0.5 * e * e : e - 0.5
        dual += nu[c] * y[c] - 0.5 * nu[c] * nu[c]
        #expect(abs(nu[c]) <= 1, sourceLocation: sourceLocation)
      case .quantile(let level):
        primal += max(level * (y[c] - z), (level - 1) * (y[c] - z))
        dual += nu[c] * y[c]
        #expect(nu[c] <= level && nu[c] >= level - 1, sourceLocation: sourceLocation)
      case .crossEntropy:
        primal -= y[c] * z
        dual += entropy(y[c] - nu[c])
      case .interpolation, .margin: preconditionFailure("a constraint")
      }
      if loss == .logistic || loss == .hinge {
        #expect(a >= 0 && a <= 1, sourceLocation: sourceLocation)
      }
    }
  }
  for norm in problem.groupNorms(solution.dual, grouping) {
    #expect(norm <= beta * (1 + 1e-9), sourceLocation: sourceLocation)
  }
  let size = max(abs(primal), 1e-300)
  #expect(abs(primal - solution.primal) <= 1e-9 * size, sourceLocation: sourceLocation)
  #expect(abs(dual - solution.dualValue) <= 1e-9 * size, sourceLocation: sourceLocation)
  #expect(primal - dual >= -1e-11 * size, sourceLocation: sourceLocation)
  #expect(primal - dual <= (gap + 1e-11) * size, sourceLocation: sourceLocation)
  return primal
}

private func entropy(_ a: Double) -> Double {
  precondition(a > -1e-12)
  return a <= 0 ? 0 : -a * log(a)
}

private func logSum(_ z: [Double]) -> Double {
  let largest = z.max()!
  return largest + log(z.reduce(0) { $0 + exp($1 - largest) })
}

@Suite struct GatedLossTests {
  static let scalar: [LossName] = [.logistic, .hinge, .huber]

  @Test(arguments: scalar, [true, false])
  func scalarLossesAreCertified(_ loss: LossName, interior: Bool) throws {
    let problem = GatedProblem(n: 60, d: 5, patterns: 150).targets(for: loss)
    let solver = try problem.lossSolver(loss, interior: interior)
    for share in [0.6, 0.1, 0.02] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-7)
      #expect(solution.status == .optimal, "\(loss) \(share): \(solution.gap)")
      expectCertified(solution, problem, loss, .perClass, beta: beta, gap: 1e-7)
      #expect(!solution.index.isEmpty)
    }
  }

  @Test(arguments: scalar) func theMethodsAgree(_ loss: LossName) throws {
    let problem = GatedProblem(n: 80, d: 6, patterns: 130, seed: 4).targets(for: loss)
    let beta = 0.05 * (try problem.lossSolver(loss).betaMax)
    let first = try problem.lossSolver(loss, interior: true).solve(beta: beta)
    let second = try problem.lossSolver(loss, interior: false).solve(beta: beta)
    #expect(abs(first.primal - second.primal) <= 2e-8 * first.primal)
    for j in 0..<problem.n where loss != .hinge {
      #expect(abs(first.predictions[j, 0] - second.predictions[j, 0]) < 5e-3)
    }
  }

  /// Newton's method in the weights, which comes first here, agrees with those that come without it; and from the
  /// solution of another β it gets there in fewer steps.
  @Test(arguments: [LossName.logistic, .huber], [0.5, 0.05])
  func newtonInTheWeightsAgrees(_ loss: LossName, _ share: Double) throws {
    let problem = GatedProblem(n: 400, d: 5, patterns: 30, seed: 6).targets(for: loss)
    let solver = try problem.lossSolver(loss)
    let beta = share * solver.betaMax
    let solution = solver.solve(beta: beta)
    #expect(solution.status == .optimal, "\(loss) \(share): \(solution.gap)")
    expectCertified(solution, problem, loss, .perClass, beta: beta, gap: 1e-8)
    let other = try problem.lossSolver(loss, interior: true).solve(beta: beta)
    #expect(abs(solution.primal - other.primal) <= 2e-8 * other.primal)
    let near = solver.solve(beta: 0.9 * beta)
    let warm = solver.solve(beta: 0.9 * beta, from: solution)
    #expect(warm.status == .optimal && warm.iterations <= near.iterations)
    #expect(abs(warm.primal - near.primal) <= 2e-8 * near.primal)
  }

  /// The same method on its own, without another that could mend what it left.
  @Test(arguments: [LossName.logistic, .huber])
  func newtonInTheWeightsReachesIt(_ loss: LossName) throws {
    let problem = GatedProblem(n: 400, d: 5, patterns: 30, seed: 7).targets(for: loss)
    let data = try ArrangementData(problem.bundle)
    let products = PatternProducts(
      data.features, data.patterns, members: Array(problem.patterns.indices))
    let beta = 0.2 * (try problem.lossSolver(loss).betaMax)
    let y = problem.targets.transposed
    let point = PatternIncumbent(y, dimension: problem.d, loss: loss.loss, beta: beta)
    let newton = WeightNewton(
      products, outputs: 1, loss: loss.loss, interruption: Interruption())
    let end = newton.solve(
      y, beta: beta, tolerance: 1e-10, point: point, proceed: { true }, report: { _ in })
    #expect(end == .reached && point.gap <= 1e-10, "\(point.gap)")
  }

  @Test(arguments: [WeightGrouping.perClass, .perPattern])
  func crossEntropyIsCertified(_ grouping: WeightGrouping) throws {
    let problem = GatedProblem(n: 70, d: 5, patterns: 20, outputs: 3).targets(for: .crossEntropy)
    let solver = try problem.lossSolver(.crossEntropy, grouping)
    for share in [0.5, 0.1, 0.02] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-7)
      #expect(solution.status == .optimal, "\(grouping) \(share): \(solution.gap)")
      expectCertified(solution, problem, .crossEntropy, grouping, beta: beta, gap: 1e-7)
    }
  }

  @Test(arguments: scalar) func outputsShareTheGroupsOfPatterns(_ loss: LossName) throws {
    let problem = GatedProblem(n: 50, d: 4, patterns: 15, outputs: 3).targets(for: loss)
    let solver = try problem.lossSolver(loss, .perPattern)
    let beta = 0.1 * solver.betaMax
    let solution = solver.solve(beta: beta, gap: 1e-7)
    #expect(solution.status == .optimal, "\(loss): \(solution.gap)")
    expectCertified(solution, problem, loss, .perPattern, beta: beta, gap: 1e-7)
    // A group for each output costs more.
    let separate = try problem.lossSolver(loss).solve(beta: beta, gap: 1e-7)
    expectCertified(separate, problem, loss, .perClass, beta: beta, gap: 1e-7)
    #expect(separate.primal > solution.primal * (1 + 1e-6))
  }

  @Test func theSquaredLossHasTheOptimumOfItsOwnSolver() throws {
    let problem = GatedProblem(n: 50, d: 5, patterns: 20)
    let beta = 0.05 * problem.betaMax
    let solution = try problem.lossSolver(.squared).solve(beta: beta)
    let other = try problem.solve(beta: beta)
    #expect(abs(solution.primal - other.primal) <= 2e-8 * other.primal)
    expectCertified(solution, problem, .squared, .perClass, beta: beta, gap: 1e-8)
  }

  /// Single precision in the factor costs no accuracy.
  @Test func precisionIsThatOfTheData() throws {
    let problem = GatedProblem(n: 120, d: 8, patterns: 30).targets(for: .logistic)
    let data = try ArrangementData(problem.bundle)
    let features = PatternFeatures(data, members: Array(problem.patterns.indices))
    let targets = problem.targets
    let beta = 0.03 * (try problem.lossSolver(.logistic).betaMax)
    var values: [Double] = []
    for isSingle in [true, false] {
      let admm = TwoSplitADMM(
        features, system: SplitSystem(features, isSingle: isSingle), targets: targets,
        loss: LogisticLoss(), regularizer: GroupNorm(size: 8, isSeparable: true), beta: beta)
      try #require(admm.prepare())
      for k in 1...400 {
        admm.iterate()
        if k % 10 == 0 { admm.refresh() }
        if k % 20 == 0, k <= 100 { _ = admm.adaptPenalties() }
      }
      let f = Matrix(problem.n, 1)
      admm.predictions(into: f)
      values.append(LogisticLoss().value(f, targets) + beta * admm.penalty)
    }
    #expect(abs(values[0] - values[1]) <= 1e-10 * values[1])
  }

  /// Features that are there as numbers make the same problem as masked ones.
  @Test func explicitFeaturesGiveTheSame() throws {
    let problem = GatedProblem(n: 40, d: 4, patterns: 9, outputs: 3).targets(for: .crossEntropy)
    let (n, d, count) = (problem.n, problem.d, problem.patterns.count)
    let data = try ArrangementData(problem.bundle)
    let masked = PatternFeatures(data, members: Array(0..<count))
    let matrix = Matrix(n, count * d)
    for j in 0..<n {
      for i in 0..<count where problem.patterns[i][j] {
        for k in 0..<d { matrix[j, i * d + k] = problem.x[j * d + k] }
      }
    }
    let explicit = ExplicitFeatures(matrix, groups: count)
    let (a, b) = (Matrix(n, n), Matrix(n, n))
    masked.kernel(0..<n, 0..<n, into: a.base)
    explicit.kernel(0..<n, 0..<n, into: b.base)
    #expect(relativeDistance(a, b) < 1e-13)
    #expect(relativeDistance(a, product(matrix, .plain, matrix, .transposed)) < 1e-13)
    for j in 0..<n { #expect(abs(masked.rowSquares[j] - explicit.rowSquares[j]) < 1e-12 * 100) }
    var random = RandomSource(seed: 8)
    let (q, w) = (random.matrix(3, n), random.matrix(count * 3, d))
    var results: [(Matrix, Matrix)] = []
    for features in [masked, explicit] as [any GroupedFeatures] {
      let products = features.products(outputs: 3, groups: count)
      let (t, f) = (Matrix(count * 3, d), Matrix(3, n))
      products.forEachBlock(0..<count) { groups in
        products.correlate(groups, q, into: t.row(groups.lowerBound * 3))
        products.add(groups, w.row(groups.lowerBound * 3), to: f)
      }
      results.append((t, f))
      // (A w)ᵀ q = wᵀ (Aᵀ q).
      #expect(abs(inner(f.values, q.values) - inner(t.values, w.values)) < 1e-10)
    }
    #expect(relativeDistance(results[0].0, results[1].0) < 1e-12)
    #expect(relativeDistance(results[0].1, results[1].1) < 1e-12)
  }

  @Test(arguments: LossName.allCases) func atBetaMaxTheNetworkIsZero(_ loss: LossName) throws {
    let outputs = loss == .crossEntropy ? 3 : 1
    let problem = GatedProblem(n: 40, d: 4, patterns: 12, outputs: outputs).targets(for: loss)
    let solver = try problem.lossSolver(loss)
    for share in [1, 1.0001, 50] {
      let solution = solver.solve(beta: share * solver.betaMax, gap: 1e-9)
      #expect(solution.index.isEmpty && solution.status == .optimal && solution.iterations == 0)
      expectCertified(
        solution, problem, loss, .perClass, beta: share * solver.betaMax, gap: 1e-9)
    }
    #expect(!solver.solve(beta: 0.99 * solver.betaMax, gap: 1e-6).index.isEmpty)
  }

  /// Directions of descent are none: where a weight is not zero its gradient is −β times its direction.
  @Test func theOptimumMeetsTheKKTConditions() throws {
    let problem = GatedProblem(n: 60, d: 4, patterns: 15, outputs: 3).targets(for: .crossEntropy)
    let solver = try problem.lossSolver(.crossEntropy, .perPattern)
    let beta = 0.1 * solver.betaMax
    let solution = solver.solve(beta: beta, gap: 1e-9)
    let nu = Matrix(problem.n, 3)
    CrossEntropyLoss().residual(solution.predictions, problem.targets, into: nu)
    let t = (0..<3).map { problem.correlations(nu, output: $0) }
    for (row, i) in solution.index.enumerated() {
      let w = solution.positive.map { copied($0.row(row), problem.d) }
      let length = w.reduce(0) { $0 + inner($1, $1) }.squareRoot()
      guard length > 1e-3 else { continue }
      for c in 0..<3 {
        for k in 0..<problem.d { #expect(abs(t[c][i][k] - beta * w[c][k] / length) < 1e-3 * beta) }
      }
    }
    for norm in problem.groupNorms(nu, .perPattern) { #expect(norm < beta * 1.001) }
  }

  @Test(arguments: LossName.allCases) func degenerateDataAreSolved(_ loss: LossName) throws {
    let outputs = loss == .crossEntropy ? 2 : 1
    var problem = GatedProblem(n: 12, d: 3, patterns: 8, outputs: outputs, bias: false)
    // A sample of zeros, two that are equal, and a column of zeros.
    for k in 0..<3 {
      problem.x[k] = 0
      problem.x[3 + k] = problem.x[6 + k]
    }
    for j in 0..<12 { problem.x[3 * j + 1] = 0 }
    problem.arrange()
    problem = problem.targets(for: loss)
    let solver = try problem.lossSolver(loss)
    for share in [0.5, 1e-2] {
      let solution = solver.solve(beta: share * solver.betaMax, gap: 1e-6)
      #expect(solution.status == .optimal, "\(loss) \(share): \(solution.gap)")
      expectCertified(
        solution, problem, loss, .perClass, beta: share * solver.betaMax, gap: 1e-6)
    }
  }

  @Test func limitsAndStartsAreHeeded() throws {
    let problem = GatedProblem(n: 50, d: 5, patterns: 20, outputs: 3).targets(for: .crossEntropy)
    let solver = try problem.lossSolver(.crossEntropy)
    let beta = 0.05 * solver.betaMax
    let none = solver.solve(beta: beta, iterations: 0)
    #expect(none.status == .iterationLimit && none.iterations == 0)
    expectCertified(none, problem, .crossEntropy, .perClass, beta: beta, gap: 1)
    let few = solver.solve(beta: beta, iterations: 15)
    #expect(few.status == .iterationLimit && few.iterations == 15)
    expectCertified(few, problem, .crossEntropy, .perClass, beta: beta, gap: 1)
    let solution = solver.solve(beta: beta, gap: 1e-7)
    let again = solver.solve(beta: beta, gap: 1e-6, from: solution)
    #expect(again.status == .optimal && again.iterations < solution.iterations)
    expectCertified(again, problem, .crossEntropy, .perClass, beta: beta, gap: 1e-6)
  }

  /// Neurons go, predictions and with them any loss stay.
  @Test(arguments: [LossName.logistic, .hinge, .crossEntropy])
  func minimalSolutionsLoseNothing(_ loss: LossName) throws {
    let outputs = loss == .crossEntropy ? 3 : 1
    let problem = GatedProblem(n: 14, d: 4, patterns: 60, outputs: outputs).targets(for: loss)
    for grouping in [WeightGrouping.perClass, .perPattern] {
      let solver = try problem.lossSolver(loss, grouping)
      let beta = 1e-3 * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-4)
      let program = ArrangementProgram(
        activation: .gatedReLU, norm: .group, grouping: grouping, loss: loss)
      let data = try ArrangementData(problem.bundle)
      guard
        let minimal = solution.minimal(data, of: program, targets: problem.targets, beta: beta)
      else { continue }
      expectCertified(
        minimal, problem, loss, grouping, beta: beta, gap: solution.gap + 1e-9)
      #expect(minimal.index.count <= solution.index.count)
    }
  }
}
