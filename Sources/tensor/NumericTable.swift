import Schema
import Tensors

/// A table of numbers read from text, its columns told apart into features, targets, labels and names.
struct NumericTable {
  /// F64 [n, d], with the constant last if there is one.
  let features: Tensor
  /// F64 [n, T], if there are targets.
  let targets: Tensor?
  let labels: LabelColumn?
  /// The names of the samples, if a column has them.
  private(set) var names: [String]?
  private(set) var rowCount = 0
  /// The mean of each feature that is there, which takes the place of those that are missing; nil if no text stands for
  /// a missing value.
  let fill: [Double]?
  /// How many values of each feature are missing.
  private(set) var missing: [Int]

  /// Reads the next `limit` of `lines`, or all. The constant is appended to the features of each row if the table has
  /// one. Values that are missing become those of `fill`, or the means of the columns.
  init(
    _ lines: inout TableLines, _ columns: TableColumns, missing text: String?, fill: [Double]?,
    hasConstant: Bool, limit: Int = .max
  ) throws {
    let (d, name) = (columns.features.count, columns.name)
    var rows = RowParser(columns, missing: text)
    var (x, y) = (GrowingTensor(.f64, name: name), GrowingTensor(.f64, name: name))
    var labels = columns.label.map { LabelColumn(column: $0, name: name) }
    missing = [Int](repeating: 0, count: d)
    names = columns.names == nil ? nil : []
    var places: [Int] = []
    var row = [Double](repeating: 1, count: d + (hasConstant ? 1 : 0))
    var answers = [Double](repeating: 0, count: columns.targets.count)
    let isFirst = lines.isFirst
    while lines.isMore, rowCount < limit {
      try rows.read(lines.reader, &row, &answers)
      for k in rows.missing {
        missing[k] += 1
        places.append(rowCount * row.count + k)
      }
      try row.withUnsafeBufferPointer { try x.append($0) }
      try answers.withUnsafeBufferPointer { try y.append($0) }
      try labels?.append(lines.reader)
      if let column = columns.names { names!.append(try lines.reader.text(of: column)) }
      rowCount += 1
      try lines.advance()
    }
    guard rowCount > 0 else { throw Failure.data("\(name) holds a header and no values") }
    features = x.tensor(shape: [rowCount, row.count])
    targets = answers.isEmpty ? nil : y.tensor(shape: [rowCount, answers.count])
    if isFirst { try labels?.expectNoHeader(columns) }
    self.labels = labels
    self.fill =
      try text == nil
      ? nil : fill ?? NumericTable.means(features, missing, columns)
    NumericTable.put(self.fill ?? [], at: places, in: features)
  }

  /// The mean of the values that are there of each feature. Throws if a feature has none.
  private static func means(
    _ x: Tensor, _ missing: [Int], _ columns: TableColumns
  ) throws -> [Double] {
    if let k = missing.firstIndex(of: x.shape[0]) {
      throw Failure.data(
        "\(columns.name) has no value in \(columns.title(of: k)), only missing ones")
    }
    // Missing values are 0 until they are known.
    return Array(ColumnStatistics(of: x, zeros: missing).means.prefix(missing.count))
  }

  private static func put(_ fill: [Double], at places: [Int], in x: Tensor) {
    x.withMutableElements(of: Double.self) { values in
      for place in places { values[place] = fill[place % x.shape[1]] }
    }
  }
}

/// The samples of a table, a line each.
struct TableLines {
  private(set) var reader: CSVReader
  /// Whether the reader is at a sample; after the last one it is not.
  private(set) var isMore: Bool
  /// Whether that is the first.
  private(set) var isFirst = true

  /// `reader` is at its first line, which `columns` know.
  init(_ reader: CSVReader, _ columns: TableColumns) throws {
    var reader = reader
    isMore = try columns.hasHeader ? reader.advance() : true
    self.reader = reader
  }

  mutating func advance() throws {
    isMore = try reader.advance()
    isFirst = false
  }
}

/// Reads the numbers of a record.
private struct RowParser {
  private let columns: TableColumns
  private let missingText: [UInt8]?
  /// The features whose values are missing in the record.
  private(set) var missing: [Int] = []

  init(_ columns: TableColumns, missing text: String?) {
    self.columns = columns
    missingText = text.map { Array($0.utf8) }
  }

  mutating func read(
    _ reader: CSVReader, _ features: inout [Double], _ targets: inout [Double]
  ) throws {
    guard reader.fieldCount == columns.count else {
      throw Failure.data(
        "\(columns.name), line \(reader.line): \(reader.fieldCount) fields, "
          + "expected \(columns.count) as on line \(columns.firstLine)")
    }
    missing.removeAll(keepingCapacity: true)
    for (k, column) in columns.features.enumerated() {
      let bytes = reader.bytes(of: column)
      if let missingText, missingText.elementsEqual(bytes) {
        features[k] = 0
        missing.append(k)
      } else if let value = Double(decimal: bytes), value.isFinite {
        features[k] = value
      } else {
        throw badNumber(reader, column)
      }
    }
    for (k, column) in columns.targets.enumerated() {
      guard let value = Double(decimal: reader.bytes(of: column)), value.isFinite else {
        throw badNumber(reader, column)
      }
      targets[k] = value
    }
  }

  /// Whether a cell looks like the sign of a missing value: nothing, `?`, `-`, `NA`, `null`, ….
  private func standsForNothing(_ text: String) -> Bool {
    text.utf8.count <= 6
      && text.utf8.allSatisfy { "?-./".utf8.contains($0) || (65...90).contains($0 & 0xDF) }
  }

  private func badNumber(_ reader: CSVReader, _ column: Int) -> Failure {
    do {
      let text = try reader.text(of: column)
      let place = columns.header.map { " (\(quoted($0[column])))" } ?? ""
      let isUnclear = columns.header == nil && !resemblesNumber(text)
      let advice =
        isUnclear && reader.line == columns.firstLine
        ? "; --header yes takes the first line for a header"
        : columns.targets.contains(column) || missingText != nil
          ? ""
          : standsForNothing(text)
            ? "; --missing \(shown(text)) puts the column's mean in its place"
            : "; --drop leaves the column out, --id keeps it as the samples' names"
      return .data(
        "\(columns.name), line \(reader.line), column \(column + 1)\(place): \(quoted(text)), "
          + "expected a finite number\(advice)")
    } catch {
      return error as? Failure ?? .data("\(error)")
    }
  }

  private func shown(_ text: String) -> String { text.isEmpty ? "''" : text }
}
