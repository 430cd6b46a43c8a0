import LinearAlgebra
import Schema
import Tensors

extension Solutions {
  /// The bundle of a quantised network; `source` is the training data's bundle.
  package static func bundle(
    _ solution: QuantizedSolution, targets: Targets, dimension d: Int, beta: Double,
    betaMax: Double?,
    source: Bundle, notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    let all = solution.neurons.enumerated().flatMap { c, own in own.map { (c, $0) } }
    let outputs = solution.neurons.count
    QuantizedNeurons(
      count: all.count, dimension: d, outputs: outputs, left: all.flatMap(\.1.u),
      right: all.flatMap(\.1.v),
      weights: (0..<outputs).flatMap { c in all.map { $0.0 == c ? $0.1.weight : 0 } }
    ).write(to: &bundle)
    bundle.metadata[.activation] = .quantized
    guard let first = solution.relaxations.first else { return bundle }
    let (parts, n) = (solution.relaxations, first.dual.count)
    bundle[.relaxationDual] = Tensor(
      (0..<n).flatMap { i in parts.map { $0.dual[i] } }, shape: [n, outputs])
    bundle[.relaxationLambda] = Tensor(parts.flatMap(\.lambda), shape: [outputs, d])
    bundle[.relaxationPositive] = Tensor(
      parts.flatMap(\.positive.values), shape: [outputs, d, d])
    bundle[.relaxationNegative] = Tensor(
      parts.flatMap(\.negative.values), shape: [outputs, d, d])
    bundle.metadata[RelaxationKey.lower] = "\(parts.reduce(0) { $0 + $1.lower })"
    bundle.metadata[RelaxationKey.upper] = "\(parts.reduce(0) { $0 + $1.upper })"
    return bundle
  }

  /// The neurons of `bundle`, as a start. Throws `Failure.data` if they do not fit the data.
  package static func quantizedStart(_ bundle: Bundle, targets: Targets, dimension d: Int) throws
    -> QuantizedSolution
  {
    try expectActivation(.quantized, ofStart: bundle)
    let neurons = try QuantizedNeurons(bundle)
    guard neurons.dimension == d, neurons.outputs == targets.values.columns else {
      throw Failure.data(
        "the warm start \(bundle.name) has \(neurons.dimension) features and \(neurons.outputs) outputs, expected \(d) and "
          + "\(targets.values.columns)")
    }
    var result = QuantizedSolution(zero: targets, dimension: d, bounded: false)
    for j in 0..<neurons.count {
      for c in 0..<neurons.outputs {
        let weight = neurons.weights[c * neurons.count + j]
        guard weight != 0 else { continue }
        let v = Array(neurons.right[j * d..<(j + 1) * d])
        result.neurons[c].append(
          QuantizedSolution.Neuron(
            u: Array(neurons.left[j * d..<(j + 1) * d]), v: weight < 0 ? v.map { -$0 } : v,
            weight: abs(weight)))
      }
    }
    return result
  }
}
