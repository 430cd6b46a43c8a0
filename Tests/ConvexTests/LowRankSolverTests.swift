import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// All patterns of `rows`, or those that `keep` says, as training data.
private func arrangement(
  _ rows: Matrix, keeping keep: (Int) -> Bool = { _ in true }
) throws -> ArrangementData {
  let found = try ExactPatterns(rows, maximum: 100_000).list()
  let kept = (0..<found.patterns.count).filter(keep)
  let source = Bundle(
    kind: .dataset, tensors: ["x": Tensor(rows.values, shape: [rows.rows, rows.columns])])
  let chosen = GatedPatterns(
    patterns: found.patterns.selecting(kept), gates: found.gates.selecting(kept), thresholds: nil)
  return try ArrangementData(
    chosen.bundle(
      source: source, isExact: kept.count == found.patterns.count, bound: 0, metadata: [:]))
}

private func rule(_ gap: Double) -> (StoppingRule, Budget) {
  var rule = StoppingRule()
  rule.gap = gap
  rule.maximumIterations = 2000
  return (rule, Budget(rule, startedAt: Budget.now()))
}

/// The rows of (2D − I) X of pattern `cell`.
private func walls(_ data: ArrangementData, _ cell: Int) -> [[Double]] {
  (0..<data.samples).map { j in
    let sign = data.patterns.isActive(cell, row: j) ? 1.0 : -1
    return copied(data.features.row(j), data.dimension).map { sign * $0 }
  }
}

/// XᵀDν.
private func correlation(_ data: ArrangementData, _ cell: Int, _ nu: [Double]) -> [Double] {
  var sum = [Double](repeating: 0, count: data.dimension)
  for j in 0..<data.samples where data.patterns.isActive(cell, row: j) {
    for k in sum.indices { sum[k] += nu[j] * data.features[j, k] }
  }
  return sum
}

/// The norm of the projection of t onto {u : a·u ≥ 0 for all a in walls}, which is min over λ ≥ 0 of ‖t + Σ λ_a a‖, by
/// coordinate descent. What comes back is an upper bound always.
private func projectedNorm(_ t: [Double], _ walls: [[Double]], sweeps: Int = 400_000) -> Double {
  var u = t
  var multipliers = [Double](repeating: 0, count: walls.count)
  let squares = walls.map { inner($0, $0) }
  for _ in 0..<sweeps {
    var change = 0.0
    for (i, a) in walls.enumerated() where squares[i] > 0 {
      let next = max(0, multipliers[i] - inner(a, u) / squares[i])
      let step = next - multipliers[i]
      multipliers[i] = next
      for k in u.indices { u[k] += step * a[k] }
      change = max(change, abs(step) * squares[i].squareRoot())
    }
    if change < 1e-14 { break }
  }
  return inner(u, u).squareRoot()
}

/// Recomputes everything that a solution claims, from X and y alone.
private func check(
  _ solution: ArrangementSolution, _ data: ArrangementData, _ targets: Matrix, beta: Double,
  gap: Double = 1e-6
) {
  let (n, d) = (data.samples, data.dimension)
  #expect(solution.status == .optimal)
  #expect(solution.gap <= gap)
  var (primal, dual) = (0.0, 0.0)
  for c in 0..<targets.columns {
    var predictions = [Double](repeating: 0, count: n)
    for (place, cell) in solution.index.enumerated() {
      for (weights, sign) in [(solution.positive[c], 1.0), (solution.negative[c], -1)] {
        let v = copied(weights.row(place), d)
        let length = inner(v, v).squareRoot()
        primal += beta * length
        for a in walls(data, cell) {
          #expect(inner(a, v) >= -1e-11 * length * inner(a, a).squareRoot())
        }
        for j in 0..<n where data.patterns.isActive(cell, row: j) {
          predictions[j] += sign * inner(copied(data.features.row(j), d), v)
        }
      }
    }
    let nu = solution.dual.column(c)
    for j in 0..<n {
      let error = predictions[j] - targets[j, c]
      primal += 0.5 * error * error
      #expect(abs(predictions[j] - solution.predictions[j, c]) <= 1e-9 * (1 + abs(predictions[j])))
    }
    dual += inner(nu, targets.column(c)) - 0.5 * inner(nu, nu)
    for cell in 0..<data.patterns.count {
      let t = correlation(data, cell, nu)
      let walls = walls(data, cell)
      for t in [t, t.map { -$0 }] where inner(t, t).squareRoot() > beta {
        #expect(projectedNorm(t, walls) <= beta * (1 + 1e-7))
      }
    }
  }
  #expect(abs(primal - solution.primal) <= 1e-10 * primal)
  #expect(abs(dual - solution.dualValue) <= 1e-10 * primal)
}

