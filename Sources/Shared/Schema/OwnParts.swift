import Tensors

/// The tensors of weights and the metadata in which the networks, and the solutions, of different programs differ.
private enum DistinctParts {
  static let network: [TensorKey] =
    [
      .hiddenWeight, .hiddenBias, .hiddenGate, .hiddenThreshold, .hiddenRegion, .hiddenGroup,
      .hiddenLeft, .hiddenRight, .middleWeight, .outputWeight, .outputBias, .normWeight, .normBias,
      .normMean, .normDeviation,
    ] + GateKeys.neurons.units
  static let solution: [TensorKey] =
    [
      .z, .v, .w, .neuronsHidden, .neuronsOutput, .normCenter, .normFactor, .normMean,
      .normDeviation, .splineOutput, .splineKnot, .splineSide, .splineWeight, .splineIntercept,
      .hiddenWeight, .hiddenLeft, .hiddenRight, .middleWeight, .outputWeight, .relaxationDual,
      .relaxationLambda, .relaxationPositive, .relaxationNegative,
    ] + GateKeys.patterns.units + TensorKey.ofLayers
  static let metadata = [
    "norm", "group", "scaling", "batch_norm", "batch_samples", "free_bias", "list", "layers",
    "unit_width",
    "relaxation_lower", "relaxation_upper",
    "global_dual_objective",
  ]
}

extension Bundle {
  /// Throws `Failure.data` if this network, or solution, has weights or metadata of another program than its own, which
  /// has `tensors` and `keys`: they would say what nobody judges.
  package func expectOnly(_ tensors: [TensorKey], metadata keys: [String] = []) throws {
    let isSolution = kind == .solution
    let all = isSolution ? DistinctParts.solution : DistinctParts.network
    let own = Set(tensors.map(\.name))
    let what = "a network with activation \(quoted(metadata["activation"] ?? ""))"
    if let extra = all.first(where: { self[$0] != nil && !own.contains($0.name) }) {
      throw Failure.data(
        "\(name) has a tensor \(quoted(extra.name)), which \(what) does not use")
    }
    for key in DistinctParts.metadata where !keys.contains(key) {
      guard let value = metadata[key], !(key == "free_bias" && value == "false") else { continue }
      throw Failure.data(
        "metadata \(quoted(key)) of \(name) is \(quoted(value)), which is not for the program that its other metadata "
          + "and tensors name: \(what) does not use it there")
    }
  }
}
