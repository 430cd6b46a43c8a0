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
    case .network, .statistics, .tally: []
    }
  }

  /// Whether its samples may have labels or targets.
  package var hasAnswers: Bool { perSample.contains("labels") }
}

extension Bundle {
  /// The samples `rows` alone, in this order. Patterns keep the bits of these samples, and those that are the same then
  /// become one, so that the list is no longer known to be complete. Throws `Failure.data` if the tensors do not fit
  /// each other.
  package func samples(_ rows: [Int]) throws -> Bundle {
    guard let kind, !kind.perSample.isEmpty else {
      throw Failure.data("\(name) is a bundle without samples")
    }
    let count = try sampleCount(kind, tensors.map { ($0.key, $0.value.shape) }, in: name)
    precondition(rows.allSatisfy { (0..<count).contains($0) }, "samples that are not there")
    var result = self
    for name in kind.perSample { result.tensors[name] = tensors[name]?.rows(rows) }
    guard kind == .arrangements else { return result }
    result.metadata[.exact] = nil
    result.metadata["bound"] = nil
    guard self[.patterns] != nil else { return result }
    let x = try PatchTensor(self)
    let listed = try PatternTensors(
      self, samples: count, patches: x.patches, dimension: x.dimension, gatesImplyPatterns: false)
    let bits = rows.flatMap { i in (0..<x.patches).map { i * x.patches + $0 } }
    let patterns = try require(.patterns).selectingBits(bits)
    let width = patterns.shape[1]
    var seen = Set<[UInt8]>()
    let kept = patterns.withElements(of: UInt8.self) { bytes in
      (0..<patterns.shape[0]).filter { p in
        seen.insert(Array(bytes[p * width..<(p + 1) * width])).inserted
      }
    }
    result[.patterns] = patterns.rows(kept)
    listed.gates.rows(kept).write(to: &result)
    return result
  }
}

extension Tensor {
  /// U8 [P, …]: of each row the bits `places`, the least significant of a byte first, one after another.
  fileprivate func selectingBits(_ places: [Int]) -> Tensor {
    let (rows, old) = (shape[0], shape[1])
    let result = Tensor(type: .u8, shape: [rows, (places.count + 7) / 8])
    let new = result.shape[1]
    withElements(of: UInt8.self) { source in
      result.withMutableElements(of: UInt8.self) { target in
        for p in 0..<rows {
          for (k, j) in places.enumerated() {
            target[p * new + k / 8] |= (source[p * old + j / 8] >> UInt8(j % 8) & 1) << UInt8(k % 8)
          }
        }
      }
    }
    return result
  }
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

extension Bundle {
  /// Throws `Failure.data` unless this bundle's samples are those of `other`, cut into other patches: as many, with the same
  /// labels or targets, classes, and names where both have them.
  package func expectSamples(of other: Bundle) throws {
    func count(_ bundle: Bundle) -> Int? { (bundle[.x] ?? bundle[.images])?.shape.first }
    guard count(self) == count(other) else {
      throw Failure.data(
        "\(name) has \(count(self) ?? 0) samples, but \(other.name) has \(count(other) ?? 0): they must be the same samples"
      )
    }
    for key: TensorKey in [.labels, .targets, .targetShift, .targetDivisor]
    where self[key]?.shape != other[key]?.shape || self[key]?.doubles != other[key]?.doubles {
      throw Failure.data(
        "tensor \(quoted(key.name)) of \(name) is not that of \(other.name): they must be the same samples, with the same targets"
      )
    }
    guard try classNames() == other.classNames() else {
      throw Failure.data(
        "the classes of \(name) are not those of \(other.name), or in another order")
    }
    let names = (self[.names], other[.names])
    if let mine = names.0, let theirs = names.1,
      mine.shape != theirs.shape || mine.doubles != theirs.doubles
    {
      throw Failure.data(
        "the names of the samples of \(name) are not those of \(other.name): they must be the same samples in the same order"
      )
    }
  }
}
