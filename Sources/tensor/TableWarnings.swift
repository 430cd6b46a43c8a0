import Command
import Schema
import Tensors

extension NumericTable {
  /// If the deviations of two features differ by more than this factor, the smaller one hardly counts in a norm.
  private static let largestRatio = 1e4

  /// Warnings of what is probably a mistake: a feature that is the class under another name, and features of very
  /// different size that are not standardised. `labels` are the classes of the samples, `isStandardized` is true if the
  /// features will be.
  func warnings(_ columns: TableColumns, labels: Tensor?, isStandardized: Bool) -> [String] {
    var found: [String] = []
    if let labels {
      for k in columns.features.indices where tellsClass(k, labels) {
        found.append(
          "\(columns.title(of: k)) has one value for each class, and another for every other: if it is the label again, "
            + "leave it out by --drop")
      }
    }
    if let k = columns.features.indices.first(where: { isIndex($0, columns) }) {
      found.append(
        "\(columns.name): column \(columns.features[k] + 1) has no name and counts the rows, as an index that pandas writes "
          + "does: --drop \(columns.features[k] + 1) leaves it out")
    }
    guard !isStandardized, columns.features.count > 1, rowCount > 1 else { return found }
    let deviations = ColumnStatistics(of: features).deviations.prefix(columns.features.count)
    let varying = deviations.indices.filter { deviations[$0] > 0 }
    if let small = varying.min(by: { deviations[$0] < deviations[$1] }),
      let large = varying.max(by: { deviations[$0] < deviations[$1] }),
      deviations[large] > NumericTable.largestRatio * deviations[small]
    {
      found.append(
        "\(columns.title(of: large)) varies more than \(Int(NumericTable.largestRatio)) times as much as "
          + "\(columns.title(of: small)), which will hardly count: --standardize gives them equal weight"
      )
    }
    return found
  }

  /// Whether feature `k` has no name and counts the rows.
  private func isIndex(_ k: Int, _ columns: TableColumns) -> Bool {
    guard rowCount > 1, let header = columns.header, header[columns.features[k]].isEmpty else {
      return false
    }
    let width = features.shape[1]
    return features.withElements(of: Double.self) { x in
      (1..<rowCount).allSatisfy { x[$0 * width + k] - x[($0 - 1) * width + k] == 1 }
    }
  }

  /// Whether the values of feature `k` are the same for all samples of a class, and different for two classes.
  private func tellsClass(_ k: Int, _ labels: Tensor) -> Bool {
    let width = features.shape[1]
    var values: [Int32: Double] = [:]
    let isConstant = features.withElements(of: Double.self) { x in
      labels.withElements(of: Int32.self) { labels in
        labels.indices.allSatisfy { i in
          let value = x[i * width + k]
          return values.updateValue(value, forKey: labels[i]).map { $0 == value } ?? true
        }
      }
    }
    // Of as many samples as classes every feature could be one.
    return isConstant && values.count > 1 && rowCount > 2 * values.count
      && Set(values.values).count == values.count
  }
}
