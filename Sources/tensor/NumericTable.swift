import Tensors

/// A table of numbers read from text, its columns told apart into features, targets and labels.
struct NumericTable {
  /// [rowCount, featureCount] and [rowCount, targetCount], row-major.
  private(set) var features: [Double] = []
  private(set) var targets: [Double] = []
  /// The text in the label column, and its line.
  private(set) var labels: [(text: String, line: Int)] = []
  private(set) var rowCount = 0
  let featureCount: Int
  let targetCount: Int

  private enum Use { case feature, target, label }

  /// Reads all of `reader`. The columns are named as on the command line; `constant` is appended to the features of
  /// each row.
  init(
    _ reader: CSVReader, name: String, labels labelColumn: String?, targets targetColumns: [String],
    constant: Double?
  ) throws {
    var reader = reader
    guard let first = try reader.next() else {
      throw Failure.data("\(name) is empty, expected comma-separated values")
    }
    let named = (labelColumn.map { [$0] } ?? []) + targetColumns
    let indices = try named.map {
      try NumericTable.index(of: $0, among: first.fields, in: name)
    }
    var uses = [Use](repeating: .feature, count: first.fields.count)
    for (column, index) in zip(named, indices) {
      guard uses[index.position] == .feature else {
        throw Failure.usage("the column \(quoted(column)) is named twice")
      }
      uses[index.position] = labelColumn != nil ? .label : .target
    }
    // Targets come in the order of the command line.
    let targetOrder = labelColumn == nil ? indices.map(\.position) : []
    let featureOrder = uses.indices.filter { uses[$0] == .feature }
    featureCount = featureOrder.count + (constant == nil ? 0 : 1)
    targetCount = targetOrder.count
    guard !featureOrder.isEmpty else {
      throw Failure.data("\(name) has no column beside \(named.joined(separator: ", "))")
    }

    let numeric = featureOrder + targetOrder
    let isHeader =
      indices.contains { $0.isName } || numeric.allSatisfy { !resemblesNumber(first.fields[$0]) }
    if isHeader { try NumericTable.expectDistinct(first.fields, in: name) }
    var record = isHeader ? try reader.next() : first
    while let row = record {
      guard row.fields.count == first.fields.count else {
        throw Failure.data(
          "\(name), line \(row.line): \(row.fields.count) fields, "
            + "expected \(first.fields.count) as on line \(first.line)")
      }
      func number(_ column: Int) throws -> Double {
        if let value = Double(decimal: row.fields[column]), value.isFinite { return value }
        let title = isHeader ? " (\(quoted(first.fields[column])))" : ""
        throw Failure.data(
          "\(name), line \(row.line), column \(column + 1)\(title): "
            + "\(quoted(row.fields[column])), expected a finite number")
      }
      for column in featureOrder { features.append(try number(column)) }
      if let constant { features.append(constant) }
      for column in targetOrder { targets.append(try number(column)) }
      if labelColumn != nil { labels.append((row.fields[indices[0].position], row.line)) }
      rowCount += 1
      record = try reader.next()
    }
    guard rowCount > 0 else { throw Failure.data("\(name) holds a header and no values") }
  }

  /// Throws if two columns have one name. Columns without names may be several.
  private static func expectDistinct(_ header: [String], in name: String) throws {
    var seen = Set<String>()
    if let twice = header.first(where: { !$0.isEmpty && !seen.insert($0).inserted }) {
      let count = header.count { $0 == twice }
      throw Failure.data("the first line of \(name) has \(count) columns \(quoted(twice))")
    }
  }

  /// The column that the header calls `column`; else the one of that number, counted from 1.
  private static func index(
    of column: String, among header: [String], in name: String
  ) throws -> (position: Int, isName: Bool) {
    let found = header.indices.filter { header[$0] == column }
    if let number = Int(column) {
      // A line that holds only numbers is no header: the text of a number names no column.
      let isHeader = header.contains { !$0.isEmpty && !resemblesNumber($0) }
      if isHeader, let position = found.first { return (position, true) }
      guard (1...header.count).contains(number) else {
        throw Failure.data(
          "\(name) has the columns 1 to \(header.count), no column \(number)")
      }
      return (number - 1, false)
    }
    guard let position = found.first else {
      throw Failure.data(
        "the first line of \(name) has no column \(quoted(column)): "
          + header.map(quoted).joined(separator: ", "))
    }
    return (position, true)
  }
}
