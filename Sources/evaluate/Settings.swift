import Command
import Tensors

struct Settings: ToolSettings {
  var common = CommonSettings()
  var data: String?
  var others: [String] = []
  var certify: String?
  var beta: Double?
  var provesDistance = false
  var gap: Double?
  var json = false
  var predictions: String?
  var filters: String?
  var filtersCount: Int?
  var confusion: String?
  var tally: String?

  /// The bundle to judge on, which is an option or the second operand. `validate` has checked that there is one.
  var dataPath: String { data ?? common.operands.last ?? "-" }

  /// Those of the given options that only networks have.
  var optionsOfNetworks: [String] {
    [
      ("--certify", certify != nil), ("--beta", beta != nil), ("--global", provesDistance),
      ("--predictions", predictions != nil), ("--filters", filters != nil),
      ("--confusion", confusion != nil), ("--tally", tally != nil), ("--with", !others.isEmpty),
    ].filter(\.1).map(\.0)
  }

  func validate() throws {
    guard data == nil || common.operands.count < 2 else {
      throw Failure.usage("--data and the operand \(quoted(common.operands[1])) are both data")
    }
    guard data != nil || common.operands.count == 2 else {
      throw Failure.usage("the data are missing: evaluate NETWORK DATA, or --data DATA")
    }
    guard !provesDistance || beta.map({ $0 > 0 }) ?? (certify != nil) else {
      throw Failure.usage("--global needs --beta B above 0: the objective whose optimum is meant")
    }
    guard filtersCount == nil || filters != nil else {
      throw Failure.usage("--filters-count is for --filters FILE: how many it shows")
    }
    guard gap == nil || provesDistance else {
      throw Failure.usage("--gap is for --global: how exactly the largest price is found")
    }
    let inputs = [dataPath, certify, common.operands.first ?? "-"] + others
    if inputs.filter({ $0 == "-" }).count > 1 {
      throw Failure.usage("only one of NETWORK, --data, --with and --certify can be standard input")
    }
    for (name, path) in [
      ("predictions", predictions), ("filters", filters), ("confusion", confusion),
      ("tally", tally),
    ] where path == "-" {
      throw Failure.usage("--\(name) needs a file: standard output is for the report")
    }
  }
}

extension Settings {
  static var tool: Tool<Settings> {
    Tool<Settings>(
      name: "evaluate",
      summary: "judge a network on data, and check its certificate",
      operands: "[NETWORK] [DATA]",
      operandCount: 0...2,
      description: description,
      options: inputOptions + distanceOptions + outputOptions,
      threaded: true,
      examples: [
        "evaluate network.safetensors test.safetensors",
        "evaluate network.safetensors new.safetensors --predictions table.tsv",
        "recover s.safetensors | evaluate --data train.safetensors --certify s.safetensors --beta 0.01",
      ])
  }

  private static let description = """
    Reads a network (from NETWORK or standard input) and applies it to the samples of DATA, or of --data, a
    bundle of kind dataset, moments or arrangements; patches of deferred data are cut as they are needed.
    Features that have names are taken by name, in the order of the training data; data that are not standardised are,
    as the training data were; labels count by the names of their classes. Samples may have neither labels nor
    targets: then --predictions tells what the network says of them. The report is lines of a name, a tab and a number: samples, classes, neurons, loss (the one that the
    network was trained on, summed over samples and outputs: half the squared errors, logistic, hinge,
    huber or cross-entropy), and accuracy, a fraction; for targets instead of labels rmse takes the place
    of classes and accuracy. Two classes with one output are told apart by the nearer target, more by the
    largest output; ties go to the lower class. Last come recall_CLASS and precision_CLASS, the share of the class's samples
    that were taken for it, and of those taken for it the share that are of it; where there are none the row is missing.

    With --certify the data must be the training data, for relu and gated-relu the arrangements that
    the solution was found over, or the dataset of a solution that brings its patterns along. Everything is recomputed from them by code that shares no numerics with the
    solver: objective (the network's own, at the solution's beta), certificate (below), primal_objective,
    dual_objective (that of the dual point scaled until it is feasible, so that it is a lower bound
    whatever the solver did), relative_gap, dual_infeasibility (relative to beta, or how far the dual point is
    outside the domain of the loss's conjugate), primal_infeasibility (relative to the largest z4, or to
    the lengths of a sample and its weights), and recovery_error, the largest difference between the
    network's outputs and the solution's predictions.

    Data may be bundles of samples one after another, which are judged like one, but with --certify only a solution of
    statistics; and statistics (see gram) in place of samples: then accuracy is missing, recovery_error is a bound of the largest difference, and
    gap_for_samples is the gap if all rounding of the sums had gone against it. What statistics prove is about the
    sums as they stand, and so says the word, as in global by statistics; a tally over the samples (--tally) proves it for these. A tally has the network's and
    the solution's digest, and is refused for others.

    The certificate says which networks the lower bound is about: global, no network of this architecture is
    better than the gap says (polynomial, linear and circular networks; relu if the list of patterns is
    found to be complete, or if branch and bound proves the bound for all neurons); patterns, no network whose neurons have patterns of the list (relu); gates, no network with
    these gates (gated-relu). For the patterns that training found, rows violation and searches tell the largest price of
    a neuron, over beta, that so many searches of evaluate's own found: an estimate of how far other patterns are
    from being worth it.

    The claim holds, and the exit status is 0, if both objectives are the claimed ones to 1e-9, the
    network's objective lies between them, the gap is at most the claimed one (and 1e-9), the infeasibilities
    are at most 1e-9, the recovery error is at most 1e-8 of the largest prediction, each gate attains its
    pattern, the network's norm, groups and gates are the solution's, and the solution's certificate says no
    more than was found. A status of optimal claims too that the gap is at most the one that was asked for.
    If a limit ended the search the status claims nothing, and a warning tells of it. Otherwise
    the report and all files are written all the same, a message names what fails, and the exit status is 1.

    Of samples that generate made, in place of the network, DATA are those that they should be like: rows are constraint, the
    largest singular value of X'X - G'G, which the claimed beta bounds; primal_objective, that of the generator;
    dual_objective, which none can go below; and relative_gap. The claim holds if all are the claimed ones to 1e-9.
    """

