import Tensors

extension TensorKey {
  /// Of a solution for several outputs: the neurons, and their rows of output weights.
  package static let neuronsHidden = TensorKey("neurons.hidden", .f64, shapes: "[m, d]")
  package static let neuronsOutput = TensorKey(
    "neurons.output", .f64, shapes: "[m, C]", "[m, R, C]")
}
