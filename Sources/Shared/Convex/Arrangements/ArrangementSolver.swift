import LinearAlgebra
import Schema
import Tensors

/// Data that networks over patterns are trained on.
package protocol PatternedData: AnyObject {
  /// n, and d features of a patch.
  var samples: Int { get }
  var dimension: Int { get }
  /// R, the regions over which patches are averaged.
  var regions: Int { get }
  /// The patterns as the bundle has them.
  var listed: PatternTensors { get }
}

extension PatternedData {
  /// The gates, F64 [P, d], and their thresholds, F64 [P], if some cut elsewhere than at 0.
  package var gates: Tensor { listed.gates.vectors }
  package var thresholds: Tensor? { listed.gates.thresholds }
}

/// Trains networks over the patterns of `ArrangementData` to a certified optimum, for any number of β.
///
/// `point` returns feasible points whose values are those that a recomputation from the data finds. It stops when their
/// relative gap is at most `rule.gap` or the budget is exhausted, and counts its iterations in the budget. Without a
/// start it chooses its own.
package protocol ArrangementSolver: RegularizedSolver
where
  Start == ArrangementSolution?, Point == ArrangementSolution, Certified == ArrangementSolution,
  Data == Matrix
{}

extension ArrangementSolver {
  package func start(at point: ArrangementSolution) -> ArrangementSolution? { point }
}

/// A program over patterns: what is trained, and by which solver.
package struct ArrangementProgram {
  /// `relu` or `gatedReLU`.
  package let activation: Activation
  package let norm: WeightNorm
  package let grouping: WeightGrouping
  package let loss: LossName
  /// The weights of classes, if they have some.
  package let weighting: ClassWeighting?
  /// Whether the loss is ½‖ŷ − y‖², for which there are methods of its own.
  private var isSquared: Bool { loss == .squared && weighting == nil }

  package init(
    activation: Activation, norm: WeightNorm, grouping: WeightGrouping = .perClass, loss: LossName,
    weighting: ClassWeighting? = nil
  ) {
    precondition([.relu, .gatedReLU].contains(activation), "an activation that has patterns")
    self.activation = activation
    self.norm = norm
    self.grouping = grouping
    self.loss = loss
    self.weighting = weighting
  }

  /// Whether data of one patch per sample have solvers of their own. ReLU programs have them only for squared loss with
  /// a group for each class; other programs are solved like those of several patches.
  package var hasOnePatchSolver: Bool {
    activation == .gatedReLU || (isSquared && grouping == .perClass)
  }

  /// The solver of this program for data of one patch per sample; `hasOnePatchSolver` must hold. `targets` is n × C.
  /// With one output the nuclear norm is the group norm. `budget` limits the work before the first β.
  package func solver(
    _ data: ArrangementData, targets: Matrix, budget: Budget? = nil,
    progress: @escaping (String) -> Void = { _ in }
  ) throws -> any ArrangementSolver {
    let isSeparate = grouping == .perClass || targets.columns == 1
    // The weights of one output are one row, whose nuclear norm is its length.
    let norm = isSeparate ? .group : norm
    switch (activation, norm) {
    case (.gatedReLU, _) where !isSquared || norm == .nuclear:
      return try GatedLossSolver(
        data, targets: targets, loss: loss, weighting: weighting, norm: norm, grouping: grouping,
        progress: progress)
    case (.relu, _) where !isSquared || !isSeparate:
      preconditionFailure("no solver for one patch a sample")
    case (.gatedReLU, .group) where splittingShare(data, outputs: targets.columns) > 0:
      return try GatedLossSolver(
        data, targets: targets, loss: loss, grouping: grouping,
        newtonAbove: splittingShare(data, outputs: targets.columns), progress: progress)
    case (.gatedReLU, _):
      return try GatedSolver(
        data, targets: targets, grouping: grouping, budget: budget, progress: progress)
    default:
      return try LowRankSolver(data: data, targets: targets)
        ?? ReLUSolver(data, targets: targets, budget: budget, progress: progress)
    }
  }

  /// The share of β_max up to which ADMM over the kernel solves a program with squared loss sooner than Newton's
  /// method in η does; 0 if it never does.
  private func splittingShare(_ data: ArrangementData, outputs: Int) -> Double {
    let (n, d, patterns) = (data.samples, data.dimension, data.patterns.count)
    guard n <= AutomaticSystem.largestKernel,
      GatedLossSolver.memory(data, outputs: outputs) <= memoryLimit
    else { return 0 }
    // The cells of a line are so alike that systems in η have few digits left: 200 cells, gap 1e-6, 0.1 against 4.8 s
    // at 2e-4 β_max. In the plane Newton's method is as fast or faster.
    if patterns > n, d <= 2 { return .infinity }
    // Newton's method solves outputs with groups of their own one after another, and each of its steps factors a matrix
    // at a cost of n³; ADMM factors once, and each of its many steps reads all n·P·d·C numbers. Ten classes, n = 3,000,
    // d = 193, 0.005 β_max: 100 patterns 3.8 against 13.7 s of CPU, 1,000 patterns 42 against 48; at 0.1 β_max 17
    // against 15, 61 against 22.
    if grouping == .perClass, outputs > 1, n > 600, 100 * patterns * d <= n * n {
      return ArrangementProgram.smallShare
    }
    return 0
  }

  /// The share of β_max below which so many groups are active that ADMM, which does not look at their number, wins.
  package static let smallShare = 0.03
}
