import LinearAlgebra
import Tensors

/// Trains gated-ReLU networks with one group per pattern and output, squared loss.
package final class GatedSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  private let targets: Matrix

  /// `targets` is n × C.
  package init(
    _ data: ArrangementData, targets: Matrix, progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    betaMax = 1
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let outputs = targets.columns
    let zero = Matrix(data.samples, outputs)
    return ArrangementSolution(
      index: [], positive: (0..<outputs).map { _ in Matrix(0, data.dimension) },
      dual: zero, predictions: zero, status: .stalled,
      primal: SquaredLoss().value(zero, targets), dualValue: 0, iterations: budget.iterations)
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }
}
