import LinearAlgebra
import Schema
import Tensors

/// What a network says of each sample, as a table of tab-separated values.
struct PredictionTable {
  let outputs: Matrix
  /// The names of the samples, if they have names.
  let names: [String]?
  /// The labels or the targets, if there are any.
  let expected: ExpectedOutputs?
  /// The class decided for each sample; nil for regression.
  let decisions: [Int]?
  let classNames: [String]
  let targets: TargetValues
  let loss: LossName

  /// A line of names, then a line a sample: its number, its name, its label, the class decided, by number and by name,
  /// or its targets; the outputs; and the probability of each class for losses that have one.
  var text: String {
    let columns = outputs.columns
    func numbered(_ name: String) -> [String] {
      columns == 1 ? [name] : (0..<columns).map { "\(name)_\($0)" }
    }
    var header = ["index"]
    if names != nil { header.append("name") }
    if let expected { header += expected.labels == nil ? numbered("target") : ["label"] }
    if decisions != nil { header += ["prediction", "class"] }
    header += numbered("output")
    if hasProbabilities {
      header += classNames.indices.map { "probability_\($0)" }
    }
    var text = header.joined(separator: "\t") + "\n"
    for i in 0..<outputs.rows {
      text += row(i).joined(separator: "\t") + "\n"
    }
    return text
  }

  private var hasProbabilities: Bool {
    decisions != nil && (loss == .logistic || loss == .crossEntropy)
  }

  private func row(_ i: Int) -> [String] {
    var row = ["\(i)"]
    if let names { row.append(printable(names[i])) }
    if let labels = expected?.labels {
      row.append("\(labels[i])")
    } else if let values = expected?.values {
      row += (0..<values.columns).map { "\(values[i, $0])" }
    }
    if let decisions { row += ["\(decisions[i])", printable(classNames[decisions[i]])] }
    row += (0..<outputs.columns).map { "\(outputs[i, $0])" }
    if hasProbabilities {
      let own = UnsafeBufferPointer(start: outputs.row(i), count: outputs.columns)
      row += (targets.probabilities(own, loss) ?? []).map { "\($0)" }
    }
    return row
  }

}

/// A name that came with a bundle: as it is, or as a JSON string if it would break a table or confuse a terminal.
func printable(_ name: String) -> String {
  terminalText(name) == name ? name : terminalText(quoted(name))
}
