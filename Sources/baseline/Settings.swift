import Command
import Convex
import Schema
import Tensors
import Training

/// A convex program that is trained in place of a network.
enum ConvexForm: Equatable {
  /// That of a polynomial activation, in the numbers of this form.
  case matrices(MatrixForm)
  /// That of gated ReLU over the gates of arrangements.
  case gated

  static let words = MatrixForm.allCases.map(\.rawValue) + ["gated"]

  init?(_ word: String) {
    if word == "gated" {
      self = .gated
    } else if let form = MatrixForm(rawValue: word) {
      self = .matrices(form)
    } else {
      return nil
    }
  }
}

struct Settings: ToolSettings {
  var common = CommonSettings()
  var network = NetworkModel.Settings()
  var schedule = TrainingSchedule()
  var program: ConvexForm?
  /// The groups of --program gated.
  var grouping: WeightGrouping?
  var loss = LossName.squared
  var targets: TargetValues?
  var classWeights: ClassWeightChoice?
  var momentum: Double?
  var learningRate: Double?
  var validation: String?
  var trace: String?

  /// The settings with the options that depend on others filled in.
  var resolved: Settings {
    var all = self
    all.network.optimizer.momentum = momentum ?? all.network.optimizer.momentum
    all.schedule.learningRate = learningRate ?? network.optimizer.name.usualRate
    all.schedule.batch = network.batch
    return all
  }

  func validate() throws {
    if case .polynomial = network.activation, let penalty = network.penalty, penalty != .l1 {
      throw Failure.usage(
        "--penalty \(penalty.rawValue) is not for polynomials, whose filters have length 1: they have l1"
      )
    }
    if network.activation == .linear, network.penalty == .group {
      throw Failure.usage("--penalty group is for relu and gated-relu: linear has decay and l1")
    }
    try validateProgram()
    if momentum != nil, network.optimizer.name != .sgd {
      throw Failure.usage("--momentum is for --optimizer sgd")
    }
    if schedule.checkEvery != nil, trace == nil {
      throw Failure.usage("--trace-every needs --trace FILE")
    }
    let inputs = [validation, common.operands.first ?? "-"].filter { $0 == "-" }
    if inputs.count > 1 { throw Failure.usage("standard input can be read once only") }
  }

  private func validateProgram() throws {
    guard grouping == nil || program == .gated else {
      throw Failure.usage("--group is for --program gated: networks have --penalty")
    }
    guard let program else { return }
    switch (program, network.activation) {
    case (.gated, .gatedReLU), (.matrices, .polynomial): break
    case (.gated, _):
      throw Failure.usage("--program gated is for --activation gated-relu")
    case (.matrices(let form), _):
      throw Failure.usage(
        "--program \(form.rawValue) is for polynomial activations: --activation A,B,C")
    }
    for (option, isGiven) in [
      ("--penalty", network.penalty != nil), ("--init-scale", network.initialScale != nil),
    ] where isGiven {
      throw Failure.usage("\(option) is for networks: the convex program has its own")
    }
    guard program != .gated || network.beta > 0 else {
      throw Failure.usage("--program gated needs --beta above 0: nothing bounds it without")
    }
  }

  static var tool: Tool<Settings> {
    Tool(
      name: "baseline",
      summary: "train the same networks by stochastic gradients",
      description: description,
      options: objectiveOptions + optimizerOptions + trialOptions,
      threaded: true,
      examples: [
        "baseline --neurons 50 --beta 1e-4 --trials 10 --epochs 1000 --trace trace train >network",
        "baseline --activation 0.09,0.5,0.47 --beta 0.01 --optimizer amsgrad --validation val train >network",
        "arrangements --sample 100 train | baseline --activation gated-relu --program gated --beta 4 --optimizer adam | recover >network",
      ])
  }

  private static let description = """
    Reads a bundle of kind dataset (or arrangements), trains a two-layer network on it by stochastic \
    gradients as usual, and writes a bundle of kind network for `evaluate`.

    The objective is that of `solve`: the loss, summed over samples and outputs, plus beta times the \
    penalty, with nothing divided by the number of samples. So the optimum that `solve` certifies for the \
    same data, activation, loss and beta, with the norm that belongs to the penalty and over the same \
    gates, bounds from below what a network here can reach. Steps go against the \
    gradient of the objective divided by the number of samples: the mean loss of a batch, plus \
    beta/n times the penalty.

    Filters are shared by all patches; their activations are averaged over the patches of each pooling \
    region, and each neuron has an output weight for each region and output. Training is in single \
    precision. Weights begin uniform in +-1/sqrt(inputs), as layers of PyTorch do; those of a convex program of gates \
    begin at 0.

    Of several trials the best goes out: by accuracy on the validation data, or loss where there are no \
    labels; without validation data by the training objective.
    """

