import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Programs in which all outputs of a pattern share one group.
@Suite struct SharedGroupTests {
  private func solver(
    _ problem: GatedProblem, _ form: GatedForm = .automatic,
    reduction: ReducedLevel.Limits = .init()
  ) throws -> GatedSolver {
    try GatedSolver(
      ArrangementData(problem.bundle), targets: problem.targets, grouping: .perPattern,
      form: form, reduction: reduction)
  }

  /// ‖Xᵀ D_i N‖_F of every pattern, by the definition.
  private func norms(_ problem: GatedProblem, _ nu: Matrix) -> [Double] {
    let parts = (0..<problem.outputs).map { problem.correlations(nu, output: $0) }
    return problem.patterns.indices.map { i in
      parts.reduce(0) { $0 + inner($1[i], $1[i]) }.squareRoot()
    }
  }

  /// Holds a solution against the definitions, with loops that share nothing with the solver.
  private func expectShared(
    _ solution: ArrangementSolution, _ problem: GatedProblem, beta: Double, gap: Double = 1e-9,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let (n, outputs) = (problem.n, problem.outputs)
    var (primal, dual) = (0.0, 0.0)
    for row in solution.index.indices {
      let w = solution.positive.flatMap { copied($0.row(row), problem.d) }
      primal += beta * inner(w, w).squareRoot()
    }
    for c in 0..<outputs {
      for j in 0..<n {
        var output = 0.0
        for (row, i) in solution.index.enumerated() where problem.patterns[i][j] {
          output += inner(copied(solution.positive[c].row(row), problem.d), problem.row(j))
        }
        let (y, nu) = (problem.y[j * outputs + c], solution.dual[j, c])
        #expect(
          abs(output - solution.predictions[j, c]) <= 1e-9 * (1 + abs(output)),
          sourceLocation: sourceLocation)
        primal += 0.5 * (output - y) * (output - y)
        dual += nu * (y - 0.5 * nu)
      }
    }
    for value in norms(problem, solution.dual) {
      #expect(value <= beta * (1 + 1e-12), sourceLocation: sourceLocation)
    }
    #expect(abs(primal - solution.primal) <= 1e-9 * primal, sourceLocation: sourceLocation)
    #expect(abs(dual - solution.dualValue) <= 1e-9 * primal, sourceLocation: sourceLocation)
    #expect(primal - dual >= -1e-12 * primal, sourceLocation: sourceLocation)
    #expect(primal - dual <= (gap + 1e-12) * primal, sourceLocation: sourceLocation)
  }

  @Test(arguments: [
    (n: 30, d: 4, patterns: 12), (120, 20, 60), (60, 3, 300), (300, 10, 40), (90, 100, 20),
    (800, 40, 30),
  ])
  func everyBetaIsCertified(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(
      n: shape.n, d: shape.d, patterns: shape.patterns, outputs: 3, seed: shape.n)
    let solver = try solver(problem)
    let betaMax = norms(problem, problem.targets).max()!
    #expect(abs(solver.betaMax - betaMax) <= 1e-12 * betaMax)
    for share in [0.9, 0.3, 3e-2, 1e-3] {
      let beta = share * betaMax
      let solution = solver.solve(beta: beta)
      #expect(solution.status == .optimal, "\(shape), \(share): \(solution.gap)")
      expectShared(solution, problem, beta: beta)
      #expect(!solution.index.isEmpty)
    }
    let zero = solver.solve(beta: betaMax * (1 + 1e-9))
    #expect(zero.index.isEmpty && zero.status == .optimal)
    #expect(abs(zero.gap) <= 1e-9)
  }

  /// T_i = β W_i/‖W_i‖ where there is weight, and ‖T_i‖ ≤ β elsewhere, for T of the true residual.
  @Test func optimalityConditionsHold() throws {
    let problem = GatedProblem(n: 100, d: 8, patterns: 40, outputs: 4)
    let solver = try solver(problem)
    let beta = 0.05 * solver.betaMax
    let solution = solver.solve(beta: beta, gap: 1e-12)
    let residual = Matrix(100, 4)
    for k in 0..<400 { residual.base[k] = problem.y[k] - solution.predictions.base[k] }
    let parts = (0..<4).map { problem.correlations(residual, output: $0) }
    for i in 0..<40 {
      let t = parts.flatMap { $0[i] }
      let length = inner(t, t).squareRoot()
      #expect(length <= beta * (1 + 1e-5))
      guard let row = solution.index.firstIndex(of: i) else { continue }
      let w = solution.positive.flatMap { copied($0.row(row), 8) }
      let size = inner(w, w).squareRoot()
      #expect(zip(t, w).allSatisfy { abs($0 - beta * $1 / size) <= 1e-4 * beta })
    }
    #expect(solution.index.count > 3 && solution.index.count < 40)
  }

  @Test func oneOutputIsTheSameEitherWay() throws {
    let problem = GatedProblem(n: 80, d: 6, patterns: 30)
    let one = try problem.solver()
    let other = try solver(problem)
    let beta = 0.02 * one.betaMax
    let (a, b) = (one.solve(beta: beta), other.solve(beta: beta))
    #expect(a.primal == b.primal && a.dualValue == b.dualValue)
    #expect(a.positive[0].values == b.positive[0].values)
  }

  /// C equal outputs have W_i = w_i 1ᵀ: C times the program of one at β/√C.
  @Test func equalOutputsAreOne() throws {
    let single = GatedProblem(n: 90, d: 5, patterns: 25)
    var problem = single
    problem.outputs = 4
    problem.y = single.y.flatMap { [$0, $0, $0, $0] }
    let beta = 0.05 * single.betaMax
    let one = try single.solver().solve(beta: beta)
    let four = try solver(problem).solve(beta: 2 * beta)
    #expect(abs(four.primal - 4 * one.primal) <= 1e-8 * four.primal)
  }

  @Test func rotatedOutputsHaveTheSameOptimum() throws {
    let problem = GatedProblem(n: 90, d: 5, patterns: 25, outputs: 2)
    var rotated = problem
    for j in 0..<90 {
      let (a, b) = (problem.y[2 * j], problem.y[2 * j + 1])
      (rotated.y[2 * j], rotated.y[2 * j + 1]) = (0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b)
    }
    let (one, other) = (try solver(problem), try solver(rotated))
    #expect(abs(one.betaMax - other.betaMax) <= 1e-12 * one.betaMax)
    let beta = 0.1 * one.betaMax
    let (a, b) = (one.solve(beta: beta), other.solve(beta: beta))
    #expect(abs(a.primal - b.primal) <= 2e-9 * a.primal)
  }

  @Test func allFormsAgree() throws {
    let problem = GatedProblem(n: 400, d: 4, patterns: 20, outputs: 3)
    for form in [GatedForm.kernel, .primal, .conjugateGradients] {
      let solver = try solver(problem, form)
      let beta = 0.05 * solver.betaMax
      let gap = form == .conjugateGradients ? 1e-6 : 1e-9
      let solution = solver.solve(beta: beta, gap: gap)
      #expect(solution.status == .optimal, "\(form): \(solution.gap)")
      expectShared(solution, problem, beta: beta, gap: gap)
    }
  }

  /// Features whose lengths fall: few of them decide, the rest show in the certificate.
  private func falling(_ power: Double) -> GatedProblem {
    var problem = GatedProblem(n: 500, d: 40, patterns: 15, outputs: 3, bias: false, seed: 3)
    for j in 0..<500 {
      for k in 0..<40 {
        var size = 1.0
        for _ in 0..<k { size *= power }
        problem.x[j * 40 + k] = problem.x[j * 40 + k] * size + (k == 7 ? 5 : 0)
      }
    }
    problem.arrange()
    return problem
  }

  @Test(arguments: [0.6, 0.9])
  func fewerFeaturesLeadToTheSameOptimum(_ power: Double) throws {
    let problem = falling(power)
    let exact = try solver(problem, .kernel)
    let beta = 0.03 * exact.betaMax
    let optimum = exact.solve(beta: beta).primal
    var limits = ReducedLevel.Limits(fewestSamples: 100, fewestFeatures: 10)
    for kernelLimit in [1000, 50] {
      limits.kernelLimit = kernelLimit
      let solver = try solver(problem, reduction: limits)
      for gap in [1e-2, 1e-8] {
        let solution = solver.solve(beta: beta, gap: gap)
        #expect(solution.status == .optimal, "\(power) \(kernelLimit): \(solution.gap)")
        expectShared(solution, problem, beta: beta, gap: gap)
        #expect(solution.primal >= optimum * (1 - 2e-9))
        #expect(solution.dualValue <= optimum * (1 + 2e-9))
      }
    }
  }

  @Test func limitsAreHonoured() throws {
    var limits = ReducedLevel.Limits(fewestSamples: 100, fewestFeatures: 10)
    limits.kernelLimit = 50
    let problem = falling(0.9)
    for solver in [try solver(problem), try solver(problem, reduction: limits)] {
      let beta = 0.03 * solver.betaMax
      for iterations in [0, 1, 3] {
        let solution = solver.solve(beta: beta, gap: 1e-10, iterations: iterations)
        #expect(solution.status == .iterationLimit)
        #expect(solution.iterations <= iterations)
        expectShared(solution, problem, beta: beta, gap: 1)
      }
      let solution = solver.solve(beta: beta, gap: 1e-10, seconds: 1e-9)
      #expect(solution.status == .timeLimit)
      expectShared(solution, problem, beta: beta, gap: 1)
    }
  }

  @Test func aWarmStartGoesOn() throws {
    var limits = ReducedLevel.Limits(fewestSamples: 100, fewestFeatures: 10)
    limits.kernelLimit = 50
    let problem = falling(0.9)
    for solver in [try solver(problem), try solver(problem, reduction: limits)] {
      let beta = 0.03 * solver.betaMax
      let cold = solver.solve(beta: beta, gap: 1e-6)
      let warm = solver.solve(beta: beta, gap: 1e-6, from: cold)
      #expect(warm.status == .optimal && warm.iterations == 0)
      #expect(abs(warm.primal - cold.primal) <= 1e-12 * cold.primal)
      expectShared(warm, problem, beta: beta, gap: 1e-6)
      // What a limit interrupts goes on, and never ends with less.
      let part = solver.solve(beta: beta, gap: 1e-6, iterations: cold.iterations - 1)
      let next = solver.solve(beta: beta, gap: 1e-6, from: part, iterations: 0)
      #expect(next.primal <= part.primal * (1 + 1e-12))
      #expect(next.dualValue >= part.dualValue - 1e-12 * part.primal)
      let whole = solver.solve(beta: beta, gap: 1e-6, from: part)
      #expect(whole.status == .optimal)
      #expect(whole.iterations < cold.iterations)
      expectShared(whole, problem, beta: beta, gap: 1e-6)
      // A start from another β is a start all the same.
      let near = solver.solve(beta: 0.9 * beta, gap: 1e-6, from: cold)
      #expect(near.status == .optimal)
      expectShared(near, problem, beta: 0.9 * beta, gap: 1e-6)
    }
  }

  @Test func theTraceIsCertified() throws {
    let problem = falling(0.9)
    var limits = ReducedLevel.Limits(fewestSamples: 100, fewestFeatures: 10)
    limits.kernelLimit = 50
    let solver = try solver(problem, reduction: limits)
    let beta = 0.03 * solver.betaMax
    let optimum = try self.solver(problem, .kernel).solve(beta: beta)
    var rows: [TraceRow] = []
    _ = solver.solve(beta: beta, gap: 1e-6) { rows.append($0) }
    #expect(rows.count > 3)
    for (row, next) in zip(rows, rows.dropFirst()) {
      #expect(next.primal <= row.primal && next.dual >= row.dual)
    }
    for row in rows {
      #expect(row.primal >= optimum.dualValue * (1 - 1e-12))
      #expect(row.dual <= optimum.primal * (1 + 1e-12))
    }
  }
}

