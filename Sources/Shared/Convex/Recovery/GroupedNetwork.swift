import Glibc
import LinearAlgebra
import Schema
import Tensors

/// The network of a solution whose groups hold weights of several regions or of all classes, or whose neurons have
/// output weights for several regions. Neurons that share a group follow one another.
///
/// A group of length N has u = w/√N for each of its weights w and ±√N as the one output weight, so that both
/// layers bear half of it. A singular triplet (s, p, q) of the nuclear norm has u = √s p for each region, and √s
/// q as output weights. A circular network has all shifts of each filter.
package struct GroupedNetwork {
  private struct Group {
    /// β multiplies the sum of them.
    let size: Double
    let neurons: [NetworkNeuron]
  }

  private let groups: [Group]
  private let solution: WrittenSolution

  package var count: Int { groups.reduce(0) { $0 + $1.neurons.count } }

  /// Groups below `tolerance` times the largest are dropped; by default only those that are rounding, below 10⁻¹⁵ of
  /// it.
  package init(_ solution: WrittenSolution, tolerance: Double?) throws {
    self.solution = solution
    let groups =
      switch (solution.activation, solution.norm) {
      case (.circular, _): try GroupedNetwork.circularGroups(solution)
      case (_, .group): GroupedNetwork.lengthGroups(solution)
      case (_, .nuclear): GroupedNetwork.singularGroups(solution)
      }
    let largest = groups.reduce(0) { max($0, $1.size) }
    let cutoff = (tolerance ?? 1e-15) * largest
    // The largest first.
    self.groups = groups.indices
      .sorted { (groups[$1].size, $0) < (groups[$0].size, $1) }
      .filter { groups[$0].size >= cutoff && groups[$0].size > 0 }.map { groups[$0] }
  }

  private static func lengthGroups(_ solution: WrittenSolution) -> [Group] {
    let weights = solution.weights
    let (classes, d) = (weights.positive.count, solution.features)
    let width = solution.regions * d
    var result: [Group] = []
    for (sign, matrices) in [(1.0, weights.positive), (-1.0, weights.negative)]
    where !matrices.isEmpty {
      for i in weights.index.indices {
        let sets =
          solution.grouping == .perPattern ? [0..<classes] : (0..<classes).map { $0..<$0 + 1 }
        for set in sets {
          let lengths = set.map { norm(width, matrices[$0].row(i)) }
          let size = norm(lengths.count, lengths)
          guard size > 0 else { continue }
          let root = size.squareRoot()
          var neurons: [NetworkNeuron] = []
          for c in set {
            for r in 0..<solution.regions {
              let part = UnsafeBufferPointer(start: matrices[c].row(i) + r * d, count: d)
              guard part.contains(where: { $0 != 0 }) else { continue }
              neurons.append(
                NetworkNeuron(
                  filter: part.map { $0 / root },
                  output: (0..<classes).map { $0 == c ? sign * root : 0 }, region: r, gate: i))
            }
          }
          result.append(Group(size: size, neurons: neurons))
        }
      }
    }
    return result
  }

  private static func singularGroups(_ solution: WrittenSolution) -> [Group] {
    let weights = solution.weights.positive
    let (classes, regions, d) = (weights.count, solution.regions, solution.features)
    // A matrix for each class, or one for all.
    let isClasswise = solution.grouping == .perClass && regions > 1 && !solution.activation.isLinear
    let sets = isClasswise ? (0..<classes).map { $0..<$0 + 1 } : [0..<classes]
    let block = Matrix(sets[0].count * regions, d)
    var result: [Group] = []
    for (i, set) in solution.weights.index.indices.flatMap({ i in sets.map { (i, $0) } }) {
      for (row, c) in set.enumerated() {
        block.row(row * regions).update(from: weights[c].row(i), count: regions * d)
      }
      // W_iᵀ = Σ_k s_k q_k p_kᵀ. Its entries are finite, as those of a solution are.
      guard let decomposition = SingularValues(block) else { continue }
      let cutoff = 1e-16 * (decomposition.values.first ?? 0)
      for (k, size) in decomposition.values.enumerated() where size > cutoff {
        let root = size.squareRoot()
        let hidden = UnsafeBufferPointer(start: decomposition.right.row(k), count: d)
          .map { root * $0 }
        let neurons = (0..<regions).compactMap { r -> NetworkNeuron? in
          let output = (0..<classes).map { c in
            set.contains(c) ? root * decomposition.left[k, (c - set.lowerBound) * regions + r] : 0
          }
          guard output.contains(where: { $0 != 0 }) else { return nil }
          return NetworkNeuron(filter: hidden, output: output, region: r, gate: i)
        }
        result.append(Group(size: size, neurons: neurons))
      }
    }
    return result
  }

  /// z_c = u ⊛ w_c: a filter for each class, or one for all. With unitary transforms ẑ = √d û ŵ, and both layers bear
  /// the same share if |û| = |ŵ|: û = d^(−1/4) √|ẑ|, without a phase.
  private static func circularGroups(_ solution: WrittenSolution) throws -> [Group] {
    let weights = solution.weights.positive
    let (classes, d) = (weights.count, solution.features)
    let sets = solution.grouping == .perPattern ? [0..<classes] : (0..<classes).map { $0..<$0 + 1 }
    try expectMemory(
      16 * Double(sets.count * d) * Double(d + classes),
      for: "\(sets.count * d) neurons, all shifts of \(sets.count) filter(s) of length \(d)")
    return sets.map { set in
      let transforms = set.map { CircularTransform(weights[$0].row(0), d) }
      let lengths = (0..<d).map { k in
        norm(2 * set.count, transforms.flatMap { [$0.real[k], $0.imaginary[k]] })
      }
      // û_k, and ŵ_k = ẑ_k/(√d û_k).
      let filter = lengths.map { ($0 / Double(d).squareRoot()).squareRoot() }
      let hidden = CircularTransform.inverse(filter, filter.map { _ in 0 })
      let shares = filter.map { $0 > 0 ? 1 / (Double(d).squareRoot() * $0) : 0 }
      let outputs = transforms.map { transform in
        CircularTransform.inverse(
          zip(transform.real, shares).map(*), zip(transform.imaginary, shares).map(*))
      }
      let size = lengths.reduce(0, +) / Double(d).squareRoot()
      let neurons = (0..<d).map { shift in
        NetworkNeuron(
          filter: (0..<d).map { hidden[($0 - shift + d) % d] },
          output: (0..<classes).map { set.contains($0) ? outputs[$0 - set.lowerBound][shift] : 0 })
      }
      return Group(size: size, neurons: neurons)
    }
  }

  /// The bundle of kind `network`; `source` hands on its metadata and its whitening.
  ///
  /// A group of size s of a linear network becomes a path of `layers` layers of length s^(1/L) each, whose penalty
  /// (1/L) Σ_l ‖W_l‖_F^L is s too (Wang, Ergen and Pilanci 2021).
  package func bundle(
    from source: Bundle, metadata: [String: String], layers: Int = 2
  ) -> Bundle {
    let neurons = groups.enumerated().flatMap { number, group in
      group.neurons.map { neuron in
        var neuron = neuron
        neuron.group = number
        return neuron
      }
    }
    var network = NetworkTensors(
      neurons, features: solution.features, outputs: solution.weights.positive.count)
    network.hasGroups = true
    if solution.activation == .gatedReLU { network.gates = solution.gates }
    var program = NetworkTensors.program(of: source)
    if solution.regions > 1 {
      network.hasRegions = true
      program[.regions] = solution.regions
    }
    var bundle = network.bundle(program: program, from: source, metadata: metadata)
    if layers > 2 { deepen(&bundle, layers: layers) }
    return bundle
  }

  /// Gives each path of two layers of length √s as many as `layers`, of length s^(1/L).
  private func deepen(_ network: inout Bundle, layers: Int) {
    let sizes = groups.flatMap { group in group.neurons.map { _ in group.size } }
    let lengths = sizes.map { pow($0, 1 / Double(layers)) }
    let factors = zip(lengths, sizes).map { $0 / $1.squareRoot() }
    let (m, d) = (sizes.count, solution.features)
    network[.hiddenWeight]?.withMutableElements(of: Double.self) { hidden in
      for j in 0..<m { for k in 0..<d { hidden[j * d + k] *= factors[j] } }
    }
    network[.outputWeight]?.withMutableElements(of: Double.self) { output in
      for place in output.indices { output[place] *= factors[place % m] }
    }
    network[.middleWeight] = Tensor(
      (0..<layers - 2).flatMap { _ in lengths }, shape: [layers - 2, m])
    network.metadata[.layers] = layers
  }
}
