import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The training data of a convolutional network with average pooling, and the possible patterns of its filters on the
/// patches of all samples.
package final class ConvolutionalData: PatternedData {
  package let patches: PatchSource
  package let listed: PatternTensors
  /// The patterns of all n·K patches; nil if gates and thresholds imply them (deferred data).
  package let patterns: Patterns?

  package var samples: Int { patches.count }
  package var dimension: Int { patches.dimension }
  package var regions: Int { patches.regions }

  /// Reads a bundle of kind `arrangements`.
  package convenience init(_ bundle: Bundle) throws {
    try bundle.expect(.arrangements)
    let patches = try PatchSource(bundle)
    self.init(
      patches,
      try PatternTensors(
        bundle, samples: patches.count, patches: patches.patchCount,
        dimension: patches.dimension, gatesImplyPatterns: true))
  }

  /// `listed` are patterns of `patches`.
  package init(_ patches: PatchSource, _ listed: PatternTensors) {
    (self.patches, self.listed) = (patches, listed)
    let rows = patches.count * patches.patchCount
    patterns = listed.patterns.map { Patterns($0, rows: rows) }
  }
}

/// Trains convolutional networks over the patterns of `ConvolutionalData` to a certified optimum. Weights of a solution
/// are A × Rd, with those of region 0 first.
package protocol ConvolutionalSolver: RegularizedSolver
where
  Start == ArrangementSolution?, Point == ArrangementSolution, Certified == ArrangementSolution,
  Data == PatchSource
{}

extension ConvolutionalSolver {
  package func start(at point: ArrangementSolution) -> ArrangementSolution? { point }
}
