import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// What bundles of samples are added up as.
package struct SummationChoices: Sendable {
  /// The activation; nil for that of what the sums follow, or of gates in the data.
  package var activation: Activation?
  /// The values of two classes; nil for -1 and 1.
  package var targets: TargetValues?
  /// F32 or F64; nil for that of what the sums follow, or F64.
  package var type: ElementType?

  package init() {}
}

/// Adds up bundles of samples, one after another, into a bundle of kind `statistics`. It holds the sums and one bundle.
package final class Summation {
  private let features: any SummedFeatures
  private let sums: any SampleSums
  private let centre: Matrix?
  /// What all bundles must have in common.
  private let common: Bundle
  private let model: DataModel
  private let targets: Targets
  private var samples = 0
  private var squares: [CompensatedSum]
  private var targetSums: [CompensatedSum]
  private var counts: [Int]
  private var recipes: [String] = []

  /// Begins for samples like those of `first`; nothing is added yet. `like` is a bundle of kind `statistics` or
  /// `arrangements`, whose common part, or gates, the sums have. Throws `Failure.data` if the samples are others, or the
  /// machine lacks the memory.
  package init(_ first: Bundle, like: Bundle?, _ choices: SummationChoices) throws {
    let earlier = try like?.kind == .statistics ? like.map { try StatisticsTensors($0) } : nil
    if let earlier { try choices.expectSame(as: earlier) }
    features = try Summation.features(of: first, like: like, earlier, choices.activation)
    targets = try earlier?.targets() ?? Summation.targets(of: first, choices.targets)
    _ = try features.samples(of: first)
    var common = try earlier?.common ?? Summation.common(first, features, targets)
    let type = choices.type ?? earlier?.gram.type ?? .f64
    let outputs = targets.values.columns
    let q = Summation.order(features)
    try Summation.expectMemory(order: q, outputs: outputs, type)
    if type == .f32 {
      let centre =
        try earlier?.centre.map { Matrix(1, q, $0.doubles) } ?? features.centre(of: first)
      self.centre = centre
      common[.centre] = Tensor(centre.values)
      sums = CentredSums(
        centre: centre, outputs: outputs, blockRows: StatisticsTensors.blockRows)
    } else {
      centre = nil
      sums = PlainSums(
        order: q, outputs: outputs, workers: Summation.workers(order: q),
        blockRows: StatisticsTensors.blockRows)
    }
    self.common = common
    model = try DataModel(common)
    squares = Array(repeating: CompensatedSum(), count: outputs)
    targetSums = squares
    counts = Array(repeating: 0, count: targets.classCount)
  }

  /// Q.
  private static func order(_ features: any SummedFeatures) -> Int {
    let (r, d) = (features.regions, features.dimension)
    return switch features.design {
    case .polynomial: r * ((d + 1) * (d + 2) / 2)
    case .gated(let gates): gates.count * r * d
    case .linear: r * d
    }
  }

  /// Sums of their own are worth their memory for few features.
  private static func workers(order q: Int) -> Int { q <= 6000 ? FeatureSums.workers : 1 }

  /// Refuses sums that do not fit into memory: the matrix of each worker, a block of rows, and the triangle.
  private static func expectMemory(order q: Int, outputs: Int, _ type: ElementType) throws {
    let (size, n) = (Double(q), Double(StatisticsTensors.blockRows))
    let parts = type == .f32 ? 1 : Double(workers(order: q))
    let triangle = Double(type.size) * size * (size + 1) / 2
    try Tensors.expectMemory(
      Double(type.size) * parts * (size * size + size * n) + triangle + 8 * size * n,
      for: "the sums of \(q) features, whose triangle alone has \(Int(triangle / 1e6)) MB,")
  }

  /// The features that `like`, the activation, or else the gates of `first` tell.
  private static func features(
    of first: Bundle, like: Bundle?, _ earlier: StatisticsTensors?, _ activation: Activation?
  ) throws -> any SummedFeatures {
    if let earlier {
      switch earlier.design {
      case .polynomial(let activation, let whitening):
        return try SummedMoments(
          activation, whitening: whitening, regions: earlier.regions, name: earlier.name)
      case .gated(let gates):
        return SummedPatches(gates, regions: earlier.regions, dimension: earlier.dimension)
      case .linear:
        return SummedPatches(nil, regions: earlier.regions, dimension: earlier.dimension)
      }
    }
    let isGated = like != nil || first.kind == .arrangements
    guard let activation = activation ?? (isGated ? .gatedReLU : nil) else {
      throw Failure.usage(
        "--activation A,B,C or linear is missing: \(first.name) has no gates (arrangements lists some)"
      )
    }
    switch activation {
    case .polynomial(let polynomial):
      // T itself takes long if there are very many features.
      let moments = try MomentTensor(first)
      let d = moments.dimension
      try expectMemory(order: moments.regions * ((d + 1) * (d + 2) / 2), outputs: 1, .f64)
      return try SummedMoments(first, polynomial)
    case .linear: return try SummedPatches(first, gates: nil)
    case .gatedReLU:
      let owner = like ?? first
      try owner.expect(.arrangements)
      let patches = try PatchSource(first)
      return try SummedPatches(
        first, gates: GateTensors(owner, dimension: patches.dimension))
    default:
      throw Failure.usage(
        "--activation \(activation.text): sums over samples are for polynomials, gated-relu and linear"
      )
    }
  }

  /// The targets of further data by those of `first`, which may lack a class that it names.
  private static func targets(of first: Bundle, _ values: TargetValues?) throws -> Targets {
    guard first[.labels] != nil, let names = try first.classNames(), names.count > 1 else {
      let samples = first.tensors.values.compactMap { $0.shape.first }.max() ?? 0
      let count =
        try first.optional(.labels)?.count ?? first.optional(.targets)?.shape[0] ?? samples
      let own = try Targets(first, samples: count, targetValues: values)
      return Targets(
        outputs: own.values.columns,
        classes: own.labels == nil ? nil : (0..<own.classCount).map(String.init),
        targetValues: own.targetValues)
    }
    let outputs = names.count == 2 ? 1 : names.count
    guard outputs == 1 || values == nil else {
      throw Failure.usage("--targets is for two classes, but there are \(names.count)")
    }
    return Targets(
      outputs: outputs, classes: names,
      targetValues: values ?? TargetValues(outputs: outputs, loss: .squared))
  }

  /// The common part of sums over samples like those of `bundle`.
  private static func common(
    _ bundle: Bundle, _ features: any SummedFeatures, _ targets: Targets
  ) throws -> Bundle {
    var result = Bundle(kind: .statistics, tensors: [:])
    result.name = bundle.name
    result.inherit(from: bundle)
    result[.pool] = bundle[.pool]
    result.metadata["product"] = bundle.sampleProduct
    result.metadata["dtype"] = bundle.sampleType
    result.metadata[.design] = features.design.name
    result.metadata[.activation] = features.design.activation
    result.metadata[.regions] = features.regions
    result.metadata[.targets] = targets.targetValues
    switch features.design {
    case .polynomial(_, let whitening): result[.whitening] = whitening
    case .gated(let gates): gates.write(to: &result)
    case .linear: break
    }
    return result
  }

  /// Adds the samples of `bundle`. Throws `Failure.data` if they do not go with those before. `tell` receives how many of
  /// all are done.
  package func add(_ given: Bundle, tell: (Int) -> Void = { _ in }) throws {
    let bundle = try model.conform(given)
    try common.expectSamples(bundle)
    if case .gated(let gates) = features.design, given.kind == .arrangements {
      let listed = try GateTensors(given, dimension: features.dimension)
      guard features.design.isSame(as: .gated(listed)) else {
        throw Failure.data(
          "\(given.name) lists other gates than the \(gates.count) of these sums: give its samples as a dataset"
        )
      }
    }
    let count = try features.samples(of: bundle)
    let own = try Targets(bundle, samples: count, like: targets)
    try Magnitudes.expect(own)
    let done = samples
    try features.add(bundle, targets: own.values, to: sums) { tell(done + $0) }
    guard sums.isFinite else {
      for key in [TensorKey.x, .moments] {
        try bundle[key]?.expectFinite(key.name, of: bundle.name)
      }
      throw Failure.data("\(bundle.name) holds features whose sums overflow")
    }
    samples += count
    for c in squares.indices {
      for i in 0..<count {
        let y = own.values[i, c]
        squares[c].add(y, times: y)
        targetSums[c].add(y)
      }
    }
    for label in own.labels ?? [] { counts[label] += 1 }
    if let recipe = bundle.metadata["command"] { recipes.append(recipe) }
  }

  /// The sums so far, which are used up. `recipe` are the recipes of the samples as one.
  package func bundle(metadata: (_ recipe: String?) -> [String: String]) throws -> Bundle {
    let (gram, right, featureSums) = sums.total()
    var result = common
    result[.gram] = gram.elements
    result[.correlations] = right.transposed.tensor
    result[.sums] = Tensor(featureSums.values)
    result[.squares] = Tensor(squares.map(\.value))
    result[.targetSums] = Tensor(targetSums.map(\.value))
    result[.samples] = Tensor([Int64(samples)])
    result[.blocks] = Tensor([Int64(sums.blocks)])
    result[.counts] = counts.isEmpty ? nil : Tensor(counts.map(Int64.init))
    result.metadata["command"] = nil
    result.metadata.merge(metadata(mergedRecipe(recipes))) { $1 }
    return result
  }

  /// How unlike the lengths of whitened features are: the largest sum of squares over the smallest that is not zero; nil
  /// if they were not whitened.
  package static func spread(_ statistics: Bundle) throws -> Double? {
    let sums = try StatisticsTensors(statistics)
    guard case .polynomial = sums.design else { return nil }
    let values = (0..<sums.order).map { sums.triangle.diagonal($0) }
    guard let largest = values.max(), largest > 0 else { return nil }
    return largest / values.filter { $0 > 1e-13 * largest }.min()!
  }
}

extension SummationChoices {
  /// Throws if a choice is not that of `earlier`, which is followed.
  fileprivate func expectSame(as earlier: StatisticsTensors) throws {
    func expect(_ holds: Bool, _ option: String, _ text: String) throws {
      guard holds else {
        throw Failure.usage(
          "--\(option) is not that of \(earlier.name), which has \(text): leave it out")
      }
    }
    let own = earlier.design.activation
    try expect(activation == nil || activation == own, "activation", own.text)
    let values = try earlier.targets().targetValues
    try expect(targets == nil || targets == values, "targets", values?.text ?? "no classes")
    try expect(type == nil || type == earlier.gram.type, "dtype", earlier.gram.type.rawValue)
  }
}
