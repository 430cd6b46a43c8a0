import Command
import Schema
import Tensors

/// Makes a dataset from comma-separated values.
func fromCSV(_ run: Run) throws {
  let settings = run.settings
  let output = try run.bundleOutput()
  let model = try settings.like.map { path in
    try run.read("--like", path) {
      try EarlierTable(reading: $0, fillIsNeeded: settings.missing != nil)
    }
  }
  if let given = settings.classes, let earlier = model?.classes, given != earlier {
    throw Failure.usage(
      "--classes has other classes, or another order, than \(model?.name ?? ""): "
        + earlier.map(quoted).joined(separator: ", ") + "; leave it out")
  }
  let missing = settings.missing ?? model?.missing
  if let model, missing != nil, model.fill == nil {
    throw Failure.data(
      "--like \(model.name) has no values for missing features: make its dataset with --missing, or give that dataset"
    )
  }
  let delimiterText = settings.delimiter ?? model?.delimiter
  guard let delimiter = delimiterByte(delimiterText ?? ",") else {
    throw Failure.data(
      "metadata \"delimiter\" of \(model?.name ?? "") is \(quoted(delimiterText ?? "")), expected one character"
    )
  }
  let input = try Input(path: settings.arguments.first ?? "-")
  var reader = CSVReader(input, delimiter: delimiter)
  guard let first = try reader.next() else {
    throw Failure.data("\(input.name) is empty, expected comma-separated values")
  }
  let columns = try TableColumns(
    first, of: input.name, as: settings.columns(missing: missing, delimiter: delimiter), like: model
  )
  if !columns.ignored.isEmpty, let header = columns.header {
    run.warn(
      "\(input.name) has columns that \(model?.name ?? "") does not have, which are left out: "
        + columns.ignored.map { quoted(header[$0]) }.joined(separator: ", "))
  }
  let way = TableWay(
    columns: columns, model: model, settings: settings, missing: missing, delimiter: delimiterText)
  try way.expectChunks()
  var lines = try TableLines(reader, columns)
  var counts = [Int](repeating: 0, count: columns.features.count)
  var fill: [Double] = []
  repeat {
    let isFirst = lines.isFirst
    let table = try NumericTable(
      &lines, columns, missing: missing, fill: model?.fill, hasConstant: way.hasConstant,
      limit: settings.chunk ?? .max)
    for k in counts.indices { counts[k] += table.missing[k] }
    fill = table.fill ?? []
    let bundle = try way.bundle(of: table, run, warns: isFirst)
    try bundle.expectFiniteNumbers()
    try bundle.write(to: output)
  } while lines.isMore
  for (k, count) in counts.enumerated() where count > 0 {
    run.note("\(count) missing values of \(columns.title(of: k)) are now its mean, \(fill[k])")
  }
  try output.finish()
}

/// How the rows of a table become bundles.
private struct TableWay {
  let columns: TableColumns
  let model: EarlierTable?
  let settings: TensorSettings
  let missing: String?
  let delimiter: String?

  var hasConstant: Bool { settings.bias || model?.hasConstant == true }

  /// Throws if a bundle of some rows would need to know the others.
  func expectChunks() throws {
    guard settings.chunk != nil else { return }
    if columns.label != nil, settings.classes == nil, model?.classes == nil {
      throw Failure.usage(
        "--chunk with labels needs --classes, or --like with classes: those of a part may not be all"
      )
    }
    if missing != nil, model == nil {
      throw Failure.usage("--chunk with --missing needs --like: the mean is that of all rows")
    }
  }

