import LinearAlgebra
import Tensors

/// The numbers that stand for classes.
package struct TargetValues: Sendable, Equatable {
  /// One output: the target of the first class. More: that of every class but the sample's own.
  package let first: Double
  /// One output: the target of the second class. More: that of the sample's own class.
  package let second: Double

  package init(_ first: Double, _ second: Double) {
    self.first = first
    self.second = second
  }

  /// The metadata `targets`; without it -1,1 for one output and 0,1 for more.
  init(_ bundle: Bundle, outputs: Int) throws {
    guard let text = bundle.metadata["targets"] else {
      self = outputs == 1 ? TargetValues(-1, 1) : TargetValues(0, 1)
      return
    }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let values = parts.compactMap { Double($0) }.filter(\.isFinite)
    guard parts.count == 2, values.count == 2, values[0] != values[1] else {
      throw Failure.data(
        "metadata \"targets\" of \(bundle.name) is \(quoted(text)), expected two numbers, such as "
          + "\"-1,1\"")
    }
    self.init(values[0], values[1])
  }
}

/// What the outputs should have been: n × C, and for classification the classes behind it.
package struct ExpectedOutputs: Sendable {
  package let values: Matrix
  /// `nil` for regression.
  package let labels: [Int]?
  /// 0 for regression.
  package let classCount: Int
  /// Names of the classes: the data's, or the network's, or numbers.
  package let classNames: [String]
  private let targets: TargetValues

  /// The targets of `examples` for a network of `outputs` outputs.
  package init(
    _ examples: Examples, targets: TargetValues, outputs: Int, classes: [String]?
  ) throws {
    self.targets = targets
    switch examples.answers {
    case .targets(let values):
      guard values.columns == outputs else {
        throw Failure.data(
          "tensor \"targets\" of \(examples.name) has \(values.columns) "
            + "column\(values.columns == 1 ? "" : "s"), but the network has \(outputs) "
            + "output\(outputs == 1 ? "" : "s")")
      }
      self.values = values
      labels = nil
      classCount = 0
      classNames = []
    case .labels(let labels):
      let names = examples.classes ?? classes
      let count = names?.count ?? (outputs == 1 ? 2 : outputs)
      guard outputs == count || (outputs == 1 && count <= 2) else {
        throw Failure.data(
          "\(examples.name) has \(count) classes, but the network has \(outputs) "
            + "output\(outputs == 1 ? "" : "s")")
      }
      if let i = labels.firstIndex(where: { $0 >= count }) {
        throw Failure.data(
          "tensor \"labels\": the label of sample \(i) is \(labels[i]), expected 0 to "
            + "\(count - 1)")
      }
      let values = Matrix(labels.count, outputs)
      for (i, label) in labels.enumerated() {
        if outputs == 1 {
          values[i, 0] = label == 0 ? targets.first : targets.second
        } else {
          for c in 0..<outputs { values[i, c] = c == label ? targets.second : targets.first }
        }
      }
      self.values = values
      self.labels = labels
      classCount = count
      classNames = names ?? (0..<count).map(String.init)
    }
  }

  /// The class that the outputs of a sample speak for: with one output the one whose target is
  /// nearer, with more the one whose output stands out most. Ties go to the lower class.
  package func decide(_ outputs: UnsafeBufferPointer<Double>) -> Int {
    if outputs.count == 1 {
      return abs(outputs[0] - targets.second) < abs(outputs[0] - targets.first) ? 1 : 0
    }
    let sign = targets.second > targets.first ? 1.0 : -1.0
    var best = 0
    for c in 1..<outputs.count where sign * outputs[c] > sign * outputs[best] { best = c }
    return best
  }

  /// The decisions for n × C outputs; `nil` for regression.
  package func decisions(_ outputs: Matrix) -> [Int]? {
    labels.map { _ in
      (0..<outputs.rows).map {
        decide(UnsafeBufferPointer(start: outputs.row($0), count: outputs.columns))
      }
    }
  }
}

/// ½ Σ (ŷ − y)² over all samples and outputs.
package func squaredLoss(_ outputs: Matrix, _ expected: Matrix) -> Double {
  var sum = CompensatedSum()
  for k in 0..<outputs.count {
    let difference = outputs.base[k] - expected.base[k]
    sum.add(difference, times: difference)
  }
  return 0.5 * sum.value
}
