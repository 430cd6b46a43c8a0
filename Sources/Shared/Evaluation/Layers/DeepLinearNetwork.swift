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
  private let layers: MiddleLayers
  /// The network of two layers with the same outputs.
  let folded: ReLUNetwork
  private let name: String

  /// The first and the last layer.
  private var outer: ReLUNetwork { layers.outer }
  /// What neurons are multiplied by in the layers between, (L − 2) × m.
  private var middle: Matrix { layers.weights }
  /// L.
  package var depth: Int { layers.depth }
  package var kind: Activation { folded.kind }
  package var outputs: Int { folded.outputs }
  package var neurons: Int { folded.neurons }
  package var filters: Matrix { folded.filters }
  package var outputWeight: Matrix { folded.outputWeight }

  /// Takes over a bundle of kind `network` with metadata `layers`. Throws `Failure.data` if it is no linear network of that
  /// many layers.
  package init(_ bundle: Bundle) throws {
    name = bundle.name
    layers = try MiddleLayers(bundle)
    folded = try ReLUNetwork(layers.folded(keepingGroups: true))
    guard outer.weightNorm == .nuclear else {
      throw Failure.data(
        "metadata \"norm\" of \(name) is \(quoted(outer.weightNorm.rawValue)), expected \"nuclear\" for a network of \(layers.depth) "
          + "layers")
    }
    for members in outer.groups
    where members.contains(where: { middle.column($0) != middle.column(members[0]) }) {
      throw Failure.data(
        "tensor \"middle.weight\" of \(name) has several values for the neurons of one path, the first of which is neuron \(members[0])"
      )
    }
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
  package var imbalance: Double { outer.groups.map { spread(lengths(of: $0)) }.max() ?? 0 }

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
    if imbalance <= MiddleLayers.balanceTolerance { return [] }
    return [MiddleLayers.objection(toImbalance: imbalance, of: "path", in: name)]
  }
}
