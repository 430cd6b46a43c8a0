import Tensors

/// A neuron of a network: a filter that looks at the patches of one region.
package struct NetworkNeuron: Sendable {
  /// u, d numbers.
  package let filter: [Double]
  /// Its weight for each of C outputs.
  package let output: [Double]
  package let region: Int
  /// The number of the group of the norm that it shares, if there are groups.
  package var group: Int
  /// The number of its gate.
  package let gate: Int

  package init(
    filter: [Double], output: [Double], region: Int = 0, group: Int = 0, gate: Int = 0
  ) {
    (self.filter, self.output) = (filter, output)
    (self.region, self.group, self.gate) = (region, group, gate)
  }
}

/// Bundles of kind `network`.
package struct NetworkTensors: Sendable {
  /// m.
  package let neurons: [NetworkNeuron]
  /// d and C.
  package let features: Int
  package let outputs: Int
  package var hasRegions = false
  package var hasGroups = false
  /// The gates of gated neurons.
  package var gates: GateTensors?

  package init(_ neurons: [NetworkNeuron], features: Int, outputs: Int) {
    (self.neurons, self.features, self.outputs) = (neurons, features, outputs)
  }

  /// The bundle. `program` is what the network was trained on: metadata `activation`, `loss`, `beta` and so on.
  /// `source` hands on what was fitted to the data, and what tells how they were made.
  package func bundle(
    program: [String: String], from source: Bundle, metadata: [String: String]
  ) -> Bundle {
    let m = neurons.count
    let output = Tensor(type: .f64, shape: [outputs, m])
    output.withMutableElements(of: Double.self) { values in
      for (j, neuron) in neurons.enumerated() {
        for c in 0..<outputs { values[c * m + j] = neuron.output[c] }
      }
    }
    let hidden = Tensor(type: .f64, shape: [m, features])
    hidden.withMutableElements(of: Double.self) { values in
      for (j, neuron) in neurons.enumerated() {
        for k in 0..<features { values[j * features + k] = neuron.filter[k] }
      }
    }
    var bundle = Bundle(kind: .network, tensors: [:])
    bundle.inherit(from: source)
    bundle[.hiddenWeight] = hidden
    bundle[.outputWeight] = output
    if hasRegions { bundle[.hiddenRegion] = Tensor(neurons.map { Int32($0.region) }) }
    if hasGroups { bundle[.hiddenGroup] = Tensor(neurons.map { Int32($0.group) }) }
    gates?.rows(neurons.map(\.gate)).write(to: &bundle, .neurons)
    bundle.metadata.merge(program) { $1 }
    bundle.metadata.merge(metadata) { $1 }
    return bundle
  }

  /// The metadata of a solution's program, for the network that is recovered from it.
  package static func program(of solution: Bundle) -> [String: String] {
    solution.metadata.filter {
      ["activation", "loss", "norm", "group", "beta", "targets", "class_weights"].contains($0.key)
    }
  }
}
