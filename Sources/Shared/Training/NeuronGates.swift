import LinearAlgebra
import Patches
import Schema
import Tensors

/// The half-spaces {x : x·g ≥ t} of gated neurons.
package struct NeuronGates: Sendable {
  /// m × d.
  package let vectors: Matrix
  /// m.
  package let thresholds: [Double]

  /// Gates drawn from a normal distribution, through the origin.
  package init(neurons: Int, features: Int, seed: Int) {
    var random = RandomSource(seed: seed)
    let vectors = Matrix(neurons, features)
    for k in 0..<vectors.count { vectors.base[k] = random.gaussian() }
    self.vectors = vectors
    thresholds = Array(repeating: 0, count: neurons)
  }

  /// The gates of a bundle of kind `arrangements`, in turn if there are more neurons than gates.
  package init(_ bundle: Bundle, neurons: Int, features: Int) throws {
    try bundle.expectHalfSpaces("stochastic gradients")
    let gates = try GateTensors(bundle, dimension: features)
    let count = gates.count
    guard count > 0 else {
      throw Failure.data(
        "tensor \"gates\" of \(bundle.name) is \(gates.vectors.summary): there are none")
    }
    let values = gates.thresholds?.doubles ?? Array(repeating: 0, count: count)
    let vectors = Matrix(neurons, features)
    for j in 0..<neurons {
      gates.vectors.copyDoubles(
        j % count * features..<(j % count + 1) * features, into: vectors.row(j))
    }
    self.vectors = vectors
    thresholds = (0..<neurons).map { values[$0 % count] }
  }
}