@Suite struct PrincipalSubspaceTests {
  @Test func itSpansWhatIsLong() throws {
    var random = RandomSource(seed: 4)
    // Five long directions and a mean that is far longer.
    let (n, d) = (300, 30)
    let (factors, loadings) = (random.matrix(n, 5), random.matrix(5, d))
    let x = product(factors, .plain, loadings, .plain)
    for j in 0..<n { for k in 0..<d { x[j, k] += 100 + 1e-4 * random.signed() } }
    let subspace = try #require(PrincipalSubspace(x, limit: 12, tail: 1e-4))
    #expect(subspace.rank == 6)
    let gram = product(subspace.basis, .plain, subspace.basis, .transposed)
    #expect(relativeDistance(gram, Matrix.identity(6)) < 1e-8)
    let back = subspace.lifted(subspace.coordinates(x), count: n)
    #expect(relativeDistance(back, x) < 1e-5)
    // As many as are asked for, where the tail asks for more.
    #expect(try #require(PrincipalSubspace(x, limit: 3, tail: 1e-4)).rank == 3)
  }

  @Test func dependentRowsAreNoObstacle() throws {
    var random = RandomSource(seed: 4)
    let x = product(random.matrix(50, 2), .plain, random.matrix(2, 20), .plain)
    let subspace = try #require(PrincipalSubspace(x, limit: 10, tail: 1e-9))
    #expect(subspace.rank <= 3)
    #expect(relativeDistance(subspace.lifted(subspace.coordinates(x), count: 50), x) < 1e-6)
    #expect(PrincipalSubspace(Matrix(5, 4), limit: 2, tail: 0.1) == nil)
  }
}

