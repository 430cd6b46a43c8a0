import LinearAlgebra
import Tensors

/// What a program over patterns found: a feasible primal and a feasible dual point with their values.
package struct ArrangementSolution: CertifiedSolution {
  /// The A patterns that carry weight, in ascending order.
  package var index: [Int]
  /// Of each output the weights of those patterns, A × d: w of a gated network, v of a ReLU network.
  package var positive: [Matrix]
  /// Of each output w of a ReLU network, A × d; empty for gated networks.
  package var negative: [Matrix]
  /// ν and ŷ, n × C.
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  package init(
    index: [Int], positive: [Matrix], negative: [Matrix] = [], dual: Matrix, predictions: Matrix,
    status: Status, primal: Double, dualValue: Double, iterations: Int
  ) {
    self.index = index
    self.positive = positive
    self.negative = negative
    self.dual = dual
    self.predictions = predictions
    self.status = status
    self.primal = primal
    self.dualValue = dualValue
    self.iterations = iterations
  }
}
