import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// A small program, and what the definitions say of its points.
private struct Program {
  var x: Matrix
  var gates: Matrix
  var y: Matrix

  init(n: Int, d: Int, gates count: Int, classes: Int, seed: Int) {
    var random = RandomSource(seed: seed, stream: 21)
    x = random.matrix(n, d)
    gates = random.matrix(count, d)
    y = random.matrix(n, classes)
  }

  var n: Int { x.rows }
  var d: Int { x.columns }
  var classes: Int { y.columns }

  func isActive(_ i: Int, _ j: Int) -> Bool { dot(d, x.row(j), gates.row(i)) >= 0 }

  var data: ArrangementData {
    get throws {
      let stride = (n + 7) / 8
      let patterns = Tensor(type: .u8, shape: [gates.rows, stride])
      patterns.withMutableElements(of: UInt8.self) { bits in
        for i in 0..<gates.rows {
          for j in 0..<n where isActive(i, j) { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
        }
      }
      return try ArrangementData(
        Bundle(
          kind: .arrangements,
          tensors: [
            "x": Tensor(x.values, shape: [n, d]),
            "gates": Tensor(gates.values, shape: [gates.rows, d]), "patterns": patterns,
          ]))
    }
  }

  /// Xᵀ D_i N, d × C.
  func correlation(_ i: Int, _ nu: Matrix) -> Matrix {
    let result = Matrix(d, classes)
    for j in 0..<n where isActive(i, j) {
      for c in 0..<classes { axpy1(nu[j, c], x.row(j), result, c) }
    }
    return result
  }

  private func axpy1(_ a: Double, _ row: UnsafeMutablePointer<Double>, _ m: Matrix, _ c: Int) {
    for k in 0..<d { m[k, c] += a * row[k] }
  }

  /// Σ_i D_i X V_i for V_i of all patterns, d × C each.
  func predictions(_ v: [Matrix]) -> Matrix {
    let result = Matrix(n, classes)
    for (i, v) in v.enumerated() {
      for j in 0..<n where isActive(i, j) {
        for c in 0..<classes { for k in 0..<d { result[j, c] += x[j, k] * v[k, c] } }
      }
    }
    return result
  }

  func nuclearNorm(_ v: Matrix) -> Double { SingularValues(v)!.values.reduce(0, +) }

  func objective(_ v: [Matrix], _ beta: Double) -> Double {
    let f = predictions(v)
    let loss = (0..<f.count).reduce(0.0) {
      $0 + (f.base[$1] - y.base[$1]) * (f.base[$1] - y.base[$1])
    }
    return loss / 2 + beta * v.reduce(0) { $0 + nuclearNorm($1) }
  }

  /// The optimum by FISTA with restarts, slow and simple.
  func optimum(_ beta: Double, iterations: Int = 20000) -> Double {
    let count = gates.rows
    // A bound on the largest eigenvalue of A Aᵀ.
    let step = 1 / ((0..<n).reduce(0.0) { $0 + dot(d, x.row($1), x.row($1)) } * Double(count))
    var v = (0..<count).map { _ in Matrix(d, classes) }
    var point = v
    var momentum = 1.0
    var best = objective(v, beta)
    for _ in 0..<iterations {
      let f = predictions(point)
      for k in 0..<f.count { f.base[k] = y.base[k] - f.base[k] }
      var next: [Matrix] = []
      for i in 0..<count {
        let h = Matrix(copying: point[i])
        axpy(h.count, step, correlation(i, f).base, h.base)
        let svd = SingularValues(h)!
        let z = Matrix(d, classes)
        for (k, s) in svd.values.enumerated() where s > step * beta {
          for a in 0..<d {
            for c in 0..<classes {
              z[a, c] += (s - step * beta) * svd.left[k, a] * svd.right[k, c]
            }
          }
        }
        next.append(z)
      }
      let value = objective(next, beta)
      let following = (1 + (1 + 4 * momentum * momentum).squareRoot()) / 2
      let weight = value > best ? 0 : (momentum - 1) / following
      momentum = value > best ? 1 : following
      best = min(best, value)
      point = zip(next, v).map { new, old in
        let p = Matrix(copying: new)
        for k in 0..<p.count { p.base[k] += weight * (new.base[k] - old.base[k]) }
        return p
      }
      v = next
    }
    return best
  }

  func solve(
    _ beta: Double, gap: Double = 1e-8, from start: ArrangementSolution? = nil,
    limit: Int = .max
  ) throws -> ArrangementSolution {
    let solver = try GatedLossSolver(
      data, targets: y, loss: .squared, norm: .nuclear, grouping: .perPattern)
    return solver.point(beta: beta, from: start, rule: rule(gap, limit), budget: budget(gap, limit))
    {
      _ in
    }
  }

  func rule(_ gap: Double, _ limit: Int) -> StoppingRule {
    var rule = StoppingRule()
    rule.gap = gap
    rule.maximumIterations = limit
    return rule
  }

  func budget(_ gap: Double, _ limit: Int) -> Budget {
    Budget(rule(gap, limit), startedAt: Budget.now())
  }

  /// Holds a solution against the definitions.
  func check(_ solution: ArrangementSolution, _ beta: Double, gap: Double) {
    #expect(
      solution.status == .optimal && solution.gap <= gap,
      "\(solution.status) \(solution.gap) \(solution.iterations)")
    #expect(solution.index == solution.index.sorted())
    var v = (0..<gates.rows).map { _ in Matrix(d, classes) }
    for (k, i) in solution.index.enumerated() {
      v[i] = Matrix(d, classes)
      for c in 0..<classes { for a in 0..<d { v[i][a, c] = solution.positive[c][k, a] } }
    }
    #expect(relativeDistance(solution.predictions, predictions(v)) < 1e-11)
    let primal = objective(v, beta)
    #expect(abs(primal - solution.primal) <= 1e-11 * primal)
    var dual = 0.0
    for k in 0..<y.count {
      dual += solution.dual.base[k] * (y.base[k] - solution.dual.base[k] / 2)
    }
    #expect(abs(dual - solution.dualValue) <= 1e-11 * abs(dual))
    // What ν in double precision leaves unknown of Xᵀ D ν.
    let squares = { (m: Matrix) in m.values.reduce(0) { $0 + $1 * $1 } }
    let rounding = 1e-15 * (squares(x) * squares(solution.dual)).squareRoot()
    for i in 0..<gates.rows {
      let norm = SingularValues(correlation(i, solution.dual))!.values[0]
      #expect(norm <= beta * (1 + 1e-11) + rounding)
    }
  }
}

