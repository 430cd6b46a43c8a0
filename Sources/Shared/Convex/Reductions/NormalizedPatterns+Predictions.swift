import LinearAlgebra
import Schema
import Tensors

extension NormalizedPatterns {
  /// ŷ (n × C) on the rows of `x`, any samples, by the means of the training data: Σ ± (h(x) − m) + a/√n with
  /// h(x) = 1[x · g ≥ t] x · w, or (x · w)₊ of a ReLU network.
  func predictions(
    _ point: ArrangementSolution, on x: Matrix, of activation: Activation
  ) -> Matrix {
    let (d, root) = (dimension - 1, Double(samples).squareRoot())
    var plain = point
    plain.positive = point.positive.map { $0.columns(0..<d) }
    plain.negative = point.negative.map { $0.columns(0..<d) }
    let result = plain.predictions(on: x, of: activation, gatesOf: arrangement)
    for (sign, all) in [(1.0, point.positive), (-1, point.negative)] {
      for (c, weights) in all.enumerated() {
        for (k, i) in point.index.enumerated() {
          let row = weights.row(k)
          let mean = hidden(row, of: i).reduce(0, +) / Double(samples)
          for j in 0..<x.rows { result[j, c] += sign * (row[d] / root - mean) }
        }
      }
    }
    return result
  }
}
