import Command
import Convex
import Patches
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var sample: Int?
  var sampler: GateSampler?
  var threshold: Double?
  /// The side of the squares of --sampler window.
  var size: Int?
  var exact = false
  /// A network whose patterns are listed.
  var from: String?
  var reportsSpikeFree = false
  /// Whether the pattern of ones is listed too.
  var isOpen = false
  /// 2 for product gates.
  var depth: Int?
  /// The neurons of a second-layer unit.
  var width: Int?
  var maximum: Int?
  /// The rank of the truncation whose patterns are listed.
  var rank: Int?
  var seed = 0

  func validate() throws {
    let ways = [
      ("--sample", sample != nil), ("--exact", exact), ("--from", from != nil),
      ("--spike-free", reportsSpikeFree),
    ].filter(\.1).map(\.0)
    guard ways.count == 1 else {
      throw Failure.usage(
        ways.isEmpty
          ? "--sample N, --exact or --from NETWORK is missing: which patterns to list"
          : "\(ways[0]) and \(ways[1]) exclude each other")
    }
    if from == "-", common.operands.first ?? "-" == "-" {
      throw Failure.usage("standard input can be read once only")
    }
    if let way = ways.first, way != "--sample" {
      for (name, given) in [("sampler", sampler != nil), ("threshold", threshold != nil)]
      where given {
        throw Failure.usage(
          "--\(name) is for --sample: "
            + (exact
              ? "--exact lists every pattern, cut at 0"
              : reportsSpikeFree
                ? "--spike-free lists no patterns" : "--from takes the gates of a network"))
      }
    }
    try validateDepth()
    guard size == nil || sampler == .window else {
      throw Failure.usage("--size is for --sampler window: the side of the squares")
    }
    if isOpen, exact || reportsSpikeFree {
      throw Failure.usage(
        "--open is for --sample and --from: "
          + (exact ? "--exact lists every pattern" : "--spike-free lists no patterns"))
    }
    if rank != nil, !exact {
      throw Failure.usage(
        "--rank is for --exact: it lists all patterns of a truncation of the data")
    }
    if maximum != nil, !exact {
      throw Failure.usage("--max is for --exact: --sample N finds at most N patterns")
    }
  }

  private func validateDepth() throws {
    if let depth, depth > 2 {
      throw Failure.usage(
        "--depth is \(depth), expected 1, for half-spaces, or 2, for their products with units")
    }
    guard depth == nil || sample != nil || exact else {
      throw Failure.usage(
        "--depth is for --sample and --exact: "
          + (reportsSpikeFree
            ? "--spike-free lists no patterns" : "--from takes the gates of a network"))
    }
    guard rank == nil || depth != 2 else {
      throw Failure.usage("--rank and --depth 2 exclude each other")
    }
    guard width == nil || depth == 2 else {
      throw Failure.usage("--width is for --depth 2: the neurons of a second-layer unit")
    }
  }

  /// The neurons of a second-layer unit if --width is not given.
  private static let usualWidth = 5

  /// The neurons of each second-layer unit of product gates; nil for half-spaces.
  var unitWidth: Int? { depth == 2 ? width ?? Settings.usualWidth : nil }

  /// The windows of --sampler window in the patches of `bundle`; nil for other samplers. Throws `Failure.data` if they do
  /// not fit.
  func window(of bundle: Bundle, _ rows: DataRows) throws -> (size: Int, shape: PatchShape)? {
    guard sampler == .window else { return nil }
    let (size, shape) = (size ?? 3, try PatchShape(bundle))
    guard
      shape.channels * shape.height * shape.width + (rows.hasConstant ? 1 : 0) == rows.dimension
    else {
      throw Failure.data(
        "the rows of \(bundle.name) have \(rows.dimension) features, which are not \(shape.channels) channels of "
          + "\(shape.height) × \(shape.width) pixels")
    }
    guard size <= min(shape.height, shape.width) else {
      throw Failure.usage(
        "--size \(size) is more than the patches of \(shape.height) × \(shape.width) pixels")
    }
    return (size, shape)
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "arrangements",
      summary: "list the activation patterns of ReLU neurons on the data",
      description: description,
      options: [
        .integer("sample", "N", \.sample, "Draw N gates.", minimum: 1),
        .value(
          "sampler", "NAME", \.sampler,
          "What gates are: gaussian (default), of uniform direction; samples, rows of the data drawn at "
            + "random; k-means, centroids of them; window, of pixels in a random square of the patch alone.",
          expected: GateSampler.allCases.map(\.rawValue).joined(separator: " or ")
        ) { GateSampler(rawValue: $0).map { .some($0) } },
        .integer(
          "size", "F", \.size, "The side of the squares of --sampler window (default 3).",
          minimum: 1),
        .value(
          "threshold", "T", \.threshold, "Cut at x.g >= T ||g|| (default 0).",
          expected: "a number"
        ) { text in Double(decimal: text).flatMap { $0.isFinite ? .some($0) : nil } },
        .flag("exact", \.exact, "List all patterns."),
        .integer(
          "rank", "R", \.rank,
          "With --exact: list all patterns of the best approximation of the data of rank R, which are few where R is small. solve and "
            + "evaluate then tell a bound over all networks too.", minimum: 1),
        .input("from", "NETWORK", \.from, "List the patterns of the neurons of this network."),
        .flag(
          "open", \.isOpen,
          "With --sample or --from: also list, first, the pattern that is 1 everywhere, of a gate of zeros. A gated network can then "
            + "be linear where that is best."),
        .integer(
          "depth", "L", \.depth,
          "2 for networks of three layers (default 1): with --sample gates are half-spaces multiplied by second-layer units.",
          minimum: 1),
        .integer(
          "width", "M", \.width,
          "With --depth 2: the neurons below a unit of the second layer; as many gates share it (default \(usualWidth), with "
            + "--exact the number of samples).",
          minimum: 1),
        .flag(
          "spike-free", \.reportsSpikeFree,
          "List nothing, but print a report: spike_free, true if every (X u)+ is an X z with |z| <= |u|, so that a ReLU network is a "
            + "linear one under constraints; then the reason. Of rows of zeros and positive multiples one is enough; the others must be "
            + "independent, and no entry off the diagonal of the inverse of X X^T above 0."),
        .integer(
          "max", "N", \.maximum, "Refuse where --exact could find more than N (default 1000000).",
          minimum: 1, record: .omitted),
        .integer("seed", "S", \.seed, "Seed of the draw (default 0).", minimum: 0),
      ],
      threaded: true,
      examples: examples)
  }

  private static let examples = [
    "patchify --flatten --bias images | arrangements --sample 100 -o train",
    "tensor from-csv customers.csv --labels plan --bias --standardize | arrangements --sample 100 --open -o train",
    "patchify --size 6 --stride 1 --pool 2 --contrast 6e-4 --whiten 0.1 --components 24 --bias --defer "
      + "images | arrangements --sample 200 --sampler k-means --threshold 1.5 -o train",
    "tensor from-csv customers.csv --labels plan --bias --standardize | arrangements --sample 200 --depth 2 | "
      + "solve --activation gated-relu --beta 1 | recover >three-layers",
    "tensor from-csv points.csv --targets y --bias | arrangements --exact | solve --activation relu "
      + "--beta 1e-3 -o solution",
    "tensor from-csv table.csv --targets y --bias | arrangements --exact --rank 3 | solve --activation relu "
      + "--beta 1 -o solution",
  ]
}

