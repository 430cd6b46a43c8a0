import LinearAlgebra
import Schema
import Tensors

/// The network that corresponds to a solution of the polynomial program.
package struct RecoveredNetwork {
  /// A neuron with the class it contributes to, the region it looks at, and its signed output weight.
  private struct Unit {
    let filter: [Double]
    let region: Int
    let output: Int
    var weight: Double
  }
  private let units: [Unit]
  private let classes: Int
  private let features: Int

  package var neurons: Int { units.count }

  /// Decomposes the blocks of every class (2R rows of m × m), with the largest neurons first in each block. Neurons
  /// below `tolerance` times the largest weight are dropped; the default drops only rounding errors, eigenvalues of a
  /// block below 5·10⁻¹⁵ m of its largest. Of an even `activation` a region of a class has at most d neurons, those of
  /// Z − Z'; of others at most as many as the ranks of Z and Z' together.
  package init(_ blocks: [Matrix], activation: Activation, tolerance: Double?) {
    var units: [Unit] = []
    let order = RecoveredNetwork.order(blocks)
    for (c, block) in blocks.enumerated() {
      let regions = block.rows / 2
      for region in 0..<regions {
        let first = units.count
        let (positive, negative) = Self.neurons(
          block.row(region), block.row(regions + region), order: order, activation)
        for (neurons, sign) in [(positive, 1.0), (negative, -1.0)] {
          for neuron in neurons.sorted(by: { $0.weight > $1.weight }) {
            units.append(
              Unit(filter: neuron.filter, region: region, output: c, weight: sign * neuron.weight))
          }
        }
        let last = order * order - 1
        Self.restoreConstant(
          &units[first...], from: block.row(region)[last], minus: block.row(regions + region)[last])
      }
    }
    let largest = units.reduce(0) { max($0, abs($1.weight)) }
    self.units = tolerance.map { t in units.filter { abs($0.weight) >= t * largest } } ?? units
    classes = blocks.count
    features = order - 1
  }

  /// The neurons of Z = `z` and of Z' = `other`.
  private static func neurons(
    _ z: UnsafePointer<Double>, _ other: UnsafePointer<Double>, order: Int,
    _ activation: Activation
  ) -> (positive: [NeuralDecomposition.Neuron], negative: [NeuralDecomposition.Neuron]) {
    let eigen = SymmetricEigensolver(order: order)
    let copy = Matrix(order, order)
    let cutoffs = [z, other].map { block in
      copy.base.update(from: block, count: order * order)
      guard eigen.decompose(copy.base, vectors: false) else { return Double.infinity }
      return 5e-15 * Double(order) * eigen.values[order - 1]
    }
    if case .polynomial(let polynomial) = activation, polynomial.isEven {
      return NeuralDecomposition.neurons(
        z, minus: other, order: order, cutoff: max(cutoffs[0], cutoffs[1]))
    }
    return (
      NeuralDecomposition.neurons(z, order: order, cutoff: cutoffs[0]),
      NeuralDecomposition.neurons(other, order: order, cutoff: cutoffs[1])
    )
  }

  /// Makes the weights of one class and region add up to z₄ − z₄' = `positive` − `negative`, as exactly as numbers
  /// allow, by changing the smallest weight that can take the change. The constant term c of the activation multiplies
  /// this sum. With small features the two halves are large and nearly cancel, so that the rounding of each large
  /// weight shows in every output.
  private static func restoreConstant(
    _ units: inout ArraySlice<Unit>, from positive: Double, minus negative: Double
  ) {
    var missing = CompensatedSum()
    missing.add(positive)
    missing.add(-negative)
    for unit in units { missing.add(-unit.weight) }
    // A change of more than a millionth could not be due to rounding.
    let smallest = units.indices.filter { abs(missing.value) <= 1e-6 * abs(units[$0].weight) }
      .min { abs(units[$0].weight) < abs(units[$1].weight) }
    guard let smallest else { return }
    units[smallest].weight += missing.value
  }

  private static func order(_ blocks: [Matrix]) -> Int {
    let size = blocks.first?.columns ?? 1
    var order = 1
    while order * order < size { order += 1 }
    return order
  }

  /// The bundle of kind `network`; it passes on the metadata and the whitening of `solution`.
  package func bundle(from solution: Bundle, metadata: [String: String]) -> Bundle {
    let neurons = units.map { unit in
      NetworkNeuron(
        filter: unit.filter, output: (0..<classes).map { $0 == unit.output ? unit.weight : 0 },
        region: unit.region)
    }
    var network = NetworkTensors(neurons, features: features, outputs: classes)
    network.hasRegions = true
    return network.bundle(
      program: NetworkTensors.program(of: solution), from: solution, metadata: metadata)
  }
}
