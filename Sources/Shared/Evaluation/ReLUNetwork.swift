import LinearAlgebra
import Tensors

/// A network of ReLU neurons, f_c(x) = Σ_j a_cj (x · u_j)₊, of gated ones,
/// f_c(x) = Σ_j a_cj 1[x · g_j ≥ t_j] (x · u_j), or of linear ones. With more than one patch a neuron averages
/// over those of its region.
package struct ReLUNetwork: NetworkFunction {
  package let kind: NetworkKind
  /// Half-spaces of gated neurons, each once; `nil` for others.
  private let gates: NeuronGates?
  private let layers: NetworkLayers
  private let weightNorm: WeightNorm

  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }

  /// ½ Σ_j (‖u_j‖² + ‖a_j‖_p²), p = 1 where the convex program has a group a class, and 2 where it has
  /// the nuclear norm. Neurons that share a group of the norm have ½ (Σ_j ‖u_j‖² + a²), a being the largest
  /// |a_cj|, which is that of all; with the nuclear norm their u, which is the same of all, counts once.
  package var penalty: Double {
    var sum = CompensatedSum()
    guard let groups = layers.groups else {
      for j in 0..<neurons {
        addSquare(norm(filters.columns, filters.row(j)), to: &sum)
        addSquare(weightNorm.ofOutputs(outputWeight.column(j)), to: &sum)
      }
      return 0.5 * sum.value
    }
    for members in groups {
      var hidden = 0.0
      var output = 0.0
      for j in members {
        let length = norm(filters.columns, filters.row(j))
        switch weightNorm {
        case .group:
          addSquare(length, to: &sum)
          output = outputWeight.column(j).reduce(output) { max($0, abs($1)) }
        case .nuclear:
          hidden = max(hidden, length)
          addSquare(weightNorm.ofOutputs(outputWeight.column(j)), to: &sum)
        }
      }
      addSquare(hidden, to: &sum)
      addSquare(output, to: &sum)
    }
    return 0.5 * sum.value
  }

  private func addSquare(_ value: Double, to sum: inout CompensatedSum) {
    sum.add(value, times: value)
  }

  package init(_ bundle: Bundle) throws {
    kind = try NetworkKind(bundle)
    let isGated = kind == .gatedReLU
    let unused =
      ["hidden.bias", "output.bias"] + (isGated ? [] : ["hidden.gate", "hidden.threshold"])
    layers = try NetworkLayers(bundle, unused: unused)
    weightNorm = try WeightNorm(bundle)
    gates =
      isGated
      ? NeuronGates(
        try GateTensors(
          bundle, "hidden.gate", threshold: "hidden.threshold", count: layers.neurons,
          dimension: layers.filters.columns
        ).all) : nil
  }

  package func check(against examples: Examples) throws {
    guard case .patches = examples.features else {
      throw Failure.data(
        "\(examples.name) is a bundle of kind \"moments\", which do not tell the outputs of a network "
          + "with activation \"\(kind.text)\", expected dataset or arrangements")
    }
    try layers.check(against: examples)
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let values: Matrix? =
      if kind.isLinear {
        pooledForwardPass(patches, .all, ownWeights(patches), outputs: outputs)
      } else if let gates, isCheaperPooled(patches, gates) {
        pooledForwardPass(
          patches, .gates(gates.distinct), ownWeights(patches), outputs: outputs)
      } else {
        forwardPass(
          patches, layers.groups(regionCount: examples.regionCount, gates: gates),
          gates == nil ? RectifiedLinear() : PolynomialActivation(0, 1, 0), outputs: outputs)
      }
    guard let values else { throw examples.nonFinite() }
    return values
  }

  /// Whether it takes fewer operations to sum up the patches that each gate takes than to apply every neuron to
  /// every patch.
  private func isCheaperPooled(_ patches: PatchFeatures, _ gates: NeuronGates) -> Bool {
    guard patches.patchCount > 1 else { return false }
    let distinct = gates.distinct.vectors.rows
    let pooled =
      2 * patches.patchCount * distinct + distinct * patches.regionSizes.count * outputs
    let plain = patches.regionSizes.indices.reduce(0) {
      $0 + patches.regionSizes[$1] * layers.members(of: $1).count
    }
    // A product, its gate's, and what is cleared of it by the gate.
    return pooled < 3 * plain
  }

  package func pooledWeights(_ patches: PatchFeatures, over all: Gates?) -> Matrix? {
    guard let all else { return kind.isLinear ? ownWeights(patches) : nil }
    guard let gates, let places = all.places(of: gates.distinct) else { return nil }
    return pooledWeights(patches, count: all.vectors.rows, places: gates.index.map { places[$0] })
  }

  /// The network as a function of the sums over the patches of each of its gates and region.
  private func ownWeights(_ patches: PatchFeatures) -> Matrix {
    pooledWeights(
      patches, count: gates?.distinct.vectors.rows ?? 1,
      places: gates?.index ?? Array(repeating: 0, count: neurons))
  }

  /// The same where there are `count` gates, that of neuron j in the place `places`_j.
  private func pooledWeights(_ patches: PatchFeatures, count: Int, places: [Int]) -> Matrix {
    let (regions, d) = (patches.regionSizes.count, filters.columns)
    let result = Matrix(count * regions * d, outputs)
    for j in 0..<neurons {
      let region = layers.regions[j]
      let first = (places[j] * regions + region) * d
      for c in 0..<outputs where outputWeight[c, j] != 0 {
        let weight = outputWeight[c, j] / Double(patches.regionSizes[region])
        for k in 0..<d { result[first + k, c] += weight * filters[j, k] }
      }
    }
    return result
  }
}

/// The gates of neurons, of which many may have the same.
struct NeuronGates: Sendable {
  /// Each gate once.
  let distinct: Gates
  /// Which of them a neuron has.
  let index: [Int]

  init(_ gates: Gates) {
    var places: [[Double]: Int] = [:]
    var first: [Int] = []
    var index: [Int] = []
    for j in 0..<gates.vectors.rows {
      let key = gates.numbers(j)
      if let place = places[key] {
        index.append(place)
      } else {
        places[key] = first.count
        index.append(first.count)
        first.append(j)
      }
    }
    distinct = gates.selecting(first)
    self.index = index
  }

  private init(distinct: Gates, index: [Int]) {
    self.distinct = distinct
    self.index = index
  }

  /// Those of the neurons `members`, in that order.
  func selecting(_ members: [Int]) -> NeuronGates {
    var places: [Int: Int] = [:]
    var used: [Int] = []
    let index = members.map { member in
      if let place = places[self.index[member]] { return place }
      places[self.index[member]] = used.count
      used.append(self.index[member])
      return used.count - 1
    }
    return NeuronGates(distinct: distinct.selecting(used), index: index)
  }
}
