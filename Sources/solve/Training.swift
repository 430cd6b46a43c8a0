import Command
import Convex
import Tensors

/// One run of the tool, apart from what is trained: its limits, its path, and where it tells of both.
final class Training {
  let invocation: Invocation<Settings>
  let settings: Settings
  /// The training data's bundle.
  let source: Bundle
  let beta: Double
  let rule: StoppingRule
  let budget: Budget
  let trace: Trace
  let progress: Progress

  /// Opens the trace, then reads the data.
  init(_ invocation: Invocation<Settings>, input: Input, startedAt start: Double) throws {
    self.invocation = invocation
    settings = invocation.settings
    guard let beta = settings.beta else { throw Failure.usage("--beta is missing") }
    self.beta = beta
    trace = try Trace(path: settings.trace)
    source = try Bundle(reading: input)
    var rule = StoppingRule()
    rule.gap = settings.gap
    rule.maximumIterations = settings.maximumIterations ?? .max
    rule.maximumSeconds = settings.maximumSeconds ?? .infinity
    self.rule = rule
    budget = Budget(rule, startedAt: start)
    progress = invocation.progress()
  }

  /// What `body` makes of the bundle that --validation names.
  func validation<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try settings.validation.map { path in
      try invocation.read("--validation", path) { try body(Bundle(reading: $0)) }
    }
  }

  /// What `body` makes of the bundle that --warm-start names.
  func warmStart<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try settings.warmStart.map { path in
      try invocation.read("--warm-start", path) { try body(Bundle(reading: $0)) }
    }
  }

  /// The β to solve for and where to begin: as the options say, or what the path chooses, with notes of
  /// the choice for the metadata.
  func begin<Solver: RegularizedSolver>(
    _ solver: Solver, validation: Validation<Solver.Data>?, from start: Solver.Start
  ) -> (beta: Double, start: Solver.Start, notes: [String: String]) {
    guard let count = settings.path, let validation else { return (beta, start, [:]) }
    let choice = RegularizationPath(from: solver.betaMax, to: beta, count: count).choose(
      solver, rule: rule, budget: budget, validation: validation, from: start, trace: observe)
    trace.write(choice)
    return (choice.beta, solver.start(at: choice.point), choice.metadata)
  }

  /// Tells of a check, to the trace and to whoever waits.
  func observe(_ row: TraceRow, beta: Double) {
    trace.write(row, beta: beta)
    progress.update(
      "beta \(beta), iteration \(row.iteration), primal \(row.primal), dual \(row.dual), "
        + "gap \(row.gap)")
  }

  /// Ends trace and progress; warns of a gap that was not reached, or fails where that was asked for.
  func conclude(_ status: Status, gap: Double) throws {
    progress.finish()
    try trace.finish()
    if status == .optimal { return }
    let end = status == .stalled ? "stalled" : "stopped by \(status.rawValue)"
    let message = "\(end) with a relative gap of \(gap), not \(settings.gap)"
    if settings.requireOptimal { throw Failure.data(message) }
    invocation.warn(message)
  }
}
