import LinearAlgebra
import Patches
import Tensors

/// The half-spaces {x : x·g ≥ t} of gated neurons.
package struct NeuronGates: Sendable {
  /// m × d.
  package let vectors: Matrix
  /// m.
  package let thresholds: [Double]

  /// Drawn from a normal distribution, through the origin.
  package init(neurons: Int, features: Int, seed: Int) {
    var random = RandomSource(seed: seed)
    let vectors = Matrix(neurons, features)
    for k in 0..<vectors.count { vectors.base[k] = random.gaussian() }
    self.vectors = vectors
    thresholds = Array(repeating: 0, count: neurons)
  }

  /// Those of a bundle of kind `arrangements`, in turn, where there are more neurons than gates.
  package init(_ bundle: Bundle, neurons: Int, features: Int) throws {
    let gates = try bundle.require("gates", [.f64], ["[P, d]"])
    let count = gates.shape[0]
    guard count > 0, gates.shape[1] == features else {
      throw Failure.data("tensor \"gates\" is \(gates.summary), expected F64 [P, \(features)]")
    }
    try gates.expectFinite("gates")
    let limits = try bundle.optional("thresholds", [.f64], ["[P]"])
    guard limits == nil || limits!.count == count else {
      throw Failure.data(
        "tensor \"thresholds\" is \(limits!.summary), expected F64 [\(count)]")
    }
    try limits?.expectFinite("thresholds")
    let values = limits?.doubles ?? Array(repeating: 0, count: count)
    let vectors = Matrix(neurons, features)
    for j in 0..<neurons {
      gates.copyDoubles(j % count * features..<(j % count + 1) * features, into: vectors.row(j))
    }
    self.vectors = vectors
    thresholds = (0..<neurons).map { values[$0 % count] }
  }
}
