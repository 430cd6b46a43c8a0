import LinearAlgebra
import Schema
import Tensors

/// What of a network's hidden layer goes on to the next stage.
package enum LayerChoice: Sendable, Equatable {
  /// The neurons as they stand, each filter with its gate once: all of them, or those with the largest weights ‖u‖ ‖a‖.
  case neurons(keep: Int?)
  /// So many leading singular directions of the weights u aᵀ of each gate.
  case directions(Int)
  /// The gates, of unit length: (x · g − t)₊.
  case responses
}

extension LayerStack {
  /// The hidden layers of `networks`, each of which was trained on what those before it put out, so that the last one
  /// tells of all: its own layer comes after those that its data went through. `choice` is about that one, and `average` is
  /// the side of the squares of positions that are averaged in it. Throws `Failure.data` if a network has no such layer, or
  /// the last was trained on others.
  package init(of networks: [Bundle], _ choice: LayerChoice, average: Int) throws {
    self.init()
    guard let last = networks.last else { return }
    for network in networks {
      try network.expect(.network)
      guard !JointBundle.isJoint(network) else {
        throw Failure.data(
          "\(network.name) has several parts, expected a network of one: a stage has one grid of patches"
        )
      }
    }
    self = try LayerStack(last)
    let earlier = networks.dropLast()
    guard earlier.isEmpty || earlier.count == layers.count else {
      throw Failure.data(
        "\(last.name) was trained on data that went through \(layers.count) layer\(layers.count == 1 ? "" : "s"), but "
          + "\(earlier.count) come\(earlier.count == 1 ? "s" : "") before it: the last network alone suffices"
      )
    }
    for (layer, network) in zip(layers, earlier) where !layer.part.isCut(like: network) {
      throw Failure.data(
        "\(last.name) was trained on what another network than \(network.name) put out: the last network alone suffices"
      )
    }
    try append(LayerStack.part(of: last, choice, average: average))
  }

  /// The layers after the first `other.layers.count`, which must be those of `other`: `name` has gone through them.
  /// Throws `Failure.data` if they are not.
  package func remaining(after other: LayerStack, of name: String) throws -> [HiddenLayer] {
    guard layers.count >= other.layers.count,
      zip(layers, other.layers).allSatisfy({ $0.part.isSameLayer(as: $1.part) })
    else {
      throw Failure.data(
        "\(name) went through \(other.layers.count) layer\(other.layers.count == 1 ? "" : "s") that the network's own "
          + "data did not go through")
    }
    return Array(layers.dropFirst(other.layers.count))
  }

  private static func part(
    of network: Bundle, _ choice: LayerChoice, average: Int
  ) throws -> Bundle {
    guard try network.read(.activation) != .quantized else {
      throw Failure.data(
        "\(network.name) is a quantised network, which has no hidden layer of this kind")
    }
    guard network.metadata["layers"] == nil else {
      throw Failure.data(
        "\(network.name) has more than two layers: which of them is a stage cannot be told")
    }
    guard network.metadata["batch_norm"] == nil else {
      throw Failure.data(
        "\(network.name) has batch normalisation: its hidden layer cannot be a stage of its own")
    }
    var part = Bundle(name: "the hidden layer of \(network.name)")
    // Classes are those of its outputs.
    part.metadata = network.metadata.filter {
      Preparation.inherited.contains($0.key) && $0.key != "classes" || $0.key == "activation"
    }
    for key in FittedStatistics.keys
    where key.name != TensorKey.targetShift.name
      && key.name != TensorKey.targetDivisor.name
    {
      part[key] = network[key]
    }
    if average > 1 { part.metadata["average"] = "\(average)" }
    let neurons = try ChosenNeurons(network)
    switch choice {
    case .neurons(let keep): neurons.write(keep: keep, to: &part)
    case .directions(let count): try neurons.writeDirections(count, to: &part)
    case .responses: try neurons.writeResponses(to: &part)
    }
    return part
  }
}

extension Bundle {
  /// Whether `network` looked at the patches, or the features, that this layer looks at.
  fileprivate func isCut(like network: Bundle) -> Bool {
    let keys: [TensorKey] = [.mean, .whiten, .shift, .divisor]
    return Preparation.choices.allSatisfy { metadata[$0] == network.metadata[$0] }
      && keys.allSatisfy {
        self[$0]?.shape == network[$0]?.shape && self[$0]?.doubles == network[$0]?.doubles
      }
      && self[.hiddenWeight]?.shape.last == network[.hiddenWeight]?.shape.last
  }

  fileprivate func isSameLayer(as other: Bundle) -> Bool {
    tensors.keys.sorted() == other.tensors.keys.sorted()
      && tensors.allSatisfy { name, tensor in
        tensor.shape == other.tensors[name]!.shape && tensor.doubles == other.tensors[name]!.doubles
      } && metadata == other.metadata
  }
}

/// The neurons of a network, of which a layer is made.
private struct ChosenNeurons {
  private let name: String
  private let hidden: Matrix
  private let output: Matrix
  private let gates: GateTensors?
  private let bias: [Double]?

