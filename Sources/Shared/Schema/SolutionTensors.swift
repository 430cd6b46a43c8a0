import Tensors

extension Bundle {
  /// A bundle of kind `solution`, but for the program's variables and its choices, which come on top.
  ///
  /// - Parameters:
  ///   - dual: ν, and the predictions if there are any.
  ///   - objectives: ℓ(ŷ) + β · norm and a lower bound of the optimum; `gap` is (P − D)/P.
  ///   - betaMax: nil if it is not known.
  ///   - targets: nil for regression.
  ///   - source: the training data's bundle.
  package init(
    solutionFrom source: Bundle, metadata: [String: String], dual: DualTensors,
    loss: LossName, targets: TargetValues?, beta: Double, betaMax: Double? = nil,
    objectives: (primal: Double, dual: Double), gap: Double, status: Status, iterations: Int
  ) {
    self.init(kind: .solution, tensors: [:])
    inherit(from: source)
    self.metadata.merge(metadata) { $1 }
    dual.write(to: &self)
    self.metadata[.loss] = loss
    self.metadata[.targets] = targets
    self.metadata[.beta] = beta
    self.metadata[.betaMax] = betaMax
    self.metadata[.primalObjective] = objectives.primal
    self.metadata[.dualObjective] = objectives.dual
    self.metadata[.relativeGap] = gap
    self.metadata[.status] = status
    self.metadata[.iterations] = iterations
  }

  /// The dual point and the predictions of a solution, F64 [n, C]. Throws `Failure.data` if their shapes differ, or if
  /// they are empty or not finite.
  package func solutionPoints() throws -> (dual: Tensor, predictions: Tensor) {
    let (dual, predictions) = (try require(.dual), try require(.predictions))
    try dual.expectFinite("dual", of: name)
    try predictions.expectFinite("predictions", of: name)
    guard dual.count > 0, predictions.shape == dual.shape else {
      throw Failure.data(
        "tensor \"dual\" of \(name) is \(dual.summary) and \"predictions\" is \(predictions.summary): they "
          + "differ in classes or samples, or have none")
    }
    return (dual, predictions)
  }

  /// The matrices Z of a polynomial program, F64 [C, R, 2, d+1, d+1]. Throws `Failure.data` if they have other shapes,
  /// or are empty or not finite.
  package func solutionMatrices() throws -> Tensor {
    let z = try require(.z)
    guard z.count > 0, z.shape[2] == 2, z.shape[3] == z.shape[4], z.shape[3] > 1 else {
      throw Failure.data(
        "tensor \"z\" of \(name) is \(z.summary), expected F64 \(TensorKey.z.shapes[0])")
    }
    try z.expectFinite("z", of: name)
    return z
  }
}

/// The variables of a program over patterns: weights of A patterns, and of each output and region.
package struct PatternVariables: Sendable {
  /// Rows of the data's `patterns`; [0] for a linear network, which has one pattern of ones.
  package let index: [Int]
  /// The gates that attain these patterns; none for a linear network.
  package let gates: GateTensors
  /// F64, C · A · R · d numbers in that order: w of a gated or linear network, v of a ReLU network.
  package let positive: Tensor
  /// w of a ReLU network.
  package let negative: Tensor?
  /// R and d.
  package let regions: Int
  package let dimension: Int

  /// The gates of the patterns `index`: all of the solution's, or, if it brings its own list, those rows of it.
  private static func gates(_ bundle: Bundle, _ index: [Int], dimension d: Int) throws
    -> GateTensors
  {
    // With batch normalisation weights are those of other features than the data's, whose gates these are.
    let width = bundle.metadata[.batchNorm] == nil ? d : bundle[.gates]?.shape.last ?? d
    guard try bundle.hasOwnList else {
      return try GateTensors(bundle, count: index.count, dimension: width)
    }
    let list = try GateTensors(bundle, dimension: width)
    if let bad = index.first(where: { $0 < 0 || $0 >= list.count }) {
      throw Failure.data(
        "tensor \"index\" of \(bundle.name) holds \(bad), but its list has \(list.count) patterns")
    }
    return list.rows(index)
  }

  /// The shape of `v` and `w`: [A, d], [C, A, d] if there are several outputs, [C, A, R, d] if there are several
  /// regions.
  package static func shape(outputs: Int, patterns: Int, regions: Int, dimension: Int) -> [Int] {
    let end = regions > 1 ? [regions, dimension] : [dimension]
    return (outputs == 1 && regions == 1 ? [] : [outputs]) + [patterns] + end
  }

  /// Reads the variables of a network of `outputs` outputs; `regions` and `dimension` are R and d if these are known.
  /// Throws `Failure.data` if a tensor is missing, does not fit the others, or is not finite.
  package init(
    _ bundle: Bundle, _ activation: Activation, outputs: Int, regions: Int? = nil,
    dimension: Int? = nil
  ) throws {
    let key = activation == .relu ? TensorKey.v : .w
    let first = try bundle.require(key)
    let (regions, d) = (
      regions ?? (first.shape.count == 4 ? first.shape[2] : 1), dimension ?? first.shape.last!
    )
    guard regions > 0, d > 0, regions == 1 || activation != .circular else {
      throw Failure.data("tensor \(quoted(key.name)) of \(bundle.name) is \(first.summary)")
    }
    (self.regions, self.dimension) = (regions, d)
    if activation.isLinear {
      index = [0]
      gates = GateTensors(vectors: Tensor(type: .f64, shape: [0, d]), thresholds: nil)
    } else {
      index = try bundle.require(.index).withElements(of: Int32.self) { $0.map(Int.init) }
      gates = try PatternVariables.gates(bundle, index, dimension: d)
    }
    let shape = PatternVariables.shape(
      outputs: outputs, patterns: index.count, regions: regions, dimension: d)
    // A dimension of one output or one region may be there.
    let others = regions == 1 ? [[outputs, index.count, d], [outputs, index.count, 1, d]] : []
    func weights(_ key: TensorKey) throws -> Tensor {
      let found = try bundle.require(key).shape
      return try bundle.require(key, shape: others.contains(found) ? found : shape)
    }
    positive = try weights(key)
    negative = activation == .relu ? try weights(.w) : nil
  }
}

extension Bundle {
  /// Whether this solution brings the list of patterns that `index` refers to. Throws `Failure.data` if its metadata
  /// `list` is no such word.
  package var hasOwnList: Bool {
    get throws { try metadata[MetadataKey.list.name] != nil && read(.list) == .found }
  }
}

extension Bundle {
  /// This dataset with the patterns that `solution` brings along. Deferred data have gates alone.
  package func listing(patternsOf solution: Bundle) throws -> Bundle {
    var result = self
    result.metadata["kind"] = Kind.arrangements.rawValue
    result.metadata[.exact] = solution.metadata[.exact] == true
    result[.gates] = try solution.require(.gates)
    result[.patterns] = self[.x] == nil ? nil : try solution.require(.patterns)
    return result
  }
}
