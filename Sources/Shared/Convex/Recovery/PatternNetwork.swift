import LinearAlgebra
import Schema
import Tensors

/// The ReLU or gated-ReLU network that a solution of a program over patterns stands for: its neurons
/// merged, and balanced so that both layers bear the same share of the norm. For one output these are
/// equations (6a, 6b) of Pilanci & Ergen 2020: u = v/√‖v‖ and α = ±√‖v‖.
package struct PatternNetwork {
  private let neurons: [HiddenNeuron]
  private let solution: WrittenSolution
  package var count: Int { neurons.count }

  /// Neurons below `tolerance` times the largest are dropped; by default only those that are rounding, below 10⁻¹⁵ of
  /// it.
  package init(_ solution: WrittenSolution, tolerance: Double?) {
    self.solution = solution
    let weights = solution.weights
    var neurons = weights.neurons(solution.norm)
    // Singular vectors of one pattern are orthogonal: there is nothing to merge.
    if solution.norm == .group || weights.positive.count == 1 {
      neurons = ParallelNeurons.merged(neurons, gated: weights.isGated)
    }
    let sizes = neurons.map { $0.weight(solution.norm) }
    let cutoff = (tolerance ?? 1e-15) * (sizes.max() ?? 0)
    // The largest first.
    self.neurons = sizes.indices.sorted { (sizes[$1], $0) < (sizes[$0], $1) }
      .filter { sizes[$0] >= cutoff && sizes[$0] > 0 }.map { neurons[$0] }
  }

  /// The bundle of kind `network`; `source` hands on its metadata and its whitening.
  package func bundle(from source: Bundle, metadata: [String: String]) -> Bundle {
    let balanced = neurons.map { neuron in
      let root = neuron.weight(solution.norm).squareRoot()
      return NetworkNeuron(
        filter: neuron.direction.map { root * $0 }, output: neuron.output.map { $0 / root },
        gate: neuron.pattern)
    }
    var network = NetworkTensors(
      balanced, features: solution.features, outputs: solution.weights.positive.count)
    if solution.weights.isGated { network.gates = solution.gates }
    return network.bundle(
      program: NetworkTensors.program(of: source), from: source, metadata: metadata)
  }
}
