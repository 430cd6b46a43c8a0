import Command
import Convex
import Glibc
import Tensors

/// One run of the tool, apart from what is trained: its limits, its path, and where it tells of both.
///
/// The search runs on the main thread. Of what another thread may use, incumbent, trace and progress guard
/// themselves, and nothing else changes.
final class Training: @unchecked Sendable {
  typealias Reduced<Solution> = (solution: Solution, notes: [String: String])

  let invocation: Invocation<Settings>
  let settings: Settings
  /// The training data's bundle.
  let source: Bundle
  private let heldOut: Bundle?
  private let earlier: Bundle?
  let beta: Double
  let rule: StoppingRule
  let budget: Budget
  let progress: Progress
  private let start: Double
  private let trace: Trace
  private let output: Output
  private let incumbent: Incumbent<Outcome>

  /// Seconds before the first point is taken, at most: a search that ends earlier has little to lose, and pays for
  /// no certificate but its own.
  private static let unattended = 4.0

  /// Opens the trace, then reads all bundles.
  init(
    _ invocation: Invocation<Settings>, input: Input, output: Output, startedAt start: Double
  ) throws {
    self.invocation = invocation
    self.output = output
    self.start = start
    settings = invocation.settings
    guard let beta = settings.beta else { throw Failure.usage("--beta is missing") }
    self.beta = beta
    trace = try Trace(path: settings.trace)
    source = try Bundle(reading: input)
    func read(_ option: String, _ path: String?) throws -> Bundle? {
      try path.map { try invocation.read(option, $0) { try Bundle(reading: $0) } }
    }
    heldOut = try read("--validation", settings.validation)
    earlier = try read("--warm-start", settings.warmStart)
    var rule = StoppingRule()
    rule.gap = settings.gap
    rule.maximumIterations = settings.maximumIterations ?? .max
    rule.maximumSeconds = settings.maximumSeconds ?? .infinity
    self.rule = rule
    incumbent = Incumbent(after: min(Training.unattended, 0.2 * rule.maximumSeconds))
    budget = Budget(rule, startedAt: start) { Signals.isRequested }
    progress = invocation.progress()
  }

