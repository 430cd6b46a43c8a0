import LinearAlgebra
import Schema
import Tensors

/// The activation patterns D_1 … D_P that a bundle of kind `arrangements` has for the patches of its samples: a bit for
/// each of n·K patches, or, if patches are yet to be cut, gates that imply the bits.
package struct Arrangements: Sendable {
  package let name: String
  /// Whether the bundle says that these are all patterns of its samples.
  package let isExact: Bool
  /// The gates that attain the patterns.
  private(set) var gates: GateTensors
  /// n·K.
  let rows: Int
  /// P.
  let count: Int
  /// U8 [P, ⌈nK/8⌉], the least significant bit first; `nil` if the gates imply them.
  private(set) var patterns: Tensor?
  private let stride: Int

  /// Whether the bits of the patterns are there.
  var isListed: Bool { patterns != nil }

  init(_ bundle: Bundle, _ features: PatchFeatures) throws {
    guard bundle.kind == .arrangements else {
      throw Failure.data(
        "\(bundle.name) is a bundle of kind \(quoted(bundle.metadata["kind"] ?? "")), expected "
          + "arrangements: the certificate is over their patterns")
    }
    try self.init(list: bundle, features)
  }

  /// The patterns that `bundle` lists for `features`.
  init(list bundle: Bundle, _ features: PatchFeatures) throws {
    name = bundle.name
    let listed = try PatternTensors(
      bundle, samples: features.count, patches: features.patchCount, dimension: features.dimension,
      gatesImplyPatterns: features.tensor == nil)
    rows = features.count * features.patchCount
    stride = (rows + 7) / 8
    (gates, patterns, isExact) = (listed.gates, listed.patterns, listed.isExact)
    count = gates.count
  }

  /// The same with `patterns` for the rows, U8 [P, ⌈nK/8⌉].
  func listing(_ patterns: Tensor) -> Arrangements {
    precondition(patterns.shape == [count, stride], "a bit for each row")
    var result = self
    result.patterns = patterns
    return result
  }

  /// The same patterns with other gates, P × any number of features, through the origin.
  func with(gates vectors: Matrix) -> Arrangements {
    precondition(vectors.rows == count, "a gate for each pattern")
    var result = self
    result.gates = GateTensors(vectors: vectors.tensor, thresholds: nil)
    return result
  }

  /// The bits of a pattern, ⌈nK/8⌉ bytes.
  func bytes(of pattern: Int) -> UnsafePointer<UInt8> {
    UnsafePointer(patterns!.bytes.base.assumingMemoryBound(to: UInt8.self) + pattern * stride)
  }

  func isActive(_ pattern: Int, row: Int) -> Bool {
    bytes(of: pattern)[row >> 3] >> UInt8(row & 7) & 1 == 1
  }

  /// target_k ← `on` if row k of `rows` is active in the pattern, otherwise `off`.
  func expand(
    _ pattern: Int, _ rows: Range<Int>, on: Double = 1, off: Double = 0,
    into target: UnsafeMutablePointer<Double>
  ) {
    let bits = bytes(of: pattern)
    for (k, row) in rows.enumerated() {
      target[k] = bits[row >> 3] >> UInt8(row & 7) & 1 == 1 ? on : off
    }
  }

  /// target_k ← 1 if patch order_k of the sample is active in the pattern, otherwise 0; a sample has as many patches as
  /// `order`.
  func expand(
    _ pattern: Int, sample: Int, order: [Int], into target: UnsafeMutablePointer<Double>
  ) {
    let bits = bytes(of: pattern)
    let first = sample * order.count
    order.withUnsafeBufferPointer { order in
      for k in 0..<order.count {
        let row = first + order[k]
        target[k] = Double(bits[row >> 3] >> UInt8(row & 7) & 1)
      }
    }
  }
}

extension Examples {
  /// Throws if the patterns are those of product gates, which a solution `kind` called `name` does not have.
  func expectHalfSpaces(_ name: String, _ kind: String) throws {
    guard let arrangements, arrangements.gates.units != nil else { return }
    throw Failure.data(
      "the patterns of \(arrangements.name) are those of product gates, but \(name) is \(kind)")
  }
}
