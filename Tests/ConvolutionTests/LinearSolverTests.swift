import Convex
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convolution

private func data(
  samples: Int, patches: Int, dimension: Int, pool: [Int32], seed: Int
) throws -> LinearData {
  var random = RandomSource(seed: seed, stream: 0)
  let x = (0..<samples * patches * dimension).map { _ in random.gaussian() }
  return try LinearData(
    Bundle(
      kind: .dataset,
      tensors: ["x": Tensor(x, shape: [samples, patches, dimension]), "pool": Tensor(pool)],
      metadata: [:]))
}

private func targets(_ samples: Int, _ outputs: Int, seed: Int, signs: Bool = false) -> Matrix {
  var random = RandomSource(seed: seed, stream: 1)
  return Matrix(
    samples, outputs,
    (0..<samples * outputs).map { _ in
      let value = random.gaussian()
      return signs ? (value > 0 ? 1 : -1) : value
    })
}

private func solve(_ solver: LinearSolver, beta: Double, gap: Double = 1e-8) -> LinearSolution {
  var rule = StoppingRule()
  rule.gap = gap
  rule.maximumIterations = 20_000
  return solver.point(
    beta: beta, from: nil, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
    trace: { _ in })
}

@Suite struct LinearSolverTests {
  /// The optimum of the circular program on the identity, from the closed form of its complex lasso.
  @Test func circularIdentity() throws {
    let x = Tensor(Matrix.identity(4).values, shape: [4, 4])
    let data = try LinearData(
      Bundle(kind: .dataset, tensors: ["x": x], metadata: [:]))
    let program = LinearProgram(activation: .circular, grouping: .perClass, loss: .squared)
    let solution = solve(
      LinearSolver(data, targets: Matrix(4, 1, [4, 3, 2, 1]), program: program), beta: 1)
    // ζ = (5, 1 − i, 1, 1 + i), each shortened by β/√d = ½.
    let kept = [4.5, 2.0.squareRoot() - 0.5, 0.5, 2.0.squareRoot() - 0.5]
    let expected = 0.5 * 4 * 0.25 + 0.5 * kept.reduce(0, +)
    #expect(abs(solution.primal - expected) < 1e-7)
    #expect(solution.status == .optimal && solution.gap <= 1e-8)
  }

  /// Pooled means are those of the patches, region by region.
  @Test func pooledMeans() throws {
    let x = Tensor([1.0, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60], shape: [2, 3, 2])
    let pool = Tensor([1, 0, 1] as [Int32])
    let data = try LinearData(
      Bundle(kind: .dataset, tensors: ["x": x, "pool": pool], metadata: [:]))
    #expect(data.features.values == [3, 4, 3, 4, 30, 40, 30, 40])
  }

  /// With ΦᵀΦ = I the solution is the singular-value thresholding of ΦᵀY.
  @Test func nuclearNormClosedForm() throws {
    let (regions, d, outputs) = (3, 2, 2)
    let q = regions * d
    let x = Tensor(Matrix.identity(q).values, shape: [q, regions, d])
    let pool = Tensor([0, 1, 2] as [Int32])
    let data = try LinearData(
      Bundle(kind: .dataset, tensors: ["x": x, "pool": pool], metadata: [:]))
    let y = targets(q, outputs, seed: 3)
    let program = LinearProgram(activation: .linear, grouping: .perClass, loss: .squared)
    let solver = LinearSolver(data, targets: y, program: program)
    let solution = solve(solver, beta: 0.4, gap: 1e-10)
    // ΦᵀY as RC × d.
    let moment = Matrix(outputs * regions, d)
    let transposed = y.transposed
    moment.copy(from: Matrix(outputs * regions, d, transposed.values))
    let s = try #require(SingularValues(moment)).values
    #expect(abs(solver.betaMax - s[0]) < 1e-12)
    let expected = s.reduce(0) { $0 + ($1 > 0.4 ? 0.5 * 0.16 + 0.4 * ($1 - 0.4) : 0.5 * $1 * $1) }
    #expect(abs(solution.primal - expected) < 1e-8)
  }

  /// No direction improves the objective, for every loss; the dual point is feasible and as good.
  @Test(arguments: LossName.allCases)
  func optimality(_ loss: LossName) throws {
    let data = try data(
      samples: 40, patches: 4, dimension: 5, pool: [0, 0, 1, 1], seed: 1)
    var y = targets(40, 3, seed: 2, signs: loss.hasSigns)
    if loss == .crossEntropy {
      y = Matrix(40, 3)
      for i in 0..<40 { y[i, i * i % 3] = 1 }
    }
    let program = LinearProgram(activation: .linear, grouping: .perClass, loss: loss)
    let solver = LinearSolver(data, targets: y, program: program)
    let beta = 0.1 * solver.betaMax
    let solution = solve(solver, beta: beta, gap: 1e-6)
    #expect(solution.status == .optimal)
    func objective(_ weights: Matrix) -> Double {
      let matrix = Matrix(6, 5)
      matrix.base.update(from: weights.base, count: 30)
      let fit = product(data.features, .plain, weights, .transposed)
      return loss.loss.value(fit, y) + beta * SingularValues(matrix)!.values.reduce(0, +)
    }
    #expect(abs(objective(solution.weights) - solution.primal) < 1e-9 * solution.primal)
    var random = RandomSource(seed: 5, stream: 0)
    for _ in 0..<50 {
      let trial = Matrix(copying: solution.weights)
      for k in 0..<trial.count { trial.base[k] += 0.01 * random.gaussian() }
      #expect(objective(trial) >= solution.dualValue)
    }
    // Dual feasibility by the data alone.
    let correlation = product(solution.dual, .transposed, data.features, .plain)
    let matrix = Matrix(6, 5)
    matrix.base.update(from: correlation.base, count: 30)
    #expect(SingularValues(matrix)!.values[0] <= beta * (1 + 1e-10))
    #expect(loss.loss.dualValue(solution.dual, y) == solution.dualValue)
  }

  /// Shared filters cost at most as much as filters of each output.
  @Test func sharedFilters() throws {
    let data = try data(
      samples: 30, patches: 1, dimension: 7, pool: [0], seed: 4)
    let y = targets(30, 2, seed: 6)
    func optimum(_ grouping: WeightGrouping) -> LinearSolution {
      let program = LinearProgram(activation: .circular, grouping: grouping, loss: .squared)
      return solve(LinearSolver(data, targets: y, program: program), beta: 2)
    }
    let (own, shared) = (optimum(.perClass), optimum(.perPattern))
    #expect(own.status == .optimal && shared.status == .optimal)
    #expect(shared.primal < own.primal - 1e-6)
    #expect(shared.neurons == 1 && own.neurons == 2)
  }

  @Test func zeroAtBetaMax() throws {
    let data = try data(samples: 20, patches: 2, dimension: 3, pool: [0, 1], seed: 7)
    let y = targets(20, 1, seed: 8)
    let program = LinearProgram(activation: .linear, grouping: .perClass, loss: .squared)
    let solver = LinearSolver(data, targets: y, program: program)
    let zero = solve(solver, beta: solver.betaMax * (1 + 1e-9))
    #expect(zero.neurons == 0 && zero.iterations == 0 && zero.gap <= 1e-8)
    #expect(solve(solver, beta: 0.99 * solver.betaMax).neurons == 1)
  }
}
