import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// The projection of t onto {u : b·u ≥ 0 for all b in rows}, with multipliers λ ≥ 0 for which it is
/// t + Σ λ_b b: the method of Lawson and Hanson, one row at a time, least squares by Gram–Schmidt.
func referenceProjection(
  _ t: [Double], _ rows: [[Double]]
) -> (point: [Double], multipliers: [Double]) {
  let units = rows.map { row in
    let length = inner(row, row).squareRoot()
    return length > 0 ? row.map { $0 / length } : row
  }
  var multipliers = [Double](repeating: 0, count: rows.count)
  var support: [Int] = []
  var refused = Set<Int>()
  var point = t
  let size = inner(t, t).squareRoot()
  for _ in 0..<(20 * (t.count + rows.count) + 100) {
    let slack = units.map { inner($0, point) }
    guard
      let worst = units.indices.filter({ !support.contains($0) && !refused.contains($0) })
        .min(by: { slack[$0] < slack[$1] }), slack[worst] < -1e-13 * size
    else { break }
    support.append(worst)
    while true {
      let z = leastSquares(t, support.map { units[$0] })
      guard let last = z.last, multipliers[worst] > 0 || last > 0 else {
        // Rounding alone says that it is violated.
        support.removeLast()
        refused.insert(worst)
        break
      }
      var step = 1.0
      for (k, row) in support.enumerated() where z[k] <= 0 {
        step = min(step, multipliers[row] / (multipliers[row] - z[k]))
      }
      for (k, row) in support.enumerated() {
        multipliers[row] += step * (z[k] - multipliers[row])
      }
      if step == 1 {
        refused = []
        break
      }
      for (k, row) in support.enumerated() where z[k] <= 0 && multipliers[row] <= 1e-14 * size {
        multipliers[row] = 0
      }
      support = support.filter { multipliers[$0] > 0 }
      if !support.contains(worst) {
        refused.insert(worst)
        break
      }
      // `worst` stays last: its multiplier is positive now.
    }
    point = t
    for row in support {
      for k in t.indices { point[k] += multipliers[row] * units[row][k] }
    }
  }
  for (row, unit) in zip(rows.indices, units) where multipliers[row] > 0 {
    multipliers[row] *= inner(unit, unit).squareRoot() / inner(rows[row], rows[row]).squareRoot()
  }
  return (point, multipliers)
}

/// z of min ‖t + Σ z_k b_k‖.
func leastSquares(_ t: [Double], _ vectors: [[Double]]) -> [Double] {
  let (q, r) = orthonormalized(vectors)
  var z = q.map { -inner($0, t) }
  for k in z.indices.reversed() {
    for l in k + 1..<max(k + 1, z.count) { z[k] -= r[k][l] * z[l] }
    z[k] = r[k][k] > 0 ? z[k] / r[k][k] : 0
  }
  return z
}

/// Gram–Schmidt, twice: b_k = Σ_l q_l r_lk. Vectors within the span of those before become 0.
func orthonormalized(_ vectors: [[Double]]) -> (q: [[Double]], r: [[Double]]) {
  var q: [[Double]] = []
  var r = vectors.map { _ in [Double](repeating: 0, count: vectors.count) }
  for (k, b) in vectors.enumerated() {
    var rest = b
    for _ in 0..<2 {
      for (l, unit) in q.enumerated() {
        let c = inner(unit, rest)
        r[l][k] += c
        for i in rest.indices { rest[i] -= c * unit[i] }
      }
    }
    let length = inner(rest, rest).squareRoot()
    if length > 1e-12 * inner(b, b).squareRoot() {
      r[k][k] = length
      q.append(rest.map { $0 / length })
    } else {
      q.append(rest.map { _ in 0 })
    }
  }
  return (q, r)
}

/// The projection onto {u : b·u ≥ 0} by the definition: of the projections of t onto the spans of all faces
/// that lie in the cone, the nearest.
func bruteForceProjection(_ t: [Double], _ rows: [[Double]]) -> [Double] {
  var best = [Double](repeating: 0, count: t.count)
  for subset in 0..<1 << rows.count {
    let chosen = rows.indices.filter { subset >> $0 & 1 == 1 }.map { rows[$0] }
    var point = t
    for _ in 0..<2 {
      for unit in orthonormalized(chosen).q {
        let c = inner(unit, point)
        for k in point.indices { point[k] -= c * unit[k] }
      }
    }
    let size = inner(t, t).squareRoot()
    guard rows.allSatisfy({ inner($0, point) >= -1e-12 * size * inner($0, $0).squareRoot() })
    else { continue }
    func distance(_ u: [Double]) -> Double {
      zip(u, t).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }
    if distance(point) < distance(best) { best = point }
  }
  return best
}

