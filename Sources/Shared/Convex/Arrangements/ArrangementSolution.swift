import LinearAlgebra
import Schema

/// The result of a program over patterns: a feasible primal and a feasible dual point with their values.
package struct ArrangementSolution: CertifiedSolution {
  /// The A patterns that carry weight, in ascending order.
  package var index: [Int]
  /// The weights of those patterns for each output, A × d: w of a gated network, v of a ReLU network.
  package var positive: [Matrix]
  /// w of a ReLU network for each output, A × d; empty for gated networks.
  package var negative: [Matrix]
  /// ν and ŷ, n × C; with `sums` U, Q × C, and nothing.
  package var dual: Matrix
  package var predictions: Matrix
  package var sums: DualSums?
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

  /// The zero network, with `width` weights for each pattern and output, and the zero dual point.
  package init(zero targets: Targets, width: Int, activation: Activation) {
    let zero = Matrix(targets.values.rows, targets.values.columns)
    let none = (0..<targets.values.columns).map { _ in Matrix(0, width) }
    let loss = targets.function
    self.init(
      index: [], positive: none, negative: activation == .relu ? none : [], dual: zero,
      predictions: zero, status: .stalled, primal: loss.value(zero, targets.values),
      dualValue: loss.dualValue(zero, targets.values), iterations: 0)
  }
  /// The same over sums: U = 0 and s = 0.
  package init(zero statistics: StatisticsTensors) {
    let outputs = statistics.outputs
    self.init(
      index: [],
      positive: (0..<outputs).map { _ in
        Matrix(0, statistics.regions * statistics.dimension)
      }, dual: Matrix(statistics.order, outputs), predictions: Matrix(0, outputs),
      status: .stalled, primal: 0.5 * statistics.squares.reduce(0, +), dualValue: 0, iterations: 0)
    sums = DualSums(scale: Array(repeating: 0, count: outputs), of: statistics)
  }
}
