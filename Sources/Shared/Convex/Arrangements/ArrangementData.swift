import LinearAlgebra
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
    features = try ArrangementData.features(of: bundle)
    let (n, d) = (features.rows, features.columns)
    let packed = try bundle.require("patterns", [.u8], ["[P, ceil(n/8)]"])
    guard packed.shape[1] == Patterns.stride(n) else {
      throw Failure.data(
        "tensor \"patterns\" is \(packed.summary), expected U8 [P, \(Patterns.stride(n))], "
          + "a bit for each of \(n) samples")
    }
    guard packed.shape[0] > 0 else {
      throw Failure.data("tensor \"patterns\" is \(packed.summary): there are no patterns")
    }
    patterns = Patterns(packed, rows: n)
    gates = try bundle.require("gates", [.f64], ["[P, d]"])
    guard gates.shape == [patterns.count, d] else {
      throw Failure.data(
        "tensor \"gates\" is \(gates.summary), expected F64 [\(patterns.count), \(d)]")
    }
    try gates.expectFinite("gates")
    thresholds = try bundle.optional("thresholds", [.f64], ["[P]"])
    if let thresholds {
      guard thresholds.shape == [patterns.count] else {
        throw Failure.data(
          "tensor \"thresholds\" is \(thresholds.summary), expected F64 [\(patterns.count)]")
      }
      try thresholds.expectFinite("thresholds")
    }
    isExact = bundle.metadata["exact"] == "true"
  }

  /// X of a `dataset` or `arrangements` bundle with one patch a sample, in double precision.
  package static func features(of bundle: Bundle) throws -> Matrix {
    let x = try bundle.require("x", [.f32, .f64], ["[n, K, d]", "[n, d]"])
    guard x.count > 0 else {
      throw Failure.data("tensor \"x\" is \(x.summary): it is empty")
    }
    guard x.shape.count == 2 || x.shape[1] == 1 else {
      throw Failure.data(
        "tensor \"x\" is \(x.summary), \(x.shape[1]) patches a sample, expected 1: "
          + "ReLU and gated-ReLU networks are fully connected (patchify --flatten)")
    }
    try x.expectFinite("x")
    let features = Matrix(x.shape[0], x.shape.last!)
    x.copyDoubles(0..<x.count, into: features.base)
    return features
  }
}
