import Schema
import Tensors

/// The use of each column of a table, told from its first line and the options.
struct TableColumns {
  /// The name of the file in messages.
  let name: String
  /// The number of columns, and the line of the first of them.
  let count: Int
  let firstLine: Int
  /// The first line, if it is a header.
  let header: [String]?
  /// Whether nobody said that it is one, or is not.
  let isGuessed: Bool
  /// Columns in the order in which the bundle has them.
  private(set) var features: [Int] = []
  private(set) var targets: [Int] = []
  private(set) var label: Int?
  private(set) var names: Int?
  /// Columns that are read for nothing although nobody dropped them.
  private(set) var ignored: [Int] = []

  var hasHeader: Bool { header != nil }

  /// A feature as messages call it.
  func title(of feature: Int) -> String {
    let column = features[feature]
    return header.map { "column \(quoted($0[column]))" } ?? "column \(column + 1)"
  }

  /// The names of the features; nil without a header.
  var featureNames: [String]? { header.map { header in features.map { header[$0] } } }

  /// Tells the columns of the file `name`, whose first line is `first`, apart. Throws if a column is missing, named
  /// twice, or if it cannot be told whether the first line is a header.
  init(
    _ first: CSVReader.Record, of name: String, as wanted: ColumnChoice, like model: EarlierTable?
  ) throws {
    (self.name, count, firstLine) = (name, first.fields.count, first.line)
    isGuessed = wanted.header == .auto
    let fields = first.fields
    let finder = try ColumnFinder(fields, name, wanted, model)
    header = finder.hasHeader ? fields : nil
    if header != nil { try TableColumns.expectDistinct(fields, in: name) }
    var free = Set(fields.indices)
    func take(_ column: String) throws -> Int {
      let place = try finder.place(of: column)
      guard free.remove(place) != nil else {
        throw Failure.usage("the column \(quoted(column)) is named twice")
      }
      return place
    }
    for column in wanted.dropped { _ = try take(column) }
    for column in model?.dropped ?? [] {
      if let place = finder.placeIfAny(column), !wanted.isNamed(column) { free.remove(place) }
    }
    // What an earlier table had may be missing: then these rows have no answers, or no names.
    func takeEarlier(_ column: String) throws -> Int? {
      try finder.placeIfAny(column) == nil ? nil : take(column)
    }
    label = try wanted.label.map(take)
    targets = try wanted.targets.map(take)
    names = try wanted.names.map(take)
    if let model {
      if label == nil, targets.isEmpty, wanted.mayHaveAnswers {
        label = try model.label.flatMap(takeEarlier)
        let found = try model.targets.map { ($0, try takeEarlier($0)) }
        if let (lost, _) = found.first(where: { $0.1 == nil }),
          found.contains(where: { $0.1 != nil }
          )
        {
          throw Failure.data("\(name) has no column \(quoted(lost)), a target of \(model.name)")
        }
        targets = found.compactMap(\.1)
      }
      if names == nil { names = try model.names.flatMap(takeEarlier) }
    }
    features = try TableColumns.features(free.sorted(), fields, finder, model)
    ignored = free.subtracting(features).sorted()
    guard !features.isEmpty else {
      let others = wanted.named.joined(separator: ", ")
      throw Failure.data(
        "\(name) has no column" + (others.isEmpty ? "" : " beside \(others)")
          + finder.delimiterHint)
    }
  }

  /// The columns of the features among the `free` ones: all of them, or those of `model` in its order.
  private static func features(
    _ free: [Int], _ fields: [String], _ finder: ColumnFinder, _ model: EarlierTable?
  ) throws -> [Int] {
    guard let model else { return free }
    if let names = model.features, finder.hasHeader {
      let places = try free.map { fields[$0] }.places(of: names) {
        "\(finder.name) has no column \(quoted($0)), a feature of \(model.name)"
          + finder.delimiterHint
      }
      return places.map { free[$0] }
    }
    guard free.count == model.featureCount else {
      throw Failure.data(
        "\(finder.name) has \(free.count) columns of features, but \(model.name) has "
          + "\(model.featureCount)" + finder.delimiterHint)
    }
    return free
  }

