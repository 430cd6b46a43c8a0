import LinearAlgebra

extension ArrangementSolution {
  /// The solution of a gated program; its objectives are those of the numbers that are written. Each of `points` has a
  /// part of the outputs, in order; there are `groups` patterns in all, with `d` weights per output. `targets` is n ×
  /// C.
  package init(
    _ points: [GroupIncumbent], targets: Matrix, loss: any Loss, regularizer: any Regularizer,
    beta: Double, groups: Int, width d: Int, iterations: Int
  ) {
    let (n, outputs) = (targets.rows, targets.columns)
    var isActive = [Bool](repeating: false, count: groups)
    for point in points {
      let size = point.predictions.columns * d
      for (k, i) in point.weights.members.enumerated()
      where norm(size, point.weights.rows.base + k * size) > 0 {
        isActive[i] = true
      }
    }
    let index = isActive.indices.filter { isActive[$0] }
    let row = Dictionary(uniqueKeysWithValues: index.enumerated().map { ($1, $0) })
    var positive: [Matrix] = []
    let (dual, predictions) = (Matrix(n, outputs), Matrix(n, outputs))
    for point in points {
      let width = point.predictions.columns
      for c in 0..<width {
        let matrix = Matrix(index.count, d)
        for (k, i) in point.weights.members.enumerated() where isActive[i] {
          matrix.row(row[i]!).update(from: point.weights.rows.row(k * width + c), count: d)
        }
        for j in 0..<n {
          dual[j, positive.count] = point.dual[j, c]
          predictions[j, positive.count] = point.predictions[j, c]
        }
        positive.append(matrix)
      }
    }
    let penalty = points.reduce(0) { $0 + $1.weights.penalty(regularizer) }
    self.init(
      index: index, positive: positive, dual: dual, predictions: predictions, status: .optimal,
      primal: loss.value(predictions, targets) + beta * penalty,
      dualValue: loss.dualValue(dual, targets), iterations: iterations)
  }
}