@Suite struct NuclearNormTests {
  @Test(arguments: [(12, 3, 6, 2, 0.3), (9, 4, 5, 3, 0.01), (20, 5, 8, 4, 1.5), (6, 2, 4, 5, 0.1)])
  func findsTheOptimum(n: Int, d: Int, gates: Int, classes: Int, beta: Double) throws {
    let program = Program(n: n, d: d, gates: gates, classes: classes, seed: n)
    let solution = try program.solve(beta)
    program.check(solution, beta, gap: 1e-8)
    let optimum = program.optimum(beta, iterations: 3000)
    #expect(solution.primal <= optimum * (1 + 1e-7))
    #expect(solution.dualValue <= optimum * (1 + 1e-12))
  }

  @Test func zeroFromBetaMaxOn() throws {
    let program = Program(n: 10, d: 3, gates: 4, classes: 3, seed: 1)
    let solver = try GatedLossSolver(
      program.data, targets: program.y, loss: .squared, norm: .nuclear, grouping: .perPattern)
    let norms = (0..<4).map { SingularValues(program.correlation($0, program.y))!.values[0] }
    #expect(abs(solver.betaMax - norms.max()!) <= 1e-12 * solver.betaMax)
    for factor in [1.0, 1.5, 1e6] {
      let solution = try program.solve(factor * solver.betaMax, gap: 1e-9)
      #expect(solution.index.isEmpty && solution.gap < 1e-11 && solution.status == .optimal)
      program.check(solution, factor * solver.betaMax, gap: 1e-9)
    }
    let below = try program.solve(0.99 * solver.betaMax)
    #expect(!below.index.isEmpty)
    program.check(below, 0.99 * solver.betaMax, gap: 1e-8)
  }

