import LinearAlgebra
import Schema
import Tensors

/// The samples that a network is judged on: features, and the outputs that the network should have.
///
/// The features stay in the type in which they came; they are converted block by block.
package struct Examples: Sendable {
  package enum Features: Sendable {
    case patches(PatchFeatures)
    case moments(MomentTensor)
  }

  /// The name of the bundle in messages.
  package let name: String
  package let features: Features
  /// Nil if the samples have neither labels nor targets.
  package let answers: Answers?
  /// The names of the classes, if the bundle has them.
  package let classes: [String]?
  /// Features of the bundle that the network does not have, and that were left out.
  let leftOut: [String]
  /// The names of the samples, if the bundle has them.
  let sampleNames: [String]?
  let statistics: FittedStatistics
  package let metadata: [String: String]
  /// The patterns of an `arrangements` bundle, if they were asked for.
  package let arrangements: Arrangements?
  /// The gates that the bundle lists, if they were asked for.
  let listedGates: GateTensors?
  /// The same samples with other patches, for the further parts of a joint network.
  var others: [Examples] = []

  package var count: Int {
    switch features {
    case .patches(let patches): patches.count
    case .moments(let moments): moments.samples
    }
  }

  /// The count of numbers in the features.
  var size: Int {
    switch features {
    case .patches(let patches): patches.count * patches.patchCount * patches.dimension
    case .moments(let moments): moments.moments.count
    }
  }

  /// Features of a patch.
  package var dimension: Int {
    switch features {
    case .patches(let patches): patches.dimension
    case .moments(let moments): moments.dimension
    }
  }

  package var regionCount: Int {
    switch features {
    case .patches(let patches): patches.pooling.sizes.count
    case .moments(let moments): moments.regions
    }
  }

  /// The tensor of features and its shape, as messages show it.
  package var summary: String {
    switch features {
    case .patches(let patches): patches.summary
    case .moments(let moments): "tensor \"moments\" of \(name) is \(moments.moments.summary)"
    }
  }

  /// Reads a bundle of kind `dataset`, `arrangements` or `moments`, and keeps only what is used here. With `patterns`
  /// it must be of kind `arrangements`, unless `list` has patterns for its samples. Samples are put right as `model`
  /// says. `forClaim` says that a claim about these very data is judged: then no feature is left out, and raw ones
  /// are standardised only by their own means and deviations.
  package init(
    reading input: Input, patterns: Bool = false, list: Bundle? = nil, like model: DataModel? = nil,
    forClaim: Bool = false
  ) throws {
    let reader = try BundleReader(input)
    try self.init(reader, patterns: patterns, list: list, like: model, forClaim: forClaim)
    try reader.finish()
  }

  /// The same for the bundle of a reader, which other bundles may follow.
  package init(
    _ reader: BundleReader, patterns: Bool = false, gates: Bool = false, list: Bundle? = nil,
    like model: DataModel? = nil, forClaim: Bool = false
  ) throws {
    try reader.expect(.dataset, .moments, .arrangements)
    let used =
      ["x", "images", "moments", "pool", "labels", "targets", "names"]
      + (patterns || gates ? GateKeys.patterns.all.map(\.name) : [])
      + (patterns ? ["patterns"] : [])
    var tensors: [String: Tensor] = [:]
    while let entry = reader.next {
      if used.contains(entry.name) || FittedStatistics.has(entry.name) {
        tensors[entry.name] = try reader.readTensor()
      } else {
        try reader.skipTensor()
      }
    }
    try self.init(
      Bundle(tensors: tensors, metadata: reader.metadata, name: reader.input.name),
      patterns: patterns, gates: gates, list: list, like: model, forClaim: forClaim)
  }

  /// Takes over a bundle of kind `dataset`, `arrangements` or `moments`. Throws if its tensors do not fit each other;
  /// whether the features are finite shows when they are read.
  package init(
    _ given: Bundle, patterns: Bool = false, gates: Bool = false, list: Bundle? = nil,
    like model: DataModel? = nil, forClaim: Bool = false
  ) throws {
    try given.expect(.dataset, .moments, .arrangements)
    let bundle = try model?.conform(given, keepingAll: forClaim) ?? given
    if forClaim, try Standardization(given) == nil, let fitted = try Standardization(bundle) {
      let patches = try PatchTensor(bundle)
      try fitted.expectFitted(
        patches.x, columns: patches.dimension, .features, of: bundle.name)
    }
    if forClaim, try Standardization(given, of: .targets) == nil,
      let fitted = try Standardization(bundle, of: .targets),
      let targets = try bundle.optional(.targets)
    {
      try fitted.expectFitted(targets, columns: fitted.shift.count, .targets, of: bundle.name)
    }
    leftOut = try model?.leftOut(of: given) ?? []
    name = bundle.name
    metadata = bundle.metadata
    features =
      bundle.kind == .moments
      ? .moments(try MomentTensor(bundle)) : .patches(try PatchFeatures(bundle))
    let n: Int
    switch features {
    case .patches(let patches): n = patches.count
    case .moments(let moments): n = moments.samples
    }
    classes = try bundle.classNames()
    statistics = try FittedStatistics(bundle)
    sampleNames = try bundle.sampleNames(n)
    answers = try Examples.answers(of: bundle, count: n, classes: classes?.count)
    listedGates =
      gates && bundle.kind == .arrangements
      ? try GateTensors(bundle, dimension: bundle.require(.gates).shape[1]) : nil
    arrangements =
      if patterns, case .patches(let features) = features {
        try list.map { try Arrangements(list: $0, features) } ?? Arrangements(bundle, features)
      } else {
        nil
      }
  }

  private static func answers(of bundle: Bundle, count n: Int, classes: Int?) throws -> Answers? {
    if bundle[.labels] == nil, bundle[.targets] == nil { return nil }
    let answers = try Answers(bundle, samples: n)
    let limit = classes ?? Int(Int32.max)
    if case .labels(let values) = answers,
      let i = values.firstIndex(where: { $0 < 0 || $0 >= limit })
    {
      throw Failure.data(
        "tensor \"labels\": the label of sample \(i) is \(values[i]), expected "
          + (classes.map { "0 to \($0 - 1)" } ?? "0 or more"))
    }
    return answers
  }
}

