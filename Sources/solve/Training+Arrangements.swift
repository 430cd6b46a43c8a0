import Convex
import Tensors

extension Training {
  /// Trains a network over patterns and returns its solution's bundle.
  func arrangement(_ activation: ArrangementActivation) throws -> Bundle {
    let program = ArrangementProgram(
      activation: activation, norm: settings.norm, grouping: settings.grouping,
      loss: settings.loss)
    let data = try ArrangementData(source)
    let targets = try Targets(
      source, samples: data.samples, levels: settings.targets, loss: settings.loss)
    let validation = try read(settings.validation).map {
      try Validation($0, like: source, data, targets)
    }
    let warm = try read(settings.warmStart).map {
      try Solutions.start(
        $0, data: data, outputs: targets.values.columns, activation: activation)
    }
    let solver = try program.solver(data, targets: targets.values) { [progress] text in
      progress.update(text)
    }
    let (beta, start, choice) = begin(solver, validation: validation, from: warm)
    var notes = choice
    var solution = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    // An optimum can have more neurons than it needs, which no user has a use for.
    if let minimal = solution.minimal(data, of: program, targets: targets.values, beta: beta) {
      solution = minimal
      notes["minimal"] = "true"
    }
    try conclude(solution.status, gap: solution.gap)
    return Solutions.bundle(
      solution, data: data, targets: targets, program: program, beta: beta,
      betaMax: solver.betaMax, source: source, notes: notes,
      metadata: invocation.metadata(after: source.metadata))
  }
}
