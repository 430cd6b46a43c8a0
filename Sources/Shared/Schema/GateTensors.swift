import Tensors

/// Gates as a bundle holds them: neuron or pattern i is active if x · g_i ≥ t_i and, of product gates, the second-layer unit
/// of the gate takes x.
package struct GateTensors: Sendable {
  /// g, F64 [m, d].
  package let vectors: Tensor
  /// t, F64 [m]; nil if all are 0.
  package let thresholds: Tensor?
  /// The units that the gates are multiplied by; nil if they are half-spaces.
  package let units: GateUnits?

  package init(vectors: Tensor, thresholds: Tensor?, units: GateUnits? = nil) {
    (self.vectors, self.thresholds, self.units) = (vectors, thresholds, units)
  }

  /// Reads the gates that `keys` name. `count` and `dimension` are what they must have, if that is known. Throws
  /// `Failure.data` if they have not, or are not finite.
  package init(
    _ bundle: Bundle, _ keys: GateKeys = .patterns, count: Int? = nil, dimension: Int
  ) throws {
    vectors = try bundle.require(keys.vectors)
    guard vectors.shape == [count ?? vectors.shape[0], dimension] else {
      throw Failure.data(
        "tensor \(quoted(keys.vectors.name)) of \(bundle.name) is \(vectors.summary), expected F64 "
          + "[\(count.map(String.init) ?? "P"), \(dimension)]")
    }
    try vectors.expectFinite(keys.vectors.name, of: bundle.name)
    thresholds =
      bundle[keys.thresholds] == nil
      ? nil : try bundle.require(keys.thresholds, shape: [vectors.shape[0]])
    units =
      bundle.hasProductGates(keys)
      ? try GateUnits(bundle, keys, count: vectors.shape[0], dimension: dimension) : nil
  }

  /// m.
  package var count: Int { vectors.shape[0] }

  /// The gates `rows`, in that order.
  package func rows(_ rows: [Int]) -> GateTensors {
    GateTensors(
      vectors: vectors.rows(rows), thresholds: thresholds?.rows(rows),
      units: units?.rows(rows))
  }

  /// g, t and the numbers of the unit of gate i: gates are equal if these are.
  package func numbers(_ i: Int) -> [Double] {
    vectors.rows(i..<i + 1).doubles + [thresholds?.rows(i..<i + 1).doubles[0] ?? 0]
      + (units.map { $0.numbers($0.index[i]) } ?? [])
  }

  /// Whether both have the same numbers, to the last bit.
  package func isSame(as other: GateTensors) -> Bool {
    vectors.shape == other.vectors.shape && vectors.doubles == other.vectors.doubles
      && thresholds?.doubles == other.thresholds?.doubles && units?.index == other.units?.index
      && units?.hidden.shape == other.units?.hidden.shape
      && units?.hidden.doubles == other.units?.hidden.doubles
      && units?.output.doubles == other.units?.output.doubles
  }

  /// Puts them into `bundle` as `keys` name them.
  package func write(to bundle: inout Bundle, _ keys: GateKeys = .patterns) {
    bundle[keys.vectors] = vectors
    bundle[keys.thresholds] = thresholds
    for key in keys.units { bundle[key] = nil }
    units?.write(to: &bundle, keys)
  }
}

/// The activation patterns that a bundle of kind `arrangements` has for its data.
package struct PatternTensors: Sendable {
  /// The gates that attain the P patterns.
  package let gates: GateTensors
  /// U8 [P, ⌈nK/8⌉], a bit for each patch of each sample, least significant first; nil if the gates imply them.
  package let patterns: Tensor?
  /// Whether the bundle says that these are all patterns of its data.
  package let isExact: Bool

  /// `patterns` are those of the `gates`, or nil if these imply them.
  package init(gates: GateTensors, patterns: Tensor?, isExact: Bool = false) {
    (self.gates, self.patterns, self.isExact) = (gates, patterns, isExact)
  }

  /// Reads the patterns of `samples` samples of K = `patches` patches of d = `dimension` features. They may be missing
  /// if the gates imply them. Throws `Failure.data` if the tensors do not fit each other or the data, or there are
  /// none.
  package init(
    _ bundle: Bundle, samples: Int, patches: Int, dimension: Int, gatesImplyPatterns: Bool
  ) throws {
    patterns = gatesImplyPatterns ? try bundle.optional(.patterns) : try bundle.require(.patterns)
    let (rows, stride) = (samples * patches, (samples * patches + 7) / 8)
    if let patterns, patterns.shape[1] != stride {
      throw Failure.data(
        "tensor \"patterns\" of \(bundle.name) is \(patterns.summary), expected U8 "
          + "[\(patterns.shape[0]), \(stride)], a bit for each of \(rows) "
          + (patches == 1 ? "samples" : "patches"))
    }
    let list = try patterns ?? bundle.require(.gates)
    guard list.shape[0] > 0 else {
      throw Failure.data(
        "tensor \(patterns == nil ? "\"gates\"" : "\"patterns\"") of \(bundle.name) is \(list.summary): there are "
          + "no patterns")
    }
    gates = try GateTensors(bundle, count: patterns?.shape[0], dimension: dimension)
    isExact = try bundle.read(.exact, default: false)
  }
}

extension GateTensors {
  /// Gates that are counted over several lists, of `counts` gates, as those of each list.
  package static func split(_ members: [Int], over counts: [Int]) -> [[Int]] {
    var first = 0
    return counts.map { count in
      let range = first..<first + count
      first = range.upperBound
      return members.filter(range.contains).map { $0 - range.lowerBound }
    }
  }
}
