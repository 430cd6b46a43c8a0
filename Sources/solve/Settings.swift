import Command
import Convex
import Schema
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var activation: Activation?
  var loss = LossName.squared
  /// `--norm` and `--group`, if they are given.
  var chosenNorm: WeightNorm?
  var chosenGrouping: WeightGrouping?
  var circular = false
  var batchNorm: BatchNorm?
  var freeBias = false
  var bounds = false
  var interpolates = false
  var maximizesMargin = false
  var beta: Double?
  var gap = 1e-4
  var maximumIterations: Int?
  var maximumSeconds: Double?
  var method = PolynomialMethod.auto
  var targets: TargetValues?
  var classWeights: ClassWeightChoice?
  var path: Int?
  var pathTable: String?
  var pathOutput: String?
  var validation: String?
  var others: [String] = []
  var validationOthers: [String] = []
  var folds: Int?
  var warmStart: String?
  var trace: String?
  var requireOptimal = false
  /// Of training over all patterns, if they are given.
  var neurons: Int?
  var restarts: Int?
  var seed: Int?
  var provesGlobally = false
  var maximumNodes: Int?

  func validate() throws {
    // Combinations that are refused for every shape of the data are refused before reading any. Statistics tell the
    // activation.
    if activation != nil { _ = try regularization(of: ProgramShape()) }
    try validateReduction()
    guard beta != nil || path != nil || constraint != nil else {
      throw Failure.usage(
        "--beta is missing: the weight of the norm (--path COUNT tries several, and needs none)")
    }
    try validatePath()
    try validateJoint()
    guard !bounds || activation == .quantized else {
      throw Failure.usage("--relaxation is for --activation quantized")
    }
    let inputs =
      ([validation, warmStart, common.operands.first ?? "-"] + others + validationOthers)
      .filter { $0 == "-" }
    if inputs.count > 1 { throw Failure.usage("standard input can be read once only") }
  }

  private func validateJoint() throws {
    guard validationOthers.isEmpty || (validation != nil && validationOthers.count == others.count)
    else {
      throw Failure.usage(
        "--validation-with goes with --validation, once for each --with: there are \(validationOthers.count), and "
          + "\(others.count) of --with")
    }
    guard !others.isEmpty else { return }
    guard activation == .gatedReLU, chosenNorm ?? .group == .group, batchNorm == nil else {
      throw Failure.usage(
        "--with is for --activation gated-relu with --norm group, without --batch-norm: other programs have no parts"
      )
    }
    for (option, isGiven) in [
      ("--interpolate", interpolates), ("--margin", maximizesMargin), ("--folds", folds != nil),
      ("--warm-start", warmStart != nil),
    ] where isGiven {
      throw Failure.usage("--with and \(option) exclude each other")
    }
    guard validation == nil || !validationOthers.isEmpty else {
      throw Failure.usage(
        "--validation needs --validation-with for each --with: the held-out samples with the same patches"
      )
    }
  }

  private func validatePath() throws {
    if path == nil {
      if validation != nil {
        throw Failure.usage("--validation needs --path COUNT: there is nothing to choose")
      }
      if folds != nil {
        throw Failure.usage("--folds needs --path COUNT: there is nothing to choose")
      }
      for (option, value) in [("--path-table", pathTable), ("--path-output", pathOutput)]
      where value != nil {
        throw Failure.usage("\(option) needs --path COUNT: there is one beta only")
      }
    }
    if folds != nil, validation != nil {
      throw Failure.usage("--folds and --validation exclude each other: both choose beta")
    }
    if pathOutput == "-" {
      throw Failure.usage("--path-output names a directory, which standard output is not")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "solve",
      summary: "train a two-layer network and prove how near it is to the optimum",
      description: description,
      options: programOptions + solverOptions + networkOptions + pathOptions + searchOptions,
      threaded: true,
      examples: [
        "solve --activation 0.09,0.5,0.47 --beta 1e-2 -o solution train.moments",
        "arrangements --sample 100 train | solve --activation gated-relu --beta 2 -o solution",
        "solve --activation gated-relu --path 20 --folds 5 -o solution train",
        "solve --activation 1,0,0 --beta 0.01 --path 8 --validation val.moments train.moments >solution",
        "solve --activation relu --beta 0.1 --path 20 --path-table path.tsv --path-output path train >last",
      ])
  }

  private static let description = """
    Reads a bundle of kind moments or dataset (for relu and gated-relu: arrangements), solves the \
    convex program that is equivalent to training a two-layer network (one with the listed patterns or \
    gates, if the data have such), and writes a bundle of kind solution.

    The objective is the loss, summed over samples and classes, plus beta times the norm; for squared \
    loss 1/2 ||yhat - y||^2 + beta * (sum of the weights of unit-norm neurons). Nothing is divided by \
    the number of samples. With two classes the network has one output, -1 for the first class and 1 \
    for the second; with more, an output a class, 0 or 1.

    For relu and gated-relu the network's neurons have the patterns that the arrangements list: \
    yhat = sum_i D_i X (v_i - w_i), with v_i and w_i in the cone of their pattern, or \
    sum_i D_i X w_i without cones.

    For relu on a dataset, without a list, it trains over all patterns: neurons descend, are priced, and those that \
    the dual constraint wants enter; the convex program over the patterns that were met makes the end exact. \
    The solution holds these patterns. In few dimensions the bound is proved for all neurons, and the certificate is \
    global; otherwise metadata violation has the largest price found over beta in so many searches, an estimate: \
    1 would mean that no better network exists.

    A linear network has filters over the patches and an output weight for each pooling region: its norm is \
    the nuclear norm of the weights, d x (regions * outputs). A circular one has for each output (or, with \
    --group pattern, for all) a filter of d weights that slides around the sample: its norm is the l1 norm of \
    the weights' Fourier transform over the square root of d.

    It stops when the certified relative gap (primal - dual) / primal is at most --gap. The dual value \
    is that of a feasible point, which is written too: `evaluate --certify` recomputes all of it from \
    the data. Reaching a limit writes the best point so far, with its status, and warns. So does SIGINT or \
    SIGTERM, with the status interrupted; a second one ends the process at once.

    Metadata certificate says which networks the bound is about: global, all of this architecture \
    (polynomial, linear, circular; relu if the list of patterns is found to be complete, or the bound is proved for all \
    neurons); patterns, those \
    whose neurons have patterns of the list (relu); gates, those with these gates (gated-relu). \
    Metadata gap is the gap that was asked for.
    """

  /// The convex program: network, loss and norm.
  private static var programOptions: [Option<Settings>] {
    [
      .value(
        "activation", "NAME", \.activation,
        "relu, gated-relu, linear, A,B,C for the polynomial A t^2 + B t + C, such as 0.09,0.5,0.47, or quantized, neurons "
          + "(x.u)(x.v) with u and v of -1 and 1, whose norm is d times the sum of output weights: exact up to 24 features.",
        words: ["relu", "gated-relu", "linear", "quantized"],
        expected: Activation.expectedOption + ", or quantized"
      ) { text in
        text == "quantized" ? .some(.quantized) : Activation.parse(option: text).map { .some($0) }
      },
      .choice(
        "loss", "LOSS", \.loss,
        "The loss: squared (default), 1/2 (yhat - y)^2; logistic or hinge, for targets -1 and 1; huber, "
          + "squared up to a difference of 1; quantile-Q with Q between 0 and 1, max(Q e, (Q - 1) e) for e = y - yhat; "
          + "cross-entropy."),
      .value(
        "norm", "NORM", \.chosenNorm,
        "What beta multiplies: group, the lengths of the weights of each group (the default, and for polynomials "
          + "all there is); nuclear, for several outputs or pooling regions weight decay on both layers: of gated-relu the nuclear norm of each "
          + "pattern's weights, d x (regions * outputs), so that neurons share filters (with --group class a matrix "
          + "d x regions for each output), of relu its like in the cones, over few dimensions. Linear networks have nuclear. Where weights are one row both are the same.",
        words: WeightNorm.allCases.map(\.rawValue),
        expected: WeightNorm.allCases.map(\.rawValue).joined(separator: ", ")
      ) { WeightNorm.parse($0).map { .some($0) } },
      .value(
        "group", "GROUP", \.chosenGrouping,
        "Which weights make a group: class, those of a pattern and an output; pattern, all of a pattern. "
          + "The default is class, for --norm nuclear pattern. Polynomials have class, linear networks that are not "
          + "circular pattern. With one output both are the same.",
        words: WeightGrouping.allCases.map(\.rawValue),
        expected: WeightGrouping.allCases.map(\.rawValue).joined(separator: ", ")
      ) { WeightGrouping.parse($0).map { .some($0) } },
      .flag(
        "circular", \.circular,
        "With linear: one filter as long as a sample, slid around it, instead of filters over patches."
      ),
      .value(
        "batch-norm", "PLACE", \.batchNorm,
        "For relu and gated-relu: normalise what each neuron computes over the training data, before the ReLU or after it. Its "
          + "scale and shift are trained and penalised with the output weights, the hidden weights are not; the network "
          + "has norm.weight, norm.bias, norm.mean and norm.deviation.",
        expected: BatchNorm.expected
      ) { BatchNorm.parse($0).map { .some($0) } },
      .flag(
        "free-bias", \.freeBias,
        "For relu on a dataset of one feature without a constant: leave biases and an intercept unpenalised. The network is a "
          + "linear spline with knots at samples; squared loss."),
      .flag(
        "interpolate", \.interpolates,
        "For relu and gated-relu on arrangements, instead of --beta: the network of the smallest norm whose outputs are the "
          + "targets. Rows that no network fits are refused."),
      .flag(
        "margin", \.maximizesMargin,
        "For relu and gated-relu on arrangements, instead of --beta: the network of the smallest norm whose margins y yhat are at "
          + "least 1, for targets -1 and 1."),
      .positive("beta", "B", \.beta, "The weight of the norm, above 0."),
    ]
  }

  /// The gap to reach, the method, and the outputs to aim at.
  private static var solverOptions: [Option<Settings>] {
    [
      .flag(
        "relaxation", \.bounds,
        "For quantized: also solve the semidefinite programs whose values bound the optimum from below and above; with more "
          + "than 24 features always, where signs are drawn from them and the one below is the bound."
      ),
      .positive("gap", "G", \.gap, "The relative gap to reach (default 1e-4)."),
      .choice(
        "solver", "NAME", \.method,
        "For polynomials: auto (default) chooses by size and beta; interior-point is sure and costs a "
          + "factorisation an iteration and class; admm is fast where there are many classes and beta is "
          + "moderate."
      ),
      .value(
        "targets", "A,B", \.targets,
        "With two classes: the outputs to aim at for the first and the second (default -1,1).",
        expected: "two different numbers"
      ) { TargetValues.parse($0).map { .some($0) } },
      .value(
        "class-weights", "W", \.classWeights,
        "Multiply the loss of each sample by the weight of its class: balanced, n / (C n_c) for n_c of n samples and C "
          + "classes, so that all classes weigh the same; or A,B,... above 0, in the order of the classes. Not with --batch-norm, --interpolate, --margin, "
          + "--free-bias, quantized, or relu with --norm nuclear.",
        words: ["balanced"], expected: "balanced, or numbers above 0 with commas between them"
      ) { ClassWeightChoice.parse($0).map { .some($0) } },
    ]
  }

  /// Training over all patterns.
  private static var networkOptions: [Option<Settings>] {
    [
      .integer(
        "neurons", "M", \.neurons,
        "For relu on a dataset: begin with at most M neurons (default 300); pricing adds others.",
        minimum: 1),
      .integer(
        "restarts", "N", \.restarts,
        "For relu on a dataset: descend N times from random neurons (default 1) and go on from the best.",
        minimum: 1),
      .integer(
        "seed", "S", \.seed,
        "The seed of random neurons and directions, and of --folds (default 0).",
        minimum: 0),
      .flag(
        "global", \.provesGlobally,
        "For relu on a dataset: prove the bound over all neurons whatever it costs, which grows three to ten times with "
          + "each dimension of the data's row space. Without it a proof is tried in up to 6 dimensions, within "
          + "--max-nodes."),
      .integer(
        "max-nodes", "N", \.maximumNodes,
        "The most cones that the proofs for one beta may look at in all (default 20000000, with --global without "
          + "limit); cones of many samples count for more.", minimum: 1),
    ]
  }

  /// The path of β.
  private static var pathOptions: [Option<Settings>] {
    [
      .integer(
        "path", "COUNT", \.path,
        "Solve for COUNT values of beta, evenly spaced by ratio from the smallest that makes the network "
          + "zero (left out) down to --beta (without it to a thousandth of that), each from the solution before, and write the "
          + "last solution; with --validation or --folds the one that is chosen.", minimum: 1),
      .integer(
        "folds", "K", \.folds,
        "Choose beta by cross-validation: the path is solved K times without one of K equal parts of the samples, of equal "
          + "shares of the classes, and judged on that part; then on all samples. --seed decides of the parts.",
        minimum: 2),
      .inputs(
        "with", "BUNDLE", \.others,
        "Train gated-relu over the gates of these arrangements too, of the same samples cut into other patches: one program, "
          + "one certificate, and a network that has a part for each. It is never worse than one without them. May be repeated."
      ),
      .inputs(
        "validation-with", "BUNDLE", \.validationOthers,
        "The data of --validation with the patches of --with; once for each of these."),
      .input(
        "validation", "BUNDLE", \.validation,
        "The data to choose beta by: the largest accuracy is best, of equals, and where there are no labels, the "
          + "smallest loss, of equals the largest beta. The choice is told on standard error, and one at an end of the path warns."
      ),
      .output(
        "path-table", "FILE", \.pathTable,
        "With --path: write a table (TSV) of the values of beta, in the order of the path: beta, primal, dual, "
          + "relative_gap, neurons (of the network that recover makes), norm (what beta multiplies), validation "
          + "(accuracy, or loss where there are no labels; empty without --validation). Of a path that a limit or "
          + "a signal ends it has what was reached."),
      .text(
        "path-output", "DIR", \.pathOutput,
        "With --path: also write the solution of each beta, certified, into DIR, which is made if it is not there: "
          + "DIR/1 has the largest beta, DIR/2 the next, and so on.", record: .placeholder),
    ]
  }

  /// The start of the search, its limits, and its trace.
  private static var searchOptions: [Option<Settings>] {
    [
      .input(
        "warm-start", "BUNDLE", \.warmStart,
        "Start from an earlier solution of the same shape. If a limit ends the search before it is better than "
          + "that, the earlier point is written. -o may name its file, which is replaced at the end.",
        isReplaceable: true),
      .integer(
        "max-iterations", "N", \.maximumIterations, "Stop after N iterations.", minimum: 0),
      .positive(
        "max-seconds", "S", \.maximumSeconds,
        "Stop after S seconds, those of the set-up included."),
      .flag(
        "require-optimal", \.requireOptimal,
        "Exit 1 and write nothing where a limit came before the gap, or if one of the solutions of --path-table and "
          + "--path-output has not reached it.", record: .omitted),
      .output(
        "trace", "FILE", \.trace,
        "Write a table (TSV) of every check: iteration, seconds, primal, dual, relative gap, neurons, "
          + "beta; then, with --path, the path's as comments."),
    ]
  }
}