@Suite struct NystromSystemTests {
  @Test(arguments: [70, 1100])
  func itSolvesForManyRows(_ n: Int) throws {
    let problem = GatedProblem(n: n, d: 6, patterns: 12, seed: 2)
    let data = try ArrangementData(problem.bundle)
    let products = PatternProducts(data.features, data.patterns, members: Array(0..<12))
    let system = NystromSystem(products, interruption: Interruption())
    let exact = KernelSystem(products, isSingle: false)
    var random = RandomSource(seed: 3)
    for active in [[1, 4, 5], [0, 1, 4, 8, 11], [4], []] {
      var eta = [Double](repeating: 0, count: 12)
      for i in active { eta[i] = 0.01 + random.uniform() }
      #expect(system.factor(active, eta) && exact.factor(active, eta))
      let right = random.matrix(3, n)
      let (found, expected) = (Matrix(copying: right), Matrix(copying: right))
      system.solve(rows: found)
      exact.solve(rows: expected)
      #expect(relativeDistance(found, expected) <= 3e-3)
      // From where it is, as exactly as is asked for.
      system.improve(found, toward: right, error: 1e-5 * norm(right.count, right.base))
      #expect(relativeDistance(found, expected) <= 1e-4)
      found.fill(.nan)
      system.improve(found, toward: right, error: 1e-2 * norm(right.count, right.base))
      #expect(found.isFinite)

      let working = active + [7]
      let t = (0..<2).map { _ in random.matrix(working.count, 6) }
      let u = t.map { t in
        let u = Matrix(working.count, n)
        products.images(t, working, into: u)
        return u
      }
      let (h, scratch) = (
        Matrix(working.count, working.count), Matrix(working.count, working.count)
      )
      let kept = u.map { Matrix(copying: $0) }
      system.hessian(
        working, directions: t, images: u, into: h.base, scratch: scratch.base)
      #expect(zip(u, kept).allSatisfy { $0.values == $1.values })
      let g = Matrix(working.count, working.count)
      exact.hessian(working, directions: t, images: u, into: g.base, scratch: scratch.base)
      // Exact where all samples are landmarks; near elsewhere.
      #expect(relativeDistance(h, g) <= (n <= 256 ? 1e-3 : 0.2), "\(relativeDistance(h, g))")
    }
  }
}
