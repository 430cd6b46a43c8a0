import LinearAlgebra
import Patches
import Schema
import Tensors

/// The training data of a fully-connected network with the patterns its neurons may have.
package final class ArrangementData: PatternedData {
  /// X, n × d.
  package let features: Matrix
  package let patterns: Patterns
  package let listed: PatternTensors

  package var samples: Int { features.rows }
  package var dimension: Int { features.columns }
  package var regions: Int { 1 }

  /// Reads a bundle of kind `arrangements` with one patch per sample.
  package init(_ bundle: Bundle) throws {
    guard bundle.kind != .dataset else {
      throw Failure.data(
        "\(bundle.name) is a bundle of kind \"dataset\", expected arrangements: "
          + "the command arrangements adds the patterns")
    }
    try bundle.expect(.arrangements)
    let source = try PatchSource(bundle)
    features = try ArrangementData.features(of: source)
    listed = try PatternTensors(
      bundle, samples: features.rows, patches: 1, dimension: features.columns,
      gatesImplyPatterns: source.isDeferred)
    patterns =
      try listed.patterns.map { [features] in Patterns($0, rows: features.rows) }
      ?? ArrangementData.patterns(of: features, listed.gates)
  }

  /// `listed` are patterns of the rows of `features`, with their bits.
  package init(features: Matrix, _ listed: PatternTensors) {
    guard let bits = listed.patterns else { preconditionFailure("patterns without bits") }
    (self.features, self.listed) = (features, listed)
    patterns = Patterns(bits, rows: features.rows)
  }

  /// The patterns that the gates of deferred data imply.
  private static func patterns(of features: Matrix, _ gates: GateTensors) throws -> Patterns {
    let (n, count) = (features.rows, gates.count)
    try expectMemory(
      Double(count) * Double(Patterns.stride(n)), for: "\(count) patterns of \(n) rows")
    return Patterns.signs(of: DataRows(features), gates: gates)
  }

  /// X of a `dataset` or `arrangements` bundle with one patch per sample, in double precision.
  package static func features(of bundle: Bundle) throws -> Matrix {
    try features(of: PatchSource(bundle))
  }

  private static func features(of source: PatchSource) throws -> Matrix {
    let (n, d) = (source.count, source.dimension)
    guard source.patchCount == 1 else {
      let tensor = source.stored.map { "tensor \"x\" is \($0.summary)" } ?? "the images"
      throw Failure.data(
        "\(tensor), \(source.patchCount) patches a sample, expected 1: "
          + "ReLU and gated-ReLU networks are fully connected (patchify --flatten)")
    }
    try expectMemory(8 * Double(n) * Double(d), for: "\(n) samples of \(d) features")
    let features = Matrix(n, d)
    Threads.split(n) { range in
      source.reader().read(range, into: features.row(range.lowerBound))
    }
    return features
  }
}