  /// What `body` makes of the bundle that --validation names.
  func validation<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try heldOut.map { bundle in
      try invocation.blaming("--validation", bundle.name) { try body(bundle) }
    }
  }

  /// What `body` makes of the bundle that --warm-start names.
  func warmStart<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try earlier.map { bundle in
      try invocation.blaming("--warm-start", bundle.name) { try body(bundle) }
    }
  }

  /// Runs the set-up and the search in `body` and writes what they find. If they do not end in time, the best point
  /// that was told of is written; before there is any, it is `zero`.
  func run(orElse zero: Outcome, _ body: () throws -> Outcome) throws {
    incumbent.take(zero)
    let watch = Watch(from: start, limit: rule.maximumSeconds) { self.expire($0) }
    try watch.begin()
    let result = Result { try body() }
    watch.end()
    do { try finish(result.get()) } catch {
      // The watch's thread may hold the output still.
      TemporaryFiles.unlinkAll()
      throw error
    }
  }

  /// Searches for the β that the options ask for, or that the path chooses. `reduce` makes the end's solution for a
  /// β better or smaller, if it can, with notes of what it did.
  func search<Solver: RegularizedSolver>(
    _ solver: Solver, validation: Validation<Solver.Data>?, from start: Solver.Start,
    _ composer: Composer<Solver.Certified>,
    reduce: (Solver.Certified, _ beta: Double) -> Reduced<Solver.Certified>? = { _, _ in nil }
  ) throws -> Outcome {
    try expectRange(of: solver.betaMax)
    guard let count = settings.path, let validation else {
      return solve(solver, beta: beta, from: start, notes: [:], composer, reduce)
    }
    func outcome(_ choice: RegularizationPath.Choice<Solver.Point>) -> Outcome {
      composer.outcome(
        solver.certified(choice.point, beta: choice.beta, rule: rule, budget: budget),
        beta: choice.beta, betaMax: solver.betaMax, notes: choice.metadata)
    }
    let path = RegularizationPath(from: solver.betaMax, to: beta, count: count)
    // Until the first β is solved, its points are told of.
    listen(composer, beta: path.betas[0], betaMax: solver.betaMax, notes: [:])
    let choice = path.choose(
      solver, rule: rule, budget: budget, validation: validation, from: start, trace: observe
    ) { choice in
      budget.listener = nil
      incumbent.offer { _ in outcome(choice) }
    }
    trace.write(choice)
    if choice.isPart { return outcome(choice).with(budget.exhausted ?? .stalled) }
    let last = solve(
      solver, beta: choice.beta, from: solver.start(at: choice.point), notes: choice.metadata,
      composer, reduce)
    // The path may have come further than a solve that was cut short.
    guard last.status != .optimal else { return last }
    let known = outcome(choice)
    guard known.gap < last.gap else { return last }
    return known.with(known.gap <= rule.gap ? .optimal : last.status)
  }

  private func solve<Solver: RegularizedSolver>(
    _ solver: Solver, beta: Double, from start: Solver.Start, notes: [String: String],
    _ composer: Composer<Solver.Certified>,
    _ reduce: (Solver.Certified, Double) -> Reduced<Solver.Certified>?
  ) -> Outcome {
    listen(composer, beta: beta, betaMax: solver.betaMax, notes: notes)
    let solution = solver.solution(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    let outcome = composer.outcome(solution, beta: beta, betaMax: solver.betaMax, notes: notes)
    incumbent.take(outcome)
    guard let (reduced, more) = reduce(solution, beta) else { return outcome }
    let better = composer.outcome(
      reduced, beta: beta, betaMax: solver.betaMax, notes: notes.merging(more) { $1 })
    return better.gap <= rule.gap ? better.with(.optimal) : better
  }

  /// Takes the points that the budget is told of.
  private func listen<Solution: CertifiedSolution>(
    _ composer: Composer<Solution>, beta: Double, betaMax: Double, notes: [String: String]
  ) {
    budget.listener = { [incumbent] point in
      incumbent.offer { best in
        guard let solution = point() as? Solution else { return nil }
        let outcome = composer.outcome(solution, beta: beta, betaMax: betaMax, notes: notes)
        if let best, best.beta == outcome.beta, best.gap < outcome.gap { return nil }
        return outcome
      }
    }
  }

  private func expectRange(of betaMax: Double) throws {
    // Infinity stands for what there was no time for.
    guard betaMax.isFinite || budget.exhausted != nil else {
      throw Failure.data(
        "features and targets are too large: the products of both overflow; divide them by a constant"
      )
    }
  }

  /// Tells of a check, to the trace and to whoever waits.
  private func observe(_ row: TraceRow, beta: Double) {
    trace.write(row, beta: beta)
    progress.update(
      "beta \(beta), iteration \(row.iteration), primal \(row.primal), dual \(row.dual), "
        + "gap \(row.gap)")
  }

  // MARK: The end

  /// Ends the process with the best point that was told of, while the search goes on.
  private func expire(_ status: Status) -> Never {
    do {
      if let best = incumbent.value {
        try finish(best.with(best.gap <= settings.gap && settings.path == nil ? .optimal : status))
      }
      _exit(0)
    } catch {
      let failure = error as? Failure
      if failure != .closedPipe { report("solve", failure?.message ?? "\(error)") }
      TemporaryFiles.unlinkAll()
      _exit(failure?.exitCode ?? 1)
    }
  }

  /// What every solution passes before it is written: it ends trace and progress, makes sure of the numbers and
  /// of what may be claimed, warns of a gap that was not reached, or fails if that was asked for, and writes.
  private func finish(_ outcome: Outcome) throws {
    progress.finish()
    try trace.finish()
    var bundle = outcome.bundle()
    bundle.metadata["gap"] = "\(settings.gap)"
    bundle.metadata["status"] = outcome.status.rawValue
    try bundle.expectFiniteNumbers(
      "something overflowed: scale features and targets, or change beta")
    var isKept = false
    if outcome.status != .optimal, let kept = try keepingWarmStart(bundle, outcome) {
      (bundle, isKept) = (kept, true)
    }
    let claim = try settle(&bundle, outcome, isDoubted: isKept)
    if claim.status != .optimal {
      let end =
        claim.status == .stalled || claim.status == .interrupted
        ? claim.status.rawValue : "stopped by \(claim.status.rawValue)"
      let message = "\(end) with a relative gap of \(claim.gap), not \(settings.gap)"
      if settings.requireOptimal { throw Failure.data(message) }
      invocation.warn(message)
    }
    summarize(bundle)
    try bundle.write(to: output)
    try output.finish()
  }
}
