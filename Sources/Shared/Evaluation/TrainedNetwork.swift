import LinearAlgebra
import Schema
import Tensors

/// A network as its bundle describes it: the function, and the meaning of its outputs.
package struct TrainedNetwork: Sendable {
  package private(set) var name: String
  package private(set) var function: any NetworkFunction
  /// The further parts of the network of a joint program.
  package private(set) var others: [TrainedNetwork] = []
  /// The loss that it was trained on.
  package let loss: LossName
  /// The loss with the weights of classes.
  let judgedLoss: JudgedLoss
  package let classes: [String]?
  /// The targets of training: for one output those of the first and the second class, for more outputs the values off
  /// and on the class.
  package let targets: TargetValues
  let statistics: FittedStatistics
  /// The change of the targets that it was trained on.
  private let targetScale: Standardization?
  /// What data must have for this network.
  package let model: DataModel
  package let metadata: [String: String]

  /// Takes over a bundle of kind `network`, with its biases as weights of a constant feature.
  package init(_ given: Bundle) throws {
    try given.expect(.network)
    if JointBundle.isJoint(given) {
      let parts = try JointBundle.split(given).map { try TrainedNetwork($0) }
      self = parts[0]
      name = given.name
      others = Array(parts.dropFirst())
      function = JointNetwork(parts: parts.map(\.function), name: name)
      guard
        parts.allSatisfy({ $0.function is ReLUNetwork && $0.function.outputs == function.outputs })
      else {
        throw Failure.data(
          "the parts of \(name) have other outputs, or are no networks of gated-relu, relu or linear neurons"
        )
      }
      return
    }
    let hasFreeBias = try given.read(.freeBias, default: false)
    let bundle = hasFreeBias ? given : try given.foldingBiases()
    name = bundle.name
    metadata = bundle.metadata
    function =
      switch try bundle.read(.activation) {
      case .polynomial(let activation): try PolynomialNetwork(bundle, activation)
      case .quantized: try QuantizedNetwork(bundle)
      case .relu where hasFreeBias: try FreeBiasNetwork(bundle)
      case .linear where bundle.metadata["layers"] != nil: try DeepLinearNetwork(bundle)
      case .gatedReLU where bundle.metadata["layers"] != nil,
        .relu where bundle.metadata["layers"] != nil:
        try ThreeLayerNetwork(bundle)
      case .relu, .gatedReLU, .linear, .circular:
        try bundle.read(ifPresent: .batchNorm) == nil
          ? ReLUNetwork(bundle) : NormalizedNetwork(bundle)
      }
    loss = try bundle.read(.loss, default: .squared)
    classes = try bundle.classNames()
    targets = try bundle.targetValues(outputs: function.outputs, loss: loss)
    judgedLoss = try JudgedLoss(bundle, loss, targets, outputs: function.outputs)
    statistics = try FittedStatistics(bundle)
    try statistics.whiten?.expectFinite("whiten")
    model = try DataModel(bundle)
    targetScale = try Standardization(bundle, of: .targets)
    guard targetScale == nil || targetScale?.shift.count == function.outputs else {
      throw Failure.data(
        "tensor \"target_shift\" of \(name) is \(bundle[.targetShift]?.summary ?? ""), expected one number for each of "
          + "\(function.outputs) output\(function.outputs == 1 ? "" : "s")")
    }
  }

  /// Outputs or targets, n × C, in the units that the targets came in.
  func inUnitsOfTargets(_ values: Matrix) -> Matrix {
    guard let targetScale else { return values }
    let result = Matrix(copying: values)
    for i in 0..<values.rows {
      for c in 0..<values.columns {
        result[i, c] = values[i, c] * targetScale.divisor[c] + targetScale.shift[c]
      }
    }
    return result
  }

  /// The names of the classes that its outputs tell apart; nil if they are numbers.
  var decidedClasses: [String]? {
    guard classes != nil || metadata["targets"] != nil else { return nil }
    let count = function.outputs == 1 ? 2 : function.outputs
    guard let classes, classes.count == count else { return (0..<count).map(String.init) }
    return classes
  }

  /// Throws if the network and the samples do not belong together. Returns the choices of the step that cuts patches in
  /// which they differ.
  package func check(against examples: Examples) throws -> [String] {
    try function.check(against: examples)
    if others.isEmpty { try examples.expectParts(1, of: name) }
    var choices: [String] = []
    for (part, own) in zip(others, examples.others) { choices += try part.check(against: own) }
    return try checkPreparation(of: examples) + choices
  }

  /// Throws if the network and the data have other classes, or were fitted otherwise. Returns the choices of the step
  /// that cuts patches in which they differ.
  func checkPreparation(of examples: any JudgedData) throws -> [String] {
    try examples.expect(classes: classes, of: name)
    if let other = statistics.differences(from: examples.statistics, ifPresent: true).first {
      throw Failure.data(
        other.contains("\"after.")
          ? "\(examples.name) did not go through the hidden layers that the training data of \(name) went through, or through "
            + "others: \(other) differs (use patchify --like)"
          : "\(other) of \(examples.name) is not that of \(name): these data went another way than the training data (use "
            + "patchify --like)")
    }
    return examples.otherChoices(than: metadata, of: name)
  }

  /// Warnings of samples that are not the training data, and look as if they came in other units or scales.
  func warnings(of examples: Examples) -> [String] {
    let found = unlikely(examples)
    return found.isEmpty ? outliers(among: examples) : found
  }

  /// The features that were brought to the mean 0 and the deviation 1: those that are constant stay as they are.
  private var standardizedFeatures: [Int] {
    guard let change = statistics.standardization else { return [] }
    return change.shift.indices.filter { change.shift[$0] != 0 || change.divisor[$0] != 1 }
  }

  /// A standardised feature of a single sample that is farther from 0 than this is hardly of the training data's kind.
  private static let farthestValue = 100.0

  /// A warning if samples that are not the training data have standardised features far outside of those.
  private func outliers(among examples: Examples) -> [String] {
    guard statistics.standardization != nil, case .patches(let patches) = examples.features,
      let x = patches.tensor, patches.patchCount == 1
    else { return [] }
    let d = patches.dimension
    let own = standardizedFeatures.filter { $0 < d }
    var (count, first, feature, largest) = (0, 0, 0, TrainedNetwork.farthestValue)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: d) { row in
      for i in 0..<patches.count {
        x.copyDoubles(i * d..<(i + 1) * d, into: row.baseAddress!)
        guard
          let k = own.max(by: { abs(row[$0]) < abs(row[$1]) }),
          abs(row[k]) > TrainedNetwork.farthestValue
        else { continue }
        count += 1
        if abs(row[k]) > largest { (first, feature, largest) = (i, k, abs(row[k])) }
      }
    }
    guard count > 0 else { return [] }
    let sample = examples.sampleNames.map { quoted($0[first]) } ?? "\(first)"
    return [
      "\(count) sample\(count == 1 ? "" : "s") of \(examples.name) \(count == 1 ? "is" : "are") far outside the training "
        + "data: \(title(of: feature)) of sample \(sample) is more than "
        + "\(Int(TrainedNetwork.farthestValue)) deviations from its mean there"
    ]
  }

  /// A feature as messages call it.
  private func title(of k: Int) -> String {
    let names = model.features ?? []
    return names.indices.contains(k) ? "feature \(quoted(names[k]))" : "feature \(k + 1)"
  }

  /// A mean of a standardised feature that is farther from 0 than this is hardly that of samples like the training data.
  private static let farthestMean = 10.0

  /// A warning if a standardised feature is far from what it was in the training data.
  private func unlikely(_ examples: Examples) -> [String] {
    guard statistics.standardization != nil, case .patches(let patches) = examples.features,
      let x = patches.tensor, patches.patchCount == 1
    else { return [] }
    let (n, d) = (patches.count, patches.dimension)
    var sums = [Double](repeating: 0, count: d)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: d) { row in
      for i in 0..<n {
        x.copyDoubles(i * d..<(i + 1) * d, into: row.baseAddress!)
        for k in 0..<d { sums[k] += row[k] / Double(n) }
      }
    }
    guard
      let k = standardizedFeatures.filter({ $0 < d }).max(by: { abs(sums[$0]) < abs(sums[$1]) }),
      abs(sums[k]) > TrainedNetwork.farthestMean
    else { return [] }
    let size = abs(sums[k]).rounded()
    let distance = size < 1e15 ? "\(Int(size))" : "\(size)"
    return [
      "\(title(of: k)) of \(examples.name) is on average \(distance) deviations from that of the "
        + "training data: are its units, or its scale, the same?"
    ]
  }
}

extension JudgedData {
  /// The choices of the step that cuts patches in which `metadata`, those of the bundle `name`, differ from these
  /// samples. For what was trained on these data (`mustBeSame`) a choice that only one of them tells differs too,
  /// unless these samples were cut by no such step.
  func otherChoices(
    than metadata: [String: String], of name: String, mustBeSame: Bool = false
  ) -> [String] {
    // Bundles from before there were mirror images do not say.
    func choice(_ key: String, _ metadata: [String: String]) -> String? {
      metadata[key] ?? (key == "mirror" && metadata["flatten"] != nil ? "false" : nil)
    }
    let isCut = self.metadata["size"] != nil || self.metadata["flatten"] != nil
    return Preparation.choices.compactMap { key in
      let (ours, theirs) = (choice(key, metadata), choice(key, self.metadata))
      guard ours != theirs, mustBeSame && isCut || (ours != nil && theirs != nil) else {
        return nil
      }
      func said(_ text: String?) -> String { text.map { quoted($0) } ?? "missing" }
      return "\(quoted(key)) is \(said(theirs)) in \(self.name), but \(said(ours)) in \(name)"
    }
  }
}
