import Convex
import LinearAlgebra
import Schema

/// The best certified points of a gated program so far, for each problem that shares no variables with the others.
protocol CertifiedPoints: AnyObject {
  var primal: Double { get }
  var dualValue: Double { get }

  /// Certifies W (Q × C), and takes its points if they are better. Returns what its residual sums up to.
  func offer(_ weights: Matrix) -> ResidualSums

  /// The solution over the gates `members`, in memory of its own.
  func solution(members: [Int], status: Status, iterations: Int) -> ArrangementSolution
}

extension CertifiedPoints {
  var gap: Double { relativeGap(primal: primal, dual: dualValue) }
}

/// The best points that the samples have certified so far.
final class CertifiedPoint: CertifiedPoints {
  /// The columns of each problem, and its weights, Q × as many columns.
  private let parts: [(columns: Range<Int>, best: Incumbent<Matrix>)]
  private let outputs: Int
  private let size: Int
  private let read: (_ weights: Matrix) -> ResidualPass

  var primal: Double { parts.reduce(0) { $0 + $1.best.primal } }
  var dualValue: Double { parts.reduce(0) { $0 + $1.best.dualValue } }

  /// Begins with the zero network, and with the multiple of Y that R = FᵀY allows. `targets` is n × C, `order` is Q,
  /// `groupSize` is the number of features in a group, and `read` reads the samples for some W.
  init(
    _ targets: Matrix, correlations: Matrix?, order: Int, problems: [GroupProblem],
    groupSize: Int, beta: Double, read: @escaping (_ weights: Matrix) -> ResidualPass
  ) {
    self.read = read
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

  private func norms(_ x: Matrix) -> [Double] { groupNorms(x, size: size) }

  func offer(_ weights: Matrix) -> ResidualSums {
    let pass = read(weights)
    for (columns, best) in parts {
      let own = weights.columns(columns)
      let predictions = pass.predictions.columns(columns)
      let penalty = norms(own).reduce(0, +)
      best.offer(
        primal: best.loss.value(predictions, best.targets) + best.beta * penalty,
        predictions: predictions
      ) { $0 = own }
      let largest = norms(pass.sums.directions.columns(columns)).max() ?? 0
      best.offer(dual: pass.residual.columns(columns), largest: withRoom(largest))
    }
    return pass.sums
  }

  func solution(members: [Int], status: Status, iterations: Int) -> ArrangementSolution {
    let (used, positive) = usedGroups(parts.map(\.best.weights), size: size)
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

/// The lengths of the groups of `size` rows of weights, Q × outputs.
func groupNorms(_ x: Matrix, size: Int) -> [Double] {
  let length = size * x.columns
  return (0..<x.rows / size).map { norm(length, x.row($0 * size)) }
}

/// The groups of `size` rows that are not zero in all of the weights `parts`, Q × outputs each; and these groups, one a
/// row, of each column of the parts.
func usedGroups(_ parts: [Matrix], size: Int) -> (used: [Int], weights: [Matrix]) {
  let groups = parts.map { groupNorms($0, size: size) }
  let used = (0..<(groups.first?.count ?? 0)).filter { i in groups.contains { $0[i] > 0 } }
  let weights = parts.flatMap { part in
    (0..<part.columns).map { column in
      let matrix = Matrix(used.count, size)
      for (k, i) in used.enumerated() {
        for j in 0..<size { matrix[k, j] = part[i * size + j, column] }
      }
      return matrix
    }
  }
  return (used, weights)
}
