import Glibc
import LinearAlgebra

/// Values of β from one that makes the network zero down to the one asked for.
package struct RegularizationPath {
  package let betas: [Double]

  package struct Step {
    package let beta: Double
    package let primal: Double
    package let dual: Double
    package let score: Double
  }

  package struct Choice<Point> {
    /// What was found, and for which β.
    package let point: Point
    package let steps: [Step]
    /// The number of the step that was chosen.
    package let best: Int
    /// Whether a limit ended the path before its last β was solved.
    package let isPart: Bool
    /// "accuracy" or "loss".
    package let measure: String

    package var beta: Double { steps[best].beta }
    /// What the solution's metadata tell of the choice.
    package var metadata: [String: String] {
      [
        "validation_\(measure)": "\(steps[best].score)",
        "path": steps.map { "\($0.beta):\($0.score)" }.joined(separator: ","),
      ]
    }
  }

  /// `count` values, evenly spaced by ratio, below `largest` (left out) and down to `smallest`. If
  /// `smallest` is not below `largest`, or nothing is known of `largest`, it is the only one.
  package init(from largest: Double, to smallest: Double, count: Int) {
    guard smallest < largest, largest.isFinite else {
      betas = [smallest]
      return
    }
    betas = (1...count).map { step in
      step == count ? smallest : largest * pow(smallest / largest, Double(step) / Double(count))
    }
  }

  /// Solves along the path, each β from the solution before, and chooses by the validation data. `tell` hears
  /// after each β of the choice so far.
  package func choose<Solver: RegularizedSolver>(
    _ solver: Solver, rule: StoppingRule, budget: Budget, validation: Validation<Solver.Data>,
    from start: Solver.Start, trace: (TraceRow, Double) -> Void,
    tell: (Choice<Solver.Point>) -> Void = { _ in }
  ) -> Choice<Solver.Point> {
    let sign = validation.targets.labels == nil ? -1.0 : 1
    var steps: [Step] = []
    func solve(_ beta: Double, from start: Solver.Start) -> (point: Solver.Point, score: Double) {
      let point = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
        trace($0, beta)
      }
      let score = validation.score(solver.predictions(point, on: validation.data))
      steps.append(
        Step(beta: beta, primal: point.primal, dual: point.dualBound, score: sign * score))
      return (point, score.isNaN ? -.infinity : score)
    }
    func choice(_ point: Solver.Point, _ best: Int) -> Choice<Solver.Point> {
      Choice(
        point: point, steps: steps, best: best,
        isPart: budget.exhausted != nil || steps.count < betas.count,
        measure: sign < 0 ? "loss" : "accuracy")
    }
    var last = solve(betas[0], from: start)
    var (best, number) = (last, 0)
    tell(choice(best.point, number))
    while steps.count < betas.count, budget.exhausted == nil {
      last = solve(betas[steps.count], from: solver.start(at: last.point))
      if last.score > best.score { (best, number) = (last, steps.count - 1) }
      tell(choice(best.point, number))
    }
    return choice(best.point, number)
  }
}
