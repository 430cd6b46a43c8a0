import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The training data of a convolutional network with average pooling, and the patterns its filters may
/// have on the patches of all samples.
package final class ConvolutionalData: PatternedData {
  package let patches: PatchSource
  package let gates: Tensor
  package let thresholds: Tensor?
  /// The patterns of all n·K patches; `nil` where gates and thresholds imply them (deferred data).
  package let patterns: Patterns?
  package let isExact: Bool

  package var samples: Int { patches.count }
  package var dimension: Int { patches.dimension }
  package var regions: Int { patches.regions }

  /// Reads a bundle of kind `arrangements`.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.arrangements)
    patches = try PatchSource(bundle)
    let d = patches.dimension
    let gates = try bundle.require("gates", [.f64], ["[P, d]"])
    guard gates.shape[0] > 0, gates.shape[1] == d else {
      throw Failure.data("tensor \"gates\" is \(gates.summary), expected F64 [P, \(d)]")
    }
    try gates.expectFinite("gates")
    self.gates = gates
    let thresholds = try bundle.optional("thresholds", [.f64], ["[P]"])
    if let thresholds {
      guard thresholds.shape == [gates.shape[0]] else {
        throw Failure.data(
          "tensor \"thresholds\" is \(thresholds.summary), expected F64 [\(gates.shape[0])]")
      }
      try thresholds.expectFinite("thresholds")
    }
    self.thresholds = thresholds
    let rows = patches.count * patches.patchCount
    let packed = try bundle.optional("patterns", [.u8], ["[P, ceil(nK/8)]"])
    if let packed {
      guard packed.shape == [gates.shape[0], Patterns.stride(rows)] else {
        throw Failure.data(
          "tensor \"patterns\" is \(packed.summary), expected U8 [\(gates.shape[0]), "
            + "\(Patterns.stride(rows))], a bit for each of \(rows) patches")
      }
    }
    patterns = packed.map { Patterns($0, rows: rows) }
    isExact = bundle.metadata["exact"] == "true"
  }
}

/// Trains convolutional networks over the patterns of `ConvolutionalData` to a certified optimum. Weights of
/// a solution are A × Rd: those of region 0 first.
package protocol ConvolutionalSolver: RegularizedSolver
where
  Start == ArrangementSolution?, Point == ArrangementSolution, Certified == ArrangementSolution,
  Data == PatchSource
{}

extension ConvolutionalSolver {
  package func start(at point: ArrangementSolution) -> ArrangementSolution? { point }
}
