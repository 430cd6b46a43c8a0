import Command
import Tensors

/// Prints what a bundle is, how it was made, and what its tensors hold. Only one tensor is in memory at a time, and
/// nothing is printed before the last one has proved to be whole.
func show(_ run: Run) throws {
  let output = try run.textOutput()
  let reader = try BundleReader(run.input(path: run.settings.arguments.first ?? "-"))
  let progress = run.progress()
  var rows = [["name", "type", "shape", "minimum", "mean", "maximum", "non-finite"]]
  while let entry = reader.next {
    progress.update("tensor \(rows.count) of \(reader.entries.count)")
    let statistics = Statistics(of: try reader.readTensor())
    rows.append([
      printable(entry.name), entry.type.rawValue,
      "[\(entry.shape.map(String.init).joined(separator: ","))]", statistics.minimum ?? "-",
      statistics.mean.map(sixDigits) ?? "-", statistics.maximum ?? "-", "\(statistics.nonFinite)",
    ])
  }
  try reader.finish()
  progress.finish()

  var metadata = reader.metadata
  let first = ["kind", "producer"].map { ($0, metadata.removeValue(forKey: $0) ?? "-") }
  let recipe = metadata.removeValue(forKey: "command") ?? "-"
  let others = metadata.sorted { precedes($0.key, $1.key) }.map { ($0.key, $0.value) }
  let facts = first + [("recipe", recipe)] + others
  let margin = facts.map { printable($0.0).count }.max()! + 2
  for (key, value) in facts {
    // A recipe has a line for each command; the lines after the first are aligned with it.
    let lines = value.split(separator: "\n", omittingEmptySubsequences: false)
    for (i, line) in lines.enumerated() {
      let label = i == 0 ? printable(key) : ""
      let text = printable(String(line))
      try output.write((text.isEmpty ? label : padded(label, margin) + text) + "\n")
    }
  }
  try output.write("\n")
  // The tensors in the order of their names, numbers to the right.
  let body = rows.dropFirst().sorted { precedes($0[0], $1[0]) }
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
  for row in [rows[0]] + body {
    let cells = row.enumerated().map { column, cell in
      column < 3 ? padded(cell, widths[column]) : padded(cell, widths[column], left: true)
    }
    try output.write(cells.joined(separator: "  ") + "\n")
  }
  try output.finish()
}

private func padded(_ text: String, _ width: Int, left: Bool = false) -> String {
  let blanks = String(repeating: " ", count: max(0, width - text.count))
  return left ? blanks + text : text + blanks
}

/// `text` as it is, or as a JSON string if it would confuse a terminal or a table.
private func printable(_ text: String) -> String {
  terminalText(text) == text ? text : terminalText(quoted(text))
}
