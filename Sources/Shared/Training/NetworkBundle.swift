import Convex
import Glibc
import LinearAlgebra
import Schema
import Tensors

extension NetworkModel {
  /// One row of the network that is written: a filter that looks at one region.
  private struct Neuron {
    let filter: [Double]
    let region: Int
    let output: [Double]
    let number: Int
  }

  /// The bundle of kind `network`, of which `evaluate --beta` tells the same objective; `source` is the training
  /// data's bundle.
  package func bundle(
    _ targets: Targets, from source: Bundle, metadata: [String: String]
  ) -> Bundle {
    let neurons = (0..<shape.neurons).flatMap(self.neurons)
    let (m, d, outputs) = (neurons.count, shape.features, shape.outputs)
    let output = Tensor(type: .f64, shape: [outputs, m])
    output.withMutableElements(of: Double.self) { values in
      for (j, neuron) in neurons.enumerated() {
        for c in 0..<outputs { values[c * m + j] = neuron.output[c] }
      }
    }
    var tensors = [
      "hidden.weight": Tensor(neurons.flatMap(\.filter), shape: [m, d]), "output.weight": output,
    ]
    var all = Solutions.inherit(source.metadata)
    if shape.regions > 1 {
      tensors["hidden.region"] = Tensor(neurons.map { Int32($0.region) })
      all[.regions] = shape.regions
      // A filter that several regions share counts once.
      if penaltyName == .decay {
        tensors["hidden.group"] = Tensor(neurons.map { Int32($0.number) })
      }
    }
    if let gates {
      let rows = neurons.flatMap { neuron in
        UnsafeBufferPointer(start: gates.row(neuron.number), count: d)
      }
      tensors["hidden.gate"] = Tensor(rows, shape: [m, d])
      if thresholds.contains(where: { $0 != 0 }) {
        tensors["hidden.threshold"] = Tensor(neurons.map { thresholds[$0.number] })
      }
    }
    for name in ["mean", "whiten"] { tensors[name] = source.tensors[name] }
    all[.activation] = activation
    all[.loss] = targets.loss
    all[.beta] = beta
    if activation.isHomogeneous {
      let isNuclear =
        penaltyName == .decay && (activation == .linear || outputs * shape.regions > 1)
      all[.norm] = isNuclear ? .nuclear : .group
    }
    all[.targets] = targets.targetValues
    all.merge(metadata) { $1 }
    return Bundle(kind: .network, tensors: tensors, metadata: all)
  }

  /// Neuron `j` as those it is written as: one for each region.
  private func neurons(_ j: Int) -> [Neuron] {
    var filter = UnsafeBufferPointer(start: parameters.hidden.row(j), count: shape.features)
      .map { Double($0) }
    let weights = (0..<shape.regions).map { r in
      UnsafeBufferPointer(
        start: parameters.output.row(r * shape.neurons + j), count: shape.outputs
      ).map { Double($0) }
    }
    let sizes = weights.map { $0.reduce(0) { $0 + abs($1) } }
    let whole = sizes.reduce(0, +)
    switch penaltyName {
    case .decay:
      return weights.enumerated().map { r, output in
        Neuron(filter: filter, region: r, output: output, number: j)
      }
    case .group:
      guard shape.regions > 1 else {
        return [Neuron(filter: filter, region: 0, output: weights[0], number: j)]
      }
      // Shares t_r = ‖a_r‖₁/‖a‖₁: √t_r u and a_r/√t_r bear together what u and a did.
      return weights.indices.filter { sizes[$0] > 0 }.map { r in
        let root = (sizes[r] / whole).squareRoot()
        return Neuron(
          filter: filter.map { root * $0 }, region: r, output: weights[r].map { $0 / root },
          number: j)
      }
    case .l1:
      // Of length 1 in double precision too.
      let length = filter.reduce(0) { $0 + $1 * $1 }.squareRoot()
      for k in filter.indices { filter[k] /= length }
      guard activation.isHomogeneous else {
        return weights.enumerated().map { r, output in
          Neuron(filter: filter, region: r, output: output, number: j)
        }
      }
      // Both layers bear half: √s u and a/√s with s = ‖a‖₁.
      return weights.indices.filter { sizes[$0] > 0 }.map { r in
        let root = sizes[r].squareRoot()
        return Neuron(
          filter: filter.map { root * $0 }, region: r, output: weights[r].map { $0 / root },
          number: j)
      }
    }
  }
}
