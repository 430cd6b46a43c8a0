import Glibc
import LinearAlgebra
import Schema
import Tensors

/// A parallel linear network of L > 2 layers, f(x) = Σ_k x W_k1 W_k2 … W_kL, whose paths k have one neuron a layer: a group
/// of the norm is a path, W_k1 its filter, W_kL its output weights, and the layers between them are numbers.
///
/// The penalty is (1/L) Σ_k Σ_l ‖W_kl‖_F^L (Wang, Ergen and Pilanci 2021). Of all networks with the same outputs its least
/// value is the nuclear norm of Σ_k W_k1 … W_kL, at which the layers of a path have equal lengths.
package struct DeepLinearNetwork: NetworkFunction {
  /// The first and the last layer.
  private let outer: ReLUNetwork
  /// The network of two layers with the same outputs.
  let folded: ReLUNetwork
  /// What neurons are multiplied by in the layers between, (L − 2) × m.
  private let middle: Matrix
  private let name: String

  /// L.
  package var depth: Int { middle.rows + 2 }
  package var kind: Activation { folded.kind }
  package var outputs: Int { folded.outputs }
  package var neurons: Int { folded.neurons }
  package var filters: Matrix { folded.filters }
  package var outputWeight: Matrix { folded.outputWeight }

  /// How far the lengths of a path's layers may be apart, as a share of the largest, in a network that is to be certified.
  private static let balanceTolerance = 1e-9

  /// Takes over a bundle of kind `network` with metadata `layers`. Throws `Failure.data` if it is no linear network of that
  /// many layers.
  package init(_ bundle: Bundle) throws {
    name = bundle.name
    let layers: Int = try bundle.read(.layers)
    let weights = try bundle.require(.middleWeight)
    guard layers > 2, weights.shape[0] == layers - 2 else {
      throw Failure.data(
        "metadata \"layers\" of \(name) is \(layers), but tensor \"middle.weight\" is \(weights.summary): expected a row for "
          + "each layer between the first and the last")
    }
    var plain = bundle
    plain[.middleWeight] = nil
    plain.metadata["layers"] = nil
    let outer = try ReLUNetwork(plain)
    let middle = Matrix(try bundle.require(.middleWeight, shape: [layers - 2, outer.neurons]))
    guard outer.weightNorm == .nuclear else {
      throw Failure.data(
        "metadata \"norm\" of \(name) is \(quoted(outer.weightNorm.rawValue)), expected \"nuclear\" for a network of \(layers) "
          + "layers")
    }
    for members in outer.groups
    where members.contains(where: { middle.column($0) != middle.column(members[0]) }) {
      throw Failure.data(
        "tensor \"middle.weight\" of \(name) has several values for the neurons of one path, the first of which is neuron \(members[0])"
      )
    }
    let output = Matrix(copying: outer.outputWeight)
    for j in 0..<output.columns {
      let factor = middle.column(j).reduce(1, *)
      for c in 0..<output.rows { output[c, j] *= factor }
    }
    plain[.outputWeight] = output.tensor
    folded = try ReLUNetwork(plain)
    (self.outer, self.middle) = (outer, middle)
  }

  /// ‖W_k1‖, …, ‖W_kL‖ of the path of the neurons `members`.
  private func lengths(of members: [Int]) -> [Double] {
    let ends = outer.lengths(of: members)
    return [ends.hidden] + middle.column(members[0]).map(abs) + [ends.output]
  }

  package var penalty: Double {
    var sum = CompensatedSum()
    for members in outer.groups {
      for length in lengths(of: members) {
        sum.add(pow(length, Double(depth)), times: 1 / Double(depth))
      }
    }
    return sum.value
  }

  /// How far the lengths of a path's layers are apart at most, as a share of the largest of the path.
  package var imbalance: Double {
    outer.groups.reduce(0) { worst, members in
      let lengths = lengths(of: members)
      let (least, most) = (lengths.min() ?? 0, lengths.max() ?? 0)
      return most > 0 ? max(worst, 1 - least / most) : worst
    }
  }

  package func describe(in report: inout Report) {
    report.add("layers", depth)
    report.add("imbalance", imbalance)
  }

  package func check(against examples: Examples) throws { try folded.check(against: examples) }

  package func values(on examples: Examples) throws -> Matrix { try folded.values(on: examples) }

  package func pooledWeights(_ patches: PatchFeatures, over gates: Gates?) -> Matrix? {
    folded.pooledWeights(patches, over: gates)
  }

  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    try folded.objections(to: solution, on: examples) + imbalanceObjections
  }

  /// Says so if the layers of a path have other lengths than an optimal network's.
  var imbalanceObjections: [String] {
    if imbalance <= DeepLinearNetwork.balanceTolerance { return [] }
    return [
      "the layers of a path of \(name) have lengths that are \(imbalance) of the largest apart, expected equal ones"
    ]
  }
}
