import LinearAlgebra
import Schema
import Tensors

/// The outputs that a network should have, n × C, and for classification the classes behind them.
package struct ExpectedOutputs: Sendable {
  package private(set) var values: Matrix
  /// `nil` for regression.
  package let labels: [Int]?
  /// 0 for regression.
  package let classCount: Int
  /// Names of the classes: the data's, or the network's, or numbers.
  package let classNames: [String]
  private let targets: TargetValues

  /// The targets of `examples` for a network of `outputs` outputs that was trained on `loss`. Throws `Failure.data` if
  /// they have none.
  package init(
    _ examples: Examples, targets: TargetValues, outputs: Int, classes: [String]?,
    loss: LossName
  ) throws {
    self.targets = targets
    guard outputs > 1 || loss != .crossEntropy else {
      throw Failure.data(
        "the network has one output, expected one for each class for the cross-entropy loss")
    }
    switch examples.answers {
    case nil:
      throw Failure.data("\(examples.name) has neither \"labels\" nor \"targets\"")
    case .targets(let tensor, let columns):
      guard columns == outputs else {
        throw Failure.data(
          "tensor \"targets\" of \(examples.name) has \(columns) "
            + "column\(columns == 1 ? "" : "s"), but the network has \(outputs) "
            + "output\(outputs == 1 ? "" : "s")")
      }
      let values = Matrix(tensor.shape[0], columns, tensor.doubles)
      try loss.expect(values, name: examples.name)
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

  /// The same with other numbers.
  func with(_ values: Matrix) -> ExpectedOutputs {
    var result = self
    result.values = values
    return result
  }

  /// The share of samples whose outputs decide as their targets do, if the targets tell one class: by a sign, or by one
  /// of the columns that stands out.
  func accuracyOfTargets(_ outputs: Matrix) -> Double? {
    var right = 0
    for i in 0..<values.rows {
      let row = UnsafeBufferPointer(start: values.row(i), count: values.columns)
      guard row.count == 1 || row.count(where: { $0 == row.max() }) == 1 else { return nil }
      let theirs = UnsafeBufferPointer(start: outputs.row(i), count: values.columns)
      right += targets.decide(theirs) == targets.decide(row) ? 1 : 0
    }
    return Double(right) / Double(values.rows)
  }
}
