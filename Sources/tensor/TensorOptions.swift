import Command
import Tensors

extension TensorSettings {
  /// The fields of one comma-separated line, which may be quoted; nil if it is none, or if a field is empty.
  private static func names(_ text: String) -> [String]? {
    let bytes = Bytes(uninitialized: text.utf8.count)
    for (i, byte) in text.utf8.enumerated() {
      bytes.base.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
    }
    var reader = CSVReader(bytes, name: "the option")
    guard let fields = try? reader.next()?.fields, !fields.contains(""),
      (try? reader.advance()) == false
    else { return nil }
    return fields
  }

  private static func list(
    _ name: String, _ argument: String, _ path: WritableKeyPath<TensorSettings, [String]?>,
    _ help: String
  ) -> Option<TensorSettings> {
    .value(name, argument, path, help, expected: "names with commas between them") { text in
      names(text).flatMap { Set($0).count == $0.count ? .some($0) : nil }
    }
  }

  /// How a table is read.
  static var tableOptions: [Option<TensorSettings>] {
    [
      .text(
        "labels", "COLUMN", \.labels,
        "from-csv: the column of the class labels: its name in the header, or its number from 1."),
      list(
        "targets", "COLUMN,...", \.targets,
        "from-csv: the columns of the regression targets, named as for --labels; windows: the channels to predict "
          + "(default: those of the windows)."),
      .text(
        "id", "COLUMN", \.id, "from-csv: the column that names the samples: no feature, but kept."),
      list("drop", "COLUMN,...", \.drop, "from-csv: columns to leave out."),
      .flag("bias", \.bias, "from-csv, windows: append the constant feature 1."),
      .value(
        "header", "WHICH", \.header,
        "from-csv, windows: whether the first line holds names: yes, no, or auto (the default).",
        words: ColumnChoice.Header.allCases.map(\.rawValue), expected: "yes, no or auto"
      ) { ColumnChoice.Header(rawValue: $0).map(Optional.some) },
      .value(
        "delimiter", "C", \.delimiter,
        "from-csv, windows: the character between two fields instead of the comma; tab is a tab.",
        expected: "one character that is no part of a number, or tab"
      ) { delimiterByte($0) == nil ? nil : .some($0) },
      .value(
        "missing", "TEXT", \.missing,
        "from-csv: features that are TEXT are missing, and take the mean of their column (of that of BUNDLE with "
          + "--like); how many is said on standard error.", expected: "some text"
      ) { .some($0) },
      .integer(
        "chunk", "N", \.chunk,
        "from-csv: write a bundle for each N samples, one after another, so that memory does not grow with the table. "
          + "Labels need --like or --classes; missing values, or standardised ones, --like.",
        minimum: 1),
      .flag(
        "standardize", \.standardize,
        "from-csv: standardise the features and targets that were read, as the command standardize does."
      ),
      .flag(
        "keep-targets", \.keepTargets,
        "from-csv, standardize: standardise features alone, and leave targets as they are."),
      list(
        "classes", "NAME,...", \.classes,
        "from-csv: the classes in their order, of which some may have no sample here; from-npy: their names."
      ),
      .input(
        "like", "BUNDLE", \.like,
        "from-csv, standardize: follow what was made before. The result may replace it.",
        isReplaceable: true),
    ]
  }

  /// How a signal is cut.
  static var windowOptions: [Option<TensorSettings>] {
    [
      .integer(
        "length", "L", \.length, "windows: the values of a channel in a window.", minimum: 1),
      .integer(
        "horizon", "H", \.horizon,
        "windows: the targets come H steps after a window's last value (default 1).", minimum: 1),
      list(
        "channels", "COLUMN,...", \.channels,
        "windows: the channels of the signal, by name or by number from 1 (default: all)."),
      .flag(
        "differences", \.differences,
        "windows: take the L - 1 changes from one value to the next, and as target the change from the last one."
      ),
    ]
  }

  /// How samples are divided.
  static var partOptions: [Option<TensorSettings>] {
    [
      .value(
        "fraction", "F", \.fraction, "split: the share of the samples that goes to the output.",
        expected: "a number between 0 and 1"
      ) { text in Double(decimal: text).flatMap { $0 > 0 && $0 < 1 ? .some($0) : nil } },
      .integer("folds", "K", \.folds, "fold: how many parts there are.", minimum: 2),
      .integer("fold", "I", \.fold, "fold: the part that goes to --rest, from 1.", minimum: 0),
      .flag(
        "stratify", \.stratify, "split, fold: divide the samples of each class in the same way."),
      .value(
        "seed", "N", \.seed, "split, fold: the seed of the division (default 0).",
        expected: "a whole number"
      ) { Int($0).map(Optional.some) },
      .output("rest", "FILE", \.rest, "split, fold: write the other samples to FILE."),
    ]
  }
}
