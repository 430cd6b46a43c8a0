import Tensors

/// The second-layer units of product gates. Unit k is a network of M ReLU neurons, which takes the patches x for which its
/// output Σ_i a_ki (x · w_ki)₊ is at least 0; a gate of unit k is active where x lies in the gate's half-space and the unit
/// takes it. These are the patterns D′ D of networks of three layers (Ergen and Pilanci 2021).
package struct GateUnits: Sendable {
  /// The unit of each gate, 0 … S − 1.
  package let index: [Int]
  /// w, F64 [S, M, d].
  package let hidden: Tensor
  /// a, F64 [S, M].
  package let output: Tensor

  /// `index` are places in `hidden`, F64 [S, M, d], and `output`, F64 [S, M].
  package init(index: [Int], hidden: Tensor, output: Tensor) {
    precondition(output.shape == Array(hidden.shape.prefix(2)), "an output weight for each neuron")
    (self.index, self.hidden, self.output) = (index, hidden, output)
  }

  /// Reads the tensors that `keys` name for `count` gates of `dimension` features. Throws `Failure.data` if one of them is
  /// missing, or does not fit the others, or is not finite.
  init(_ bundle: Bundle, _ keys: GateKeys, count: Int, dimension: Int) throws {
    let all = try bundle.require(keys.unitHidden)
    let (units, width) = (all.shape[0], all.shape[1])
    guard width > 0, all.shape[2] == dimension else {
      throw Failure.data(
        "tensor \(quoted(keys.unitHidden.name)) of \(bundle.name) is \(all.summary), expected F64 [S, M, \(dimension)] "
          + "with M > 0")
    }
    try all.expectFinite(keys.unitHidden.name, of: bundle.name)
    hidden = all
    output = try bundle.require(keys.unitOutput, shape: [units, width])
    index = try bundle.require(keys.unit, shape: [count]).withElements(of: Int32.self) {
      $0.map(Int.init)
    }
    if let bad = index.first(where: { !(0..<units).contains($0) }) {
      throw Failure.data(
        "tensor \(quoted(keys.unit.name)) of \(bundle.name) holds \(bad), but there are \(units) units"
      )
    }
  }

  /// S.
  package var count: Int { hidden.shape[0] }
  /// M.
  package var width: Int { hidden.shape[1] }

  /// The units of the gates `rows`, in that order; units without a gate are left out.
  package func rows(_ rows: [Int]) -> GateUnits {
    let kept = Set(rows.map { index[$0] }).sorted()
    let place = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
    return GateUnits(
      index: rows.map { place[index[$0]]! }, hidden: hidden.rows(kept),
      output: output.rows(kept))
  }

  /// w and a of unit k.
  package func numbers(_ k: Int) -> [Double] {
    hidden.rows(k..<k + 1).doubles + output.rows(k..<k + 1).doubles
  }

  /// Puts them into `bundle` as `keys` name them.
  func write(to bundle: inout Bundle, _ keys: GateKeys) {
    bundle[keys.unit] = Tensor(index.map { Int32($0) })
    (bundle[keys.unitHidden], bundle[keys.unitOutput]) = (hidden, output)
  }
}

/// The names of the tensors that hold gates.
package struct GateKeys: Sendable {
  package let vectors, thresholds: TensorKey
  /// Those of product gates alone.
  package let unit, unitHidden, unitOutput: TensorKey

  /// The gates of a list of patterns.
  package static let patterns = GateKeys(
    vectors: .gates, thresholds: .thresholds, unit: .gatesUnit, unitHidden: .gatesHidden,
    unitOutput: .gatesOutput)
  /// The gates of a network's neurons.
  package static let neurons = GateKeys(
    vectors: .hiddenGate, thresholds: .hiddenThreshold, unit: .hiddenGateUnit,
    unitHidden: .hiddenGateHidden, unitOutput: .hiddenGateOutput)
  /// The gates of the features that the dual coefficients of a solution multiply.
  package static let dual = GateKeys(
    vectors: .dualGates, thresholds: .dualThresholds, unit: .dualGatesUnit,
    unitHidden: .dualGatesHidden, unitOutput: .dualGatesOutput)

  /// The tensors that product gates have, and half-spaces do not.
  package var units: [TensorKey] { [unit, unitHidden, unitOutput] }
  package var all: [TensorKey] { [vectors, thresholds] + units }
}

extension Bundle {
  /// Whether the gates that `keys` name are products with second-layer units.
  package func hasProductGates(_ keys: GateKeys = .patterns) -> Bool {
    keys.units.contains { self[$0] != nil }
  }
}

extension Bundle {
  /// Throws `Failure.data` if the gates of these arrangements are products with second-layer units, which `program` does not
  /// have.
  package func expectHalfSpaces(_ program: String) throws {
    guard hasProductGates() else { return }
    throw Failure.data(
      "\(name) has product gates (arrangements --depth 2), which are for activation gated-relu without batch normalisation, "
        + "not for \(program)")
  }
}
