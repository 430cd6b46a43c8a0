import Glibc
import LinearAlgebra

/// Values of β from one that makes the network zero down to the one asked for.
package struct RegularizationPath {
  package let betas: [Double]

  package struct Step {
    package let beta: Double
    package let primal: Double
    package let dual: Double
    /// `nil` without validation data.
    package let score: ValidationScore?
  }

  package struct Choice<Point> {
    /// The point that was chosen.
    package let point: Point
    package let steps: [Step]
    /// The number of the step that was chosen.
    package let best: Int
    /// Whether a limit ended the path before its last β was solved.
    package let isPart: Bool

    package var beta: Double { steps[best].beta }
    /// The solution's metadata about the choice.
    package var metadata: [String: String] {
      guard let score = steps[best].score else { return [:] }
      let path = steps.map { "\($0.beta):\($0.score?.value ?? .nan)" }
      return score.metadata.merging(["path": path.joined(separator: ",")]) { $1 }
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

  /// Solves along the path, each β from the solution before, and chooses the β that is best on the validation data, the
  /// larger of equals; without such data the last β. A point that a limit cut short is chosen only if there is no other.
  /// `scores`, one for each β, take the place of validation data. After each β, `tell` receives the choice so far and the
  /// point that was found last; if it throws, the path ends.
  package func choose<Solver: RegularizedSolver>(
    _ solver: Solver, rule: StoppingRule, budget: Budget, validation: Validation<Solver.Data>?,
    scores: [ValidationScore]? = nil, from start: Solver.Start, trace: (TraceRow, Double) -> Void,
    tell: (_ choice: Choice<Solver.Point>, _ last: Solver.Point) throws -> Void = { _, _ in }
  ) rethrows -> Choice<Solver.Point> {
    var steps: [Step] = []
    func solve(_ beta: Double, from start: Solver.Start) -> Solver.Point {
      solver.point(beta: beta, from: start, rule: rule, budget: budget) { trace($0, beta) }
    }
    func add(_ point: Solver.Point, _ beta: Double) -> Solver.Point {
      let score =
        scores?[steps.count] ?? validation.map { solver.score(point, on: $0) }
      steps.append(Step(beta: beta, primal: point.primal, dual: point.dualBound, score: score))
      return point
    }
    var last = add(solve(betas[0], from: start), betas[0])
    var (best, number) = (last, 0)
    while true {
      let choice = Choice(
        point: best, steps: steps, best: number,
        isPart: budget.exhausted != nil || steps.count < betas.count)
      try tell(choice, last)
      guard steps.count < betas.count, budget.exhausted == nil else { return choice }
      let beta = betas[steps.count]
      var point = solve(beta, from: solver.start(at: last))
      // A search that stalls from one start may not stall from another.
      if point.gap > rule.gap, budget.exhausted == nil {
        let other = solve(beta, from: start)
        if other.gap < point.gap { point = other }
      }
      last = add(point, beta)
      if let score = steps[steps.count - 1].score, let known = steps[number].score {
        let isCutShort = budget.exhausted != nil && point.gap > rule.gap
        if isCutShort || !score.isBetter(than: known) { continue }
      }
      (best, number) = (last, steps.count - 1)
    }
  }
}
