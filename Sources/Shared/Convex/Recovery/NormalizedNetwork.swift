import LinearAlgebra
import Schema
import Tensors

/// The network of a solution with batch normalisation after the activation: a neuron for each weight (w, a) of length
/// c = ‖(γ, a)‖, γ = ‖C D_i X w‖: hidden weight w, scale γ/√c, shift a/√c, and the output weight ± √c.
package struct NormalizedNetwork {
  private struct Neuron {
    let weights: [Double]
    let gamma, alpha, mean, deviation, size: Double
    let output: Int
    let sign: Double
    let pattern: Int
  }

  private let neurons: [Neuron]
  private let variables: PatternVariables
  private let samples, outputs: Int
  private let isGated: Bool
  package var count: Int { neurons.count }

  /// Neurons below `tolerance` times the largest are dropped; by default only those that are rounding. Throws
  /// `Failure.data` if the tensors do not fit each other.
  package init(_ solution: Bundle, tolerance: Double?) throws {
    let activation = try solution.read(.activation)
    isGated = activation == .gatedReLU
    let points = try solution.solutionPoints()
    (samples, outputs) = (points.dual.shape[0], points.dual.shape[1])
    variables = try PatternVariables(solution, activation, outputs: outputs)
    let width = variables.dimension
    let all = [variables.positive, variables.negative].compactMap(\.self).flatMap(\.doubles)
    let rows = all.count / max(1, width)
    let means = try solution.require(.normMean, shape: [rows]).doubles
    let deviations = try solution.require(.normDeviation, shape: [rows]).doubles
    let patterns = variables.index.count
    let root = Double(samples).squareRoot()
    var found: [Neuron] = []
    for k in 0..<rows {
      let row = Array(all[k * width..<(k + 1) * width])
      let (gamma, alpha) = (root * deviations[k], row[width - 1])
      let size = (gamma * gamma + alpha * alpha).squareRoot()
      let isConstant = gamma == 0
      found.append(
        Neuron(
          weights: row.dropLast().map { isConstant ? 0 : $0 }, gamma: gamma, alpha: alpha,
          mean: isConstant ? 0 : means[k], deviation: isConstant ? 1 : deviations[k], size: size,
          output: k / patterns % outputs, sign: k < patterns * outputs ? 1 : -1,
          pattern: k % patterns))
    }
    let cutoff = (tolerance ?? 1e-15) * (found.map(\.size).max() ?? 0)
    neurons = found.indices.sorted { (found[$1].size, $0) < (found[$0].size, $1) }
      .map { found[$0] }.filter { $0.size > 0 && $0.size >= cutoff }
  }

  /// The bundle of kind `network`.
  package func bundle(from source: Bundle, metadata: [String: String]) -> Bundle {
    var network = NetworkTensors(
      neurons.map { neuron in
        NetworkNeuron(
          filter: neuron.weights,
          output: (0..<outputs).map {
            $0 == neuron.output ? neuron.sign * neuron.size.squareRoot() : 0
          }, gate: neuron.pattern)
      }, features: variables.dimension - 1, outputs: outputs)
    if isGated { network.gates = variables.gates }
    var bundle = network.bundle(
      program: NetworkTensors.program(of: source), from: source, metadata: metadata)
    let root = Double(samples).squareRoot()
    bundle[.normWeight] = Tensor(neurons.map { $0.gamma / $0.size.squareRoot() / root })
    bundle[.normBias] = Tensor(neurons.map { $0.alpha / $0.size.squareRoot() / root })
    bundle[.normMean] = Tensor(neurons.map(\.mean))
    bundle[.normDeviation] = Tensor(neurons.map(\.deviation))
    bundle.metadata[.batchNorm] = .after
    bundle.metadata[.batchSamples] = samples
    return bundle
  }
}