/// Points of a grid three wide, with a bias: several on a line.
private func grid(_ n: Int) -> Matrix {
  let rows = Matrix(n, 3)
  for j in 0..<n {
    rows[j, 0] = Double(j % 3) - 1
    rows[j, 1] = Double(j / 3) - 1
    rows[j, 2] = 1
  }
  return rows
}

private func biased(_ random: inout RandomSource, _ n: Int, _ d: Int) -> Matrix {
  let rows = Matrix(n, d + 1)
  for j in 0..<n {
    for k in 0..<d { rows[j, k] = random.gaussian() }
    rows[j, d] = 1
  }
  return rows
}

@Suite struct LowRankSolverTests {
  @Test(arguments: [(12, 0), (12, 1), (11, 2), (8, 3)], [1e-1, 1e-3, 1e-5])
  func theOptimumIsCertifiedByTheDefinitions(shape: (n: Int, d: Int), ratio: Double) throws {
    var random = RandomSource(seed: shape.n + shape.d)
    let data = try arrangement(biased(&random, shape.n, shape.d))
    let targets = Matrix(shape.n, 1, (0..<shape.n).map { _ in random.signed() < 0 ? -1 : 1 })
    let solver = try #require(LowRankSolver(data: data, targets: targets))
    let beta = ratio * solver.betaMax
    let (rule, budget) = rule(1e-6)
    check(
      solver.solve(beta: beta, rule: rule, budget: budget), data, targets, beta: beta)
  }

  @Test func degenerateDataAreSolved() throws {
    var random = RandomSource(seed: 2)
    let grid = grid(9)
    let turned = product(grid, .plain, random.matrix(3, 5), .plain)
    let repeated = biased(&random, 3, 2)
    let mixed = Matrix(
      8, 3,
      (0..<2).flatMap { _ in repeated.values } + [0, 0, 0] + repeated.values[0..<3].map { -2 * $0 })
    for rows in [grid, turned, mixed, Matrix(1, 2, [3, 4]), Matrix(3, 1, [1, 0, -2])] {
      let data = try arrangement(rows)
      let targets = random.matrix(rows.rows, 1)
      let solver = try #require(LowRankSolver(data: data, targets: targets))
      for ratio in [0.3, 1e-4] {
        let beta = ratio * solver.betaMax
        let (rule, budget) = rule(1e-6)
        check(solver.solve(beta: beta, rule: rule, budget: budget), data, targets, beta: beta)
      }
    }
  }

  @Test func oneSampleHasAClosedForm() throws {
    // min ½ (t − 2)² + β t/‖x‖ for t = x·v ≥ 0.
    let data = try arrangement(Matrix(1, 2, [3, 4]))
    let solver = try #require(LowRankSolver(data: data, targets: Matrix(1, 1, [2])))
    #expect(abs(solver.betaMax - 10) < 1e-12)
    let (rule, budget) = rule(1e-9)
    let solution = solver.solve(beta: 5, rule: rule, budget: budget)
    #expect(abs(solution.primal - (0.5 + 1)) < 1e-8)
    #expect(abs(solution.predictions[0, 0] - 1) < 1e-4)
    #expect(solution.index == [1] && solution.positive[0].rows == 1)
  }

