import Convex
import Glibc
import LinearAlgebra
import Schema
import Tensors

extension NetworkModel {
  /// The bundle of kind `network`, for which `evaluate --beta` reports the same objective; `source` is the training
  /// data's bundle.
  package func bundle(
    _ targets: Targets, from source: Bundle, metadata: [String: String]
  ) -> Bundle {
    let neurons = (0..<shape.neurons).flatMap(self.neurons)
    var network = NetworkTensors(neurons, features: shape.features, outputs: shape.outputs)
    var program: [String: String] = [:]
    if shape.regions > 1 {
      network.hasRegions = true
      program[.regions] = shape.regions
      // A filter that several regions share counts once.
      network.hasGroups = penaltyName == .decay
    }
    if let gates {
      let isCut = thresholds.contains { $0 != 0 }
      network.gates = GateTensors(
        vectors: gates.tensor, thresholds: isCut ? Tensor(thresholds) : nil)
    }
    program[.activation] = activation
    program[.loss] = targets.loss
    program[.beta] = beta
    if activation.isHomogeneous {
      let isNuclear =
        penaltyName == .decay && (activation == .linear || shape.outputs * shape.regions > 1)
      program[.norm] = isNuclear ? .nuclear : .group
    }
    program[.targets] = targets.targetValues
    program[.classWeights] = targets.weighting?.weights
    return network.bundle(program: program, from: source, metadata: metadata)
  }

  /// Neuron `j` as the neurons that are written for it: one for each region.
  private func neurons(_ j: Int) -> [NetworkNeuron] {
    var filter = UnsafeBufferPointer(start: parameters.hidden.row(j), count: shape.features)
      .map { Double($0) }
    let weights = (0..<shape.regions).map { r in
      UnsafeBufferPointer(
        start: parameters.output.row(r * shape.neurons + j), count: shape.outputs
      ).map { Double($0) }
    }
    let sizes = weights.map { $0.reduce(0) { $0 + abs($1) } }
    let whole = sizes.reduce(0, +)
    func neuron(_ r: Int, root: Double = 1) -> NetworkNeuron {
      NetworkNeuron(
        filter: filter.map { root * $0 }, output: weights[r].map { $0 / root }, region: r,
        group: j, gate: j)
    }
    switch penaltyName {
    case .decay: return weights.indices.map { neuron($0) }
    case .group:
      guard shape.regions > 1 else { return [neuron(0)] }
      // With shares t_r = ‖a_r‖₁/‖a‖₁, √t_r u and a_r/√t_r together bear what u and a did.
      return weights.indices.filter { sizes[$0] > 0 }.map {
        neuron($0, root: (sizes[$0] / whole).squareRoot())
      }
    case .l1:
      // The length is 1 in double precision too.
      let length = filter.reduce(0) { $0 + $1 * $1 }.squareRoot()
      for k in filter.indices { filter[k] /= length }
      guard activation.isHomogeneous else { return weights.indices.map { neuron($0) } }
      // Both layers bear half: √s u and a/√s with s = ‖a‖₁.
      return weights.indices.filter { sizes[$0] > 0 }.map {
        neuron($0, root: sizes[$0].squareRoot())
      }
    }
  }
}