extension GatedProblem {
  /// The rows of (2D − I) X of pattern `i` that are not zero.
  func walls(_ i: Int) -> [[Double]] {
    (0..<n).compactMap { j in
      let row = Array(row(j))
      guard row.contains(where: { $0 != 0 }) else { return nil }
      return patterns[i][j] ? row : row.map { -$0 }
    }
  }

  /// ‖P_K(± Xᵀ D_i ν)‖ of every pattern and sign: of pattern i at 2i and, for the minus, at 2i + 1.
  func projectedNorms(_ nu: Matrix, output c: Int = 0) -> [Double] {
    var result: [Double] = []
    for (i, t) in correlations(nu, output: c).enumerated() {
      let walls = walls(i)
      for t in [t, t.map { -$0 }] {
        let point = referenceProjection(t, walls).point
        result.append(inner(point, point).squareRoot())
      }
    }
    return result
  }

  /// The smallest β whose ReLU network is zero.
  var reluBetaMax: Double {
    (0..<outputs).reduce(0) { max($0, projectedNorms(targets, output: $1).max() ?? 0) }
  }

  func reluSolver(_ method: ReLUSolver.Method = .automatic) throws -> ReLUSolver {
    let solver = try ReLUSolver(ArrangementData(bundle), targets: targets)
    solver.method = method
    return solver
  }
}

extension ArrangementSolver {
  /// With limits as `StoppingRule` has them.
  func train(
    beta: Double, gap: Double = 1e-8, from start: ArrangementSolution? = nil,
    iterations: Int? = nil, seconds: Double? = nil, trace: (TraceRow) -> Void = { _ in }
  ) -> ArrangementSolution {
    var rule = StoppingRule()
    rule.gap = gap
    if let iterations { rule.maximumIterations = iterations }
    if let seconds { rule.maximumSeconds = seconds }
    return point(
      beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      trace: trace)
  }
}

/// Holds a ReLU network's solution against the definitions, with code that shares nothing with the solver:
/// cones, predictions, both objectives, feasibility of the dual point over all patterns, and the gap.
func expectReLUCertified(
  _ solution: ArrangementSolution, _ problem: GatedProblem, beta: Double, gap: Double = 1e-8,
  feasibility: Double = 1e-12, _ comment: Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  func expect(_ holds: Bool, _ what: String) {
    #expect(holds, "\(what) \(comment?.rawValue ?? "")", sourceLocation: sourceLocation)
  }
  let (n, d) = (problem.n, problem.d)
  expect(solution.index == Array(Set(solution.index)).sorted(), "index")
  expect(
    solution.positive.count == problem.outputs && solution.negative.count == problem.outputs,
    "outputs")
  var (primal, dual, violation, excess, error) = (0.0, 0.0, 0.0, 0.0, 0.0)
  for c in 0..<problem.outputs {
    var outputs = [Double](repeating: 0, count: n)
    for (row, i) in solution.index.enumerated() {
      for (sign, weights) in [(1.0, solution.positive[c]), (-1, solution.negative[c])] {
        let v = copied(weights.row(row), d)
        let length = inner(v, v).squareRoot()
        guard length > 0 else { continue }
        primal += beta * length
        for wall in problem.walls(i) {
          violation = max(violation, -inner(wall, v) / (length * inner(wall, wall).squareRoot()))
        }
        for j in 0..<n where problem.patterns[i][j] {
          outputs[j] += sign * inner(problem.row(j), v)
        }
      }
    }
    let size = outputs.reduce(1e-300) { max($0, abs($1)) }
    for j in 0..<n {
      let (y, nu) = (problem.y[j * problem.outputs + c], solution.dual[j, c])
      error = max(error, abs(outputs[j] - solution.predictions[j, c]) / size)
      primal += 0.5 * (outputs[j] - y) * (outputs[j] - y)
      dual += nu * (y - 0.5 * nu)
    }
    // What ν in double precision leaves unknown of Xᵀ D ν.
    let nu = solution.dual.column(c)
    let rounding = 1e-15 * (inner(nu, nu) * inner(problem.x, problem.x)).squareRoot()
    for norm in problem.projectedNorms(solution.dual, output: c) {
      excess = max(excess, (norm - rounding) / beta - 1)
    }
  }
  let size = max(abs(primal), 1e-300)
  expect(violation <= feasibility, "cones \(violation)")
  expect(error <= 1e-9, "predictions \(error)")
  expect(excess <= 1e-9, "dual infeasibility \(excess)")
  expect(abs(primal - solution.primal) <= 1e-9 * size, "primal \(primal), \(solution.primal)")
  expect(abs(dual - solution.dualValue) <= 1e-9 * size, "dual \(dual), \(solution.dualValue)")
  expect(primal - dual >= -1e-11 * size, "weak duality \(primal - dual)")
  expect(primal - dual <= (gap + 1e-11) * size, "gap \((primal - dual) / size)")
}
