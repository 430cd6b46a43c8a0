import Schema
import Tensors

extension Solutions {
  /// The number of neurons of the network that `recover` makes from a bundle of kind `solution`.
  package static func neurons(_ bundle: Bundle) throws -> Int {
    if JointBundle.isJoint(bundle) {
      return try JointBundle.split(bundle).reduce(0) { try $0 + neurons($1) }
    }
    if bundle.metadata[.activation] == .quantized { return try QuantizedNeurons(bundle).count }
    guard WrittenSolution.isActivation(of: bundle) else {
      return RecoveredNetwork(
        try blocks(bundle), activation: try bundle.read(.activation), tolerance: nil
      ).neurons
    }
    if try bundle.read(.freeBias, default: false) { return try SplineNetwork(bundle).count }
    if bundle[.neuronsHidden] != nil { return try FactoredNetwork(bundle, tolerance: nil).count }
    if bundle[.layersWeight] != nil { return try ThreeLayers(bundle, tolerance: nil).count }
    if try bundle.read(ifPresent: .batchNorm) == .after {
      return try NormalizedNetwork(bundle, tolerance: nil).count
    }
    let solution = try WrittenSolution(bundle)
    return solution.hasGroups
      ? try GroupedNetwork(solution, tolerance: nil).count
      : PatternNetwork(solution, tolerance: nil).count
  }
}
