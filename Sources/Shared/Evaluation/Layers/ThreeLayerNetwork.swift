import Glibc
import LinearAlgebra
import Schema
import Tensors

/// A network of three layers, f_c(x) = Σ_k o_k (Σ_j a_kj (x · w_kj)₊)₊, each neuron k of the second layer being for one output c: the
/// neurons of the first that lead to it are a group of the norm. Of gated neurons product gates take the place of both ReLUs,
/// o_k 1[unit k takes x] Σ_j a_kj 1[x · g_kj ≥ t_kj] (x · w_kj): those of a group have one unit.
///
/// The penalty is (1/3) Σ_k (‖W_k‖_F³ + ‖a_k‖³ + |o_k|³) (Ergen and Pilanci 2021). Of all weights with the same outputs its
/// least value is Σ_kj ‖o_k a_kj w_kj‖, the norm of the convex program.
package struct ThreeLayerNetwork: NetworkFunction {
  /// The first and the last layer.
  private let outer: ReLUNetwork
  /// The network of two layers with the same outputs.
  private let folded: ReLUNetwork
  /// a of each neuron of the first layer.
  private let middle: [Double]
  private let name: String

  package var kind: Activation { folded.kind }
  package var outputs: Int { folded.outputs }
  package var neurons: Int { folded.neurons }
  package var filters: Matrix { folded.filters }
  package var outputWeight: Matrix { folded.outputWeight }

  /// Takes over a bundle of kind `network` with metadata `layers` and activation `gated-relu` or `relu`. Throws `Failure.data` if
  /// it is no network of three layers.
  package init(_ bundle: Bundle) throws {
    name = bundle.name
    let layers = try MiddleLayers(bundle)
    guard layers.depth == 3 else {
      throw Failure.data(
        "metadata \"layers\" of \(name) is \(layers.depth), expected 3 for activation \(layers.outer.kind.text)"
      )
    }
    (outer, middle) = (layers.outer, layers.weights.values)
    folded = try ReLUNetwork(layers.folded(keepingGroups: false))
    guard outer.weightNorm == .group, outer.grouping == .perClass, outer.layers.groups != nil,
      outer.kind == .relu || outer.gates?.distinct.units != nil
    else {
      throw Failure.data(
        "\(name) has three layers, but no tensor \"hidden.group\", half-spaces as gates, or another norm than that of groups a class"
      )
    }
    for (k, members) in outer.groups.enumerated() {
      let column = outer.outputWeight.column(members[0])
      guard Set(members.map { outer.gates?.unit(of: $0) }).count == 1,
        members.allSatisfy({ outer.outputWeight.column($0) == column }),
        column.count(where: { $0 != 0 }) <= 1
      else {
        throw Failure.data(
          "the neurons of group \(k) of tensor \"hidden.group\" of \(name) have gates of several units or several output weights, "
            + "expected those of one neuron of the second layer")
      }
    }
  }

  /// ‖W_k‖_F, ‖a_k‖ and |o_k| of the neuron of the second layer with the neurons `members` of the first.
  private func lengths(of members: [Int]) -> [Double] {
    let hidden = members.map { norm(outer.filters.columns, outer.filters.row($0)) }
    let own = members.map { middle[$0] }
    let output = outer.outputWeight.column(members[0]).reduce(0) { max($0, abs($1)) }
    return [norm(hidden.count, hidden), norm(own.count, own), output]
  }

  package var penalty: Double {
    var sum = CompensatedSum()
    for members in outer.groups {
      for length in lengths(of: members) { sum.add(length * length * length, times: 1 / 3) }
    }
    return sum.value
  }

  package func describe(in report: inout Report) {
    report.add("layers", 3)
    report.add("units", outer.groups.count)
    report.add("imbalance", imbalance)
  }

  /// How far the lengths of a unit's layers are apart at most, as a share of the largest.
  package var imbalance: Double { outer.groups.map { spread(lengths(of: $0)) }.max() ?? 0 }

  package func check(against examples: Examples) throws {
    try folded.check(against: examples)
    guard kind != .relu || isOfOnePatch(examples) else {
      throw Failure.data(
        "\(examples.summary), expected one patch a sample for \(name), which has three layers")
    }
  }

  private func isOfOnePatch(_ examples: Examples) -> Bool {
    guard case .patches(let patches) = examples.features else { return false }
    return patches.patchCount == 1
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard kind == .relu else { return try folded.values(on: examples) }
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let result = Matrix(x.rows, outputs)
    let products = product(x, .plain, outer.filters, .transposed)
    for i in 0..<x.rows {
      for members in outer.groups {
        var sum = CompensatedSum()
        for j in members where products[i, j] > 0 { sum.add(middle[j], times: products[i, j]) }
        guard sum.value > 0 else { continue }
        for c in 0..<outputs { result[i, c] += outer.outputWeight[c, members[0]] * sum.value }
      }
    }
    return result
  }

  package func pooledWeights(_ patches: PatchFeatures, over gates: Gates?) -> Matrix? {
    kind == .relu ? nil : folded.pooledWeights(patches, over: gates)
  }

  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    var found: [String] = []
    if kind == .relu {
      guard let solution = solution as? ThreeLayerSolution else {
        return ["\(name) has three layers, but \(solution.program.name) has two"]
      }
      let most = outer.groups.map(\.count).max() ?? 0
      if most > solution.width, solution.width < examples.count {
        found.append(
          "a neuron of the second layer of \(name) has \(most) of the first below it, but metadata \"unit_width\" of "
            + "\(solution.program.name) is \(solution.width)")
      }
    } else {
      found = try folded.objections(to: solution, on: examples)
    }
    if imbalance > MiddleLayers.balanceTolerance {
      found.append(MiddleLayers.objection(toImbalance: imbalance, of: "unit", in: name))
    }
    return found
  }
}