extension Settings {
  private static let description = """
    Reads a bundle of kind dataset and writes one of kind arrangements: all of the dataset, and the \
    patterns that neurons may have on it. A pattern is a bit a row of data, 1 where x.g >= 0 for the \
    gate g; with K patches a sample the rows are all n K patches. Gates are written too.

    --sample N draws N gates and keeps the patterns that differ, each with the gate that drew it first. \
    With --threshold T a row is active where x.g >= T ||g||.

    With --open the gate of zeros comes first, which is open for every row of whatever data: a gated network then has a linear part, \
    which the gates of the others correct.

    With --sampler k-means gates are the centroids, of unit length, of the directions of 100,000 rows or \
    fewer, drawn from all samples (spherical k-means). The constant of patchify --bias has no part in \
    them: it is 0 in every gate, and T compares with the other features alone.

    With --sampler window a gate has normal entries in a square of --size pixels at a random place of the patch, in all channels, \
    and is 0 elsewhere: whether a neuron is active depends on few pixels, its weights are for all.

    With --depth 2 patterns are those of networks of three layers (Ergen and Pilanci 2021): gate g is active for x where x.g >= 0 \
    and a second-layer unit takes x, a network of M ReLU neurons (--width) whose output a_1 (x.w_1)+ + ... + a_M (x.w_M)+ is not \
    below 0. Each M gates in turn share a unit; w are drawn as gates are, of k-means from the centroids, a from a normal \
    distribution. --threshold is for gates alone. Of patches, each is taken or not. Such gates are for gated-relu.

    Of deferred data (patchify --defer) gates are written and no patterns, which the gates imply: no more than \
    a few patches are cut here. Equal gates are left out; that two gates have the same pattern is not seen.

    --from NETWORK lists the patterns that the neurons of a network have on the data, each once: its filters \
    are the gates (the gates themselves, of gated neurons). Trained on these, a network is the best of \
    all whose neurons have them, and what the other one left is the difference.

    --exact lists every pattern {1[Xu >= 0]} of u whose product with each row is not zero (a row of \
    zeros counts as 1), in the order of words of 0 and 1. Trained on these, a ReLU network is the best of \
    all. Of m distinct hyperplanes (rows that are not zero, parallel rows being one) of rank r there \
    are at most 2 (C(m-1, 0) + ... + C(m-1, r-1)) patterns, as many in general position; more than --max are \
    refused before the work starts. With --depth 2 they are those of the first layer of relu networks of three layers, whose units of \
    the second have --width neurons below them: for tiny data.

    --exact --rank R takes X^ for X, its best approximation of rank R, which has far fewer patterns than X if R is small. Gates are \
    in the space of its rows, where both are the same, so that networks are trained and judged on X itself. The list \
    is not complete for X; but a bound over it, and the singular value that comes next (metadata truncation_error), bound \
    the objective of every network: global_dual_objective of solve and evaluate.
    """
}
