import Command
import Convex
import Convolution
import Patches
import Schema
import Tensors
import Training

/// One run of the tool: its input and its progress.
final class Run {
  let invocation: Invocation<Settings>
  let settings: Settings
  /// The training data's bundle.
  let source: Bundle
  let trace: Trace
  private let progress: Progress

  /// Opens the trace, then reads the data.
  init(_ invocation: Invocation<Settings>, input: Input) throws {
    self.invocation = invocation
    settings = invocation.settings.resolved
    trace = try Trace(path: settings.trace)
    source = try Bundle(reading: input)
    progress = invocation.progress()
  }

  /// Trains a network and returns its bundle.
  func network() throws -> Bundle {
    let patches = try PatchSource(source)
    let targets = try targets(patches.count)
    let validation = try held { try Validation($0, like: source, patches, targets) }
    let gates = try settings.network.activation == .gatedReLU ? gates(patches) : nil
    let model = try NetworkModel(
      patches, targets, settings.network, gates: gates, validation: validation?.data)
    try train(model, targets, validation?.targets)
    return model.bundle(
      targets, from: source, metadata: invocation.metadata(after: source.metadata))
  }

  /// Trains the weights of the convex program over the gates of arrangements and returns their bundle, of kind solution.
  func gatedProgram() throws -> Bundle {
    guard source.kind == .arrangements else {
      throw Failure.data(
        "\(source.name) is a bundle of kind \(quoted(source.metadata["kind"] ?? "")), expected arrangements: --program "
          + "gated is over their gates")
    }
    let data = try ConvolutionalData(source)
    let targets = try targets(data.samples)
    let validation = try held { try Validation($0, like: source, data.patches, targets) }
    let network = settings.network
    let model = try GatedProgramModel(
      data, targets, grouping: settings.grouping ?? .perClass, beta: network.beta,
      optimizer: network.optimizer, batch: network.batch, validation: validation?.data)
    let best = try train(model, targets, validation?.targets)
    return model.bundle(
      targets, from: source, iterations: best.iteration,
      isTimeUp: best.seconds >= settings.schedule.maximumSeconds,
      metadata: invocation.metadata(after: source.metadata))
  }

  /// Trains the matrices of the convex program and returns their bundle, of kind solution.
  func matrices(_ activation: PolynomialActivation, _ form: MatrixForm) throws -> Bundle {
    let data = try MomentData(source)
    try data.expectFinite()
    let targets = try targets(data.samples)
    let validation = try held { try Validation($0, like: source, data, targets) }
    let network = settings.network
    let model = try MatrixModel(
      data, targets, activation: activation, form: form, beta: network.beta,
      optimizer: network.optimizer, batch: network.batch, validation: validation?.data)
    let best = try train(model, targets, validation?.targets)
    return model.bundle(
      targets, from: source, objective: best.objective, iterations: best.iteration,
      isTimeUp: best.seconds >= settings.schedule.maximumSeconds,
      metadata: invocation.metadata(after: source.metadata))
  }

  private func targets(_ samples: Int) throws -> Targets {
    try Targets(
      source, samples: samples, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
  }

  /// The validation data, which `body` takes from their bundle.
  private func held<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try settings.validation.map { path in
      try invocation.read("--validation", path) {
        try body(DataModel(source).conform(Bundle(reading: $0)))
      }
    }
  }

  private func gates(_ patches: PatchSource) throws -> NeuronGates {
    let (m, d) = (settings.network.neurons, patches.dimension)
    try expectMemory(16 * Double(m) * Double(d), for: "\(m) gates of \(d) features")
    return source.kind == .arrangements
      ? try NeuronGates(source, neurons: m, features: d)
      : NeuronGates(neurons: m, features: d, seed: settings.schedule.seed)
  }

  /// Runs all trials and leaves the best in `model`.
  @discardableResult
  private func train(
    _ model: any StochasticModel, _ targets: Targets, _ validation: Targets?
  ) throws -> TrainingRow {
    let schedule = settings.schedule
    let training = StochasticTraining(
      model, targets, validation: validation, beta: settings.network.beta, schedule)
    var objective = ""
    let observe = { [trace] (row: TrainingRow) in
      objective = ", objective \(row.objective)"
      trace.write(row)
    }
    let best = try training.run(
      tell: { [progress] trial, epoch in
        progress.update(
          "trial \(trial) of \(schedule.trials), epoch \(epoch) of \(schedule.epochs)\(objective)")
      }, observe: settings.trace == nil ? nil : observe)
    progress.finish()
    trace.note(best)
    try trace.finish()
    return best
  }
}
