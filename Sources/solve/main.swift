import Command
import Convex
import LinearAlgebra
import Tensors

Settings.tool.main { invocation in
  let start = Budget.now()
  let settings = invocation.settings
  Threads.use(invocation.common.threads)
  let input = try invocation.input()
  let output = try invocation.bundleOutput()
  let trace = try Trace(path: settings.trace)
  guard case .polynomial(let activation)? = settings.activation, let beta = settings.beta else {
    throw Failure.usage("--activation and --beta are needed")
  }

  let bundle = try Bundle(reading: input)
  let data = try MomentData(bundle)
  let targets = try Targets(bundle, samples: data.samples, levels: settings.targets)
  let validation = try settings.validation.map {
    try Validation(Bundle(reading: invocation.input(path: $0)), like: bundle, data, targets)
  }
  let warm = try settings.warmStart.map {
    try PolynomialSolver.Start.blocks(
      Solutions.blocks(
        Bundle(reading: invocation.input(path: $0)), classes: targets.values.columns,
        regions: data.regions, order: data.features + 1))
  }

  let progress = invocation.progress()
  let solver = try PolynomialSolver(data, targets: targets.values, activation: activation) { text in
    progress.update(text)
  }
  var rule = StoppingRule()
  rule.gap = settings.gap
  rule.maximumIterations = settings.maximumIterations ?? .max
  rule.maximumSeconds = settings.maximumSeconds ?? .infinity
  let budget = Budget(rule, startedAt: start)
  let observe = { (row: TraceRow, beta: Double) in
    trace.write(row, beta: beta)
    progress.update(
      "beta \(beta), iteration \(row.iteration), primal \(row.primal), dual \(row.dual), "
        + "gap \(row.gap)")
  }

  var chosen: (beta: Double, start: PolynomialSolver.Start) = (beta, warm ?? .cold)
  var notes: [String: String] = [:]
  if let count = settings.path, let validation {
    let path = RegularizationPath(from: solver.betaMax, to: beta, count: count)
    let choice = path.choose(
      solver, rule: rule, method: settings.method, budget: budget, validation: validation,
      from: chosen.start,
      trace: observe)
    chosen = (choice.beta, .point(choice.point))
    notes = choice.metadata
    trace.write(choice)
  }
  let solution = solver.solve(
    beta: chosen.beta, from: chosen.start, rule: rule, method: settings.method, budget: budget
  ) { observe($0, chosen.beta) }
  progress.finish()
  try trace.finish()

  if solution.status != .optimal {
    let end =
      solution.status == .stalled ? "stalled" : "stopped by \(solution.status.rawValue)"
    let message =
      "\(end) with a relative gap of \(solution.gap), "
      + "not \(settings.gap)"
    if settings.requireOptimal { throw Failure.data(message) }
    invocation.warn(message)
  }
  try Solutions.bundle(
    solution, data: data, targets: targets, activation: activation, beta: chosen.beta,
    betaMax: solver.betaMax, source: bundle, notes: notes,
    metadata: invocation.metadata(after: bundle.metadata)
  ).write(to: output)
  try output.finish()
}
