import Tensors

extension Solutions {
  /// The number of neurons of the network that `recover` makes from a bundle of kind `solution`.
  package static func neurons(_ bundle: Bundle) throws -> Int {
    guard WrittenSolution.isActivation(of: bundle) else {
      return RecoveredNetwork(try blocks(bundle), tolerance: nil).neurons
    }
    let solution = try WrittenSolution(bundle)
    return solution.hasGroups
      ? try GroupedNetwork(solution, tolerance: nil).count
      : PatternNetwork(solution, tolerance: nil).count
  }
}
