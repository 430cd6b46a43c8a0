import Convex
import LinearAlgebra
import Tensors

extension ArrangementProgram {
  /// The solver of this program on the patches of images; `targets` is n × C. It reads the samples as it is
  /// made, while `budget` lasts.
  package func solver(
    _ data: ConvolutionalData, targets: Matrix, budget: Budget,
    progress: @escaping (String) -> Void = { _ in }
  ) throws -> any ConvolutionalSolver {
    switch (activation, norm, loss) {
    case (.gatedReLU, .group, .squared) where suitsSplitting(data, outputs: targets.columns):
      return try ConvolutionalLossSolver(
        data, targets: targets, loss: loss, grouping: grouping, budget: budget, progress: progress)
    case (.gatedReLU, .group, .squared):
      return try ConvolutionalGatedSolver(
        data, targets: targets, grouping: grouping, budget: budget, progress: progress)
    case (.gatedReLU, .nuclear, .squared) where targets.columns == 1 && data.regions == 1:
      return try ConvolutionalGatedSolver(
        data, targets: targets, grouping: .perPattern, budget: budget, progress: progress)
    case (_, .nuclear, _):
      throw Failure.usage("--norm nuclear is for networks of one patch a sample: use --norm group")
    case (.relu, .group, _):
      return try ConvolutionalReLUSolver(
        data, targets: targets, loss: loss, grouping: grouping, budget: budget, progress: progress)
    case (.gatedReLU, .group, _):
      return try ConvolutionalLossSolver(
        data, targets: targets, loss: loss, grouping: grouping, budget: budget, progress: progress)
    }
  }

  /// Whether ADMM over the kernel solves a program with squared loss sooner than Newton's method over FᵀF does: where
  /// samples are fewer than features (n = 1,000, Q = 10,000: 1 against 12 s) and F fits into memory.
  private func suitsSplitting(_ data: ConvolutionalData, outputs: Int) -> Bool {
    let order = data.gates.shape[0] * data.regions * data.dimension
    return FeatureMoments.form(samples: data.samples, order: order) == .samples
      && ConvolutionalLossSolver.memory(data, outputs: outputs) <= memoryLimit
  }
}
