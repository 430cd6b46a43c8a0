import Tensors

/// The answers that a network should give for samples.
package enum Answers: Sendable, Equatable {
  /// The class of each sample.
  case labels([Int])
  /// Finite numbers, F32 or F64 [n] or [n, C] with C columns.
  case targets(Tensor, columns: Int)

  package static func == (a: Answers, b: Answers) -> Bool {
    switch (a, b) {
    case (.labels(let a), .labels(let b)): a == b
    case (.targets(let a, let columns), .targets(let b, let others)):
      columns == others && a.doubles == b.doubles
    default: false
    }
  }

  /// Reads `labels` or `targets`, for n = `samples` samples. Throws `Failure.data` unless the bundle has one of them, a
  /// row a sample, and labels are those of its classes. If the classes have no names, the caller knows how many there
  /// are, and checks that labels are not above them.
  package init(_ bundle: Bundle, samples: Int) throws {
    let (labels, targets) = (try bundle.optional(.labels), try bundle.optional(.targets))
    guard let tensor = labels ?? targets else {
      throw Failure.data(
        "\(bundle.name) has neither \"labels\" nor \"targets\": its samples tell nothing to learn from (tensor from-csv "
          + "--labels COLUMN or --targets COLUMN; cifar-extract --png of a folder a class)")
    }
    guard labels == nil || targets == nil else {
      throw Failure.data("\(bundle.name) has both \"labels\" and \"targets\", expected one of them")
    }
    let name = labels == nil ? "targets" : "labels"
    guard tensor.shape[0] == samples else {
      throw Failure.data(
        "tensor \"\(name)\" of \(bundle.name) is \(tensor.summary), but there are \(samples) samples"
      )
    }
    if labels != nil {
      let values = tensor.withElements(of: Int32.self) { $0.map(Int.init) }
      let classes = try bundle.classNames()?.count
      try Answers.expect(values, below: classes ?? .max, in: bundle)
      self = .labels(values)
      return
    }
    let columns = tensor.shape.count == 1 ? 1 : tensor.shape[1]
    guard columns > 0 else {
      throw Failure.data(
        "tensor \"targets\" of \(bundle.name) is \(tensor.summary): it has no columns")
    }
    try tensor.expectFinite("targets", of: bundle.name)
    self = .targets(tensor, columns: columns)
  }

  fileprivate static func expect(_ labels: [Int], below count: Int, in bundle: Bundle) throws {
    guard let bad = labels.firstIndex(where: { $0 < 0 || $0 >= count }) else { return }
    // Without names the labels say how many classes there are; a stray number must not make millions.
    let last = count == .max ? min(max(1, labels.max()!), max(1000, labels.count) - 1) : count - 1
    throw Failure.data(
      "tensor \"labels\" of \(bundle.name): the label of sample \(bad) is \(labels[bad]), expected 0 to \(last)"
    )
  }
}

extension Bundle {
  /// Throws `Failure.data` if the bundle has labels or targets that do not fit its `samples` samples or its classes, or
  /// has both. It may have neither.
  package func expectSoundAnswers(samples: Int) throws {
    guard self[.labels] != nil || self[.targets] != nil else { return }
    guard case .labels(let labels) = try Answers(self, samples: samples) else { return }
    if try classNames() == nil {
      try Answers.expect(labels, below: max(1000, samples), in: self)
    }
  }
}
