import Tensors

/// Where batch normalisation stands in a network: neuron j, of weight w_j, puts out
///
/// - `before` the ReLU: (γ C X w/‖C X w‖ + α 1/√n)₊,
/// - `after` it: γ C (X w)₊/‖C (X w)₊‖ + α 1/√n,
///
/// C = I − 11ᵀ/n, on the n training samples (Ergen, Sahiner, Ozturkler, Pauly, Mardani, Pilanci 2021). γ, α and the output
/// weights are penalised, w is not.
package enum BatchNorm: String, CaseIterable, MetadataValue {
  case before, after
}

extension MetadataKey where Value == BatchNorm {
  package static var batchNorm: Self { Self(name: "batch_norm") }
}

extension MetadataKey where Value == Int {
  /// n, of the batch that a network was normalised by.
  package static var batchSamples: Self { Self(name: "batch_samples") }
}

extension TensorKey {
  /// γ/√n and α/√n of each neuron, the mean of what is normalised over the training data, and its deviation, divided
  /// by n.
  package static let normWeight = TensorKey("norm.weight", .f64, shapes: "[m]")
  package static let normBias = TensorKey("norm.bias", .f64, shapes: "[m]")
  package static let normMean = TensorKey("norm.mean", .f64, shapes: "[m]")
  package static let normDeviation = TensorKey("norm.deviation", .f64, shapes: "[m]")
  /// Of a solution: the mean of each feature, and a matrix with ‖norm.factor w‖ = ‖C X w‖.
  package static let normCenter = TensorKey("norm.center", .f64, shapes: "[d]")
  package static let normFactor = TensorKey("norm.factor", .f64, shapes: "[r, d]")
}

extension Bundle {
  /// Throws `Failure.data` unless the gates of this solution with batch normalisation are of `features` features, or of these
  /// and the constant.
  package func expectGates(features: Int) throws {
    let gates = try require(.gates)
    guard [features, features + 1].contains(gates.shape[1]) else {
      throw Failure.data(
        "tensor \"gates\" of \(name) is \(gates.summary), expected \(features) or \(features + 1) columns"
      )
    }
  }
}
