import Tensors

extension Kind {
  /// The tensors that have a row for each sample. All others, such as `mean`, `whiten` and `pool`, describe
  /// the samples together.
  package var perSample: Set<String> {
    switch self {
    case .images: ["images", "labels", "index", "names"]
    case .dataset, .arrangements: ["x", "images", "labels", "targets", "index", "names"]
    case .moments: ["moments", "labels", "targets", "index", "names"]
    case .solution: ["dual", "predictions"]
    case .network: []
    }
  }

  /// Whether its samples may have labels or targets.
  package var hasAnswers: Bool { perSample.contains("labels") }
}

/// The number of samples of a bundle of `kind` with these tensors: the first dimension of those that
/// have a row for each sample, which must agree. `bundle` is its name in messages.
package func sampleCount(
  _ kind: Kind, _ tensors: [(name: String, shape: [Int])], in bundle: String
) throws -> Int {
  let perSample = tensors.filter { kind.perSample.contains($0.name) }
    .sorted { precedes($0.name, $1.name) }
  guard let first = perSample.first else {
    throw Failure.data("\(bundle) is a bundle of kind \(quoted(kind.rawValue)) without samples")
  }
  for (name, shape) in perSample {
    guard let rows = shape.first else {
      throw Failure.data(
        "tensor \(quoted(name)) of \(bundle) has shape [], expected a row a sample")
    }
    if rows != first.shape[0] {
      throw Failure.data(
        "tensor \(quoted(name)) of \(bundle) has \(rows) rows, "
          + "but tensor \(quoted(first.name)) has \(first.shape[0])")
    }
  }
  return first.shape[0]
}
