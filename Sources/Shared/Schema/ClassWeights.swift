import Tensors

/// The numbers that the losses of samples are multiplied by, one for each class, in the order of the classes.
package struct ClassWeights: Hashable, Sendable {
  /// Above 0.
  package let values: [Double]

  /// Returns nil unless all values are finite and above 0.
  package init?(_ values: [Double]) {
    guard !values.isEmpty, values.allSatisfy({ $0 > 0 && $0.isFinite }) else { return nil }
    self.values = values
  }

  /// n/(C n_c) for the n_c of n samples that have class c, C being the number of classes that have samples: then all
  /// classes weigh the same. A class without samples has the weight 1.
  package init(balancing labels: [Int], of count: Int) {
    var counts = [Int](repeating: 0, count: count)
    for label in labels { counts[label] += 1 }
    let present = Double(counts.count { $0 > 0 })
    values = counts.map { $0 == 0 ? 1 : Double(labels.count) / (present * Double($0)) }
  }
}

extension ClassWeights: MetadataValue {
  package static let expected = "an array of numbers above 0, one for each class, such as [0.5,2.0]"

  package static func parse(_ text: String) -> ClassWeights? {
    guard text.hasPrefix("["), text.hasSuffix("]") else { return nil }
    return parseNumbers(String(text.dropFirst().dropLast())).flatMap { ClassWeights($0) }
  }

  package var text: String { "[\(values.map { "\($0)" }.joined(separator: ","))]" }
}

extension MetadataKey where Value == ClassWeights {
  package static var classWeights: Self { Self(name: "class_weights") }
}

extension Bundle {
  /// The metadata `class_weights`, for a program of `outputs` outputs; nil if all samples count alike. Throws
  /// `Failure.data` if they are not one number above 0 for each class.
  package func classWeights(outputs: Int) throws -> ClassWeights? {
    guard let weights = try read(ifPresent: .classWeights) else { return nil }
    let count = outputs == 1 ? 2 : outputs
    guard weights.values.count == count else {
      throw Failure.data(
        "metadata \"class_weights\" of \(name) has \(weights.values.count) numbers, expected one for each of "
          + "\(count) classes")
    }
    return weights
  }
}
