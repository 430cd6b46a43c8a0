import Tensors

/// The statistics that were fitted to the training data and go with all that is made from them.
package struct FittedStatistics: Sendable {
  /// F32 or F64 [d].
  package let mean: Tensor?
  /// F32 or F64 [d, N]: a patch x becomes (x − mean) W.
  package let whiten: Tensor?

  /// Names of the tensors.
  package static let keys: [TensorKey] = [.mean, .whiten]

  /// Throws `Failure.data` if a tensor has another type or number of dimensions.
  package init(_ bundle: Bundle) throws {
    mean = try bundle.optional(.mean)
    whiten = try bundle.optional(.whiten)
  }

  /// The names of the tensors that are not those of `other`; with `ifPresent` only of those that both have.
  package func differences(from other: FittedStatistics, ifPresent: Bool = false) -> [String] {
    zip(FittedStatistics.keys, [(mean, other.mean), (whiten, other.whiten)]).compactMap {
      key, pair in
      if ifPresent, pair.0 == nil || pair.1 == nil { return nil }
      return pair.0?.doubles == pair.1?.doubles ? nil : key.name
    }
  }
}

/// The metadata that say how data were made from images.
package enum Preparation {
  /// The choices of the step that cuts patches.
  package static let choices = [
    "size", "stride", "padding", "scale", "pool", "flatten", "contrast", "center", "bias",
    "whiten", "components", "mirror",
  ]

  /// The metadata that a solution or a network of such data still needs.
  package static let inherited = Set(choices + ["channels", "classes", "height", "width"])
}

extension Bundle {
  /// Takes what a bundle made from `source` inherits: the fitted statistics, and the metadata that describe the data.
  mutating func inherit(from source: Bundle) {
    copyStatistics(of: source)
    metadata.merge(source.metadata.filter { Preparation.inherited.contains($0.key) }) { $1 }
  }

  package mutating func copyStatistics(of source: Bundle) {
    for key in FittedStatistics.keys { self[key] = source[key] }
  }

  /// The names of the classes, nil if they have none. Throws `Failure.data` if one of them is empty, or stands for two.
  package func classNames() throws -> [String]? {
    guard let text = metadata["classes"], !text.isEmpty else { return nil }
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard !names.contains("") else {
      throw Failure.data("metadata \"classes\" of \(name) is \(quoted(text)): an empty name")
    }
    var seen = Set<String>()
    if let twice = names.first(where: { !seen.insert($0).inserted }) {
      throw Failure.data("metadata \"classes\" of \(name) has the name \(quoted(twice)) twice")
    }
    return names
  }
}
