import Convex
import LinearAlgebra
import Tensors

extension ArrangementProgram {
  /// The solver of this program on the patches of images; `targets` is n × C. Making it reads the samples, as long as
  /// `budget` lasts.
  package func solver(
    _ data: ConvolutionalData, targets: Matrix, budget: Budget,
    progress: @escaping (String) -> Void = { _ in }
  ) throws -> any ConvolutionalSolver {
    // The nuclear norm of one row is its length.
    let rows = data.regions * (grouping == .perClass ? 1 : targets.columns)
    let norm = rows == 1 ? .group : norm
    switch (activation, norm, loss) {
    case (.gatedReLU, _, _) where weighting != nil:
      return try ConvolutionalLossSolver(
        data, targets: targets, loss: loss, weighting: weighting, norm: norm, grouping: grouping,
        budget: budget, progress: progress)
    case (.gatedReLU, .group, .squared) where suitsSplitting(data, outputs: targets.columns):
      return try ConvolutionalLossSolver(
        data, targets: targets, loss: loss, grouping: grouping, budget: budget,
        newtonAbove: ArrangementProgram.smallShare, progress: progress)
    case (.gatedReLU, .group, .squared):
      return try ConvolutionalGatedSolver(
        data, targets: targets, grouping: grouping, budget: budget, progress: progress)
    case (.relu, _, _):
      return try ConvolutionalReLUSolver(
        data, targets: targets, loss: loss, weighting: weighting, grouping: grouping,
        budget: budget, progress: progress)
    default:
      return try ConvolutionalLossSolver(
        data, targets: targets, loss: loss, norm: norm, grouping: grouping, budget: budget,
        progress: progress)
    }
  }

  /// Whether ADMM over the kernel solves a program with squared loss and small β sooner than Newton's method over FᵀF:
  /// if features are at least three times as many as samples and F fits into memory. CPU seconds, ADMM against Newton's
  /// method: n = 1,000, Q = 10,000: 1.8 against 36 at 0.002 β_max, 7 against 6 at 0.5 β_max; n = 4,000, Q = 20,000: 21
  /// against 58 at 0.005 β_max, 52 against 34 at 0.05 β_max; n = 10,000, Q = 20,000: 100 against 80 at 0.001 β_max, most
  /// of it for the kernel.
  private func suitsSplitting(_ data: ConvolutionalData, outputs: Int) -> Bool {
    let order = data.gateCount * data.groupSize
    return 3 * data.samples <= order
      && FeatureMoments.form(samples: data.samples, order: order) == .samples
      && ConvolutionalLossSolver.memory(data, outputs: outputs)
        + FeatureMoments.memory(.samples, samples: data.samples, order: order) <= memoryLimit
  }
}
