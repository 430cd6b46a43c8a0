import Command
import Schema

let tool = Tool<TensorSettings>(
  name: "tensor",
  summary: "looks at, cuts, joins and converts bundles of tensors",
  operands: "COMMAND [ARGUMENT...]",
  operandCount: 1...Int.max,
  operandWords: Subcommand.allCases.map(\.rawValue),
  description: """
    A bundle is a safetensors file: named tensors and string metadata, the recipe that made it among
    them. FILE is one; where it is missing or -, standard input is read. COMMAND is one of these.

    show [FILE]: prints the kind, the producer, the recipe and the other metadata, and a line a
    tensor: name, type, shape, minimum, mean and maximum of the finite elements, and the count of
    elements that are not finite.

    get NAME [--csv|--npy] [FILE]: writes the tensor NAME: a line a row with the numbers apart by tabs
    (all dimensions after the first in one line), with commas (--csv), or as a NumPy file (--npy).
    Numbers read back exactly.

    from-csv [--labels COLUMN | --targets COLUMN,...] [--bias] [--like BUNDLE] [FILE]: makes a dataset of
    comma-separated values, a line a sample. The first line is a header where a COLUMN is named in it
    or where none of its features is a number; --header says so where that cannot be told. Labels are
    numbered in the sorted order of what stands in their column, by value where all are numbers, or as
    --classes names them. Every other column is a feature. --like reads a table as an earlier one was read,
    from which BUNDLE was made (a dataset, or the arrangements, the solution or the network that came of it):
    columns are taken by name in its order, whatever order they have here; labels count its classes; missing
    values, the standardisation and the constant are as there. If the label column is missing, the rows have no labels.
    With --chunk a table of any length goes through as a stream of bundles, which any reader of safetensors can take
    apart by their headers.

    from-npy [--kind KIND] [--classes NAME,...] NAME=FILE...: makes a bundle of NumPy files. Labels and other
    indices may be integers of any type, features and targets numbers of any type. Each different label is a
    class, in ascending order, whose name is its number, or that of --classes.

    windows --length L [--horizon H] [--channels COLUMN,...] [--targets COLUMN,...] [--bias] [FILE]: makes a dataset of a
    signal, whose rows are at equal distances in time: comma-separated values, with a header or without, or a dataset
    without labels and targets. Sample i has the rows i to i + L - 1 of each channel, channel after channel, and as targets
    row i + L - 1 + H of the channels, or of those of --targets. A signal of T rows has T - L - H + 1 windows. Features are
    named after channel and time, such as ecg[-14] to ecg[0]. With --differences features are the L - 1 changes from one value
    to the next, and targets the changes from the last value of the window: a signal that drifts keeps their range.

    standardize [--like BUNDLE] [FILE]: a dataset whose features have mean 0 and deviation 1 over its
    samples (and patches), or are scaled as those of BUNDLE were. A constant feature keeps its value. Targets
    are standardised too, unless they have two values only, or add up to 1 as distributions do. What was
    subtracted and divided by goes with all that is made of the dataset: evaluate applies it to data that come raw,
    and tells predictions and their error in the units of the targets as they came.

    split --fraction F [--stratify] [--seed N] -o FILE --rest REST [FILE]: writes a random share of the samples to
    FILE, and the others to REST, each in their order. With --stratify each class is divided in the same proportion.

    fold --folds K --fold I [--stratify] [--seed N] -o FILE --rest REST [FILE]: divides the samples into K equal
    parts at random; part I, counted from 1 (0 is part K too), goes to REST, and all others to FILE.

    slice --rows A:B [FILE]: keeps the samples A to B - 1, counted from 0; A: and :B are open ends.

    concat FILE...: joins the samples of bundles that agree in all else.

    rename OLD=NEW... [FILE]: gives tensors other names, all at once. FILE is the last argument where
    that holds no =.

    sum FILE...: adds tensors of the same name, type and shape, element by element; integers that
    overflow are an error. Of statistics (gram) and tallies (evaluate --tally) the sums over samples are added, in the
    order of the arguments, and all else must be equal.
    """,
  options: [
    .flag("csv", \.csv, "get: write comma-separated values."),
    .flag("npy", \.npy, "get: write a NumPy file."),
  ] + TensorSettings.tableOptions + TensorSettings.windowOptions + TensorSettings.partOptions + [
    .value(
      "kind", "KIND", \.kind,
      "from-npy: the kind of bundle (default: the kind that has a tensor of one of the names).",
      words: Kind.allCases.map(\.rawValue),
      expected: Kind.allCases.map(\.rawValue).joined(separator: ", ")
    ) { Kind(rawValue: $0).map(Optional.some) },
    .value(
      "rows", "A:B", \.rows, "slice: the half-open range of samples to keep.",
      expected: "A:B, A: or :B with A less than B"
    ) { RowRange($0).map(Optional.some) },
    .integer(
      "samples", "N", \.samples,
      "sum: refuse statistics or tallies that are not of N samples together, as if one is missing or there twice.",
      minimum: 1, record: .omitted),
  ],
  examples: [
    "tensor show images.safetensors",
    "tensor get labels --csv images.safetensors | sort -n | uniq -c",
    "tensor from-csv iris.csv --labels species --bias -o iris.safetensors",
    "tensor from-csv new.csv --like iris.safetensors -o new.safetensors",
    "tensor windows --length 15 signal.csv -o windows.safetensors",
    "tensor split --fraction 0.8 --stratify -o train --rest test iris.safetensors",
    "tensor from-npy x=x.npy targets=y.npy | tensor slice --rows 0:1000 > train.safetensors",
  ])

tool.main { run in
  switch run.settings.command {
  case .show: try show(run)
  case .get: try get(run)
  case .fromCSV: try fromCSV(run)
  case .fromNPY: try fromNPY(run)
  case .windows: try windows(run)
  case .standardize: try standardize(run)
  case .split: try split(run)
  case .fold: try fold(run)
  case .slice: try slice(run)
  case .concat: try concatenate(run)
  case .rename: try rename(run)
  case .sum: try sum(run)
  }
}
