import Tensors

/// What training data have that further data must have too: the features, their standardisation, and the classes.
/// Further data are put right if they have the same under another order.
package struct DataModel: Sendable {
  /// The name of the bundle in messages.
  package let name: String
  /// The names of the features, but for the appended constant, if they have names.
  package let features: [String]?
  /// Whether the constant 1 was appended to the features.
  package let hasConstant: Bool
  package let classes: [String]?
  package let standardization: Standardization?
  /// The change of the targets, if they were standardised.
  private let targetScale: Standardization?
  /// d, of a network.
  private let width: Int?

  /// That of training data, of a solution or of a network.
  package init(_ bundle: Bundle) throws {
    name = bundle.name
    features = try bundle.featureNames()
    hasConstant = try bundle.read(.bias, default: false)
    classes = try bundle.classNames()
    standardization = try Standardization(bundle)
    targetScale = try Standardization(bundle, of: .targets)
    width = bundle[.hiddenWeight]?.shape.last
  }

  /// `data` with features in the order of the model, standardised if they are raw and the model's are not, and with
  /// labels that count its classes. Throws `Failure.data` if they lack a feature, or have a class that is none of the
  /// model's; if `keepsAll`, as a claim about these very data needs it, also if they have a feature that the model has
  /// not, or only one of them has the constant.
  package func conform(_ data: Bundle, keepingAll keepsAll: Bool = false) throws -> Bundle {
    var result = data
    try renumberLabels(of: &result)
    try scaleTargets(of: &result)
    guard data.kind == .dataset || data.kind == .arrangements, data[.x] != nil else {
      guard try standardization == nil || Standardization(data) != nil else {
        throw Failure.data(
          "\(name) is of standardised features, which \(data.name) does not hold: its features are those of images and "
            + "cannot be standardised; give a dataset with the tensor \"x\"")
      }
      return result
    }
    let columns = try columns(of: data)
    if keepsAll { try expectAll(columns, of: data) }
    let raw = try Standardization(data) == nil ? standardization : nil
    guard columns != nil || raw != nil else { return result }
    guard data.kind == .dataset else {
      throw Failure.data(
        "\(data.name) has gates of features in another order, or not standardised, than those of \(name): make it "
          + "from the dataset of the training data")
    }
    try arrange(&result, columns, standardize: raw)
    return result
  }

  /// Throws if `data` have to be put right before the model's gates fit them.
  package func expectSame(_ data: Bundle) throws {
    let isRaw = try data[.x] != nil && Standardization(data) == nil && standardization != nil
    guard try data[.x] == nil || columns(of: data) == nil, !isRaw else {
      throw Failure.data(
        "the features of \(data.name) have another order than those of \(name), or are not standardised like them: "
          + "tensor from-csv --like or tensor standardize --like makes them so")
    }
  }

  /// `columns` of all features of `data`, and no others.
  private func expectAll(_ columns: [Int?]?, of data: Bundle) throws {
    guard let columns else { return }
    let left = try leftOut(of: data)
    guard left.isEmpty else {
      throw Failure.data(
        "\(data.name) has the feature \(quoted(left[0])), which \(name) has not: a claim about these data is about all of "
          + "their features")
    }
    let dimension = try PatchTensor(data).dimension
    guard Set(columns.compactMap { $0 }).count == dimension - (hasConstant ? 1 : 0),
      try data.read(.bias, default: false) == hasConstant
    else {
      throw Failure.data(
        "only one of \(data.name) and \(name) has the constant feature: a claim about these data is about all of their "
          + "features")
    }
  }

  /// The features of `data`, by name, that the model does not have: `conform` leaves them out.
  package func leftOut(of data: Bundle) throws -> [String] {
    guard let features, let theirs = try data.featureNames() else { return [] }
    return theirs.filter { !features.contains($0) }
  }

  /// The column of `data` for each feature of the model, nil for the constant; nil if they are in order.
  private func columns(of data: Bundle) throws -> [Int?]? {
    let theirConstant = try data.read(.bias, default: false)
    guard let features, let theirs = try data.featureNames() else {
      // Features without names that lack the constant.
      let patches = try PatchTensor(data)
      guard hasConstant, !theirConstant, data.kind == .dataset, patches.patches == 1,
        width == patches.dimension + 1
      else { return nil }
      return (0..<patches.dimension).map(Optional.some) + [nil]
    }
    guard theirs != features || theirConstant != hasConstant else { return nil }
    let patches = try PatchTensor(data)
    guard patches.patches == 1, theirs.count + (theirConstant ? 1 : 0) == patches.dimension else {
      throw Failure.data(
        "tensor \"x\" of \(data.name) is \(patches.x.summary), but metadata \"features\" name \(theirs.count)"
      )
    }
    let places = try theirs.places(of: features) {
      "\(data.name) has no feature \(quoted($0)), which \(name) has"
    }
    return places.map(Optional.some) + (hasConstant ? [nil] : [])
  }

  /// Takes `columns` of x, all of them if it is nil, and standardises them if asked.
  private func arrange(
    _ data: inout Bundle, _ columns: [Int?]?, standardize: Standardization?
  ) throws {
    let patches = try PatchTensor(data)
    let d = patches.dimension
    let columns = columns ?? (0..<d).map(Optional.some)
    if let standardize, standardize.shift.count != columns.count {
      throw Failure.data(
        "tensor \"x\" of \(data.name) is \(patches.x.summary), but tensor \"shift\" of \(name) has "
          + "\(standardize.shift.count) features")
    }
    let shape = patches.x.shape.dropLast() + [columns.count]
    data[.x] = patches.x.mapRows(of: d, shape: Array(shape)) { row, target in
      for (k, column) in columns.enumerated() {
        let value = column.map { row[$0] } ?? 1
        target[k] = standardize.map { (value - $0.shift[k]) / $0.divisor[k] } ?? value
      }
    }
    if let standardize {
      standardize.write(to: &data)
    } else if let own = try Standardization(data) {
      Standardization(
        shift: columns.map { $0.map { own.shift[$0] } ?? 0 },
        divisor: columns.map { $0.map { own.divisor[$0] } ?? 1 }
      ).write(to: &data)
    }
    if let features { data.metadata[TableKey.features] = quotedArray(features) }
    data.metadata[.bias] = hasConstant ? true : nil
  }

  /// Standardises targets that are as they came, if the model's are not. Throws `Failure.data` if only they are.
  private func scaleTargets(of data: inout Bundle) throws {
    guard data[.targets] != nil else { return }
    let own = try Standardization(data, of: .targets)
    guard own == nil || targetScale != nil else {
      throw Failure.data(
        "the targets of \(data.name) are standardised (tensor \"target_shift\"), but those of \(name) are not: "
          + "tensor standardize --keep-targets leaves them as they are")
    }
    if own == nil { try targetScale?.changeTargets(of: &data, owner: name) }
  }

  /// Gives `labels` the numbers of the model's classes, if both have names.
  private func renumberLabels(of data: inout Bundle) throws {
    guard let classes, let theirs = try data.classNames(), theirs != classes else { return }
    let places = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, Int32($0)) })
    if let labels = try data.optional(.labels) {
      let values = try labels.withElements(of: Int32.self) { labels in
        try labels.enumerated().map { i, label in
          guard theirs.indices.contains(Int(label)) else {
            throw Failure.data(
              "tensor \"labels\" of \(data.name): the label of sample \(i) is \(label), expected 0 to "
                + "\(theirs.count - 1)")
          }
          guard let place = places[theirs[Int(label)]] else {
            throw Failure.data(
              "the classes of \(data.name) are \(theirs.joined(separator: ",")), but those of \(name) are "
                + "\(classes.joined(separator: ",")): there is no class \(quoted(theirs[Int(label)])) among them"
            )
          }
          return place
        }
      }
      data[.labels] = Tensor(values)
    }
    data.metadata["classes"] = quotedArray(classes)
  }
}

extension [String] {
  /// The place of each of `names` in this list; of names that occur several times, the places in order. Throws
  /// `Failure.data` with the text that `missing` gives for a name that is not there.
  package func places(of names: [String], missing: (String) -> String) throws -> [Int] {
    var places = Dictionary(grouping: indices) { self[$0] }
    return try names.map { name in
      guard let place = places[name]?.first else { throw Failure.data(missing(name)) }
      places[name]!.removeFirst()
      return place
    }
  }
}
