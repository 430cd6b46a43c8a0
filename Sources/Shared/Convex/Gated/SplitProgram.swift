import Glibc
import LinearAlgebra
import Schema

/// A program over groups of features, min ℓ(A W) + β Σ ‖W_g‖, for outputs that are trained together. `TwoSplitADMM`
/// solves it for one β after another.
package final class SplitProgram {
  /// The outputs of this program among all outputs.
  let outputs: Range<Int>
  /// y (n × C), −∇ℓ(0), and the norms there that the constraints bound.
  let targets: Matrix
  let origin: Matrix
  let largest: [Double]
  let norms: GroupNorms
  /// The smallest β for which the zero network is optimal.
  package let betaMax: Double
  private let features: any GroupedFeatures
  private let loss: any Loss
  let regularizer: any Regularizer
  /// The penalties at the end of the last ADMM.
  private var penalties: (loss: Double, norm: Double)?

  /// `all` are the targets of all outputs.
  package init(
    _ outputs: Range<Int>, of all: Matrix, _ features: any GroupedFeatures, loss: any Loss,
    regularizer: any Regularizer
  ) {
    self.outputs = outputs
    self.features = features
    self.loss = loss
    self.regularizer = regularizer
    targets = all.columns(outputs)
    origin = Matrix(targets.rows, targets.columns)
    loss.residual(Matrix(targets.rows, targets.columns), targets, into: origin)
    norms = GroupNorms(features, regularizer: regularizer, outputs: outputs.count)
    norms.compute(origin)
    largest = norms.largest(origin)
    betaMax = norms.values.values.max() ?? 0
  }

  /// The zero network, and the best multiple of −∇ℓ(0).
  package func point(beta: Double) -> GroupIncumbent {
    let point = GroupIncumbent(targets, loss: loss, regularizer: regularizer, beta: beta)
    point.offer(dual: origin, largest: largest)
    return point
  }

  /// The fewest and most iterations from one certificate to the next: a certificate costs about one iteration.
  private static let checkInterval = 2...10
  /// The number of iterations that may pass without a gap a tenth smaller.
  private static let patience = 500

  /// Iterates until the point's gap is nine tenths of the rule's (the rest allows for the rounding of anyone who
  /// recomputes it), or until the budget or the numbers end it. Group i of the features has the number `members[i]` in
  /// `start` and in the point.
  package func solve(
    _ point: GroupIncumbent, members: [Int], system: SplitSystem, from start: ArrangementSolution?,
    rule: StoppingRule, budget: Budget, report: () -> Void
  ) -> Status {
    let admm = TwoSplitADMM(
      features, system: system, targets: targets, loss: loss, regularizer: regularizer,
      beta: point.beta, penalties: penalties)
    guard admm.prepare() else { return .stalled }
    if let start {
      admm.begin(
        at: weights(of: start, members), dual: start.dual.columns(outputs))
    }
    let (predictions, nu) = (
      Matrix(targets.rows, targets.columns), Matrix(targets.rows, targets.columns)
    )
    func offerDual() {
      norms.compute(nu)
      point.offer(dual: nu, largest: norms.largest(nu))
    }
    // The first penalties are rough guesses: they may change at the first check.
    var (iteration, lastChange) = (0, -10)
    var (nextCheck, gapBefore) = (SplitProgram.checkInterval.upperBound, Double.infinity)
    var (smallest, smallestAt) = (Double.infinity, 0)
    while true {
      if let limit = budget.exhausted { return limit }
      budget.count()
      iteration += 1
      admm.iterate()
      guard iteration == nextCheck else { continue }
      admm.predictions(into: predictions)
      let primal = loss.value(predictions, targets) + point.beta * admm.penalty
      guard primal.isFinite else { return .stalled }
      point.offer(
        primal: primal, active: admm.active, members: members, weights: admm.weights,
        predictions: predictions)
      admm.dual(into: nu)
      loss.restrict(nu, targets)
      offerDual()
      let goal = 0.9 * rule.gap
      if loss.isDifferentiable, point.gap > goal {
        loss.residual(predictions, targets, into: nu)
        offerDual()
      }
      report()
      penalties = (admm.lossPenalty, admm.normPenalty)
      if point.gap <= goal { return .optimal }
      nextCheck += SplitProgram.interval(from: gapBefore, over: point.gap, to: goal)
      gapBefore = point.gap
      if point.gap < 0.9 * smallest { (smallest, smallestAt) = (point.gap, iteration) }
      if iteration - smallestAt > SplitProgram.patience { return .stalled }
      admm.refresh()
      // Penalties that never rest prevent convergence; but if it does not converge, the penalties are wrong.
      let pause = iteration < 1000 ? 20 : SplitProgram.patience / 2
      if iteration - lastChange >= pause, iteration < 1000 || iteration - smallestAt >= pause {
        let (hasChanged, isSound) = admm.adaptPenalties()
        guard isSound else { return .stalled }
        if hasChanged { lastChange = iteration }
      }
    }
  }

  /// The number of iterations that bring `gap` to `goal` at the rate of its fall since `before`, within bounds.
  private static func interval(from before: Double, over gap: Double, to goal: Double) -> Int {
    let (least, most) = (checkInterval.lowerBound, checkInterval.upperBound)
    guard before.isFinite, gap < before, goal > 0 else { return most }
    let count = Double(most) * log(gap / goal) / log(before / gap)
    return count < Double(most) ? max(least, Int(count.rounded(.up))) : most
  }

  /// The weights of `start` as rows, PC × Q.
  private func weights(of start: ArrangementSolution, _ members: [Int]) -> Matrix {
    let (count, width) = (outputs.count, features.width)
    let result = Matrix(features.groups * count, width)
    let place = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1, $0) })
    for (k, pattern) in start.index.enumerated() {
      guard let i = place[pattern] else { continue }
      for (row, c) in outputs.enumerated() {
        result.row(i * count + row).update(from: start.positive[c].row(k), count: width)
      }
    }
    return result
  }
}
