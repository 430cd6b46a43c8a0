import Convex
import Tensors

extension Training {
  typealias Reduced<Solution> = (solution: Solution, notes: [String: String])

  /// Searches for the β that the options ask for, or along their path. `reduce` makes the last solution for a β better
  /// or smaller, if it can, with notes of what it did.
  func search<Solver: RegularizedSolver>(
    _ solver: Solver, validation: Validation<Solver.Data>?, from start: Solver.Start,
    _ composer: Composer<Solver.Certified>,
    reduce: (Solver.Certified, _ beta: Double) -> Reduced<Solver.Certified>? = { _, _ in nil }
  ) throws -> Outcome {
    try expectRange(of: solver.betaMax)
    guard let count = settings.path else {
      listen(composer, beta: beta, betaMax: solver.betaMax)
      let solution = solver.solution(beta: beta, from: start, rule: rule, budget: budget) {
        observe($0, beta: beta)
      }
      incumbent.take(composer.outcome(solution, beta: beta, betaMax: solver.betaMax))
      return reduced(solution, beta: beta, betaMax: solver.betaMax, notes: [:], composer, reduce)
    }
    let path = RegularizationPath(from: solver.betaMax, to: beta, count: count)
    // Until the first β is solved, its points are published.
    listen(composer, beta: path.betas[0], betaMax: solver.betaMax)
    func outcome(_ choice: RegularizationPath.Choice<Solver.Point>) -> Outcome {
      composer.outcome(
        solver.certified(choice.point, beta: choice.beta, rule: rule, budget: budget),
        beta: choice.beta, betaMax: solver.betaMax, notes: choice.metadata)
    }
    let choice = try path.choose(
      solver, rule: rule, budget: budget, validation: validation, from: start, trace: observe
    ) { choice, last in
      budget.listener = nil
      incumbent.offer { _ in outcome(choice) }
      guard record.isWanted, let step = choice.steps.last else { return }
      let solution = complete(
        solver, last, beta: step.beta, notes: step.score?.metadata ?? [:], composer, reduce)
      if choice.beta == step.beta { incumbent.take(solution) }
      let (bundle, claim) = try certify(solution, warns: false)
      try record.add(bundle, norm: claim.norm, validation: step.score?.value)
    }
    trace.write(choice)
    if choice.isPart { return outcome(choice).with(budget.exhausted ?? .stalled) }
    let result = complete(
      solver, choice.point, beta: choice.beta, notes: choice.metadata, composer, reduce
    ) { incumbent.take($0) }
    warnOfEnd(choice)
    return result
  }

  /// The outcome of the `point` that a path found for `beta`. `tell` receives what is known before more is done.
  private func complete<Solver: RegularizedSolver>(
    _ solver: Solver, _ point: Solver.Point, beta: Double, notes: [String: String],
    _ composer: Composer<Solver.Certified>,
    _ reduce: (Solver.Certified, Double) -> Reduced<Solver.Certified>?,
    tell: (Outcome) -> Void = { _ in }
  ) -> Outcome {
    func outcome(_ solution: Solver.Certified) -> Outcome {
      reduced(solution, beta: beta, betaMax: solver.betaMax, notes: notes, composer, reduce)
    }
    let known = solver.certified(point, beta: beta, rule: rule, budget: budget)
    tell(composer.outcome(known, beta: beta, betaMax: solver.betaMax, notes: notes))
    if known.gap <= rule.gap { return outcome(known) }
    if let limit = budget.exhausted { return outcome(known).with(limit) }
    // Certified on the data, the point is worse than the path computed.
    let better = solver.solution(
      beta: beta, from: solver.start(at: point), rule: rule, budget: budget
    ) { observe($0, beta: beta) }
    return better.gap < known.gap ? outcome(better) : outcome(known).with(better.status)
  }

  private func reduced<Solution: CertifiedSolution>(
    _ solution: Solution, beta: Double, betaMax: Double, notes: [String: String],
    _ composer: Composer<Solution>, _ reduce: (Solution, Double) -> Reduced<Solution>?
  ) -> Outcome {
    let (smaller, more) = reduce(solution, beta) ?? (solution, [:])
    let outcome = composer.outcome(
      smaller, beta: beta, betaMax: betaMax, notes: notes.merging(more) { $1 })
    return outcome.reaches(rule.gap) ? outcome.with(.optimal) : outcome
  }

  /// Takes the points that the budget publishes.
  private func listen<Solution: CertifiedSolution>(
    _ composer: Composer<Solution>, beta: Double, betaMax: Double
  ) {
    budget.listener = { [incumbent] point in
      incumbent.offer { best in
        guard let solution = point() as? Solution else { return nil }
        let outcome = composer.outcome(solution, beta: beta, betaMax: betaMax)
        if let best, best.beta == outcome.beta, best.gap < outcome.gap { return nil }
        return outcome
      }
    }
  }

  private func expectRange(of betaMax: Double) throws {
    // Infinity means that there was no time to compute it.
    guard betaMax.isFinite || budget.exhausted != nil else {
      throw Failure.data(
        "features and targets are too large: the products of both overflow; divide them by a constant"
      )
    }
  }

  /// Warns if validation chose the first or the last β of several: the best may lie outside the path.
  private func warnOfEnd<Point>(_ choice: RegularizationPath.Choice<Point>) {
    let last = choice.steps.count - 1
    guard choice.steps[choice.best].score != nil, last > 0 else { return }
    let (end, other) =
      choice.best == 0 ? ("largest", "larger") : ("smallest", "smaller")
    guard choice.best == 0 || choice.best == last else { return }
    progress.finish()
    invocation.warn(
      "validation chose beta \(choice.beta), the \(end) of the path: a \(other) one may be better")
  }
}