  /// The network and the objective.
  private static var objectiveOptions: [Option<Settings>] {
    [
      .value(
        "activation", "NAME", \.network.activation,
        "relu (default), gated-relu, linear, or A,B,C for the polynomial A t^2 + B t + C, such as "
          + "0.09,0.5,0.47. Gates of gated-relu are those of arrangements in turn, or else drawn from a "
          + "normal distribution.",
        words: ["relu", "gated-relu", "linear"], expected: Activation.expectedOption
      ) { Activation.parse(option: $0) },
      .integer("neurons", "M", \.network.neurons, "Hidden neurons (default 100).", minimum: 1),
      .choice(
        "loss", "LOSS", \.loss,
        "The loss: squared (default), 1/2 (yhat - y)^2; logistic or hinge, for targets -1 and 1; huber, "
          + "squared up to a difference of 1; quantile-Q with Q between 0 and 1, max(Q e, (Q - 1) e) for e = y - yhat; "
          + "cross-entropy."),
      .value(
        "penalty", "NAME", \.network.penalty,
        "What beta multiplies, u_j being filters and a_j output weights: decay, half the squares of all "
          + "weights (default for linear); group, 1/2 sum_j (|u_j|^2 + |a_j|_1^2), the same for one output "
          + "(default for relu and gated-relu); l1, sum_j |a_j|_1 with |u_j| = 1 (the one for polynomials).",
        words: WeightPenalty.allCases.map(\.rawValue),
        expected: WeightPenalty.allCases.map(\.rawValue).joined(separator: ", ")
      ) { WeightPenalty(rawValue: $0).map { .some($0) } },
      .value(
        "program", "FORM", \.program,
        "Train a convex program in place of a network. What goes out is a bundle of kind solution. For gated-relu: gated, the weights of the "
          + "gates of arrangements under beta times the sum of their groups' lengths, proximal steps for sgd. "
          + "For a polynomial, its matrices Z: free; symmetric, (Z + Z^T)/2; psd, Z Z^T; the trace of Z is not "
          + "constrained, so that recover refuses most of them, and only psd bounds the objective from below.",
        words: ConvexForm.words, expected: ConvexForm.words.joined(separator: ", ")
      ) { ConvexForm($0).map { .some($0) } },
      .value(
        "group", "GROUP", \.grouping,
        "The groups of --program gated: class, the weights of a gate and a class (default); pattern, all those of a gate.",
        words: WeightGrouping.allCases.map(\.rawValue), expected: WeightGrouping.expected
      ) { WeightGrouping(rawValue: $0).map { .some($0) } },
      .nonNegative("beta", "B", \.network.beta, "The weight of the penalty (default 0)."),
      .value(
        "targets", "A,B", \.targets,
        "With two classes: the outputs to aim at for the first and the second (default -1,1).",
        expected: "two different numbers"
      ) { TargetValues.parse($0).map { .some($0) } },
      .value(
        "class-weights", "W", \.classWeights,
        "Multiply the loss of each sample by the weight of its class: balanced, n / (C n_c) for n_c of n samples and C "
          + "classes, so that all classes weigh the same; or A,B,... above 0, in the order of the classes.",
        words: ["balanced"], expected: "balanced, or numbers above 0 with commas between them"
      ) { ClassWeightChoice.parse($0).map { .some($0) } },
    ]
  }

  /// The optimizer and its steps.
  private static var optimizerOptions: [Option<Settings>] {
    [
      .choice(
        "optimizer", "NAME", \.network.optimizer.name,
        "sgd (default), with momentum; adam; amsgrad."),
      .value(
        "momentum", "MU", \.momentum, "Of sgd (default 0.9).",
        expected: "a number of at least 0 and below 1"
      ) { text in Double(decimal: text).flatMap { $0 >= 0 && $0 < 1 ? .some($0) : nil } },
      .positive(
        "learning-rate", "R", \.learningRate,
        "The learning rate (default 0.01 for sgd, 0.001 for adam and amsgrad)."),
      .value(
        "learning-rate-decay", "D", \.schedule.learningRateDecay,
        "Multiply the learning rate by D after each epoch (default 1).",
        expected: "a number above 0 and at most 1"
      ) { Double(decimal: $0).flatMap { $0 > 0 && $0 <= 1 ? $0 : nil } },
      .positive(
        "init-scale", "S", \.network.initialScale,
        "Multiply the weights to begin with by S (default 1): of both layers, or of the output layer where filters have length 1."
      ),
      .integer("batch", "N", \.network.batch, "Samples a step (default 128).", minimum: 1),
    ]
  }

  /// Length and number of the trials, and their records.
  private static var trialOptions: [Option<Settings>] {
    [
      .integer(
        "epochs", "N", \.schedule.epochs, "Passes over the data (default 10).", minimum: 1),
      .positive(
        "max-seconds", "S", \.schedule.maximumSeconds,
        "Stop each trial after S seconds of training."
      ),
      .integer("trials", "T", \.schedule.trials, "Begin anew T times (default 1).", minimum: 1),
      .integer(
        "seed", "N", \.schedule.seed,
        "Of the weights to begin with and the order of samples (default 0).",
        minimum: 0),
      .input(
        "validation", "BUNDLE", \.validation, "Data to choose the best trial by."),
      .output(
        "trace", "FILE", \.trace,
        "Write a table (TSV) of every check: trial, iteration, epoch, seconds without those of checks, "
          + "objective, loss, accuracy, validation loss, validation accuracy."),
      .integer(
        "trace-every", "N", \.schedule.checkEvery,
        "Check after every N iterations (default: after every epoch).", minimum: 1,
        record: .omitted),
    ]
  }
}