  /// Throws if two columns have one name. Columns without names may be several.
  private static func expectDistinct(_ header: [String], in name: String) throws {
    var seen = Set<String>()
    if let twice = header.first(where: { !$0.isEmpty && !seen.insert($0).inserted }) {
      let count = header.count { $0 == twice }
      throw Failure.data(
        "the first line of \(name) has \(count) columns \(quoted(twice)): give them different names"
      )
    }
  }
}

/// The columns that the options name, and how.
struct ColumnChoice {
  enum Header: String, CaseIterable { case yes, no, auto }

  var header = Header.auto
  var label: String?
  var targets: [String] = []
  var names: String?
  var dropped: [String] = []
  /// The text of a missing value, which says nothing of a header.
  var missing: String?
  var delimiter = UInt8(ascii: ",")

  /// Whether answers of an earlier table may be looked for.
  var mayHaveAnswers: Bool { label == nil && targets.isEmpty }
  var named: [String] { [label, names].compactMap(\.self) + targets + dropped }
  func isNamed(_ column: String) -> Bool { named.contains(column) }
}

/// Finds columns by their names in the first line, or by their numbers.
private struct ColumnFinder {
  let name: String
  let hasHeader: Bool
  private let fields: [String]
  private let delimiter: UInt8

  init(
    _ fields: [String], _ name: String, _ wanted: ColumnChoice, _ model: EarlierTable?
  ) throws {
    (self.fields, self.name, delimiter) = (fields, name, wanted.delimiter)
    switch wanted.header {
    case .yes: hasHeader = true
    case .no: hasHeader = false
    case .auto: hasHeader = try ColumnFinder.isHeader(fields, name, wanted, model)
    }
  }

  /// Whether the first line is a header: if a column is named in it, or if none of the features and targets is a number.
  private static func isHeader(
    _ fields: [String], _ name: String, _ wanted: ColumnChoice, _ model: EarlierTable?
  ) throws -> Bool {
    // A line that holds only numbers is no header: the text of a number names no column. Nor does one that counts
    // columns, as 3 does among four: a sample may hold it.
    let hasNames = fields.contains { !$0.isEmpty && !resemblesNumber($0) }
    func isName(_ column: String) -> Bool {
      let number = Int(column)
      return fields.contains(column)
        && (number.map { hasNames && !(1...fields.count).contains($0) } ?? true)
    }
    if wanted.named.contains(where: isName) { return true }
    if let features = model?.features {
      if features.contains(where: { !resemblesNumber($0) && fields.contains($0) })
        || features.allSatisfy({ fields.contains($0) })
      {
        return true
      }
    }
    // Labels and names of samples are text in a header and in a sample alike.
    let others = Set([wanted.label, wanted.names].compactMap { $0 } + wanted.dropped)
    let numeric = fields.indices.filter {
      !others.contains("\($0 + 1)") && fields[$0] != wanted.missing
    }
    return !numeric.isEmpty && numeric.allSatisfy { !resemblesNumber(fields[$0]) }
  }

  /// The column of this name, or of this number.
  func placeIfAny(_ column: String) -> Int? {
    if hasHeader, let place = fields.firstIndex(of: column) { return place }
    guard let number = Int(column), (1...fields.count).contains(number) else { return nil }
    return number - 1
  }

  /// As `placeIfAny`; throws if there is none.
  func place(of column: String) throws -> Int {
    if let place = placeIfAny(column) { return place }
    if Int(column) != nil {
      throw Failure.data(
        "\(name) has the columns 1 to \(fields.count), no column \(column)\(delimiterHint)")
    }
    throw Failure.data(
      "the first line of \(name) has no column \(quoted(column)): "
        + fields.map(quoted).joined(separator: ", ") + delimiterHint)
  }

  /// What to do if the line has one column, and would have more with another delimiter.
  var delimiterHint: String {
    let others: [(character: Character, option: String)] = [
      (";", "--delimiter ';'"), ("\t", "--delimiter tab"), (",", "--delimiter ,"),
      ("|", "--delimiter '|'"),
    ]
    guard fields.count == 1,
      let (_, option) = others.first(where: {
        $0.character.asciiValue != delimiter && fields[0].contains($0.character)
      })
    else { return "" }
    return "; its columns seem to be apart by another character: \(option)"
  }
}
