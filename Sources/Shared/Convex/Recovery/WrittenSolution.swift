import LinearAlgebra
import Schema
import Tensors

/// A solution of a program over patterns as its bundle holds it: its weights, and the gates of the
/// patterns that carry them. A linear network has one pattern, and no gates.
package struct WrittenSolution {
  /// The weights of each class, A × Rd, region 0 first.
  package private(set) var weights: ArrangementSolution
  package let activation: Activation
  package let norm: WeightNorm
  package let grouping: WeightGrouping
  /// R.
  package let regions: Int
  /// The gates that attain these patterns; a linear network has none.
  package private(set) var gates: GateTensors
  package let features: Int
  private let name: String
  /// n.
  private let samples: Int
  /// If the solution is one with batch normalisation before the activation, the way from its program to this, whose weights these are.
  package let normalization: BatchNormalization?

  /// Whether `bundle` says that it is the solution of such a program.
  package static func isActivation(of bundle: Bundle) -> Bool {
    bundle.metadata[.activation]?.isHomogeneous ?? false
  }

  /// Whether neurons of several classes or regions may share a group of the norm.
  package var hasGroups: Bool {
    activation.isLinear || regions > 1 || (grouping == .perPattern && norm == .group)
  }

  /// Reads a bundle of kind `solution` and activation `relu`, `gated-relu`, `linear` or `circular`. It does not check
  /// that v and w lie in their cones, which takes the data: `evaluate --certify` does.
  package init(_ given: Bundle) throws {
    try given.expect(.solution)
    normalization =
      try given.read(ifPresent: .batchNorm) == .before ? BatchNormalization(solution: given) : nil
    let bundle = try normalization?.lowerWeights(of: given) ?? given
    name = bundle.name
    let activation = try bundle.read(.activation)
    self.activation = activation
    norm = try bundle.weightNorm(activation, default: nil)
    grouping = try bundle.read(.group, default: .perClass)
    let points = try DualTensors(bundle)
    let outputs = points.outputs
    samples = points.samples
    var (dual, predictions) = (Matrix(0, outputs), Matrix(0, outputs))
    if case .samples(let nu, let fitted) = points {
      (dual, predictions) = (Matrix(nu), Matrix(fitted))
    }
    let variables = try PatternVariables(bundle, activation, outputs: outputs)
    for (i, value) in variables.index.enumerated() {
      guard value >= 0 else {
        throw Failure.data("tensor \"index\" holds \(value), expected the number of a pattern")
      }
      guard i == 0 || value > variables.index[i - 1] else {
        throw Failure.data(
          "tensor \"index\" should ascend, but \(value) follows \(variables.index[i - 1])")
      }
    }
    (gates, features, regions) = (variables.gates, variables.dimension, variables.regions)
    func matrices(_ tensor: Tensor) -> [Matrix] {
      tensor.matrices(
        outputs, rows: variables.index.count, columns: variables.regions * variables.dimension)
    }
    weights = ArrangementSolution(
      index: variables.index, positive: matrices(variables.positive),
      negative: variables.negative.map(matrices) ?? [], dual: dual,
      predictions: predictions, status: try bundle.read(.status),
      primal: try bundle.read(.primalObjective), dualValue: try bundle.read(.dualObjective),
      iterations: try bundle.read(.iterations))
  }

  /// Whether a class or, for the nuclear norm, all classes together have more neurons than predictions on the training
  /// data, which is more than they need.
  package var hasSpareNeurons: Bool {
    guard !hasGroups else { return false }
    let neurons = weights.neurons(norm)
    let (n, classes) = (samples, weights.positive.count)
    if norm == .nuclear { return neurons.count > n * classes }
    return (0..<classes).contains { c in neurons.count { $0.output[c] != 0 } > n }
  }

  /// Takes the fewest neurons in reach that have the solution's predictions and norm; `false` if rounding or size allow
  /// no fewer. `bundle` are the arrangements that it was trained on.
  package mutating func minimize(on bundle: Bundle) throws -> Bool {
    precondition(!hasGroups, "neurons of groups do not go one by one")
    let data = try ArrangementData(bundle)
    guard weights.predictions.rows == samples else {
      throw Failure.data(
        "\(name) was found from sums over samples: it does not tell the predictions by which neurons are removed"
      )
    }
    guard data.samples == weights.predictions.rows, data.dimension == features else {
      throw Failure.data(
        "\(bundle.name) has \(data.samples) samples of \(data.dimension) features, but \(name) was "
          + "trained on \(weights.predictions.rows) of \(features)")
    }
    try expectGates(of: data, bundle.name)
    let predictions = weights.recomputedPredictions(data)
    var (difference, size) = (0.0, 0.0)
    for i in 0..<predictions.count {
      difference = max(difference, abs(predictions.base[i] - weights.predictions.base[i]))
      size = max(size, abs(predictions.base[i]))
    }
    guard difference <= 1e-6 * size else {
      throw Failure.data(
        "tensor \"predictions\" of \(name) is not what its weights predict for \(bundle.name)")
    }
    guard let minimal = weights.minimal(data, norm: norm) else { return false }
    // The gates of the patterns that are left.
    let kept = Set(minimal.index)
    let places = weights.index.indices.filter { kept.contains(weights.index[$0]) }
    gates = gates.rows(places)
    weights = minimal
    return true
  }

  private func expectGates(of data: ArrangementData, _ name: String) throws {
    for (i, pattern) in weights.index.enumerated() {
      guard pattern < data.patterns.count else {
        throw Failure.data(
          "tensor \"index\" names pattern \(pattern), but \(name) has \(data.patterns.count)")
      }
      guard data.listed.gates.numbers(pattern) == gates.numbers(i) else {
        throw Failure.data(
          "the gates of \(name) are not those of \(self.name): pattern \(pattern) differs")
      }
    }
  }
}
