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

  /// Further kinds of patches of the same samples, with patterns of their own.
  package let others: [ConvolutionalData]

  package var parts: [ConvolutionalData] { [self] + others }
  /// The gates of all parts.
  package var gateCount: Int { parts.reduce(0) { $0 + $1.gates.shape[0] } }
  /// The numbers in a group: R·d of the part that has most.
  package var groupSize: Int { parts.map { $0.regions * $0.dimension }.max()! }

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

  /// `listed` are patterns of `patches`; `others` are of as many samples.
  package init(
    _ patches: PatchSource, _ listed: PatternTensors, others: [ConvolutionalData] = []
  ) {
    (self.patches, self.listed, self.others) = (patches, listed, others)
    let rows = patches.count * patches.patchCount
    patterns = listed.patterns.map { Patterns($0, rows: rows) }
  }

  /// The data of `parts`, at least one, as one.
  package convenience init(joining parts: [ConvolutionalData]) {
    self.init(parts[0].patches, parts[0].listed, others: Array(parts.dropFirst()))
  }

  /// A solution over all parts as one of each part: with its gates, and weights of its own size.
  package func divide(_ solution: ArrangementSolution) -> [ArrangementSolution] {
    var first = 0
    return parts.map { part in
      let range = first..<first + part.gates.shape[0]
      first = range.upperBound
      let rows = solution.index.indices.filter { range.contains(solution.index[$0]) }
      let width = part.regions * part.dimension
      var own = solution
      own.index = rows.map { solution.index[$0] - range.lowerBound }
      own.positive = solution.positive.map { weights in
        let matrix = Matrix(rows.count, width)
        for (k, row) in rows.enumerated() {
          matrix.row(k).update(from: weights.row(row), count: width)
        }
        return matrix
      }
      return own
    }
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
