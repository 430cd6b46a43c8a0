import Convex
import LinearAlgebra
import Schema

/// The best points that sums over samples have certified so far: of W the loss ½yᵀy − RᵀW + ½WᵀGW, and of ν = s(Y − F W)
/// the sums Fᵀν = s(R − GW), νᵀy and ‖ν‖².
final class SummedPoint: CertifiedPoints {
  private let statistics: StatisticsTensors
  private let right: Matrix
  private let size: Int
  private let beta: Double
  private let multiply: (Matrix) -> Matrix
  private var parts: [Part]

  private struct Part {
    let columns: Range<Int>
    /// W of the best primal point, and W and s of the best dual one.
    var weights: Matrix
    var primal: Double
    var dualWeights: Matrix
    var scale: Double
    var dual: Double
  }

  var primal: Double { parts.reduce(0) { $0 + $1.primal } }
  var dualValue: Double { parts.reduce(0) { $0 + $1.dual } }

  /// Begins with the zero network, and with the multiple of Y that R allows. `multiply` is the product with G.
  init(
    _ statistics: StatisticsTensors, problems: [GroupProblem], groupSize: Int, beta: Double,
    multiply: @escaping (Matrix) -> Matrix
  ) {
    self.statistics = statistics
    self.multiply = multiply
    self.beta = beta
    right = statistics.right
    size = groupSize
    parts = problems.map { problem in
      let zero = Matrix(statistics.order, problem.columns.count)
      let square = problem.columns.reduce(0) { $0 + statistics.squares[$1] }
      return Part(
        columns: problem.columns, weights: zero, primal: 0.5 * square, dualWeights: zero, scale: 0,
        dual: 0)
    }
    let zero = Matrix(statistics.order, statistics.outputs)
    take(
      zero,
      ResidualSums(
        directions: right, squares: statistics.squares, products: statistics.squares))
  }

  func offer(_ weights: Matrix) -> ResidualSums {
    let (outputs, image) = (weights.columns, multiply(weights))
    let directions = Matrix(weights.rows, outputs)
    var fits = [CompensatedSum](repeating: CompensatedSum(), count: outputs)
    var curvatures = fits
    for i in 0..<weights.rows {
      for c in 0..<outputs {
        directions[i, c] = right[i, c] - image[i, c]
        fits[c].add(weights[i, c], times: right[i, c])
        curvatures[c].add(weights[i, c], times: image[i, c])
      }
    }
    let squares = statistics.squares
    let sums = ResidualSums(
      directions: directions,
      // Never below 0, whatever is rounded away.
      squares: (0..<outputs).map {
        max(0, squares[$0] - 2 * fits[$0].value + curvatures[$0].value)
      },
      products: (0..<outputs).map { squares[$0] - fits[$0].value })
    take(weights, sums)
    return sums
  }

  private func take(_ weights: Matrix, _ sums: ResidualSums) {
    for k in parts.indices {
      let columns = parts[k].columns
      let own = weights.columns(columns)
      let square = columns.reduce(0) { $0 + sums.squares[$1] }
      let product = columns.reduce(0) { $0 + sums.products[$1] }
      let primal = 0.5 * square + beta * groupNorms(own, size: size).reduce(0, +)
      if primal < parts[k].primal { (parts[k].weights, parts[k].primal) = (own, primal) }
      guard square > 0 else { continue }
      let largest = groupNorms(sums.directions.columns(columns), size: size).max() ?? 0
      let bound = largest > 0 ? beta / withRoom(largest) : .greatestFiniteMagnitude
      let scale = max(-bound, min(bound, product / square))
      let dual = scale * (product - 0.5 * scale * square)
      guard dual > parts[k].dual else { continue }
      (parts[k].dualWeights, parts[k].scale, parts[k].dual) = (own, scale, dual)
    }
  }

  func solution(members: [Int], status: Status, iterations: Int) -> ArrangementSolution {
    let (used, positive) = usedGroups(parts.map(\.weights), size: size)
    let coefficients = Matrix(statistics.order, statistics.outputs)
    var scales = [Double](repeating: 0, count: statistics.outputs)
    for part in parts {
      let u = Matrix(copying: part.dualWeights)
      scale(u.count, part.scale, u.base)
      coefficients.setColumns(part.columns, to: u)
      for c in part.columns { scales[c] = part.scale }
    }
    var solution = ArrangementSolution(
      index: used.map { members[$0] }, positive: positive, dual: coefficients,
      predictions: Matrix(0, statistics.outputs), status: status, primal: primal,
      dualValue: dualValue, iterations: iterations)
    solution.sums = DualSums(scale: scales, of: statistics)
    return solution
  }
}
