import Convex
import LinearAlgebra
import Schema

/// The best primal and the best dual point of each problem that were certified so far, and their values.
final class CertifiedPoint {
  private let problems: [GroupProblem]
  private let targets: Matrix
  private let size: Int
  private let loss: any Loss = SquaredLoss()
  private(set) var primals: [Double]
  private(set) var duals: [Double]
  /// W (Q × C), ŷ and ν (n × C).
  let weights: Matrix
  let predictions: Matrix
  let dual: Matrix

  var primal: Double { primals.reduce(0, +) }
  var dualValue: Double { duals.reduce(0, +) }
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// The network that is zero, and of the dual points those which R = FᵀY tells of.
  init(
    _ targets: Matrix, correlations: Matrix?, order: Int, problems: [GroupProblem],
    groupSize: Int, beta: Double
  ) {
    self.problems = problems
    self.targets = targets
    size = groupSize
    weights = Matrix(order, targets.columns)
    predictions = Matrix(targets.rows, targets.columns)
    dual = Matrix(targets.rows, targets.columns)
    primals = problems.map { _ in .infinity }
    duals = problems.map { _ in 0 }
    for (p, problem) in problems.enumerated() {
      primals[p] = loss.value(part(predictions, problem), part(targets, problem))
      if let correlations {
        offer(dual: targets, largest: largestNorm(correlations, problem), p, beta: beta)
      }
    }
  }

  private func part(_ x: Matrix, _ problem: GroupProblem) -> Matrix {
    let columns = problem.columns
    let result = Matrix(x.rows, columns.count)
    for i in 0..<x.rows {
      result.row(i).update(from: x.row(i) + columns.lowerBound, count: columns.count)
    }
    return result
  }

  private func store(_ x: Matrix, _ problem: GroupProblem, into target: Matrix) {
    let columns = problem.columns
    for i in 0..<x.rows {
      (target.row(i) + columns.lowerBound).update(from: x.row(i), count: columns.count)
    }
  }

  private func norms(_ x: Matrix, _ problem: GroupProblem) -> [Double] {
    let columns = problem.columns
    return (0..<x.rows / size).map { i in
      var sum = 0.0
      for j in i * size..<(i + 1) * size {
        sum += dot(
          columns.count, x.row(j) + columns.lowerBound, x.row(j) + columns.lowerBound)
      }
      return sum.squareRoot()
    }
  }

  private func largestNorm(_ x: Matrix, _ problem: GroupProblem) -> Double {
    norms(x, problem).max() ?? 0
  }

  /// Takes the points of W for which the pass was made, where they are better.
  func offer(_ pass: ResidualPass, weights w: Matrix, beta: Double) {
    for (p, problem) in problems.enumerated() {
      let value =
        loss.value(part(pass.predictions, problem), part(targets, problem))
        + beta * norms(w, problem).reduce(0, +)
      if value < primals[p] {
        primals[p] = value
        store(part(w, problem), problem, into: weights)
        store(part(pass.predictions, problem), problem, into: predictions)
      }
      offer(
        dual: pass.residual, largest: largestNorm(pass.directions, problem), p, beta: beta)
    }
  }

  /// Takes the best multiple of ν that is feasible, where it is better; `largest` is max ‖T_i‖.
  private func offer(dual nu: Matrix, largest: Double, _ p: Int, beta: Double) {
    let problem = problems[p]
    let (candidate, y) = (part(nu, problem), part(targets, problem))
    // A hair inside, for whoever computes the norms with other roundings.
    let bound = largest > 0 ? (1 - 1e-12) * beta / largest : .infinity
    scale(candidate.count, loss.scaling(candidate, y, bound: bound), candidate.base)
    let value = loss.dualValue(candidate, y)
    if value > duals[p] {
      duals[p] = value
      store(candidate, problem, into: dual)
    }
  }

  /// The solution over the gates `members`, in memory of its own.
  func solution(members: [Int], status: Status, iterations: Int) -> ArrangementSolution {
    let used = members.indices.filter { i in
      (i * size..<(i + 1) * size).contains { j in
        (0..<weights.columns).contains { weights[j, $0] != 0 }
      }
    }
    let positive = (0..<weights.columns).map { c in
      let matrix = Matrix(used.count, size)
      for (k, i) in used.enumerated() {
        for j in 0..<size { matrix[k, j] = weights[i * size + j, c] }
      }
      return matrix
    }
    return ArrangementSolution(
      index: used.map { members[$0] }, positive: positive, dual: Matrix(copying: dual),
      predictions: Matrix(copying: predictions), status: status, primal: primal,
      dualValue: dualValue, iterations: iterations)
  }
}
