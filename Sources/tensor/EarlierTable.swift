import Schema
import Tensors

/// A dataset that was made from a table, or what came of it: further tables are read in the same way.
struct EarlierTable {
  let name: String
  /// The names of the features, but for the constant; nil if the table had no header.
  let features: [String]?
  /// The number of features, but for the constant.
  let featureCount: Int
  let hasConstant: Bool
  let classes: [String]?
  let standardization: Standardization?
  let targetScale: Standardization?
  let label: String?
  let targets: [String]
  let names: String?
  let dropped: [String]
  let missing: String?
  let delimiter: String?
  /// What stands for a missing value of each feature.
  let fill: [Double]?

  /// Reads a dataset, or arrangements, a solution or a network that were made from one. The values that stand for
  /// missing ones are its tensor `fill`, or the means of a dataset's features; they are read if they are `needed`.
  init(reading input: Input, fillIsNeeded: Bool) throws {
    let reader = try BundleReader(input)
    try reader.expect(.dataset, .arrangements, .solution, .network)
    var bundle = Bundle(metadata: reader.metadata, name: input.name)
    var wanted = ["shift", "divisor", "fill", "target_shift", "target_divisor"]
    if fillIsNeeded, !reader.entries.contains(where: { $0.name == "fill" }) { wanted.append("x") }
    while let entry = reader.next {
      if wanted.contains(entry.name) {
        bundle.tensors[entry.name] = try reader.readTensor()
      } else {
        try reader.skipTensor()
      }
    }
    try reader.finish()
    fill = try EarlierTable.fill(bundle, reader)
    name = input.name
    features = try bundle.featureNames()
    hasConstant = try bundle.read(.bias, default: false)
    classes = try bundle.classNames()
    standardization = try Standardization(bundle)
    targetScale = try Standardization(bundle, of: .targets)
    label = bundle.metadata[TableKey.label]
    names = bundle.metadata[TableKey.names]
    missing = bundle.metadata[TableKey.missing]
    delimiter = bundle.metadata[TableKey.delimiter]
    targets = try bundle.strings(TableKey.targets) ?? []
    dropped = try bundle.strings(TableKey.dropped) ?? []
    let width = try EarlierTable.width(reader)
    let count = width - (hasConstant ? 1 : 0)
    featureCount = count
    let fits =
      (features?.count ?? count) == count && (standardization?.shift.count ?? width) == width
      && (fill?.count ?? count) == count
    guard count > 0, fits else {
      throw Failure.data(
        "\(name) has \(width) features, but its metadata \"features\", or its tensors \"shift\" or \"fill\", have "
          + "another number of them")
    }
  }

  /// d: of the features, or of the network's weights.
  private static func width(_ reader: BundleReader) throws -> Int {
    for (name, shapes) in [
      ("x", ["[n, K, d]", "[n, d]"]), ("hidden.weight", ["[m, d]"]), ("gates", ["[P, d]"]),
      ("shift", ["[d]"]), ("w", ["[A, d]", "[C, A, d]", "[C, A, R, d]"]),
    ] {
      guard let entry = reader.entries.first(where: { $0.name == name }) else { continue }
      try entry.expect([.f32, .f64], shapes, of: reader.input.name)
      return entry.shape.last!
    }
    if let z = reader.entries.first(where: { $0.name == "z" }), let last = z.shape.last {
      return last - 1
    }
    throw Failure.data("\(reader.input.name) holds no features: it was not made from a table")
  }

  /// What stands for missing values, but for the constant.
  private static func fill(_ bundle: Bundle, _ reader: BundleReader) throws -> [Double]? {
    if let fill = try bundle.optional(.fill) {
      try fill.expectFinite("fill", of: bundle.name)
      return fill.doubles
    }
    guard let x = try bundle.optional(.x) else { return nil }
    try x.expectFinite("x", of: bundle.name)
    guard x.count > 0 else {
      throw Failure.data("tensor \"x\" of \(bundle.name) is \(x.summary): it has no samples")
    }
    let fitted = try Standardization(bundle)
    let means = ColumnStatistics(of: x).means
    let count = means.count - (try bundle.read(.bias, default: false) ? 1 : 0)
    guard (fitted?.shift.count ?? means.count) == means.count else { return [] }
    return (0..<count).map { k in fitted.map { means[k] * $0.divisor[k] + $0.shift[k] } ?? means[k]
    }
  }
}
