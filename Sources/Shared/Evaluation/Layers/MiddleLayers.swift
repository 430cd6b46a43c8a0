import LinearAlgebra
import Schema
import Tensors

/// The layers of a network of L > 2 layers: the first and the last as those of a network of two, and between them numbers,
/// by which each neuron is multiplied.
struct MiddleLayers {
  /// The first and the last layer.
  let outer: ReLUNetwork
  /// (L − 2) × m.
  let weights: Matrix
  /// The bundle without the layers between.
  private let plain: Bundle

  /// L.
  var depth: Int { weights.rows + 2 }

  /// How far the lengths of the layers of a path, or a unit, may be apart, as a share of the largest, in a network that is to
  /// be certified.
  static let balanceTolerance = 1e-9

  /// Throws `Failure.data` if metadata `layers` and tensor `middle.weight` do not fit.
  init(_ bundle: Bundle) throws {
    let layers: Int = try bundle.read(.layers)
    let weights = try bundle.require(.middleWeight)
    guard layers > 2, weights.shape[0] == layers - 2 else {
      throw Failure.data(
        "metadata \"layers\" of \(bundle.name) is \(layers), but tensor \"middle.weight\" is \(weights.summary): expected a row "
          + "for each layer between the first and the last")
    }
    var plain = bundle
    plain[.middleWeight] = nil
    plain.metadata["layers"] = nil
    outer = try ReLUNetwork(plain)
    self.weights = Matrix(try bundle.require(.middleWeight, shape: [layers - 2, outer.neurons]))
    self.plain = plain
  }

  /// The network of two layers with the same outputs: output weights times the numbers between.
  func folded(keepingGroups: Bool) -> Bundle {
    let output = Matrix(copying: outer.outputWeight)
    for j in 0..<output.columns {
      let factor = weights.column(j).reduce(1, *)
      for c in 0..<output.rows { output[c, j] *= factor }
    }
    var result = plain
    result[.outputWeight] = output.tensor
    if !keepingGroups { result[.hiddenGroup] = nil }
    return result
  }

  static func objection(toImbalance imbalance: Double, of what: String, in name: String) -> String {
    "the layers of a \(what) of \(name) have lengths that are \(imbalance) of the largest apart, expected equal ones"
  }
}

/// How far the least of `lengths` is from the largest, as a share of it.
func spread(_ lengths: [Double]) -> Double {
  let (least, most) = (lengths.min() ?? 0, lengths.max() ?? 0)
  return most > 0 ? 1 - least / most : 0
}
