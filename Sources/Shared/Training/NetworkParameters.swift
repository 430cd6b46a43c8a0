import Glibc
import LinearAlgebra
import Tensors

/// The sizes of a two-layer network: m filters of d features over the patches of R regions, and for each region
/// and neuron a weight for each of C outputs.
package struct NetworkShape: Equatable, Sendable {
  package let features: Int
  package let neurons: Int
  package let regions: Int
  package let outputs: Int

  package init(features: Int, neurons: Int, regions: Int, outputs: Int) {
    self.features = features
    self.neurons = neurons
    self.regions = regions
    self.outputs = outputs
  }

  /// How many numbers are trained.
  var count: Double {
    Double(neurons) * (Double(features) + Double(regions) * Double(outputs))
  }
}

/// The weights of both layers, or their gradient, or an optimiser's memory of it.
package final class NetworkParameters: @unchecked Sendable {
  /// m × d.
  package let hidden: SingleMatrix
  /// Rm × C, the neurons of region 0 first.
  package let output: SingleMatrix

  /// Zeros.
  package init(_ shape: NetworkShape) {
    hidden = SingleMatrix(shape.neurons, shape.features)
    output = SingleMatrix(shape.regions * shape.neurons, shape.outputs)
  }

  /// Draws weights uniformly from ±1/√(number of inputs), as PyTorch does for layers; if `unit`, filters have length 1
  /// and a direction drawn uniformly. All others are multiplied by `scale`.
  func initialize(
    _ shape: NetworkShape, unit: Bool, scale: Double = 1, _ random: inout RandomSource
  ) {
    let inner = scale / Double(shape.features).squareRoot()
    for k in 0..<hidden.count {
      hidden.base[k] = Float(unit ? random.gaussian() : random.uniform(in: -inner..<inner))
    }
    if unit { normalize(0..<shape.neurons) }
    let outer = scale / Double(shape.regions * shape.neurons).squareRoot()
    for k in 0..<output.count { output.base[k] = Float(random.uniform(in: -outer..<outer)) }
  }

  /// Brings the filters `range` to length 1.
  func normalize(_ range: Range<Int>) {
    let d = hidden.columns
    for j in range {
      let u = hidden.row(j)
      var square: Float = 0
      for k in 0..<d { square += u[k] * u[k] }
      guard square > 0, square.isFinite else {
        // From 0 there is no direction: any will do. A number that is not finite shows in the objective.
        if square == 0 { u[0] = 1 }
        continue
      }
      let scale = 1 / square.squareRoot()
      for k in 0..<d { u[k] *= scale }
    }
  }
}
