import LinearAlgebra
import Patches
import Schema
import Tensors

/// Gates that were drawn, and their thresholds.
package struct SampledGates {
  /// P × d, all different.
  package let gates: Matrix
  /// The thresholds, if gates cut elsewhere than at 0.
  package let thresholds: [Double]?
  /// The second-layer units of product gates.
  package private(set) var units: GateUnits?

  package var tensors: GateTensors {
    let isCut = thresholds?.contains { $0 != 0 } ?? false
    return GateTensors(
      vectors: gates.tensor, thresholds: isCut ? thresholds.map { Tensor($0) } : nil, units: units)
  }

  /// Draws `count` gates and leaves out those that equal an earlier one. With `cut` T a row is active if x·g ≥ T ‖g‖.
  package init(
    _ rows: DataRows, count: Int, sampler: GateSampler, cut: Double, seed: Int,
    window: (size: Int, shape: PatchShape)? = nil,
    progress: (_ iteration: Int) -> Void = { _ in }
  ) throws {
    let d = rows.dimension
    var numbers = 2 * Double(count) * Double(d)
    if sampler == .kMeans {
      guard d > (rows.hasConstant ? 1 : 0) else {
        throw Failure.data("there is nothing to find centroids of: the one feature is the constant")
      }
      let (samples, each) = GateSampler.rowsForCentroids(count, of: rows)
      numbers +=
        Double(samples) * Double(each) * Double(2 * d + 4) + 8192 * Double(count)
    }
    try expectMemory(
      8 * numbers, for: "\(count) gates for \(rows.count) rows of \(d) features")
    let drawn = sampler.gates(
      count, for: rows, seed: seed, window: window, progress: progress)
    guard drawn.rows > 0 else {
      throw Failure.data("there is nothing to find centroids of: all features are 0")
    }
    var seen: Set<[Double]> = []
    let kept = (0..<drawn.rows).filter { i in
      // −0 equals 0 here, as it does in every product.
      seen.insert(Array(UnsafeBufferPointer(start: drawn.row(i), count: d))).inserted
    }
    let gates = kept.count == drawn.rows ? drawn : drawn.selecting(kept)
    self.gates = gates
    thresholds = cut == 0 ? nil : (0..<gates.rows).map { cut * norm(d, gates.row($0)) }
  }

  /// The gates of a `network` bundle's neurons: of gated ones their own, of ReLU neurons their filters. Equal ones, and
  /// filters of zeros, are left out.
  package init(network given: Bundle, rows: DataRows) throws {
    try given.expect(.network)
    guard !JointBundle.isJoint(given) else {
      throw Failure.data(
        "\(given.name) has several parts, each with patches of its own: expected a network of one")
    }
    let bundle = try given.foldingBiases()
    let activation = try bundle.read(.activation)
    guard activation == .relu || activation == .gatedReLU else {
      throw Failure.data(
        "\(bundle.name) has the activation \(quoted(activation.text)), expected relu or gated-relu: its neurons have no patterns"
      )
    }
    let d = rows.dimension
    let tensors =
      activation == .gatedReLU
      ? try GateTensors(bundle, .neurons, dimension: d)
      : GateTensors(
        vectors: try bundle.require(
          .hiddenWeight, shape: [try bundle.require(.hiddenWeight).shape[0], d]), thresholds: nil)
    let vectors = Matrix(tensors.vectors)
    let cuts = tensors.thresholds?.doubles
    var seen: Set<[Double]> = []
    let kept = (0..<vectors.rows).filter { j in
      (0..<d).contains { vectors[j, $0] != 0 } && seen.insert(tensors.numbers(j)).inserted
    }
    guard !kept.isEmpty else {
      throw Failure.data("\(bundle.name) has no neurons whose patterns could be listed")
    }
    gates = vectors.selecting(kept)
    let chosen = cuts.map { all in kept.map { all[$0] } }
    thresholds = chosen?.contains { $0 != 0 } == true ? chosen : nil
    units = tensors.units?.rows(kept)
  }

  init(gates: Matrix, thresholds: [Double]?, units: GateUnits? = nil) {
    self.gates = gates
    self.thresholds = thresholds
    self.units = units
  }

  /// The gates `kept`, in that order.
  func selecting(_ kept: [Int]) -> SampledGates {
    SampledGates(
      gates: gates.selecting(kept), thresholds: thresholds.map { t in kept.map { t[$0] } },
      units: units?.rows(kept))
  }

  /// These gates after one of zeros with the threshold 0, which every row opens, x·0 ≥ 0, of whatever data; a gate of zeros
  /// among these is left out. The unit of product gates that goes with it has zeros too.
  package func withOpenGate() -> SampledGates {
    let d = gates.columns
    let kept = (0..<gates.rows).filter { i in
      (0..<d).contains { gates.row(i)[$0] != 0 } || thresholds.map { $0[i] != 0 } == true
    }
    let result = Matrix(kept.count + 1, d)
    for (place, i) in kept.enumerated() {
      result.row(place + 1).update(from: gates.row(i), count: d)
    }
    return SampledGates(
      gates: result, thresholds: thresholds.map { t in [0] + kept.map { t[$0] } },
      units: units?.rows(kept).withOpenUnit())
  }
}

/// Patterns with the gates that attain them.
package struct GatedPatterns {
  package let patterns: Patterns
  /// P of them.
  package let sampled: SampledGates

  /// P × d.
  package var gates: Matrix { sampled.gates }
  /// The thresholds, if gates cut elsewhere than at 0.
  package var thresholds: [Double]? { sampled.thresholds }

  /// The distinct patterns among those of `drawn` gates, each with the first gate that has it, in the order in
  /// which they were drawn.
  package init(
    of drawn: SampledGates, on rows: DataRows, progress: (_ done: Int) -> Void = { _ in }
  ) throws {
    let (n, d, bytes) = (Double(rows.count), Double(rows.dimension), Patterns.stride(rows.count))
    let neurons = Double(drawn.units.map { $0.count * $0.width } ?? 0)
    // Gates and patterns, all and those that are kept, the table of patterns, blocks of products.
    try expectMemory(
      Double(drawn.gates.rows) * (2 * (8 * d + Double(bytes)) + 32) + 24 * neurons * d
        + 8 * min(n, 2048) * d + 8e6,
      for: "the patterns of \(drawn.gates.rows) gates on \(rows.count) rows")
    let all = Patterns.signs(
      of: rows, gates: drawn.gates, thresholds: drawn.thresholds,
      units: drawn.units.map { UnitSigns($0) }, progress: progress)
    let kept = all.firstOccurrences
    let isAll = kept.count == all.count
    patterns = isAll ? all : all.selecting(kept)
    sampled = isAll ? drawn : drawn.selecting(kept)
  }

  init(patterns: Patterns, gates: Matrix, thresholds: [Double]?) {
    self.patterns = patterns
    sampled = SampledGates(gates: gates, thresholds: thresholds)
  }
}
