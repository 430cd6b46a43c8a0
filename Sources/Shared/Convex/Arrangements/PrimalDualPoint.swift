import LinearAlgebra

/// The best primal and the best dual point of one output that were met so far; they need not come from
/// the same iteration.
final class PrimalDualPoint {
  /// The members that carry weight, and their weights as the first rows of `weights`.
  private(set) var active: [Int] = []
  private(set) var weights: Matrix
  /// ŷ and ν, n × 1.
  let predictions: Matrix
  let dual: Matrix
  private(set) var primal: Double
  private(set) var dualValue: Double

  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// The network that is zero, and the dual point that is zero.
  init(_ targets: Matrix, dimension: Int, loss: any Loss) {
    weights = Matrix(0, dimension)
    predictions = Matrix(targets.rows, 1)
    dual = Matrix(targets.rows, 1)
    primal = loss.value(predictions, targets)
    dualValue = loss.dualValue(dual, targets)
  }

  /// Takes the weights η_k t_k of the members `active`, t_k being row k of `directions`, where they are
  /// better.
  func offer(
    primal value: Double, active list: [Int], eta: [Double], directions t: Matrix,
    predictions y: Matrix
  ) {
    guard value < primal else { return }
    primal = value
    active = list
    if weights.rows < list.count { weights = Matrix(max(list.count, 2 * weights.rows), t.columns) }
    let d = t.columns
    for row in list.indices {
      let (source, target) = (t.row(row), weights.row(row))
      for k in 0..<d { target[k] = eta[row] * source[k] }
    }
    predictions.copy(from: y)
  }

  /// Takes s ν, where it is better.
  func offer(dual value: Double, direction nu: Matrix, times s: Double) {
    guard value > dualValue else { return }
    dualValue = value
    for j in 0..<nu.count { dual.base[j] = s * nu.base[j] }
  }
}
