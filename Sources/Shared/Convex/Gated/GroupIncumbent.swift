import LinearAlgebra

/// Weights of a program over groups of features.
package struct GroupWeights {
  /// The numbers of the groups whose weights are in `rows`.
  package var members: [Int] = []
  /// Row i·C + c holds the Q weights of group i and output c.
  package var rows = Matrix(0, 0)
  /// The number of groups with weight.
  package var active = 0

  /// Σ ‖W_g‖.
  func penalty(_ regularizer: any Regularizer) -> Double {
    var sum = 0.0
    for first in stride(from: 0, to: rows.count, by: regularizer.size) {
      sum += regularizer.value(rows.base + first)
    }
    return sum
  }
}

/// The best points of a program over groups of features with targets n × C.
package typealias GroupIncumbent = Incumbent<GroupWeights>

extension Incumbent where Weights == GroupWeights {
  /// Outputs have dual points of their own if neither the loss nor the norm joins them.
  package convenience init(
    _ targets: Matrix, loss: any Loss, regularizer: any Regularizer, beta: Double
  ) {
    self.init(
      loss, targets: targets, beta: beta, zero: GroupWeights(),
      isSeparable: regularizer.isSeparable && loss.isSeparable)
  }

  /// Takes the weights of the groups `members` if they are better.
  func offer(
    primal value: Double, active: Int, members: [Int], weights w: Matrix, predictions: Matrix
  ) {
    offer(primal: value, predictions: predictions) { weights in
      (weights.active, weights.members) = (active, members)
      if weights.rows.rows != w.rows || weights.rows.columns != w.columns {
        weights.rows = Matrix(w.rows, w.columns)
      }
      weights.rows.copy(from: w)
    }
  }
}
