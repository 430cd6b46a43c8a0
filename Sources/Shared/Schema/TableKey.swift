import Tensors

/// The metadata that say how a dataset was made from a table, so that further tables can be read alike.
package enum TableKey {
  /// The names of the features in the header, but for the appended constant: a JSON array.
  package static let features = "features"
  /// The column of the labels: its name in the header, or its number from 1.
  package static let label = "label_column"
  /// The columns of the targets, and those that were dropped: JSON arrays of names or numbers.
  package static let targets = "target_columns"
  package static let dropped = "dropped_columns"
  /// The column of the names of samples.
  package static let names = "name_column"
  /// The text of a missing value.
  package static let missing = "missing"
  /// The character between two fields, if it is not the comma.
  package static let delimiter = "delimiter"

  package static let all = [features, label, targets, dropped, names, missing, delimiter]
}

extension Bundle {
  /// The strings of the JSON array in metadata `key`, nil if it is missing. Throws `Failure.data` if it is none.
  package func strings(_ key: String) throws -> [String]? {
    guard let text = metadata[key] else { return nil }
    guard let strings = parseQuotedArray(text) else {
      throw Failure.data(
        "metadata \(quoted(key)) of \(name) is \(quoted(text)), expected a JSON array of strings")
    }
    return strings
  }

  /// The names of the features, nil if they have none. The constant that is appended with `bias` has no name.
  package func featureNames() throws -> [String]? { try strings(TableKey.features) }

  /// The names of the classes, nil if they have none. Throws `Failure.data` if one of them is empty, or stands for two.
  package func classNames() throws -> [String]? {
    guard let text = metadata["classes"], !text.isEmpty else { return nil }
    // A name that comes first in a list with commas may begin with a bracket, but hardly with a quote after it.
    let isArray = text == "[]" || text.hasPrefix("[\"")
    let names =
      isArray
      ? try strings("classes") ?? []
      : text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard !names.contains("") else {
      throw Failure.data("metadata \"classes\" of \(name) is \(quoted(text)): an empty name")
    }
    var seen = Set<String>()
    if let twice = names.first(where: { !seen.insert($0).inserted }) {
      throw Failure.data("metadata \"classes\" of \(name) has the name \(quoted(twice)) twice")
    }
    return names.isEmpty ? nil : names
  }

  /// The names of the samples, nil if they have none. Throws `Failure.data` if there is not a name for each of
  /// `samples`.
  package func sampleNames(_ samples: Int) throws -> [String]? {
    guard let tensor = try optional(.names) else { return nil }
    let (rows, width) = (tensor.shape[0], tensor.shape[1])
    guard rows == samples else {
      throw Failure.data(
        "tensor \"names\" of \(name) is \(tensor.summary), but there are \(samples) samples")
    }
    return try tensor.withElements(of: UInt8.self) { bytes in
      try (0..<rows).map { i in
        let row = bytes[i * width..<(i + 1) * width]
        let end = row.lastIndex { $0 != 0 }.map { $0 + 1 } ?? row.startIndex
        guard let text = String(validating: row[..<end], as: UTF8.self) else {
          throw Failure.data("tensor \"names\" of \(name) has bad UTF-8 in row \(i)")
        }
        return text
      }
    }
  }
}

extension Tensor {
  /// The tensor `names` of these texts: U8 [n, L] with L the length of the longest, at least 1.
  package init(names: [String]) throws {
    let width = max(1, names.reduce(0) { max($0, $1.utf8.count) })
    try expectMemory(
      Double(names.count) * Double(width), for: "\(names.count) names of up to \(width) bytes")
    self.init(type: .u8, shape: [names.count, width])
    withMutableElements(of: UInt8.self) { bytes in
      for (i, name) in names.enumerated() {
        for (k, byte) in name.utf8.enumerated() { bytes[i * width + k] = byte }
      }
    }
  }
}
