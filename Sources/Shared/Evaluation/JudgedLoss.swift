import LinearAlgebra
import Schema
import Tensors

/// A loss with the weights of the classes by which samples count, if they have some.
package struct JudgedLoss: Sendable {
  package let name: LossName
  package let weights: ClassWeights?
  private let targets: TargetValues

  /// That of a solution or network of `outputs` outputs. Throws if its metadata have weights that are not one for each
  /// class.
  init(_ bundle: Bundle, _ name: LossName, _ targets: TargetValues, outputs: Int) throws {
    self.name = name
    self.targets = targets
    weights = try bundle.classWeights(outputs: outputs)
  }

  /// ℓ(ŷ) for n × C outputs and targets.
  func value(_ outputs: Matrix, _ expected: Matrix) -> Double {
    name.value(outputs, expected, weights: rows(expected))
  }

  /// The weight of each sample, by the class that its targets (n × C) tell; nil if all count alike.
  func rows(_ expected: Matrix) -> [Double]? {
    guard let weights else { return nil }
    return (0..<expected.rows).map { i in
      let row = UnsafeBufferPointer(start: expected.row(i), count: expected.columns)
      if row.count == 1 { return weights.values[row[0] == targets.first ? 0 : 1] }
      return weights.values[row.firstIndex(of: targets.second) ?? 0]
    }
  }

  /// Throws if classes have weights and `expected` are no classes.
  func expectClasses(_ expected: ExpectedOutputs, of name: String, on data: String) throws {
    guard weights == nil || expected.labels != nil else {
      throw Failure.data(
        "\(name) was trained with weights of classes (metadata \"class_weights\"), but \(data) has targets, not labels"
      )
    }
  }
}
