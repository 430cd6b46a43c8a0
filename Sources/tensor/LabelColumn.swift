import Schema
import Tensors

/// The column of the class labels: the texts that stand in it, numbered as they come.
struct LabelColumn {
  private let column: Int
  /// The name of the file in messages.
  private let name: String
  /// The text of each code, and the line on which it came first.
  private var texts: [(text: String, line: Int)] = []
  private var codes: [String: Int32] = [:]
  private var rows: GrowingTensor
  private var counts: [Int] = []
  private var count = 0

  init(column: Int, name: String) {
    (self.column, self.name) = (column, name)
    rows = GrowingTensor(.i32, name: name)
  }

  /// Takes the label of the record that `reader` is at.
  mutating func append(_ reader: CSVReader) throws {
    let text = try reader.text(of: column)
    let code: Int32
    if let known = codes[text] {
      code = known
    } else {
      let isBad =
        text.isEmpty
        || text.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
      if isBad {
        throw Failure.data(
          "\(name), line \(reader.line): the label \(quoted(text)) is empty or holds a control character"
        )
      }
      code = Int32(texts.count)
      codes[text] = code
      texts.append((text, reader.line))
      counts.append(0)
    }
    counts[Int(code)] += 1
    count += 1
    try rows.append(code)
  }

  /// Throws if the first line was taken for a sample, but its label is the only one that is no number.
  func expectNoHeader(_ columns: TableColumns) throws {
    guard !columns.hasHeader, columns.isGuessed, counts[0] == 1, texts.count > 1,
      !resemblesNumber(texts[0].text),
      texts.dropFirst().allSatisfy({ resemblesNumber($0.text) })
    else { return }
    throw Failure.data(
      "the first line of \(name) may be a header or a sample: its label is \(quoted(texts[0].text)), and all others "
        + "are numbers; say --header yes or --header no")
  }

  /// The labels, I32 [n], and the names of the classes. Without `given` names these are the texts in sorted order: by
  /// value if all are numbers (then 1 and 1.0 are one class), otherwise by code points. With them, a label is the number
  /// of its name; `owner` says where they come from in the message about a label that is none of them.
  func numbered(
    classes given: [String]?, owner: String
  ) throws -> (labels: Tensor, classes: [String]) {
    let (numbers, classes) = try given.map { (try codes(among: $0, owner), $0) } ?? sorted
    let labels = rows.tensor(shape: [count])
    labels.withMutableElements(of: Int32.self) { labels in
      for i in labels.indices { labels[i] = numbers[Int(labels[i])] }
    }
    return (labels, classes)
  }

  private func codes(among classes: [String], _ owner: String) throws -> [Int32] {
    var places: [String: Int] = [:]
    var values: [Double: Int] = [:]
    for (c, name) in classes.enumerated() {
      places[name] = c
      if let value = Double(decimal: name), values[value] == nil { values[value] = c }
    }
    return try texts.map { text, line in
      guard let place = places[text] ?? Double(decimal: text).flatMap({ values[$0] }) else {
        throw Failure.data(
          "\(name), line \(line): the label \(quoted(text)) is none of the classes of \(owner): "
            + classes.map(quoted).joined(separator: ", "))
      }
      return Int32(place)
    }
  }

  private var sorted: (numbers: [Int32], classes: [String]) {
    let values = texts.map { Double(decimal: $0.text) }
    guard values.allSatisfy({ $0?.isFinite ?? false }) else {
      let order = texts.map(\.text).sorted(by: precedes)
      let index = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, Int32($0)) })
      return (texts.map { index[$0.text]! }, order)
    }
    // The text that came first names the class.
    var names: [Double: String] = [:]
    for (value, label) in zip(values, texts) where names[value!] == nil {
      names[value!] = label.text
    }
    let order = names.keys.sorted()
    let index = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, Int32($0)) })
    return (values.map { index[$0!]! }, order.map { names[$0]! })
  }
}
