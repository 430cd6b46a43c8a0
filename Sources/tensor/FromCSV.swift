import Command
import Schema
import Tensors

/// Makes a dataset from comma-separated values.
func fromCSV(_ run: Run) throws {
  let output = try run.bundleOutput()
  let input = try Input(path: run.settings.arguments.first ?? "-")
  let table = try NumericTable(
    CSVReader(try input.readAll(), name: input.name), name: input.name,
    labels: run.settings.labels,
    targets: run.settings.targets?.split(separator: ",", omittingEmptySubsequences: false)
      .map(String.init) ?? [],
    constant: run.settings.bias ? 1 : nil)
  var bundle = Bundle(kind: .dataset, tensors: [:], metadata: run.metadata())
  bundle.tensors["x"] = Tensor(table.features, shape: [table.rowCount, table.featureCount])
  if run.settings.bias { bundle.metadata[.bias] = true }
  if run.settings.labels != nil {
    let (labels, classes) = try numbered(table.labels, in: input.name)
    bundle.tensors["labels"] = Tensor(labels)
    bundle.metadata["classes"] = classes.joined(separator: ",")
  } else if table.targetCount > 0 {
    bundle.tensors["targets"] = Tensor(
      table.targets,
      shape: table.targetCount == 1 ? [table.rowCount] : [table.rowCount, table.targetCount])
  }
  try run.write(bundle, to: output)
}

/// Numbers the texts of a label column in their sorted order: by value if all are numbers (then 1 and 1.0 are one
/// class), else by code points.
private func numbered(
  _ labels: [(text: String, line: Int)], in file: String
) throws -> (labels: [Int32], classes: [String]) {
  for (text, line) in labels {
    // Commas separate the classes in the metadata.
    let isBad =
      text.isEmpty
      || text.unicodeScalars.contains {
        $0 == "," || $0.value < 0x20 || (0x7F...0x9F).contains($0.value)
      }
    if isBad {
      throw Failure.data(
        "\(file), line \(line): the label \(quoted(text)) is empty or holds a comma or a control "
          + "character")
    }
  }
  let numbers = labels.map { Double(decimal: $0.text) }
  if numbers.allSatisfy({ $0?.isFinite ?? false }) {
    var names: [Double: String] = [:]
    for (number, label) in zip(numbers, labels) where names[number!] == nil {
      names[number!] = label.text
    }
    let order = names.keys.sorted()
    let index = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, Int32($0)) })
    return (numbers.map { index[$0!]! }, order.map { names[$0]! })
  }
  let order = Set(labels.map(\.text)).sorted(by: precedes)
  let index = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, Int32($0)) })
  return (labels.map { index[$0.text]! }, order)
}
