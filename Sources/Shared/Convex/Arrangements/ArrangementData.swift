import LinearAlgebra
import Patches
import Schema
import Tensors

/// The training data of a fully-connected network with the patterns its neurons may have.
package final class ArrangementData: PatternedData {
  /// X, n × d.
  package let features: Matrix
  package let patterns: Patterns
  /// F64 [P, d]: the vector that attains each pattern.
  package let gates: Tensor
  /// F64 [P] where gates cut elsewhere than at 0.
  package let thresholds: Tensor?
  /// Whether these are all patterns that X has: then a certificate over them is one over all networks.
  package let isExact: Bool

  package var samples: Int { features.rows }
  package var dimension: Int { features.columns }
  package var regions: Int { 1 }

  /// Reads a bundle of kind `arrangements` with one patch a sample.
  package init(_ bundle: Bundle) throws {
    guard bundle.kind != .dataset else {
      throw Failure.data(
        "\(bundle.name) is a bundle of kind \"dataset\", expected arrangements: "
          + "the command arrangements adds the patterns")
    }
    try bundle.expect(.arrangements)
    let source = try PatchSource(bundle)
    features = try ArrangementData.features(of: source)
    let (n, d) = (features.rows, features.columns)
    let packed =
      source.isDeferred
      ? try bundle.optional("patterns", [.u8], ["[P, ceil(n/8)]"])
      : try bundle.require("patterns", [.u8], ["[P, ceil(n/8)]"])
    if let packed {
      guard packed.shape[1] == Patterns.stride(n) else {
        throw Failure.data(
          "tensor \"patterns\" is \(packed.summary), expected U8 [P, \(Patterns.stride(n))], "
            + "a bit for each of \(n) samples")
      }
      guard packed.shape[0] > 0 else {
        throw Failure.data("tensor \"patterns\" is \(packed.summary): there are no patterns")
      }
    }
    gates = try bundle.require("gates", [.f64], ["[P, d]"])
    let count = packed?.shape[0] ?? gates.shape[0]
    guard count > 0, gates.shape == [count, d] else {
      throw Failure.data(
        "tensor \"gates\" is \(gates.summary), expected F64 [\(packed == nil ? "P" : "\(count)"), \(d)]"
      )
    }
    try gates.expectFinite("gates")
    thresholds = try bundle.optional("thresholds", [.f64], ["[P]"])
    if let thresholds {
      guard thresholds.shape == [count] else {
        throw Failure.data(
          "tensor \"thresholds\" is \(thresholds.summary), expected F64 [\(count)]")
      }
      try thresholds.expectFinite("thresholds")
    }
    patterns =
      try packed.map { Patterns($0, rows: n) }
      ?? ArrangementData.patterns(of: features, gates: gates, thresholds: thresholds)
    isExact = bundle.metadata["exact"] == "true"
  }

  /// Those that the gates of deferred data imply.
  private static func patterns(
    of features: Matrix, gates: Tensor, thresholds: Tensor?
  ) throws -> Patterns {
    let (n, count) = (features.rows, gates.shape[0])
    try expectMemory(
      Double(count) * Double(Patterns.stride(n)), for: "\(count) patterns of \(n) rows")
    return Patterns.signs(
      of: DataRows(features), gates: Matrix(count, features.columns, gates.doubles),
      thresholds: thresholds?.doubles)
  }

  /// X of a `dataset` or `arrangements` bundle with one patch a sample, in double precision.
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