  /// The data, and the solution to check.
  private static var inputOptions: [Option<Settings>] {
    [
      .input(
        "data", "BUNDLE", \.data,
        "The samples: a dataset, moments or arrangements bundle, or several one after another; statistics of gram, or a tally."
      ),
      .inputs(
        "with", "BUNDLE", \.others,
        "The same samples with other patches, for the further parts of a network of solve --with; in the same order. May be repeated."
      ),
      .input(
        "certify", "SOLUTION", \.certify,
        "Recompute the certificate of the solution that the network was recovered from, and check what it claims."
      ),
      .nonNegative(
        "beta", "B", \.beta,
        "Report the training objective too (with --certify it is reported at the solution's beta, which B must be): loss + B · Σ |output weight| for polynomials, and for relu and "
          + "gated-relu loss + B/2 · Σ (|u|² + |a|²) over the neurons' weights in and out, where |a| is a "
          + "sum of absolute values, or for norm nuclear a length. Neurons that share a group have B/2 · (Σ |u|² + a²), a "
          + "being the largest of their output weights; for norm nuclear they share u, which counts once."
      ),
    ]
  }

  /// The distance of any network from the optimum.
  private static var distanceOptions: [Option<Settings>] {
    [
      .flag(
        "global", \.provesDistance,
        "For a ReLU network on its training data, however it was trained: prove by branch and bound how far it is from the "
          + "global optimum of its objective at --beta, at most. Rows global_bound, no network's objective is lower; "
          + "distance_bound, its own less that; distance_relative, the share. The time grows three to ten times with "
          + "each dimension of the samples."),
      .positive(
        "gap", "G", \.gap,
        "With --global: find the largest price of a neuron up to this share (default 1e-3; below 1e-8 rounding decides)."
      ),
    ]
  }

  /// The report, tables and pictures.
  private static var outputOptions: [Option<Settings>] {
    [
      .flag("json", \.json, "Print the report as one JSON object."),
      .output(
        "predictions", "FILE", \.predictions,
        "Write a table: number, name, label, decision (or target), outputs, and the probabilities of the classes for the logistic and the "
          + "cross-entropy loss, of each sample; docs/format.md tells the columns."),
      .output(
        "filters", "FILE.png", \.filters,
        "Draw the filters, those with the largest weights first, zero being gray, each above the number of its row in "
          + "hidden.weight, counted from 0. Of filters that are nearly the same one is drawn."),
      .integer(
        "filters-count", "N", \.filtersCount, "With --filters: draw at most N (default 64).",
        minimum: 1),
      .output(
        "tally", "FILE", \.tally,
        "Write what was counted and summed over the samples, a bundle of kind tally: tensor sum adds those of other "
          + "samples, and evaluate --data TALLY reports on all. With --certify, of a solution of statistics, it holds what "
          + "the certificate over these samples needs."),
      .output(
        "confusion", "FILE.png", \.confusion,
        "Draw how often each class was taken for each other."),
    ]
  }
}