extension Standardization {
  /// Means and deviations may differ from 0 and 1 by so much, and by the rounding of what was subtracted.
  private static let tolerance = 1e-9

  /// Throws if the numbers `x` of `data`, with d columns, which this has standardised, have not the mean 0 and the
  /// deviation 1. Constants stay as they are; so may targets.
  fileprivate func expectFitted(_ x: Tensor, columns d: Int, _ subject: Subject, of data: String)
    throws
  {
    let rows = x.count / max(1, d)
    var (sums, squares) = ([Double](repeating: 0, count: d), [Double](repeating: 0, count: d))
    var isConstant = [Bool](repeating: true, count: d)
    var (row, first) = (sums, sums)
    for i in 0..<rows {
      row.withUnsafeMutableBufferPointer {
        x.copyDoubles(i * d..<(i + 1) * d, into: $0.baseAddress!)
      }
      if i == 0 { first = row }
      for k in 0..<d {
        sums[k] += row[k]
        squares[k] += row[k] * row[k]
        if row[k] != first[k] { isConstant[k] = false }
      }
    }
    for k in 0..<d where subject == .features || shift[k] != 0 || divisor[k] != 1 {
      let room = Standardization.tolerance * (1 + abs(shift[k]) / divisor[k])
      let (mean, square) = (sums[k] / Double(rows), squares[k] / Double(rows))
      let isFitted =
        isConstant[k]
        ? shift[k] == 0 && divisor[k] == 1 : abs(mean) <= room && abs(square - 1) <= 2 * room
      guard isFitted else {
        throw Failure.data(
          "the network standardises \(subject == .features ? "feature" : "target") \(k + 1) of \(data) by other numbers "
            + "than its own mean and deviation: a claim about these data needs them as the training had them (tensor "
            + "standardize)")
      }
    }
  }
}