  @Test func noTargetsNoNetwork() throws {
    var program = Program(n: 5, d: 2, gates: 3, classes: 2, seed: 1)
    program.y = Matrix(5, 2)
    let solution = try program.solve(0.1)
    #expect(solution.index.isEmpty && solution.gap == 0 && solution.primal == 0)
  }

  @Test(arguments: [1e-6, 1e-3, 0.1])
  func degenerateDataWork(beta: Double) throws {
    let zeroRows = Program(n: 8, d: 3, gates: 5, classes: 2, seed: 2)
    for k in 0..<3 {
      zeroRows.x[1, k] = 0
      zeroRows.x[2, k] = zeroRows.x[3, k]
      zeroRows.x[4, k] = -zeroRows.x[5, k]
    }
    let constant = Program(n: 7, d: 3, gates: 4, classes: 3, seed: 3)
    for j in 0..<7 { for k in 0..<3 { constant.x[j, k] = k == 0 ? 1 : constant.x[j, 1] } }
    let copies = Program(n: 6, d: 2, gates: 6, classes: 2, seed: 4)
    for i in 3..<6 { for k in 0..<2 { copies.gates[i, k] = copies.gates[i - 3, k] } }
    for program in [
      zeroRows, constant, copies, Program(n: 1, d: 3, gates: 2, classes: 2, seed: 5),
      Program(n: 5, d: 1, gates: 2, classes: 3, seed: 6),
    ] {
      let solution = try program.solve(beta, gap: 1e-5)
      // Nothing is active where all gates are closed.
      program.check(solution, beta, gap: 1e-5)
    }
  }

  @Test func startsWarmAndKeepsToItsLimits() throws {
    let program = Program(n: 30, d: 6, gates: 12, classes: 3, seed: 4)
    let cold = try program.solve(0.2, gap: 1e-6)
    let warm = try program.solve(0.2, gap: 1e-6, from: cold)
    program.check(warm, 0.2, gap: 1e-6)
    #expect(warm.iterations < cold.iterations / 2)
    let nearby = try program.solve(0.15, gap: 1e-6, from: cold)
    program.check(nearby, 0.15, gap: 1e-6)
    let short = try program.solve(0.2, gap: 1e-6, limit: 3)
    #expect(short.status == .iterationLimit && short.iterations == 3)
    #expect(short.primal >= cold.dualValue && short.dualValue <= cold.primal)
    #expect(try program.solve(0.2, gap: 1e-6, limit: 0).iterations == 0)
  }

  /// The network's objective is that of the program.
  @Test func recoversItsNetwork() throws {
    let program = Program(n: 15, d: 4, gates: 6, classes: 3, seed: 3)
    let solution = try program.solve(0.2)
    let neurons = solution.neurons(.nuclear)
    let loss = SquaredLoss().value(solution.predictions, program.y)
    let norm = neurons.reduce(0) { $0 + $1.weight(.nuclear) }
    #expect(abs(loss + 0.2 * norm - solution.primal) <= 1e-12 * solution.primal)
    let minimal = try #require(solution.minimal(try program.data, norm: .nuclear))
    let fewer = minimal.neurons(.nuclear)
    #expect(fewer.count <= neurons.count)
    #expect(fewer.reduce(0) { $0 + $1.weight(.nuclear) } <= norm * (1 + 1e-12))
  }
}
