import LinearAlgebra

extension ArrangementSolution {
  /// The solution with ReLU neurons of one direction and opposite signs merged: the network's function stays as it is,
  /// and its norm shrinks. An optimum has no such neurons, but a search that was cut short or that stalled may have
  /// some. Returns `nil` if there are none.
  ///
  /// For programs of one region with a group for each pattern and output. `predictions` are left as they were.
  package func withoutOpposedNeurons(
    _ program: ArrangementProgram, beta: Double
  ) -> ArrangementSolution? {
    guard !isGated, program.grouping == .perClass || positive.count == 1 else { return nil }
    let all = neurons(.group)
    let merged = ParallelNeurons.merged(all, gated: false)
    func weight(_ neurons: [HiddenNeuron]) -> Double {
      neurons.reduce(0) { $0 + $1.weight(.group) }
    }
    let (before, after) = (weight(all), weight(merged))
    guard after < (1 - 1e-12) * before else { return nil }
    var result = self
    result.replaceWeights(by: merged)
    result.primal -= beta * (before - after)
    return result
  }
}
