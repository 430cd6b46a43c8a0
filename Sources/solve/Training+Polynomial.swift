import Convex
import Tensors

extension Training {
  /// Trains a network of polynomial activation and returns its solution's bundle.
  func polynomial(_ activation: PolynomialActivation) throws -> Bundle {
    let data = try MomentData(source)
    let targets = try Targets(
      source, samples: data.samples, levels: settings.targets, loss: settings.loss)
    let validation = try validation {
      try Validation($0, like: source, data, targets)
    }
    let warm = try warmStart {
      try PolynomialSolver.Start.blocks(
        Solutions.blocks(
          $0, classes: targets.values.columns, regions: data.regions, order: data.features + 1))
    }
    let solver = try PolynomialSolver(
      data, targets: targets.values, activation: activation, loss: settings.loss
    ) { [progress] text in progress.update(text) }
    solver.method = settings.method
    let (beta, start, notes) = begin(solver, validation: validation, from: warm ?? .cold)
    let solution = solver.solve(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    try conclude(solution.status, gap: solution.gap)
    return Solutions.bundle(
      solution, data: data, targets: targets, activation: activation, beta: beta,
      betaMax: solver.betaMax, source: source, notes: notes,
      metadata: invocation.metadata(after: source.metadata))
  }
}
