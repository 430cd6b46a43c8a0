import LinearAlgebra
import Schema
import Tensors

/// The numbers that the network's outputs are compared with, n × C.
package struct Targets {
  /// y, n × C; if classes have weights, what `ClassWeighting` makes of it.
  package let values: Matrix
  /// Class numbers, if the task is classification.
  package let labels: [Int]?
  /// Names of the classes, if the bundle has them.
  package let classes: [String]
  /// The two values a class can take: (−1, 1) or those asked for with two classes, (0, 1) with more. `nil` for
  /// regression.
  package let targetValues: TargetValues?
  /// The loss by which outputs and targets are compared.
  package let loss: LossName
  /// The weights of the classes, if they have some.
  package let weighting: ClassWeighting?
  /// ℓ of `values`.
  package var function: any Loss { loss.loss(weighting) }

  /// Reads `targets` (regression) or `labels`. Two classes have one output, with the first of `targetValues` as target
  /// of the first class and the second of the second; more classes have an output each, with targets 0 and 1 (−1 and 1
  /// for losses of signs). With cross-entropy two classes have an output each too. Validation data take classes, target
  /// values, loss and weights from the `training` data.
  package init(
    _ bundle: Bundle, samples: Int, targetValues: TargetValues? = nil, loss: LossName = .squared,
    classWeights: ClassWeightChoice? = nil, like training: Targets? = nil
  ) throws {
    let loss = training?.loss ?? loss
    switch try Answers(bundle, samples: samples) {
    case .labels(let labels):
      if let training, training.labels == nil {
        throw Failure.data("\(bundle.name) has labels, but the training data have targets")
      }
      try self.init(
        labels: labels, of: bundle, targetValues: targetValues, loss: loss,
        classWeights: classWeights, like: training)
    case .targets(let tensor, let columns):
      guard training?.labels == nil else {
        throw Failure.data("\(bundle.name) has targets, but the training data have labels")
      }
      guard targetValues == nil else {
        throw Failure.usage("--targets is for labels, but \(bundle.name) holds targets")
      }
      guard classWeights == nil else {
        throw Failure.usage("--class-weights is for labels, but \(bundle.name) holds targets")
      }
      try self.init(
        Matrix(samples, columns, tensor.doubles), of: bundle, loss: loss, like: training)
    }
  }

  private init(
    _ values: Matrix, of bundle: Bundle, loss: LossName, like training: Targets?
  ) throws {
    if let training, training.values.columns != values.columns {
      throw Failure.data(
        "tensor \"targets\" of \(bundle.name) has \(values.columns) columns, "
          + "but the training data have \(training.values.columns) columns of targets")
    }
    self.values = values
    try loss.loss.expect(values, name: bundle.name)
    self.loss = loss
    (labels, classes, targetValues, weighting) = (nil, [], nil, nil)
  }

  private init(
    labels: [Int], of bundle: Bundle, targetValues given: TargetValues?, loss: LossName,
    classWeights: ClassWeightChoice?, like training: Targets?
  ) throws {
    let samples = labels.count
    let names = try bundle.classNames() ?? []
    if let training, !training.classes.isEmpty, !names.isEmpty, names != training.classes {
      throw Failure.data(
        "\(bundle.name) has the classes \(names.joined(separator: ",")), "
          + "the training data \(training.classes.joined(separator: ","))")
    }
    // Without names the labels say how many classes there are; a stray number must not make millions.
    let unnamed = min((labels.max() ?? 0) + 1, max(1000, samples))
    let count = training?.classCount ?? (names.isEmpty ? max(1, unnamed) : names.count)
    if let bad = labels.firstIndex(where: { $0 < 0 || $0 >= count }) {
      throw Failure.data(
        "tensor \"labels\": the label of sample \(bad) is \(labels[bad]), expected 0 to \(count - 1)"
      )
    }
    guard training != nil || Set(labels).count > 1 else {
      throw Failure.data("tensor \"labels\" holds one class only: there is nothing to tell apart")
    }
    guard count == 2 || given == nil else {
      throw Failure.usage("--targets is for two classes, but there are \(count)")
    }
    // A header of a few megabytes can name millions of classes.
    try expectMemory(
      8 * Double(samples) * Double(count), for: "\(samples) samples of \(count) classes")
    guard given == nil || loss != .crossEntropy else {
      throw Failure.usage("--targets is not for the cross-entropy loss: its targets are 0 and 1")
    }
    if let given, loss.hasSigns, [given.first, given.second].map(abs) != [1, 1] {
      throw Failure.usage("--targets must be -1,1 or 1,-1 for the \(loss.rawValue) loss")
    }
    self.loss = loss
    self.labels = labels
    classes = names
    // Cross-entropy has an output for each of two classes too.
    let isBinary = count == 2 && loss != .crossEntropy
    let outputs = isBinary ? 1 : count
    let two = training?.targetValues ?? given ?? TargetValues(outputs: outputs, loss: loss)
    targetValues = two
    let weights = try classWeights?.weights(of: labels, classes: count, in: bundle.name)
    let weighting = weights.map { ClassWeighting($0, two) } ?? training?.weighting
    self.weighting = weighting
    values = Matrix(samples, outputs)
    for (i, label) in labels.enumerated() {
      for c in 0..<outputs {
        let isSecond = isBinary ? label == 1 : label == c
        values[i, c] =
          weighting?.entry(label, isSecond: isSecond, loss) ?? (isSecond ? two.second : two.first)
      }
    }
  }

  /// The targets of samples that are not there, of which `outputs`, the classes (nil for regression) and their values are
  /// known: what further data are compared with, and what solutions of sums say.
  package init(outputs: Int, classes: [String]?, targetValues: TargetValues?) {
    values = Matrix(0, outputs)
    (labels, self.classes, self.targetValues) = (
      classes == nil ? nil : [], classes ?? [], targetValues
    )
    (loss, weighting) = (.squared, nil)
  }

  /// How many classes there are; 0 for regression.
  package var classCount: Int { labels == nil ? 0 : values.columns == 1 ? 2 : values.columns }

  /// The share of `predictions` (n × C) that give the right class: the nearer of two levels, or the largest output.
  /// `nil` for regression.
  package func accuracy(_ predictions: Matrix) -> Double? {
    guard let labels, let targetValues else { return nil }
    var right = 0
    for (i, label) in labels.enumerated() {
      let row = predictions.row(i)
      var guess = 0
      if predictions.columns == 1 {
        guess = abs(row[0] - targetValues.second) < abs(row[0] - targetValues.first) ? 1 : 0
      } else {
        for c in 1..<predictions.columns where row[c] > row[guess] { guess = c }
      }
      right += guess == label ? 1 : 0
    }
    return Double(right) / Double(labels.count)
  }

  /// ℓ(ŷ).
  package func lossValue(_ predictions: Matrix) -> Double {
    function.value(predictions, values)
  }
}

/// What `--class-weights` asks for.
package enum ClassWeightChoice: Equatable, Sendable {
  case balanced
  case given(ClassWeights)

  /// Reads `balanced` or numbers above 0 with commas between them; nil if it is neither.
  package static func parse(_ text: String) -> ClassWeightChoice? {
    if text == "balanced" { return .balanced }
    return parseNumbers(text).flatMap { ClassWeights($0) }.map { .given($0) }
  }

  /// The weights of `count` classes. Throws if other weights than one for each are given; `name` is that of the data.
  fileprivate func weights(of labels: [Int], classes count: Int, in name: String) throws
    -> ClassWeights
  {
    switch self {
    case .balanced: return ClassWeights(balancing: labels, of: count)
    case .given(let weights):
      guard weights.values.count == count else {
        throw Failure.usage(
          "--class-weights has \(weights.values.count) number\(weights.values.count == 1 ? "" : "s"), but "
            + "\(name) has \(count) classes")
      }
      return weights
    }
  }
}