  /// The dataset of `table`; `warns` tells of what is probably a mistake.
  func bundle(of table: NumericTable, _ run: Run, warns: Bool) throws -> Bundle {
    var bundle = Bundle(kind: .dataset, tensors: [:], metadata: run.metadata())
    bundle[.x] = table.features
    if hasConstant { bundle.metadata[.bias] = true }
    bundle[.fill] = table.fill.map { Tensor($0) }
    try addAnswers(of: table, columns, like: model, settings, to: &bundle)
    let willBeStandardized = settings.standardize || model != nil
    if warns {
      for warning in table.warnings(
        columns, labels: bundle[.labels], isStandardized: willBeStandardized)
      {
        run.warn(warning)
      }
    }
    if let names = table.names { bundle[.names] = try Tensor(names: names) }
    bundle.describe(columns, settings, like: model, missing: missing, delimiter: delimiter)
    if let fitted = try model?.standardization
      ?? (settings.standardize ? table.fitted(columns) : nil)
    {
      bundle.standardize(by: fitted)
    }
    bundle.name = columns.name
    let targetScale =
      try model?.targetScale
      ?? (settings.standardize && !settings.keepTargets ? fittedToTargets(of: bundle) : nil)
    try targetScale?.changeTargets(of: &bundle, owner: model?.name ?? columns.name)
    return bundle
  }
}

/// The byte that stands between fields: that of the text's one character; `tab` and `\t` are a tab. Nil for others.
func delimiterByte(_ text: String) -> UInt8? {
  if text == "tab" || text == "\\t" { return 0x09 }
  let bytes = Array(text.utf8)
  guard bytes.count == 1, ![0x0A, 0x0D, UInt8(ascii: "\"")].contains(bytes[0]),
    bytes[0] >= 0x20 || bytes[0] == 0x09
  else { return nil }
  // What a number is made of cannot stand between two.
  return text.contains(where: { $0.isLetter || $0.isNumber || "+-.".contains($0) })
    ? nil : bytes[0]
}

private func addAnswers(
  of table: NumericTable, _ columns: TableColumns, like model: EarlierTable?,
  _ settings: TensorSettings, to bundle: inout Bundle
) throws {
  if let targets = table.targets {
    bundle[.targets] =
      columns.targets.count == 1
      ? Tensor(type: .f64, shape: [table.rowCount], bytes: targets.bytes) : targets
  }
  if let labels = table.labels {
    let (numbers, classes) = try labels.numbered(
      classes: settings.classes ?? model?.classes,
      owner: settings.classes == nil ? model?.name ?? "" : "--classes")
    bundle[.labels] = numbers
    bundle.metadata["classes"] = quotedArray(classes)
  } else if let classes = model?.classes {
    // These rows have none, but the columns stand for the same.
    bundle.metadata["classes"] = quotedArray(classes)
  }
}

extension NumericTable {
  fileprivate func fitted(_ columns: TableColumns) throws -> Standardization {
    try ColumnStatistics(of: features).standardization { k in
      "\(columns.name): \(k < columns.features.count ? columns.title(of: k) : "the constant")"
    }
  }
}

extension Bundle {
  /// Changes `x`, which nobody else has, to its standardised features.
  fileprivate mutating func standardize(by fitted: Standardization) {
    let d = fitted.shift.count
    self[.x]?.withMutableElements(of: Double.self) { x in
      for start in stride(from: 0, to: x.count, by: d) {
        for k in 0..<d { x[start + k] = (x[start + k] - fitted.shift[k]) / fitted.divisor[k] }
      }
    }
    fitted.write(to: &self)
  }

  /// The metadata by which another table is read in the same way.
  fileprivate mutating func describe(
    _ columns: TableColumns, _ settings: TensorSettings, like model: EarlierTable?,
    missing: String?, delimiter: String?
  ) {
    func names(_ places: [Int]) -> [String] { places.map { columns.header?[$0] ?? "\($0 + 1)" } }
    metadata[TableKey.features] = (model?.features ?? columns.featureNames).map(quotedArray)
    metadata[TableKey.label] =
      columns.label.map { names([$0])[0] } ?? (columns.targets.isEmpty ? model?.label : nil)
    let targets =
      columns.targets.isEmpty && columns.label == nil
      ? model?.targets ?? [] : names(columns.targets)
    metadata[TableKey.targets] = targets.isEmpty ? nil : quotedArray(targets)
    metadata[TableKey.names] = columns.names.map { names([$0])[0] } ?? model?.names
    let dropped = settings.drop ?? model?.dropped ?? []
    metadata[TableKey.dropped] = dropped.isEmpty ? nil : quotedArray(dropped)
    metadata[TableKey.missing] = missing
    metadata[TableKey.delimiter] = delimiter
  }
}
