import Tensors

/// One option of a tool, defined once: the parser, `--help`, the manual page and the recipe in the
/// output's metadata all derive from it.
package struct Option<Settings> {
  /// How an option enters the recipe that a bundle carries.
  package enum Record {
    /// Written with its value.
    case value
    /// Its value is a path, which no bundle holds: the placeholder is written instead.
    case placeholder
    /// Left out: it does not change the result.
    case omitted
  }

  package let name: String
  package let short: Character?
  /// The placeholder of its argument; `nil` for a flag.
  package let argument: String?
  package let help: String
  package let record: Record
  /// Whether its argument is a file to write.
  private(set) var isOutput = false
  /// Whether its argument is a file to read.
  private(set) var isInput = false
  /// Whether each further argument adds to those before it, rather than taking their place.
  private(set) var isRepeated = false
  /// The words that its argument may be, for completion; none if it may be anything.
  private(set) var words: [String] = []
  /// Whether its argument may be a whole number instead of a file.
  private(set) var takesCounts = false
  /// Whether -o may name the file of this input.
  private(set) var isReplaceable = false
  let apply: (inout Settings, String) throws -> Void

  /// A switch that sets `path` to `true`.
  package static func flag(
    _ name: String, short: Character? = nil, _ path: WritableKeyPath<Settings, Bool>,
    _ help: String,
    record: Record = .value
  ) -> Option {
    Option(name: name, short: short, argument: nil, help: help, record: record) { settings, _ in
      settings[keyPath: path] = true
    }
  }

  /// An option whose argument is read by `parse`, which returns `nil` if the text is not `expected`.
  package static func value<T>(
    _ name: String, short: Character? = nil, _ argument: String,
    _ path: WritableKeyPath<Settings, T>,
    _ help: String, record: Record = .value, words: [String] = [], expected: String,
    parse: @escaping (String) -> T?
  ) -> Option {
    var option = Option(name: name, short: short, argument: argument, help: help, record: record) {
      settings, text in
      guard let value = parse(text) else {
        throw Failure.usage("--\(name) is \(quoted(text)), expected \(expected)")
      }
      settings[keyPath: path] = value
    }
    option.words = words
    return option
  }

  /// An option whose argument is any text, such as a path.
  package static func text(
    _ name: String, short: Character? = nil, _ argument: String,
    _ path: WritableKeyPath<Settings, String?>, _ help: String, record: Record = .value
  ) -> Option {
    value(name, short: short, argument, path, help, record: record, expected: "some text") {
      // Spelled out: a bare `nil` would be the option's value, not the refusal of this one.
      $0.isEmpty ? String??.none : .some($0)
    }
  }

  /// An option whose argument is a file to read, which no option may write to: what was read would be lost. If it
  /// `isReplaceable`, the result may take its place.
  package static func input(
    _ name: String, short: Character? = nil, _ argument: String,
    _ path: WritableKeyPath<Settings, String?>, _ help: String, isReplaceable: Bool = false
  ) -> Option {
    var option = text(name, short: short, argument, path, help, record: .placeholder)
    option.isInput = true
    option.isReplaceable = isReplaceable
    return option
  }

  /// As `input`, for an option that may be given several times: the files are taken in that order.
  package static func inputs(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, [String]>, _ help: String
  ) -> Option {
    var option = Option(
      name: name, short: nil, argument: argument, help: help, record: .placeholder
    ) { settings, text in
      guard !text.isEmpty else {
        throw Failure.usage("--\(name) is \(quoted(text)), expected some text")
      }
      settings[keyPath: path].append(text)
    }
    (option.isInput, option.isRepeated) = (true, true)
    return option
  }

  /// An option whose argument is a whole number or a file to read; `argument` is such as "N|BUNDLE".
  package static func inputOrCount(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, String?>, _ help: String
  ) -> Option {
    var option = input(name, argument, path, help)
    option.takesCounts = true
    return option
  }

  /// An option whose argument is a file to write; no two of these may be the same file.
  package static func output(
    _ name: String, short: Character? = nil, _ argument: String,
    _ path: WritableKeyPath<Settings, String?>, _ help: String
  ) -> Option {
    var option = text(name, short: short, argument, path, help, record: .omitted)
    option.isOutput = true
    return option
  }

  /// A whole number of at least `minimum`, and at most `maximum`.
  package static func integer(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Int>, _ help: String,
    minimum: Int, maximum: Int = .max, record: Record = .value
  ) -> Option {
    value(
      name, argument, path, help, record: record,
      expected: maximum == .max
        ? "a whole number of at least \(minimum)" : "a whole number from \(minimum) to \(maximum)"
    ) { Int($0).flatMap { (minimum...maximum).contains($0) ? $0 : nil } }
  }

  /// As above, for an option without a default: "not given" differs from every number.
  package static func integer(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Int?>,
    _ help: String, minimum: Int, record: Record = .value
  ) -> Option {
    value(
      name, argument, path, help, record: record,
      expected: "a whole number of at least \(minimum)"
    ) { text in Int(text).flatMap { $0 >= minimum ? .some($0) : nil } }
  }

  /// A finite number above 0.
  package static func positive(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Double?>, _ help: String,
    record: Record = .value
  ) -> Option {
    value(name, argument, path, help, record: record, expected: "a number above 0") { text in
      Double(decimal: text).flatMap { $0 > 0 && $0.isFinite ? .some($0) : nil }
    }
  }

  /// As above, for an option with a default.
  package static func positive(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Double>, _ help: String,
    record: Record = .value
  ) -> Option {
    value(name, argument, path, help, record: record, expected: "a number above 0") {
      Double(decimal: $0).flatMap { $0 > 0 && $0.isFinite ? $0 : nil }
    }
  }

  /// A finite number of at least 0.
  package static func nonNegative(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Double?>, _ help: String,
    record: Record = .value
  ) -> Option {
    value(name, argument, path, help, record: record, expected: "a number of at least 0") { text in
      Double(decimal: text).flatMap { $0 >= 0 && $0.isFinite ? .some($0) : nil }
    }
  }

  /// As above, for an option with a default.
  package static func nonNegative(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, Double>, _ help: String,
    record: Record = .value
  ) -> Option {
    value(name, argument, path, help, record: record, expected: "a number of at least 0") {
      Double(decimal: $0).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil }
    }
  }

  /// One of an enumeration's values.
  package static func choice<T: RawRepresentable & CaseIterable>(
    _ name: String, _ argument: String, _ path: WritableKeyPath<Settings, T>, _ help: String,
    record: Record = .value
  ) -> Option where T.RawValue == String {
    let words = T.allCases.map(\.rawValue)
    return value(
      name, argument, path, help, record: record, words: words,
      expected: words.joined(separator: ", ")
    ) { T(rawValue: $0) }
  }
}
