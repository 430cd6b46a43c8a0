import Command
import Convex
import Glibc
import Schema
import Tensors

/// One run of the tool, apart from the training itself: its limits, its path, and its reports on both.
///
/// The search runs on the main thread. Other threads may use the incumbent, the trace, the record and the progress,
/// which guard themselves; nothing else changes.
final class Training: @unchecked Sendable {
  let invocation: Invocation<Settings>
  let settings: Settings
  /// The training data's bundle.
  let source: Bundle
  /// What makes the program that is solved of the one that was asked for, if they differ.
  let reduction: (any Reduction)?
  /// The training data of the program that is solved.
  let data: Bundle
  /// The same samples with other patches and gates, for a joint program.
  let others: [Bundle]
  private let heldOut: Bundle?
  /// The held-out samples with the patches of `others`.
  let heldOutOthers: [Bundle]
  private let earlier: Bundle?
  /// The activation; with --circular the circular one.
  let activation: Activation
  /// The β that was asked for; 0 if that is left to the path.
  let beta: Double
  let rule: StoppingRule
  let budget: Budget
  let progress: Progress
  private var remaining = RemainingTime()
  private let start: Double
  let trace: Trace
  let record: PathRecord
  private let output: Output
  let incumbent: LatestResult<Outcome>

  /// The largest number of seconds before the first point is taken: a search that ends earlier has little to lose, and
  /// pays for no certificate but its own.
  private static let unattended = 4.0

  /// Opens the files that are written beside the solution, then reads all bundles.
  init(
    _ invocation: Invocation<Settings>, input: Input, output: Output, startedAt start: Double
  ) throws {
    self.invocation = invocation
    self.output = output
    self.start = start
    settings = invocation.settings
    // A constraint has no weight: the norm alone is the objective.
    beta = settings.beta ?? (settings.constraint == nil ? 0 : 1)
    record = try PathRecord(settings)
    trace = try Trace(path: settings.trace)
    let (source, activation) = try Training.read(input, settings.activation)
    self.source = source
    self.activation = settings.circular ? .circular : activation
    if activation == .relu { try source.expectHalfSpaces("relu") }
    if settings.batchNorm != nil { try source.expectHalfSpaces("--batch-norm") }
    let reduction = try settings.reduction(of: source)
    self.reduction = reduction
    data = try reduction?.apply(source) ?? source
    heldOut = try settings.validation.map { path in
      try invocation.read("--validation", path) {
        let bundle = try DataModel(source).conform(Bundle(reading: $0))
        return try reduction?.apply(bundle) ?? bundle
      }
    }
    others = try settings.others.map { path in
      try invocation.read("--with", path) { try Bundle(reading: $0) }
    }
    heldOutOthers = try zip(settings.validationOthers, others).map { path, training in
      try invocation.read("--validation-with", path) {
        try DataModel(training).conform(Bundle(reading: $0))
      }
    }
    earlier = try settings.warmStart.map { path in
      try invocation.read("--warm-start", path) { input in
        let bundle = try Bundle(reading: input)
        // Where the search ends early they are compared; that would be too late to refuse them.
        for key in [MetadataKey.beta, .relativeGap] { _ = try bundle.read(ifPresent: key) }
        return bundle
      }
    }
    var rule = StoppingRule()
    rule.gap = settings.gap
    rule.maximumIterations = settings.maximumIterations ?? .max
    rule.maximumSeconds = settings.maximumSeconds ?? .infinity
    self.rule = rule
    incumbent = LatestResult(
      after: min(Training.unattended, 0.2 * rule.maximumSeconds),
      afterSetUp: settings.maximumSeconds == nil)
    budget = Budget(rule, startedAt: start) { Signals.isRequested }
    progress = invocation.progress()
  }

  /// The training data, and the activation: that of statistics need not be given.
  private static func read(
    _ input: Input, _ activation: Activation?
  ) throws -> (Bundle, Activation) {
    if let activation { return (try Bundle(reading: input), activation) }
    let missing =
      "--activation is missing: relu, gated-relu, linear or A,B,C for the polynomial A t² + B t + C"
    if try input.isAtEnd() { throw Failure.usage("\(missing); and \(input.name) is empty") }
    let source = try Bundle(reading: input)
    guard let activation = try source.activationOfSums else { throw Failure.usage(missing) }
    return (source, activation)
  }

