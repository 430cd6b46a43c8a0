import Command
import Schema
import Tensors

/// The subcommands of `tensor`: its first operand.
enum Subcommand: String, CaseIterable {
  case show, get
  case fromCSV = "from-csv"
  case fromNPY = "from-npy"
  case windows, standardize, split, fold, slice, concat, rename, sum

  /// How many operands may follow, and their names in the usage.
  var operands: (count: ClosedRange<Int>, usage: String) {
    switch self {
    case .show: (0...1, "show [FILE]")
    case .get: (1...2, "get NAME [FILE]")
    case .fromCSV: (0...1, "from-csv [FILE]")
    case .fromNPY: (1...Int.max, "from-npy NAME=FILE...")
    case .windows: (0...1, "windows --length L [FILE]")
    case .standardize: (0...1, "standardize [--like BUNDLE] [FILE]")
    case .split: (0...1, "split --fraction F -o FILE --rest REST [FILE]")
    case .fold: (0...1, "fold --folds K --fold I -o FILE --rest REST [FILE]")
    case .slice: (0...1, "slice --rows A:B [FILE]")
    case .concat: (1...Int.max, "concat FILE...")
    case .rename: (1...Int.max, "rename OLD=NEW... [FILE]")
    case .sum: (1...Int.max, "sum FILE...")
    }
  }
}

/// Samples from `lower` up to, not including, `upper`; `nil` is the end.
struct RowRange {
  var lower: Int
  var upper: Int?

  /// Reads `A:B`, `A:` or `:B`.
  init?(_ text: String) {
    let ends = text.split(separator: ":", omittingEmptySubsequences: false)
    guard ends.count == 2, let lower = ends[0].isEmpty ? 0 : Int(ends[0]), lower >= 0 else {
      return nil
    }
    self.lower = lower
    if !ends[1].isEmpty {
      guard let upper = Int(ends[1]), upper > lower else { return nil }
      self.upper = upper
    }
  }
}

struct TensorSettings: ToolSettings {
  var common = CommonSettings()
  /// get: the form of the output.
  var csv = false
  var npy = false
  /// from-csv: a column, and columns separated by commas.
  var labels: String?
  var targets: [String]?
  /// from-csv: append a constant feature.
  var bias = false
  /// from-csv: whether the first line is a header.
  var header: ColumnChoice.Header?
  var delimiter: String?
  /// from-csv: the text of a missing value.
  var missing: String?
  /// from-csv: columns to leave out, and the one that names the samples.
  var drop: [String]?
  var id: String?
  /// from-csv: the samples of a bundle, if there are to be several.
  var chunk: Int?
  /// from-csv: standardise what was read.
  var standardize = false
  /// from-csv, standardize: leave targets as they are.
  var keepTargets = false
  /// from-csv, from-npy: the names of the classes.
  var classes: [String]?
  /// from-csv, standardize: an earlier bundle to follow.
  var like: String?
  /// split: the share of the samples that goes to the output; fold: into how many parts, and which of them is the rest.
  var fraction: Double?
  var folds: Int?
  var fold: Int?
  var seed: Int?
  var stratify = false
  var rest: String?
  /// from-npy: the bundle's kind.
  var kind: Kind?
  /// windows: the values of a window, how far after its last one the targets are, and the channels of the signal.
  var length: Int?
  var horizon: Int?
  var channels: [String]?
  var differences = false
  /// slice: the rows to keep.
  var rows: RowRange?
  /// sum: how many samples there must be together.
  var samples: Int?

  /// `validate` has checked that there is one.
  var command: Subcommand { Subcommand(rawValue: common.operands[0])! }
  /// The operands after the command.
  var arguments: [String] { Array(common.operands.dropFirst()) }

  /// The columns that the options name.
  func columns(missing: String?, delimiter: UInt8) -> ColumnChoice {
    ColumnChoice(
      header: header ?? .auto, label: labels, targets: targets ?? [], names: id,
      dropped: drop ?? [],
      missing: missing, delimiter: delimiter)
  }

  /// The OLD=NEW or NAME=FILE operands, cut at the first `=`.
  var pairs: [(left: String, right: String)] {
    arguments.compactMap { argument in
      argument.firstIndex(of: "=").map {
        (String(argument[..<$0]), String(argument[argument.index(after: $0)...]))
      }
    }
  }

