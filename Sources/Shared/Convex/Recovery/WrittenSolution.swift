import LinearAlgebra
import Schema
import Tensors

/// A solution of a program over patterns as its bundle holds it: its weights, and the gates of the
/// patterns that carry them. A linear network has one pattern, and no gates.
package struct WrittenSolution {
  /// A × Rd of each class, region 0 first.
  package private(set) var weights: ArrangementSolution
  package let activation: Activation
  package let norm: WeightNorm
  package let grouping: WeightGrouping
  /// R.
  package let regions: Int
  /// F64 [A, d]; [0, d] for a linear network.
  package private(set) var gates: Tensor
  /// F64 [A], where gates cut elsewhere than at 0.
  package private(set) var thresholds: Tensor?
  package let features: Int
  private let name: String

  /// Whether `bundle` says that it is the solution of such a program.
  package static func isActivation(of bundle: Bundle) -> Bool {
    bundle.metadata[.activation]?.isHomogeneous ?? false
  }

  /// Whether neurons of several classes or regions may share a group of the norm.
  package var hasGroups: Bool {
    activation.isLinear || regions > 1 || (grouping == .perPattern && norm == .group)
  }

  /// Reads a bundle of kind `solution` and activation `relu`, `gated-relu`, `linear` or `circular`. Whether v and w lie in
  /// their cones cannot be told without the data: `evaluate --certify` has them and does.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.solution)
    name = bundle.name
    let activation = try bundle.read(.activation)
    self.activation = activation
    let isReLU = activation == .relu
    norm = try bundle.read(.norm)
    guard !isReLU || norm == .group else {
      throw Failure.data("metadata \"norm\" is \"nuclear\", which ReLU networks do not have")
    }
    guard !activation.isLinear || norm == .nuclear else {
      throw Failure.data(
        "metadata \"norm\" is \"group\", expected \"nuclear\" for activation \(activation.text)"
      )
    }
    grouping = try bundle.read(.group, default: .perClass)
    let predictions = try bundle.require("predictions", [.f64], ["[n, C]"])
    let (n, classes) = (predictions.shape[0], predictions.shape[1])
    guard n > 0, classes > 0 else {
      throw Failure.data("tensor \"predictions\" is \(predictions.summary): it is empty")
    }
    let dual = try bundle.require("dual", [.f64], ["[n, C]"])
    try expect(dual, "dual", [n, classes])
    let shapes = ["[A, d]", "[C, A, d]", "[C, A, R, d]"]
    let name = isReLU ? "v" : "w"
    let first = try bundle.require(name, [.f64], shapes)
    gates =
      activation.isLinear
      ? Tensor(type: .f64, shape: [0, first.shape.last!])
      : try bundle.require("gates", [.f64], ["[A, d]"])
    let (count, d) = (activation.isLinear ? 1 : gates.shape[0], gates.shape[1])
    guard d > 0 else { throw Failure.data("tensor \"gates\" is \(gates.summary): no features") }
    try gates.expectFinite("gates")
    thresholds =
      activation.isLinear ? nil : try bundle.optional("thresholds", [.f64], ["[A]"])
    if let thresholds { try expect(thresholds, "thresholds", [count]) }
    features = d
    let regions = first.shape.count == 4 ? first.shape[2] : 1
    guard regions > 0, regions == 1 || activation != .circular else {
      throw Failure.data("tensor \(quoted(name)) is \(first.summary), expected [C, A, R, d]")
    }
    self.regions = regions
    func read(_ name: String) throws -> [Matrix] {
      let tensor = try bundle.require(name, [.f64], shapes)
      let isFlat = classes == 1 && tensor.shape.count == 2
      try expect(
        tensor, name,
        (isFlat ? [] : [classes]) + [count] + (first.shape.count == 4 ? [regions] : []) + [d])
      let size = count * regions * d
      return (0..<classes).map { c in
        let matrix = Matrix(count, regions * d)
        tensor.copyDoubles(c * size..<(c + 1) * size, into: matrix.base)
        return matrix
      }
    }
    weights = ArrangementSolution(
      index: activation.isLinear ? [0] : try WrittenSolution.index(bundle, count),
      positive: try read(name), negative: isReLU ? try read("w") : [],
      dual: Matrix(n, classes, dual.doubles),
      predictions: Matrix(n, classes, predictions.doubles),
      status: try bundle.read(.status),
      primal: try bundle.read(.primalObjective),
      dualValue: try bundle.read(.dualObjective),
      iterations: try bundle.read(.iterations))
    try predictions.expectFinite("predictions")
  }

  private static func index(_ bundle: Bundle, _ count: Int) throws -> [Int] {
    let tensor = try bundle.require("index", [.i32], ["[A]"])
    try expect(tensor, "index", [count])
    let index = tensor.doubles.map { Int($0) }
    for (i, value) in index.enumerated() {
      guard value >= 0 else {
        throw Failure.data("tensor \"index\" holds \(value), expected the number of a pattern")
      }
      guard i == 0 || value > index[i - 1] else {
        throw Failure.data("tensor \"index\" should ascend, but \(value) follows \(index[i - 1])")
      }
    }
    return index
  }

  /// Whether there are more neurons than predictions on the training data, of a class or, for the nuclear
  /// norm, of all classes: more than are needed.
  package var hasSpareNeurons: Bool {
    guard !hasGroups else { return false }
    let neurons = weights.neurons(norm)
    let (n, classes) = (weights.predictions.rows, weights.positive.count)
    if norm == .nuclear { return neurons.count > n * classes }
    return (0..<classes).contains { c in neurons.count { $0.output[c] != 0 } > n }
  }

  /// Takes the fewest neurons in reach that have the solution's predictions and norm; `false` where
  /// rounding or size allow none but these. `bundle` are the arrangements that it was trained on.
  package mutating func minimize(on bundle: Bundle) throws -> Bool {
    precondition(!hasGroups, "neurons of groups do not go one by one")
    let data = try ArrangementData(bundle)
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
    gates = select(places, of: gates)
    thresholds = thresholds.map { select(places, of: $0) }
    weights = minimal
    return true
  }

  private func expectGates(of data: ArrangementData, _ name: String) throws {
    let (theirs, mine) = (data.gates.doubles, gates.doubles)
    let theirThresholds = data.thresholds?.doubles
    let myThresholds = thresholds?.doubles
    for (i, pattern) in weights.index.enumerated() {
      guard pattern < data.patterns.count else {
        throw Failure.data(
          "tensor \"index\" names pattern \(pattern), but \(name) has \(data.patterns.count)")
      }
      guard
        theirs[pattern * features..<(pattern + 1) * features]
          .elementsEqual(mine[i * features..<(i + 1) * features]),
        theirThresholds?[pattern] ?? 0 == myThresholds?[i] ?? 0
      else {
        throw Failure.data(
          "the gates of \(name) are not those of \(self.name): pattern \(pattern) differs")
      }
    }
  }
}

/// The given rows of an F64 tensor.
func select(_ rows: [Int], of tensor: Tensor) -> Tensor {
  let width = tensor.shape.dropFirst().reduce(1, *)
  let values = tensor.doubles
  return Tensor(
    rows.flatMap { values[$0 * width..<($0 + 1) * width] },
    shape: [rows.count] + tensor.shape.dropFirst())
}

/// Fails unless the tensor has that shape and finite elements.
private func expect(_ tensor: Tensor, _ name: String, _ shape: [Int]) throws {
  guard tensor.shape == shape else {
    let wanted = shape.map(String.init).joined(separator: ", ")
    throw Failure.data(
      "tensor \"\(name)\" is \(tensor.summary), expected \(tensor.type.rawValue) [\(wanted)]")
  }
  try tensor.expectFinite(name)
}