  /// The result of `body` for the bundle that --validation names.
  func validation<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try heldOut.map { bundle in
      try invocation.blaming("--validation", bundle.name) { try body(bundle) }
    }
  }

  /// The result of `body` for the bundle that --warm-start names.
  func warmStart<T>(_ body: (Bundle) throws -> T) throws -> T? {
    try earlier.map { bundle in
      try invocation.blaming("--warm-start", bundle.name) { try body(bundle) }
    }
  }

  /// Runs the set-up and the search in `body` and writes their result. If they do not end in time, the best point that
  /// was published is written; before there is any, `zero`.
  func run(orElse zero: Outcome, _ body: () throws -> Outcome) throws {
    if settings.beta != nil { incumbent.take(zero) }
    let watch = Watch(from: start, limit: rule.maximumSeconds) { self.expire($0) }
    try watch.begin()
    let result = Result { try body() }
    watch.end()
    do { try finish(result.get()) } catch {
      // The watch's thread may still hold the outputs.
      record.abandon()
      TemporaryFiles.unlinkAll()
      throw error
    }
  }

  /// Reports a check to the trace and to waiting users.
  func observe(_ row: TraceRow, beta: Double) {
    trace.write(row, beta: beta)
    let left = remaining.seconds(at: row.seconds, gap: row.gap, goal: rule.gap, of: beta)
    progress.update(
      "beta \(beta), iteration \(row.iteration), primal \(row.primal), dual \(row.dual), "
        + "gap \(row.gap)" + (left.map { ", about \(RemainingTime.text($0)) left" } ?? ""))
  }

  // MARK: The end

  /// Ends the process with the best point that was published, while the search goes on.
  private func expire(_ status: Status) -> Never {
    do {
      if let best = incumbent.value {
        try finish(
          best.with(best.reaches(settings.gap) && settings.path == nil ? .optimal : status))
        _exit(0)
      }
      throw Failure.data(
        settings.constraint == nil
          ? "\(status.rawValue) before the path's largest beta was solved: without --beta there is nothing to write yet"
          : "\(status.rawValue) before a network was found that satisfies the constraint"
      )
    } catch {
      let failure = error as? Failure
      if failure != .closedPipe { report("solve", failure?.message ?? "\(error)") }
      record.abandon()
      TemporaryFiles.unlinkAll()
      _exit(failure?.exitCode ?? 1)
    }
  }

  /// Prepares every solution for writing: makes sure of its numbers and of its claim. `warns` reports a list of
  /// patterns that claims more than is true.
  func certify(
    _ outcome: Outcome, warns: Bool
  ) throws -> (bundle: Bundle, claim: Claim) {
    var bundle = outcome.bundle()
    bundle.metadata[.gap] = settings.gap
    bundle.metadata[.status] = outcome.status
    try bundle.expectFiniteNumbers(
      "something overflowed: scale features and targets, or change beta")
    var isKept = false
    if outcome.status != .optimal, let kept = try keepingWarmStart(bundle, outcome) {
      (bundle, isKept) = (kept, true)
    }
    let claim = try settle(&bundle, outcome, isDoubted: isKept, warns: warns)
    return (bundle, claim)
  }

  /// Ends trace and progress, certifies the solution, warns of a gap that was not reached, or fails if that was asked
  /// for, and writes the solution.
  private func finish(_ outcome: Outcome) throws {
    progress.finish()
    try trace.finish()
    try record.finish()
    let (bundle, claim) = try certify(outcome, warns: true)
    if let message = shortfall(of: claim, lacksProof: outcome.lacksProof) {
      if settings.requireOptimal { throw Failure.data(message) }
      invocation.warn(message)
    }
    summarize(bundle)
    try bundle.write(to: output)
    try record.publish(with: [trace.output, output].compactMap { $0 })
  }

  /// The demand that was not reached, if there is one.
  private func shortfall(of claim: Claim, lacksProof: Bool) -> String? {
    guard claim.status == .optimal else {
      let end =
        claim.status == .stalled || claim.status == .interrupted
        ? claim.status.rawValue : "stopped by \(claim.status.rawValue)"
      return claim.gap <= settings.gap
        ? lacksProof
          ? "\(end) before a bound over all neurons was proved"
          : "\(end) before the end of the path"
        : "\(end) with a relative gap of \(claim.gap), not \(settings.gap)"
    }
    return record.unreached == 0
      ? nil
      : "\(record.unreached) solutions of the path have not reached the relative gap \(settings.gap)"
  }
}
