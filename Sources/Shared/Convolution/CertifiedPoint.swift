import Convex
import LinearAlgebra
import Schema

/// The best points that the samples have certified so far, for each problem that shares no variables with the others.
final class CertifiedPoint {
  /// The columns of each problem, and its weights, Q × as many columns.
  private let parts: [(columns: Range<Int>, best: Incumbent<Matrix>)]
  private let outputs: Int
  private let size: Int

  var primal: Double { parts.reduce(0) { $0 + $1.best.primal } }
  var dualValue: Double { parts.reduce(0) { $0 + $1.best.dualValue } }
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// Begins with the zero network, and with the multiple of Y that R = FᵀY allows. `targets` is n × C, `order` is Q,
  /// and `groupSize` is the number of features in a group.
  init(
    _ targets: Matrix, correlations: Matrix?, order: Int, problems: [GroupProblem],
    groupSize: Int, beta: Double
  ) {
    size = groupSize
    outputs = targets.columns
    parts = problems.map {
      let y = targets.columns($0.columns)
      let zero = Matrix(order, $0.columns.count)
      return (
        $0.columns, Incumbent(SquaredLoss(), targets: y, beta: beta, zero: zero)
      )
    }
    guard let correlations else { return }
    for (columns, best) in parts {
      let largest = norms(correlations.columns(columns)).max() ?? 0
      best.offer(dual: best.targets, largest: withRoom(largest))
    }
  }

  /// The norms of the groups of weights, Q × outputs.
  private func norms(_ x: Matrix) -> [Double] {
    let length = size * x.columns
    return (0..<x.rows / size).map { norm(length, x.row($0 * size)) }
  }

  /// Takes the points of the W for which the pass was made, if they are better.
  func offer(_ pass: ResidualPass, weights: Matrix) {
    for (columns, best) in parts {
      let own = weights.columns(columns)
      let predictions = pass.predictions.columns(columns)
      let penalty = norms(own).reduce(0, +)
      best.offer(
        primal: best.loss.value(predictions, best.targets) + best.beta * penalty,
        predictions: predictions
      ) { $0 = own }
      let largest = norms(pass.directions.columns(columns)).max() ?? 0
      best.offer(dual: pass.residual.columns(columns), largest: withRoom(largest))
    }
  }

  /// The solution over the gates `members`, in memory of its own.
  func solution(members: [Int], status: Status, iterations: Int) -> ArrangementSolution {
    let groups = parts.map { norms($0.best.weights) }
    let used = members.indices.filter { i in groups.contains { $0[i] > 0 } }
    let positive = parts.flatMap { columns, best in
      columns.indices.map { column in
        let matrix = Matrix(used.count, size)
        for (k, i) in used.enumerated() {
          for j in 0..<size {
            matrix[k, j] = best.weights[i * size + j, column - columns.lowerBound]
          }
        }
        return matrix
      }
    }
    func joined(_ part: (Incumbent<Matrix>) -> Matrix) -> Matrix {
      let result = Matrix(parts[0].best.targets.rows, outputs)
      for (columns, best) in parts { result.setColumns(columns, to: part(best)) }
      return result
    }
    return ArrangementSolution(
      index: used.map { members[$0] }, positive: positive, dual: joined(\.dual),
      predictions: joined(\.predictions), status: status, primal: primal,
      dualValue: dualValue, iterations: iterations)
  }
}