  func validate() throws {
    guard let command = Subcommand(rawValue: common.operands[0]) else {
      let names = Subcommand.allCases.map(\.rawValue).joined(separator: ", ")
      throw Failure.usage(
        "unknown command \(quoted(common.operands[0])), expected one of \(names)")
    }
    let (count, usage) = command.operands
    if arguments.count > count.upperBound {
      throw Failure.usage("unexpected argument \(quoted(arguments[count.upperBound]))")
    }
    if arguments.count < count.lowerBound { throw Failure.usage("expected \(usage)") }
    for owner in owners where owner.isGiven && !owner.commands.contains(command) {
      throw Failure.usage(
        "--\(owner.option) belongs to "
          + owner.commands.map(\.rawValue).joined(separator: " and ")
          + ", not to \(command.rawValue)")
    }
    if csv && npy { throw Failure.usage("--csv and --npy exclude each other") }
    if labels != nil && targets != nil {
      throw Failure.usage("--labels and --targets exclude each other")
    }
    if targets != nil && classes != nil {
      throw Failure.usage("--targets and --classes exclude each other")
    }
    if like != nil && standardize {
      throw Failure.usage(
        "--like and --standardize exclude each other: --like standardises as that bundle was")
    }
    if keepTargets && (like != nil || (command == .fromCSV && !standardize)) {
      throw Failure.usage(
        "--keep-targets is for a standardisation that is new, not for that of --like")
    }
    if chunk != nil && standardize {
      throw Failure.usage(
        "--chunk and --standardize exclude each other: --like standardises as an earlier bundle was"
      )
    }
    try validateNeeds(command)
    try validatePairs(command)
    var paths = command == .fromNPY ? pairs.map(\.right) : arguments
    if paths.isEmpty, command != .fromNPY { paths = ["-"] }
    if (paths + [like].compactMap(\.self)).count(where: { $0 == "-" }) > 1 {
      throw Failure.usage("standard input can be read only once")
    }
  }

  /// The options that only some of the commands have.
  private var owners: [(isGiven: Bool, option: String, commands: [Subcommand])] {
    [
      (csv, "csv", [.get]), (npy, "npy", [.get]), (labels != nil, "labels", [.fromCSV]),
      (targets != nil, "targets", [.fromCSV, .windows]),
      (bias, "bias", [.fromCSV, .windows]), (header != nil, "header", [.fromCSV, .windows]),
      (delimiter != nil, "delimiter", [.fromCSV, .windows]), (length != nil, "length", [.windows]),
      (horizon != nil, "horizon", [.windows]), (channels != nil, "channels", [.windows]),
      (differences, "differences", [.windows]),
      (missing != nil, "missing", [.fromCSV]), (drop != nil, "drop", [.fromCSV]),
      (id != nil, "id", [.fromCSV]), (chunk != nil, "chunk", [.fromCSV]),
      (standardize, "standardize", [.fromCSV]),
      (keepTargets, "keep-targets", [.fromCSV, .standardize]),
      (classes != nil, "classes", [.fromCSV, .fromNPY]),
      (like != nil, "like", [.fromCSV, .standardize]), (kind != nil, "kind", [.fromNPY]),
      (fraction != nil, "fraction", [.split]), (folds != nil, "folds", [.fold]),
      (fold != nil, "fold", [.fold]), (seed != nil, "seed", [.split, .fold]),
      (stratify, "stratify", [.split, .fold]), (rest != nil, "rest", [.split, .fold]),
      (rows != nil, "rows", [.slice]), (samples != nil, "samples", [.sum]),
    ]
  }

  private func validateNeeds(_ command: Subcommand) throws {
    if command == .windows {
      guard let length else { throw Failure.usage("windows needs --length L") }
      guard length > 1 || !differences else {
        throw Failure.usage("--differences needs --length 2 or more: one value has no difference")
      }
    }
    if command == .slice && rows == nil { throw Failure.usage("slice needs --rows A:B") }
    guard command == .split || command == .fold else { return }
    if command == .split, fraction == nil { throw Failure.usage("split needs --fraction F") }
    if command == .fold {
      guard let folds, let fold else { throw Failure.usage("fold needs --folds K and --fold I") }
      guard fold <= folds else {
        throw Failure.usage("--fold is \(fold), but --folds is \(folds)")
      }
    }
    guard let rest else {
      throw Failure.usage("\(command.rawValue) needs --rest FILE: where the other samples go")
    }
    if rest == "-" {
      throw Failure.usage("--rest needs a file: standard output is for the first part")
    }
  }

  private func validatePairs(_ command: Subcommand) throws {
    guard command == .rename || command == .fromNPY else { return }
    let usage = command.operands.usage
    // The last argument of rename may be the file.
    let given = command == .rename ? max(1, arguments.count - 1) : arguments.count
    for argument in arguments.prefix(given) where !argument.contains("=") {
      throw Failure.usage("\(quoted(argument)) holds no =, expected \(usage)")
    }
    let names = command == .rename ? pairs.flatMap { [$0.left, $0.right] } : pairs.map(\.left)
    if names.contains("") || pairs.contains(where: { $0.right.isEmpty }) {
      throw Failure.usage("an empty name, expected \(usage)")
    }
    if names.contains("__metadata__") {
      throw Failure.usage("no tensor can have the name \"__metadata__\"")
    }
    var seen = Set<String>()
    for (left, _) in pairs where !seen.insert(left).inserted {
      throw Failure.usage("the tensor \(quoted(left)) is named twice")
    }
  }

  var inputOperands: [String] {
    switch command {
    case .get: Array(arguments.dropFirst())
    case .fromNPY: pairs.map(\.right)
    case .rename: arguments.filter { !$0.contains("=") }
    default: arguments
    }
  }

  var recordedOperands: [String] {
    switch command {
    case .rename: [command.rawValue] + pairs.map { "\($0.left)=\($0.right)" }
    case .fromNPY: [command.rawValue] + pairs.map { "\($0.left)=FILE" }
    case .concat, .sum: [command.rawValue] + arguments.map { _ in "FILE" }
    case .get: [command.rawValue, arguments[0]]
    default: [command.rawValue]
    }
  }
}

typealias Run = Invocation<TensorSettings>
