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
    package let beta: Double
    /// What was found for it.
    package let point: Point
    package let steps: [Step]
    /// "accuracy" or "loss".
    package let measure: String
    /// What the solution's metadata tell of the choice.
    package var metadata: [String: String] {
      let best = steps.first { $0.beta == beta }!
      return [
        "validation_\(measure)": "\(best.score)",
        "path": steps.map { "\($0.beta):\($0.score)" }.joined(separator: ","),
      ]
    }
  }

  /// `count` values, evenly spaced by ratio, below `largest` (left out) and down to `smallest`. Where
  /// `smallest` is not below `largest`, it is the only one.
  package init(from largest: Double, to smallest: Double, count: Int) {
    guard smallest < largest else {
      betas = [smallest]
      return
    }
    betas = (1...count).map { step in
      step == count ? smallest : largest * pow(smallest / largest, Double(step) / Double(count))
    }
  }

  /// Solves along the path, each β from the solution before, and chooses by the validation data.
  package func choose<Solver: RegularizedSolver>(
    _ solver: Solver, rule: StoppingRule, budget: Budget, validation: Validation<Solver.Data>,
    from start: Solver.Start, trace: (TraceRow, Double) -> Void
  ) -> Choice<Solver.Point> {
    var best: (beta: Double, point: Solver.Point, score: Double)?
    var steps: [Step] = []
    var start = start
    for beta in betas {
      let point = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
        trace($0, beta)
      }
      start = solver.start(at: point)
      let score = validation.score(solver.predictions(point, on: validation.data))
      steps.append(
        Step(beta: beta, primal: point.primal, dual: point.dualBound, score: score))
      if best == nil || score > best!.score { best = (beta, point, score) }
      if budget.exhausted != nil { break }
    }
    let isClassification = validation.targets.labels != nil
    return Choice(
      beta: best!.beta, point: best!.point,
      steps: isClassification
        ? steps
        : steps.map { Step(beta: $0.beta, primal: $0.primal, dual: $0.dual, score: -$0.score) },
      measure: isClassification ? "accuracy" : "loss")
  }
}
