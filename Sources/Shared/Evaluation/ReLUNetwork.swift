import LinearAlgebra
import Schema
import Tensors

/// A network of ReLU neurons, f_c(x) = Σ_j a_cj (x · u_j)₊, of gated ones,
/// f_c(x) = Σ_j a_cj 1[x · g_j ≥ t_j] (x · u_j), which product gates restrict to what their units take, or of linear ones. With more than one patch a neuron averages
/// over those of its region.
package struct ReLUNetwork: NetworkFunction {
  package let kind: Activation
  /// Half-spaces of gated neurons, each once; `nil` for others.
  let gates: NeuronGates?
  let layers: NetworkLayers
  let weightNorm: WeightNorm
  /// The weights that are a group, as the network says.
  let grouping: WeightGrouping
  /// Whether neurons have unit length, with all weight in the output.
  let isUnitNorm: Bool

  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }
  /// The neurons of each group of the norm.
  var groups: [[Int]] { layers.groups ?? (0..<neurons).map { [$0] } }

  /// ½ Σ_j (‖u_j‖² + ‖a_j‖_p²), p = 1 if the convex program has a group for each class, and 2 if it has the nuclear
  /// norm. Several neurons that share a group of the norm have ½ (Σ_j ‖u_j‖² + a²), a being the largest |a_cj|, which is that
  /// of all; with the nuclear norm their u, which is the same of all, counts once. For networks of unit-norm neurons
  /// (metadata `scaling` `unit`) the product of both lengths takes the place of half the sum of their squares.
  package var penalty: Double {
    var sum = CompensatedSum()
    for members in groups {
      let (hidden, output) = lengths(of: members)
      if isUnitNorm, members.count > 1, weightNorm == .group {
        let products = members.map { j in
          norm(filters.columns, filters.row(j))
            * outputWeight.column(j).reduce(0) { max($0, abs($1)) }
        }
        sum.add(norm(products.count, products), times: 1)
      } else if isUnitNorm {
        sum.add(hidden, times: output)
      } else {
        sum.add(0.5 * hidden, times: hidden)
        sum.add(0.5 * output, times: output)
      }
    }
    return sum.value
  }

  /// The lengths of a group's weights in both layers.
  func lengths(of members: [Int]) -> (hidden: Double, output: Double) {
    let hidden = members.map { norm(filters.columns, filters.row($0)) }
    let output = members.map { weightNorm.ofOutputs(outputWeight.column($0)) }
    // A neuron that shares its group with no other has the norm of its own weights.
    guard members.count > 1 else { return (hidden[0], output[0]) }
    switch weightNorm {
    case .group:
      let largest = members.map { outputWeight.column($0).reduce(0) { max($0, abs($1)) } }
      return (norm(hidden.count, hidden), largest.max() ?? 0)
    case .nuclear:
      return (hidden.max() ?? 0, norm(output.count, output))
    }
  }

  package init(_ bundle: Bundle) throws {
    kind = try bundle.read(.activation)
    let isGated = kind == .gatedReLU
    layers = try NetworkLayers(
      bundle,
      others: [.hiddenRegion, .hiddenGroup] + (isGated ? GateKeys.neurons.all : []),
      metadata: ["norm", "group", "scaling"])
    weightNorm = try bundle.read(.norm, default: .group)
    grouping = try bundle.read(.group, default: .perClass)
    isUnitNorm =
      try bundle.metadata["scaling"] != nil
      && bundle.value("scaling", "\"unit\" or \"balanced\"") { text in
        ["unit": true, "balanced": false][text]
      }
    gates =
      isGated
      ? NeuronGates(
        try GateTensors(
          bundle, .neurons, count: layers.neurons, dimension: layers.filters.columns
        ).all) : nil
    guard isUnitNorm else { return }
    for j in 0..<neurons {
      let length = norm(filters.columns, filters.row(j))
      guard abs(length - 1) <= PolynomialNetwork.unitTolerance else {
        throw Failure.data(
          "tensor \"hidden.weight\" of \(bundle.name): neuron \(j) has length \(length), expected 1 for metadata "
            + "\"scaling\" \"unit\"")
      }
    }
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
          gates == nil ? RectifiedLinear() : PolynomialActivation(a: 0, b: 1, c: 0),
          outputs: outputs)
      }
    guard let values else { throw examples.nonFinite() }
    return values
  }

  /// Whether summing the patches of each gate takes fewer operations than applying every neuron to every patch.
  private func isCheaperPooled(_ patches: PatchFeatures, _ gates: NeuronGates) -> Bool {
    guard patches.patchCount > 1 else { return false }
    let distinct = gates.distinct.vectors.rows
    let pooled =
      2 * patches.patchCount * distinct + distinct * patches.pooling.sizes.count * outputs
    let plain = patches.pooling.sizes.indices.reduce(0) {
      $0 + patches.pooling.sizes[$1] * layers.members(of: $1).count
    }
    // Each product costs itself, its gate's product, and the clearing by the gate.
    return pooled < 3 * plain
  }

  package func pooledWeights(_ patches: PatchFeatures, over all: Gates?) -> Matrix? {
    guard let all else { return kind.isLinear ? ownWeights(patches) : nil }
    guard let gates, let places = all.places(of: gates.distinct) else { return nil }
    return pooledWeights(
      patches.pooling.sizes, count: all.vectors.rows, places: gates.index.map { places[$0] })
  }

  /// The network as a function of the means over the patches that each of `gates` takes in each region (over all patches
  /// if it is nil): gates × R × d rows, a column for each output. Nil if it has other gates.
  func meanWeights(regions: Int, over all: Gates?) -> Matrix? {
    guard (layers.regions.max() ?? 0) < regions else { return nil }
    let ones = Array(repeating: 1, count: regions)
    guard let all else {
      return kind.isLinear
        ? pooledWeights(ones, count: 1, places: Array(repeating: 0, count: neurons)) : nil
    }
    guard let gates, let places = all.places(of: gates.distinct) else { return nil }
    return pooledWeights(ones, count: all.vectors.rows, places: gates.index.map { places[$0] })
  }

  /// The network as a function of the sums over the patches of each of its gates and region.
  private func ownWeights(_ patches: PatchFeatures) -> Matrix {
    pooledWeights(
      patches.pooling.sizes, count: gates?.distinct.vectors.rows ?? 1,
      places: gates?.index ?? Array(repeating: 0, count: neurons))
  }

  /// The same for `count` gates, the gate of neuron j in the place `places`_j, and regions of so many patches.
  private func pooledWeights(_ sizes: [Int], count: Int, places: [Int]) -> Matrix {
    let (regions, d) = (sizes.count, filters.columns)
    let result = Matrix(count * regions * d, outputs)
    for j in 0..<neurons {
      let region = layers.regions[j]
      let first = (places[j] * regions + region) * d
      for c in 0..<outputs where outputWeight[c, j] != 0 {
        let weight = outputWeight[c, j] / Double(sizes[region])
        for k in 0..<d { result[first + k, c] += weight * filters[j, k] }
      }
    }
    return result
  }
}

/// The gates of neurons, many of which may be equal.
struct NeuronGates: Sendable {
  /// Each gate once.
  let distinct: Gates
  /// The place of each neuron's gate among them.
  let index: [Int]

  init(_ gates: Gates) {
    var places: [[Double]: Int] = [:]
    var first: [Int] = []
    var index: [Int] = []
    var units: [[Double]: Int] = [:]
    for (j, key) in gates.keys(&units).enumerated() {
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

  /// The unit of the gate of neuron j; nil for half-spaces.
  func unit(of j: Int) -> Int? { distinct.units.map { $0.index[index[j]] } }

  /// The gates of the neurons `members`, in that order.
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
