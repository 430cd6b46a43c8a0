import LinearAlgebra
import Patches
import Schema
import Tensors

/// Held-out data to choose β by.
package struct Validation<Data> {
  /// The samples, or sums over them, which tell the loss and no accuracy.
  package enum Held {
    case samples(Data)
    case sums(StatisticsTensors)
  }
  package let held: Held
  package let targets: Targets
  /// The samples, if there are more than sums of them.
  package var data: Data? { if case .samples(let data) = held { data } else { nil } }
  /// n.
  package var samples: Int {
    if case .sums(let sums) = held { sums.samples } else { targets.values.rows }
  }

  package init(data: Data, targets: Targets) {
    held = .samples(data)
    self.targets = targets
  }

  /// Sums of the features of the `training` sums over other samples. Throws if they are of others.
  package init(_ sums: StatisticsTensors, like training: StatisticsTensors) throws {
    guard sums.design.isSame(as: training.design), sums.regions == training.regions,
      sums.dimension == training.dimension, sums.outputs == training.outputs,
      try sums.common.classNames() == training.common.classNames()
    else {
      throw Failure.data(
        "\(sums.name) has other features or classes than \(training.name): gram --like makes them alike"
      )
    }
    held = .sums(sums)
    targets = try training.targets()
  }

  func score(_ predictions: Matrix) -> ValidationScore {
    ValidationScore(
      accuracy: targets.accuracy(predictions), loss: targets.lossValue(predictions))
  }
}

/// The quality of a network on held-out data.
package struct ValidationScore {
  /// From 0 to 1; `nil` without labels.
  package let accuracy: Double?
  /// The loss, summed over samples and outputs.
  package let loss: Double

  /// The measure by which β is chosen.
  package var measure: String { accuracy == nil ? "loss" : "accuracy" }
  package var value: Double { accuracy ?? loss }

  package var metadata: [String: String] {
    var result = ["validation_loss": "\(loss)"]
    if let accuracy { result["validation_accuracy"] = "\(accuracy)" }
    return result
  }

  /// The quality on all of several parts of the data, of which each has its number of samples.
  package static func combined(_ parts: [(score: ValidationScore, samples: Int)]) -> ValidationScore
  {
    let total = Double(parts.reduce(0) { $0 + $1.samples })
    let right = parts.reduce(0) { $0 + ($1.score.accuracy ?? .nan) * Double($1.samples) }
    // A share of samples has no other values than their multiples.
    let accuracy = right.isNaN ? nil : right.rounded() / total
    return ValidationScore(accuracy: accuracy, loss: parts.reduce(0) { $0 + $1.score.loss })
  }

  /// Compares accuracies, and losses if these are equal or there are no labels. NaN is worse than every number.
  func isBetter(than other: ValidationScore) -> Bool {
    if let mine = accuracy, let theirs = other.accuracy, mine != theirs { return mine > theirs }
    return loss < other.loss || (other.loss.isNaN && !loss.isNaN)
  }
}

extension Validation where Data == MomentData {
  /// `bundle` must have the shape and the classes of the training data.
  package init(
    _ bundle: Bundle, like training: Bundle, _ data: MomentData, _ targets: Targets
  ) throws {
    try self.init(
      bundle, like: training, regions: data.regions, features: data.features, targets)
  }

  /// The same for training data that have so many regions, of so many features.
  package init(
    _ bundle: Bundle, like training: Bundle, regions: Int, features: Int, _ targets: Targets
  ) throws {
    let data = try MomentData(bundle)
    guard data.features == features, data.regions == regions else {
      throw Failure.data(
        "the validation data have \(data.regions) regions of \(data.features) features, "
          + "the training data \(regions) of \(features)")
    }
    try expectSameStatistics(bundle, training)
    try data.expectFinite()
    self.init(data: data, targets: try Targets(bundle, samples: data.samples, like: targets))
  }
}

extension Validation where Data == Matrix {
  /// X of a dataset or arrangements `bundle` with the features and the classes of the training data.
  package init(
    _ bundle: Bundle, like training: Bundle, _ data: ArrangementData, _ targets: Targets
  ) throws {
    try bundle.expect(.dataset, .arrangements)
    let x = try ArrangementData.features(of: bundle)
    guard x.columns == data.dimension else {
      throw Failure.data(
        "the validation data have \(x.columns) features, "
          + "the training data \(data.dimension)")
    }
    try expectSameStatistics(bundle, training)
    self.init(data: x, targets: try Targets(bundle, samples: x.rows, like: targets))
  }
}

extension Validation where Data == PatchSource {
  /// The patches of a dataset or arrangements `bundle` that are like those of the training data.
  package init(
    _ bundle: Bundle, like training: Bundle, _ patches: PatchSource, _ targets: Targets
  ) throws {
    let data = try PatchSource(bundle)
    try data.expectShape(of: patches)
    try expectSameStatistics(bundle, training)
    self.init(data: data, targets: try Targets(bundle, samples: data.count, like: targets))
  }
}

extension PatchSource {
  /// Fails unless these validation data have the features, patches and regions of the `training` data.
  package func expectShape(of training: PatchSource) throws {
    guard dimension == training.dimension, regions == training.regions else {
      throw Failure.data(
        "the validation data have \(regions) regions of \(dimension) features, "
          + "the training data \(training.regions) of \(training.dimension)")
    }
    guard patchCount == training.patchCount, regionSizes == training.regionSizes else {
      func text(_ source: PatchSource) -> String {
        let sizes = source.regionSizes
        return sizes.count == 1
          ? "\(sizes[0])"
          : "\(source.patchCount) (\(sizes.map(String.init).joined(separator: ", ")))"
      }
      throw Failure.data(
        "the validation data have \(text(self)) patches a sample, the training data \(text(training)): make "
          + "them with patchify --like")
    }
  }
}

/// Throws if the two bundles were not prepared with the same fitted statistics.
package func expectSameStatistics(_ bundle: Bundle, _ training: Bundle) throws {
  let other = try FittedStatistics(bundle).differences(from: FittedStatistics(training))
  guard let first = other.first else { return }
  throw Failure.data(
    "\(first) of the validation data differs from that of the training data: make them with patchify --like"
  )
}