  init(_ network: Bundle) throws {
    name = network.name
    let (weights, outputs) = (
      try network.require(.hiddenWeight), try network.require(.outputWeight)
    )
    let (m, d) = (weights.shape[0], weights.shape[1])
    guard outputs.shape[1] == m, m > 0 else {
      throw Failure.data(
        "tensor \"hidden.weight\" of \(name) is \(weights.summary), tensor \"output.weight\" is \(outputs.summary): "
          + (m == 0 ? "there are no neurons" : "expected as many neurons"))
    }
    try outputs.expectFinite(TensorKey.outputWeight.name, of: name)
    try weights.expectFinite(TensorKey.hiddenWeight.name, of: name)
    hidden = Matrix(m, d, weights.doubles)
    output = Matrix(outputs.shape[0], m, outputs.doubles)
    gates =
      network[.hiddenGate] == nil
      ? nil : try GateTensors(network, .neurons, count: m, dimension: d)
    bias = try network[.hiddenBias].map { _ in
      try network.require(.hiddenBias, shape: [m]).doubles
    }
  }

  /// The number of the first neuron of which each is a copy, as far as `key` tells.
  private func groups(_ key: (Int) -> [Double]) -> [[Int]] {
    var places: [[Double]: Int] = [:]
    var result: [[Int]] = []
    for j in 0..<hidden.rows {
      let key = key(j)
      if let place = places[key] {
        result[place].append(j)
      } else {
        places[key] = result.count
        result.append([j])
      }
    }
    return result
  }

  private func gate(_ j: Int) -> [Double] { gates?.numbers(j) ?? [] }

  private func filter(_ j: Int) -> [Double] {
    Array(UnsafeBufferPointer(start: hidden.row(j), count: hidden.columns))
  }

  func write(keep: Int?, to part: inout Bundle) {
    let groups = groups { filter($0) + gate($0) + [bias?[$0] ?? 0] }
    var chosen = Array(groups.indices)
    if let keep, keep < chosen.count {
      let sizes = groups.map { members in
        members.reduce(0.0) { sum, j in
          let length = norm(hidden.columns, hidden.row(j))
          return (0..<output.rows).reduce(sum) {
            $0 + length * length * output[$1, j] * output[$1, j]
          }
        }
      }
      chosen.sort { sizes[$0] == sizes[$1] ? $0 < $1 : sizes[$0] > sizes[$1] }
      chosen = chosen.prefix(keep).sorted()
    }
    let rows = chosen.map { groups[$0][0] }
    part[.hiddenWeight] = tensor(rows.map(filter))
    gates?.rows(rows).write(to: &part, .neurons)
    part[.hiddenBias] = bias.map { all in Tensor(rows.map { all[$0] }) }
  }

  private func tensor(_ rows: [[Double]]) -> Tensor {
    Tensor(rows.flatMap(\.self), shape: [rows.count, hidden.columns])
  }

  private func expectGates(_ option: String) throws -> GateTensors {
    guard let gates else {
      throw Failure.data(
        "--\(option) is for gated networks, but the neurons of \(name) have no gates")
    }
    return gates
  }

  func writeDirections(_ count: Int, to part: inout Bundle) throws {
    let gates = try expectGates("directions")
    let d = hidden.columns
    var (filters, rows): ([[Double]], [Int]) = ([], [])
    for members in groups(gate) {
      let weights = members.flatMap { j in
        (0..<output.rows).filter { output[$0, j] != 0 }.map { c in
          filter(j).map { $0 * output[c, j] }
        }
      }
      guard !weights.isEmpty,
        let parts = SingularValues(Matrix(weights.count, d, weights.flatMap(\.self))),
        let largest = parts.values.first, largest > 0
      else { continue }
      for k in 0..<min(count, parts.values.count) where parts.values[k] > 1e-12 * largest {
        var direction = Array(UnsafeBufferPointer(start: parts.right.row(k), count: d))
        // Either sign would do: that of the largest entry is plus.
        let peak = direction.max { abs($0) < abs($1) }!
        if peak < 0 { direction = direction.map { -$0 } }
        filters.append(direction)
        rows.append(members[0])
      }
    }
    part[.hiddenWeight] = tensor(filters)
    gates.rows(rows).write(to: &part, .neurons)
  }

  func writeResponses(to part: inout Bundle) throws {
    let own = try expectGates("responses")
    guard own.units == nil else {
      throw Failure.data(
        "--responses is for gates that are half-spaces, but those of \(name) are products with second-layer units"
      )
    }
    let (d, gates, thresholds) = (
      hidden.columns, Matrix(own.vectors), own.thresholds?.doubles
    )
    let rows = groups(gate).map { $0[0] }.filter { norm(d, gates.row($0)) > 0 }
    part.metadata["activation"] = "relu"
    let lengths = rows.map { norm(d, gates.row($0)) }
    part[.hiddenWeight] = tensor(
      zip(rows, lengths).map { row, length in (0..<d).map { gates[row, $0] / length } })
    if let thresholds {
      part[.hiddenBias] = Tensor(zip(rows, lengths).map { -thresholds[$0] / $1 })
    }
  }
}
