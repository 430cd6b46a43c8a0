import LinearAlgebra

/// The best primal and the best dual point so far, for one output or for C outputs that share their groups; they need
/// not come from the same iteration.
final class PrimalDualPoint {
  /// The members that carry weight, and their weights as the first rows of `weights`, one output after the other.
  private(set) var active: [Int] = []
  private(set) var weights: Matrix
  /// ŷ and ν, of the targets' shape.
  let predictions: Matrix
  let dual: Matrix
  private(set) var primal: Double
  private(set) var dualValue: Double

  var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// The zero network and the zero dual point.
  init(_ targets: Matrix, dimension: Int, loss: any Loss) {
    weights = Matrix(0, dimension)
    predictions = Matrix(targets.rows, targets.columns)
    dual = Matrix(targets.rows, targets.columns)
    primal = loss.value(predictions, targets)
    dualValue = loss.dualValue(dual, targets)
  }

  /// Takes the weights η_k t_k of the members `active`, t_k being row k of `directions`, if they are better.
  func offer(
    primal value: Double, active list: [Int], eta: [Double], directions t: Matrix,
    predictions y: Matrix
  ) {
    offer(primal: value, active: list, eta: eta, directions: [t], predictions: y)
  }

  /// The same with the directions of each output.
  func offer(
    primal value: Double, active list: [Int], eta: [Double], directions: [Matrix],
    predictions y: Matrix
  ) {
    guard value < primal else { return }
    primal = value
    active = list
    let (d, rows) = (weights.columns, directions.count * list.count)
    if weights.rows < rows { weights = Matrix(max(rows, 2 * weights.rows), d) }
    for (c, t) in directions.enumerated() {
      for row in list.indices {
        let (source, target) = (t.row(row), weights.row(c * list.count + row))
        for k in 0..<d { target[k] = eta[row] * source[k] }
      }
    }
    predictions.copy(from: y)
  }

  /// Takes s ν if it is better.
  func offer(dual value: Double, direction nu: Matrix, times s: Double) {
    guard value > dualValue else { return }
    dualValue = value
    for j in 0..<nu.count { dual.base[j] = s * nu.base[j] }
  }
}
