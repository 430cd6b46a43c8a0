import Tensors

/// The answers that a network should give for samples.
package enum Answers: Sendable {
  /// The class of each sample.
  case labels([Int])
  /// Finite numbers, F32 or F64 [n] or [n, C] with C columns.
  case targets(Tensor, columns: Int)

  /// Reads `labels` or `targets`, for n = `samples` samples. Throws `Failure.data` unless the bundle has one of them, a
  /// row a sample. The caller checks that labels are those of classes, because it knows how many there are.
  package init(_ bundle: Bundle, samples: Int) throws {
    let (labels, targets) = (try bundle.optional(.labels), try bundle.optional(.targets))
    guard let tensor = labels ?? targets else {
      throw Failure.data("\(bundle.name) has neither \"labels\" nor \"targets\"")
    }
    guard labels == nil || targets == nil else {
      throw Failure.data("\(bundle.name) has both \"labels\" and \"targets\", expected one of them")
    }
    let name = labels == nil ? "targets" : "labels"
    guard tensor.shape[0] == samples else {
      throw Failure.data(
        "tensor \"\(name)\" is \(tensor.summary), but there are \(samples) samples")
    }
    if labels != nil {
      self = .labels(tensor.withElements(of: Int32.self) { $0.map(Int.init) })
      return
    }
    let columns = tensor.shape.count == 1 ? 1 : tensor.shape[1]
    guard columns > 0 else {
      throw Failure.data("tensor \"targets\" is \(tensor.summary): it has no columns")
    }
    try tensor.expectFinite("targets")
    self = .targets(tensor, columns: columns)
  }
}