  @Test func zeroFromBetaMaxOn() throws {
    var random = RandomSource(seed: 3)
    let data = try arrangement(biased(&random, 15, 2))
    let targets = random.matrix(15, 2)
    let solver = try #require(LowRankSolver(data: data, targets: targets))
    let (rule, budget) = rule(1e-9)
    for factor in [1.0 + 1e-12, 3] {
      let solution = solver.solve(beta: factor * solver.betaMax, rule: rule, budget: budget)
      #expect(solution.index.isEmpty && solution.iterations == 0 && solution.status == .optimal)
      #expect(solution.predictions.values.allSatisfy { $0 == 0 } && solution.gap == 0)
    }
    let below = solver.solve(beta: 0.999 * solver.betaMax, rule: rule, budget: budget)
    #expect(!below.index.isEmpty && below.primal < 0.5 * inner(targets.values, targets.values))
  }

  @Test func outputsAreIndependent() throws {
    var random = RandomSource(seed: 4)
    let data = try arrangement(biased(&random, 10, 2))
    let targets = random.matrix(10, 3)
    let beta = 0.01
    let (rule, budget) = rule(1e-7)
    let solver = try #require(LowRankSolver(data: data, targets: targets))
    let all = solver.solve(beta: beta, rule: rule, budget: budget)
    check(all, data, targets, beta: beta)
    var sum = 0.0
    for c in 0..<3 {
      let one = try #require(
        LowRankSolver(data: data, targets: Matrix(10, 1, targets.column(c))))
      sum += one.solve(beta: beta, rule: rule, budget: budget).primal
    }
    #expect(abs(sum - all.primal) <= 1e-6 * sum)
  }

  @Test func someOfTheCellsServeToo() throws {
    var random = RandomSource(seed: 5)
    let rows = biased(&random, 12, 2)
    let targets = random.matrix(12, 1)
    let every = try arrangement(rows)
    let some = try arrangement(rows) { $0 % 3 == 0 }
    let (rule, budget) = rule(1e-6)
    let best = try #require(LowRankSolver(data: every, targets: targets))
      .solve(beta: 0.01, rule: rule, budget: budget)
    let restricted = try #require(LowRankSolver(data: some, targets: targets))
      .solve(beta: 0.01, rule: rule, budget: budget)
    check(restricted, some, targets, beta: 0.01)
    #expect(restricted.primal > best.primal)
  }

  @Test func theSolutionDoesNotDependOnUnits() throws {
    var random = RandomSource(seed: 6)
    let rows = biased(&random, 14, 2)
    let targets = random.matrix(14, 1)
    let (rule, budget) = rule(1e-8)
    let plain = try #require(LowRankSolver(data: try arrangement(rows), targets: targets))
      .solve(beta: 0.02, rule: rule, budget: budget)
    let (a, b) = (1e-7, 3e5)
    let scaledRows = Matrix(14, 3, rows.values.map { a * $0 })
    let scaledTargets = Matrix(14, 1, targets.values.map { b * $0 })
    let other = try #require(
      LowRankSolver(data: try arrangement(scaledRows), targets: scaledTargets)
    ).solve(beta: 0.02 * a * b, rule: rule, budget: budget)
    #expect(other.status == .optimal)
    #expect(abs(other.primal / (b * b) - plain.primal) <= 1e-7 * plain.primal)
  }

  @Test func aWarmStartTakesFewerIterations() throws {
    var random = RandomSource(seed: 7)
    let rows = biased(&random, 30, 2)
    let targets = random.matrix(30, 1)
    let data = try arrangement(rows)
    let solver = try #require(LowRankSolver(data: data, targets: targets))
    let (rule, first) = rule(1e-6)
    let cold = solver.solve(beta: 1e-3, rule: rule, budget: first)
    let second = Budget(rule, startedAt: Budget.now())
    let warm = solver.solve(beta: 1e-3, from: cold, rule: rule, budget: second)
    #expect(warm.status == .optimal && second.iterations < first.iterations)
    #expect(abs(warm.primal - cold.primal) <= 2e-6 * cold.primal)
  }

  @Test func aLimitLeavesACertifiedPoint() throws {
    var random = RandomSource(seed: 8)
    let data = try arrangement(biased(&random, 20, 2))
    let targets = random.matrix(20, 1)
    let solver = try #require(LowRankSolver(data: data, targets: targets))
    for limit in [0, 1, 5, 12] {
      var rule = StoppingRule()
      rule.gap = 1e-6
      rule.maximumIterations = limit
      let solution = solver.solve(
        beta: 1e-4, rule: rule, budget: Budget(rule, startedAt: Budget.now()))
      #expect(solution.status == .iterationLimit && solution.iterations == limit)
      #expect(solution.dualValue > 0 && solution.dualValue <= solution.primal)
      #expect(solution.primal <= 0.5 * inner(targets.values, targets.values) * (1 + 1e-12))
    }
  }

  @Test func whatItDoesNotServe() throws {
    var random = RandomSource(seed: 9)
    let five = try arrangement(random.matrix(6, 5))
    #expect(LowRankSolver(data: five, targets: random.matrix(6, 1)) == nil)
    // A gate that does not attain its pattern.
    let rows = random.matrix(4, 2)
    let found = try ExactPatterns(rows, maximum: 100).list()
    found.gates.row(0)[0] *= -1
    found.gates.row(0)[1] *= -1
    let bundle = found.bundle(
      source: Bundle(kind: .dataset, tensors: ["x": Tensor(rows.values, shape: [4, 2])]),
      isExact: true, bound: 8, metadata: [:])
    #expect(
      LowRankSolver(data: try ArrangementData(bundle), targets: random.matrix(4, 1)) == nil)
  }
}

