import LinearAlgebra
import Tensors

/// The activation patterns D_1 … D_P that a bundle of kind `arrangements` lists for its samples.
package struct Arrangements: Sendable {
  package let name: String
  /// Whether the bundle says that these are all patterns of its samples.
  package let isExact: Bool
  /// What attains each pattern.
  let gates: GateTensors
  /// n.
  let rows: Int
  /// U8 [P, ⌈n/8⌉], the least significant bit first.
  private let patterns: Tensor
  private let stride: Int

  /// P.
  var count: Int { patterns.shape[0] }

  init(_ bundle: Bundle, _ features: PatchFeatures) throws {
    guard bundle.kind == .arrangements else {
      throw Failure.data(
        "\(bundle.name) is a bundle of kind \(quoted(bundle.metadata["kind"] ?? "")), expected "
          + "arrangements: the certificate is over their patterns")
    }
    guard features.patchCount == 1 else {
      throw Failure.data(
        "tensor \"x\" of \(bundle.name) is \(features.tensor.summary), \(features.patchCount) patches "
          + "a sample, expected 1")
    }
    name = bundle.name
    rows = features.count
    stride = (rows + 7) / 8
    patterns = try bundle.require("patterns", [.u8], ["[P, ceil(n/8)]"])
    guard patterns.shape[1] == stride else {
      throw Failure.data(
        "tensor \"patterns\" of \(bundle.name) is \(patterns.summary), expected U8 "
          + "[\(patterns.shape[0]), \(stride)], a bit for each of \(rows) samples")
    }
    gates = try GateTensors(
      bundle, "gates", threshold: "thresholds", count: patterns.shape[0],
      dimension: features.dimension)
    isExact = bundle.metadata["exact"] == "true"
  }

  func isActive(_ pattern: Int, row: Int) -> Bool {
    let bits = patterns.bytes.base.assumingMemoryBound(to: UInt8.self) + pattern * stride
    return bits[row >> 3] >> UInt8(row & 7) & 1 == 1
  }

  /// target_k ← `on` where row k of `rows` is active in the pattern, otherwise `off`.
  func expand(
    _ pattern: Int, _ rows: Range<Int>, on: Double = 1, off: Double = 0,
    into target: UnsafeMutablePointer<Double>
  ) {
    let bits = patterns.bytes.base.assumingMemoryBound(to: UInt8.self) + pattern * stride
    for (k, row) in rows.enumerated() {
      target[k] = bits[row >> 3] >> UInt8(row & 7) & 1 == 1 ? on : off
    }
  }
}
