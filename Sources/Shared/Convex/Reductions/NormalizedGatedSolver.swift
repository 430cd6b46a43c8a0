import LinearAlgebra
import Schema
import Tensors

/// Trains gated networks with batch normalisation after the gates: a group lasso over the features [U_i, 1/√n] of the
/// patterns, whose columns are orthonormal, by ADMM.
package final class NormalizedGatedSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: NormalizedPatterns
  private let targets: Matrix
  private let loss: any Loss
  /// The patterns that have a group.
  private let members: [Int]
  private let system: SplitSystem
  private let problem: SplitProgram
  /// The numbers of a group, the last being that of the constant.
  private let width: Int

  /// `targets` are n × C. Throws if the machine lacks the memory.
  package init(_ data: NormalizedPatterns, targets: Matrix, loss: LossName) throws {
    self.data = data
    self.targets = targets
    self.loss = loss.loss
    members = data.bases.indices.filter { data.bases[$0] != nil }
    let n = data.samples
    let rank = members.reduce(0) { max($0, data.bases[$1]!.columns.rows) }
    width = rank + 1
    try expectMemory(
      8 * Double(n) * Double(members.count * width) + SplitSystem.memory(samples: n),
      for: "the normalised features of \(n) samples and \(members.count) patterns")
    let all = Matrix(n, members.count * width)
    for (k, i) in members.enumerated() {
      let columns = data.bases[i]!.columns
      for j in 0..<n {
        for r in 0..<columns.rows { all[j, k * width + r] = columns[r, j] }
        all[j, k * width + rank] = 1 / Double(n).squareRoot()
      }
    }
    let features = ExplicitFeatures(all, groups: members.count)
    system = SplitSystem(features)
    problem = SplitProgram(
      0..<targets.columns, of: targets, features, loss: loss.loss,
      regularizer: WeightNorm.group.regularizer(
        .perClass, outputs: targets.columns, regions: 1, dimension: width))
    betaMax = problem.betaMax
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let point = problem.point(beta: beta)
    func compose(_ status: Status) -> ArrangementSolution {
      var solution = lifted(
        ArrangementSolution(
          [point], targets: targets, loss: loss, regularizer: problem.regularizer, beta: beta,
          groups: data.bases.count, width: width, iterations: budget.iterations))
      data.evaluate(&solution, targets: targets, loss: loss, beta: beta)
      return solution.with(status)
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: point.primal,
          dual: point.dualValue, neurons: point.weights.active))
      budget.publish { compose(.stalled) }
    }
    report()
    var status = Status.optimal
    if beta < betaMax, point.gap > rule.gap {
      status = problem.solve(
        point, members: members, system: system, from: start.map(lowered), rule: rule,
        budget: budget, report: report)
    }
    let solution = compose(status)
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  /// Weights (w, a) for (q, a).
  private func lifted(_ solution: ArrangementSolution) -> ArrangementSolution {
    changing(solution, width: data.dimension) { row, i, target in
      guard let basis = data.bases[i] else { return }
      for r in 0..<basis.inverse.rows {
        axpy(data.dimension - 1, row[r], basis.inverse.row(r), target)
      }
      target[data.dimension - 1] = row[width - 1]
    }
  }

  /// Weights (q, a) for (w, a).
  private func lowered(_ solution: ArrangementSolution) -> ArrangementSolution {
    changing(solution, width: width) { row, i, target in
      for (r, value) in data.coordinates(row, of: i).enumerated() { target[r] = value }
      target[width - 1] = row[data.dimension - 1]
    }
  }

  private func changing(
    _ solution: ArrangementSolution, width: Int,
    _ body: (UnsafePointer<Double>, _ pattern: Int, UnsafeMutablePointer<Double>) -> Void
  ) -> ArrangementSolution {
    var result = solution
    result.positive = solution.positive.map { weights in
      let own = Matrix(weights.rows, width)
      for (k, i) in solution.index.enumerated() { body(weights.row(k), i, own.row(k)) }
      return own
    }
    return result
  }

  package func predictions(_ point: ArrangementSolution, on x: Matrix) -> Matrix {
    data.predictions(point, on: x, of: .gatedReLU)
  }
}
