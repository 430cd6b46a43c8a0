import Tensors

/// The lines that `evaluate` prints: names, and numbers or words, in order.
package struct Report: Sendable {
  package enum Value: Sendable, Equatable {
    case count(Int)
    case number(Double)
    case word(String)

    /// The shortest text that reads back as the same number.
    var text: String {
      switch self {
      case .count(let value): "\(value)"
      case .number(let value): "\(value)"
      case .word(let value): value
      }
    }

    /// JSON has no infinity and no NaN.
    var json: String {
      switch self {
      case .number(let value) where !value.isFinite: "null"
      case .word(let value): quoted(value)
      default: text
      }
    }
  }

  package private(set) var lines: [(name: String, value: Value)] = []

  package init() {}

  package mutating func add(_ name: String, _ value: Int) { lines.append((name, .count(value))) }
  package mutating func add(_ name: String, _ value: Double) {
    lines.append((name, .number(value)))
  }
  package mutating func add(_ name: String, _ value: String) { lines.append((name, .word(value))) }

  /// The name of the first number that is not finite.
  var firstNonFinite: String? {
    lines.first {
      if case .number(let value) = $0.value { !value.isFinite } else { false }
    }?.name
  }

  /// `name<TAB>value` lines.
  package var text: String {
    lines.map { "\($0.name)\t\($0.value.text)\n" }.joined()
  }

  /// One JSON object with the same names.
  package var json: String {
    let members = lines.map { "\(quoted($0.name)): \($0.value.json)" }
    return "{\(members.joined(separator: ", "))}\n"
  }
}
