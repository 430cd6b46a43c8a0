import Tensors

/// The statistics that were fitted to the training data and go with all that is made from them.
package struct FittedStatistics: Sendable {
  /// F32 or F64 [d].
  package let mean: Tensor?
  /// F32 or F64 [d, N]: a patch x becomes (x − mean) W.
  package let whiten: Tensor?
  package let standardization: Standardization?
  private let tensors: [Tensor?]
  /// The tensors and the metadata of the layers that the data went through.
  private let layers: (tensors: [String: Tensor], metadata: [String: String])

  /// Names of the tensors.
  package static let keys: [TensorKey] = [
    .mean, .whiten, .shift, .divisor, .targetShift, .targetDivisor,
  ]

  /// Throws `Failure.data` if a tensor has another type or number of dimensions, or nothing can be divided by it.
  package init(_ bundle: Bundle) throws {
    tensors = try FittedStatistics.keys.map { try bundle.optional($0) }
    (mean, whiten) = (tensors[0], tensors[1])
    layers = (
      bundle.tensors.filter { NumberedParts.layers.owns($0.key) },
      bundle.metadata.filter { NumberedParts.layers.owns($0.key) }
    )
    standardization = try Standardization(bundle)
  }

  /// Whether a tensor of this name is one of the statistics.
  package static func has(_ name: String) -> Bool {
    keys.contains { $0.name == name } || NumberedParts.layers.owns(name)
  }

  /// What is not as in `other`, as messages name it; with `ifPresent` only statistics that both have, but all of the
  /// layers that the data went through.
  package func differences(from other: FittedStatistics, ifPresent: Bool = false) -> [String] {
    let fitted = zip(FittedStatistics.keys, zip(tensors, other.tensors)).compactMap {
      key, pair -> String? in
      if ifPresent, pair.0 == nil || pair.1 == nil { return nil }
      return pair.0?.shape == pair.1?.shape && pair.0?.doubles == pair.1?.doubles
        ? nil : "tensor \(quoted(key.name))"
    }
    let (ours, theirs) = (layers, other.layers)
    let names = Set(ours.tensors.keys).union(theirs.tensors.keys).filter { name in
      let (a, b) = (ours.tensors[name], theirs.tensors[name])
      return a?.shape != b?.shape || a?.doubles != b?.doubles
    }
    let keys = Set(ours.metadata.keys).union(theirs.metadata.keys).filter {
      ours.metadata[$0] != theirs.metadata[$0]
    }
    return fitted + names.sorted().map { "tensor \(quoted($0))" }
      + keys.sorted().map { "metadata \(quoted($0))" }
  }
}

/// The change of features, or of targets, that gives the training data mean 0 and deviation 1: x becomes
/// (x − shift) / divisor, rounded to the type of x. It leaves a constant feature as it is.
package struct Standardization: Sendable {
  /// The numbers that are changed, and the tensors that say how.
  package enum Subject: Sendable {
    case features, targets

    package var keys: (shift: TensorKey, divisor: TensorKey) {
      self == .features ? (.shift, .divisor) : (.targetShift, .targetDivisor)
    }
  }

  /// A number for each column; divisors are above 0.
  package let shift: [Double]
  package let divisor: [Double]

  package init(shift: [Double], divisor: [Double]) {
    (self.shift, self.divisor) = (shift, divisor)
  }

  /// That of a bundle; nil if it has none. Throws `Failure.data` if it has one tensor of the two, or one that is none.
  package init?(_ bundle: Bundle, of subject: Subject = .features) throws {
    let keys = subject.keys
    guard bundle[keys.shift] != nil || bundle[keys.divisor] != nil else { return nil }
    let (shift, divisor) = (try bundle.require(keys.shift), try bundle.require(keys.divisor))
    try shift.expectFinite(keys.shift.name, of: bundle.name)
    try divisor.expectFinite(keys.divisor.name, of: bundle.name)
    guard shift.shape == divisor.shape, shift.count > 0 else {
      throw Failure.data(
        "tensor \(quoted(keys.shift.name)) of \(bundle.name) is \(shift.summary), but "
          + "\(quoted(keys.divisor.name)) is \(divisor.summary)")
    }
    (self.shift, self.divisor) = (shift.doubles, divisor.doubles)
    if let bad = self.divisor.first(where: { $0 <= 0 }) {
      throw Failure.data(
        "tensor \(quoted(keys.divisor.name)) of \(bundle.name) holds \(bad), expected numbers above 0"
      )
    }
  }

  package func write(to bundle: inout Bundle, as subject: Subject = .features) {
    bundle[subject.keys.shift] = Tensor(shift)
    bundle[subject.keys.divisor] = Tensor(divisor)
  }

  /// Changes the targets of `data`, which are as they came. Throws `Failure.data` if they have another number of
  /// columns; `owner` is the bundle that this comes from.
  package func changeTargets(of data: inout Bundle, owner: String) throws {
    guard let targets = try data.optional(.targets) else { return }
    let columns = targets.shape.count == 1 ? 1 : targets.shape[1]
    guard columns == shift.count else {
      throw Failure.data(
        "tensor \"targets\" of \(data.name) is \(targets.summary), but tensor \"target_shift\" of \(owner) has "
          + "\(shift.count) column\(shift.count == 1 ? "" : "s")")
    }
    let table = targets.mapRows(of: columns, shape: [targets.shape[0], columns]) { row, target in
      for c in 0..<columns { target[c] = (row[c] - shift[c]) / divisor[c] }
    }
    data[.targets] = Tensor(type: table.type, shape: targets.shape, bytes: table.bytes)
    write(to: &data, as: .targets)
  }
}

/// The metadata that say how data were made from images.
package enum Preparation {
  /// The choices of the step that cuts patches.
  package static let choices = [
    "size", "stride", "padding", "scale", "pool", "flatten", "contrast", "center", "bias",
    "whiten", "components", "mirror", "standardize",
  ]

  /// The metadata that a solution or a network of such data still needs.
  package static let inherited = Set(
    choices + ["channels", "classes", "height", "width"] + TableKey.all)
}

extension Bundle {
  /// Takes what a bundle made from `source` inherits: the fitted statistics, and the metadata that describe the data.
  package mutating func inherit(from source: Bundle) {
    copyStatistics(of: source)
    metadata.merge(
      source.metadata.filter {
        Preparation.inherited.contains($0.key) || NumberedParts.layers.owns($0.key)
      }
    ) { $1 }
  }

  package mutating func copyStatistics(of source: Bundle) {
    for key in FittedStatistics.keys + [.fill] { self[key] = source[key] }
    for (name, tensor) in source.tensors where NumberedParts.layers.owns(name) {
      tensors[name] = tensor
    }
  }
}
