import Convex
import Tensors

extension Training {
  typealias Reduced<Solution> = (solution: Solution, notes: [String: String])

  /// Solves `path` on the samples `training`, and returns the score of each β on the samples `heldOut`.
  typealias FoldScores = (
    _ path: RegularizationPath, _ training: Bundle, _ heldOut: Bundle
  ) throws -> [ValidationScore]

  /// Searches for the β that the options ask for, or along their path, which --folds judges by `folds`. `reduce` makes the
  /// last solution for a β better or smaller, if it can, with notes of what it did.
  func search<Solver: RegularizedSolver>(
    _ solver: Solver, validation: Validation<Solver.Data>?, from start: Solver.Start,
    _ composer: Composer<Solver.Certified>, folds: FoldScores,
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
    let path = RegularizationPath(
      from: solver.betaMax, to: try lastBeta(solver.betaMax), count: count)
    let scores = try settings.folds.flatMap { try crossValidate(path, $0, folds) }
    // Until the first β is solved, its points are published.
    listen(composer, beta: path.betas[0], betaMax: solver.betaMax)
    func outcome(_ choice: RegularizationPath.Choice<Solver.Point>) -> Outcome {
      composer.outcome(
        solver.certified(choice.point, beta: choice.beta, rule: rule, budget: budget),
        beta: choice.beta, betaMax: solver.betaMax, notes: choice.metadata)
    }
    let choice = try path.choose(
      solver, rule: rule, budget: budget, validation: validation, scores: scores, from: start,
      trace: observe
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
    tell(choice)
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

  /// The smallest β of the path: the one asked for, or a thousandth of β_max.
  private func lastBeta(_ betaMax: Double) throws -> Double {
    if let beta = settings.beta { return beta }
    guard betaMax.isFinite, betaMax > 0 else {
      throw Failure.data(
        betaMax > 0
          ? "the limit came before the path's betas were known: give the smallest by --beta"
          : "the zero network is optimal for every beta: the targets are all 0, or the features are"
      )
    }
    return betaMax / 1000
  }

  /// Tells which β was chosen, and warns if it is the first or the last of several: the best may lie outside the path.
  private func tell<Point>(_ choice: RegularizationPath.Choice<Point>) {
    let last = choice.steps.count - 1
    guard last > 0, let score = choice.steps[choice.best].score else { return }
    progress.finish()
    invocation.note(
      "chose beta \(choice.beta), \(choice.best + 1) of \(last + 1), with \(score.measure) \(score.value)"
        + (settings.folds.map { " over \($0) folds" } ?? " on the validation data"))
    let (end, other) =
      choice.best == 0 ? ("largest", "larger") : ("smallest", "smaller")
    guard choice.best == 0 || choice.best == last else { return }
    invocation.warn(
      "validation chose beta \(choice.beta), the \(end) of the path: a \(other) one may be better")
  }
}