@Suite struct ConeSplittingTests {
  /// The splitting of all cells of `rows`, whose points are in the rows' own coordinates.
  private func split(_ rows: Matrix) throws -> (ArrangementData, ConeSplitting) {
    let data = try arrangement(rows)
    let hyperplanes = Hyperplanes(rows)
    let points = Matrix(data.patterns.count, rows.columns, data.gates.doubles)
    let splitting = ConeSplitting(
      normals: hyperplanes.normals, rows: hyperplanes.rows.map { $0[0] },
      patterns: data.patterns, points: points)
    return (data, try #require(splitting))
  }

  @Test(arguments: [0, 1, 2, 3, 4, 5])
  func simplicesTileTheSpace(kind: Int) throws {
    var random = RandomSource(seed: kind)
    let rows: Matrix
    switch kind {
    case 0: rows = Matrix(5, 1, random.signed(5))
    case 1: rows = random.matrix(9, 2)
    case 2: rows = random.matrix(9, 3)
    case 4: rows = random.matrix(7, 4)
    case 5:
      // Small whole numbers: several hyperplanes through a ray.
      rows = Matrix(8, 4, (0..<32).map { _ in Double(random.below(3)) - 1 })
    default:
      // Three lines and more through a point.
      rows = grid(9)
    }
    let r = rows.columns
    let (data, splitting) = try split(rows)
    for cell in 0..<data.patterns.count {
      for s in splitting.starts[cell] * r..<splitting.starts[cell + 1] * r {
        let ray = Array(splitting.rays[s * r..<(s + 1) * r])
        #expect(abs(inner(ray, ray) - 1) < 1e-14)
        for wall in walls(data, cell) { #expect(inner(wall, ray) >= -1e-14) }
      }
    }
    for _ in 0..<300 {
      let u = random.unit(r)
      var owners: [Int] = []
      for cell in 0..<data.patterns.count {
        for s in splitting.starts[cell]..<splitting.starts[cell + 1] {
          // u = Rᵀ p.
          let system = Matrix(
            r, r, Array(splitting.rays[s * r * r..<(s + 1) * r * r])
          ).transposed
          let p = Matrix(r, 1, u)
          #expect(solveGeneral(r, system.base, p.base))
          if p.values.allSatisfy({ $0 > 0 }) { owners.append(cell) }
        }
      }
      #expect(owners.count == 1)
      for j in 0..<rows.rows {
        let value = inner(copied(rows.row(j), r), u)
        #expect((value > 0) == data.patterns.isActive(owners[0], row: j) || value == 0)
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4])
  func pricesAreNormsOfProjections(r: Int) throws {
    var random = RandomSource(seed: 40 + r)
    let rows = random.matrix([4, 10, 10, 7][r - 1], r)
    let (data, splitting) = try split(rows)
    let pricing = CellPricing(
      features: rows, patterns: data.patterns, splitting: splitting,
      rows: Hyperplanes(rows).rows)
    for _ in 0..<4 {
      let nu = random.signed(rows.rows)
      // 0 is the limit of nothing: all norms that are not zero come.
      let answer = pricing.answer(nu, limit: 0)
      var found: [SignedCell: Double] = [:]
      for (cell, norm) in answer.above { found[cell] = norm }
      var largest = 0.0
      for cell in 0..<data.patterns.count {
        for isNegative in [false, true] {
          let t = correlation(data, cell, nu).map { isNegative ? -$0 : $0 }
          let expected = projectedNorm(t, walls(data, cell), sweeps: 4_000_000)
          largest = max(largest, expected)
          let norm = found[SignedCell(cell: cell, isNegative: isNegative)] ?? 0
          #expect(abs(norm - expected) <= 1e-7, "\(norm - expected)")
        }
      }
      #expect(abs(answer.largest - largest) <= 1e-7)
    }
  }

  @Test func neighboursShareAWall() throws {
    let (data, splitting) = try split(grid(6))
    let pricing = CellPricing(
      features: data.features, patterns: data.patterns, splitting: splitting,
      rows: Hyperplanes(data.features).rows)
    for cell in 0..<data.patterns.count {
      #expect(pricing.neighbours[cell].count >= 3)
      for other in pricing.neighbours[cell] {
        #expect(pricing.neighbours[Int(other)].contains(Int32(cell)))
        let different = (0..<6).filter {
          data.patterns.isActive(cell, row: $0) != data.patterns.isActive(Int(other), row: $0)
        }
        #expect(different.count == 1)
      }
    }
  }
}

@Suite struct StableGramTests {
  /// With the last size Cholesky's method fails on the rounded product.
  @Test(arguments: [1.0, 1e4, 1e8, 1e12])
  func solvesWithASmallResidual(size: Double) {
    var random = RandomSource(seed: 3)
    let (n, k) = (6, 30)
    let g = Matrix(n, k + n)
    for j in 0..<k {
      for i in 0..<n { g[i, j] = random.signed() * (i < 2 ? size : 1) }
    }
    let all = Matrix(n, n)
    for i in 0..<n {
      for m in 0..<n {
        all[i, m] = (0..<k).reduce(i == m ? 1 : 0) { $0 + g[i, $1] * g[m, $1] }
      }
    }
    let gram = StableGram(order: n)
    #expect(gram.update(g, columns: k))
    for _ in 0..<5 {
      let b = random.signed(n)
      let x = Matrix(n, 1, b)
      gram.solve(x.base)
      let largest = x.values.map(abs).max()!
      for i in 0..<n {
        let left = (0..<n).reduce(0) { $0 + all[i, $1] * x[$1, 0] }
        let scale = (0..<n).reduce(1) { $0 + abs(all[i, $1]) * largest }
        #expect(abs(left - b[i]) <= 1e-12 * scale)
      }
    }
  }

  @Test func whatIsNotFiniteIsNoFactor() {
    let g = Matrix(2, 5)
    g[0, 1] = .infinity
    #expect(!StableGram(order: 2).update(g, columns: 3))
  }
}
