import LinearAlgebra
import Schema
import Tensors

/// Trains gated-ReLU networks with any loss and norm: min ℓ(Σ_i D_i X W_i) + β Σ ‖W_g‖ with a group for each pattern
/// and output or for each pattern, by ADMM or, if samples are few and each output is a problem of its own, by an
/// interior-point method. If one of them stalls, the other goes on. If few patterns carry weight, or samples are many and
/// features few, Newton's method in the weights comes before both.
package final class GatedLossSolver: ArrangementSolver {
  package let betaMax: Double
  let data: ArrangementData
  /// n × C.
  let targets: Matrix
  let loss: any Loss
  private let grouping: WeightGrouping
  private let norm: WeightNorm
  let progress: (String) -> Void
  let features: PatternFeatures
  let problems: [SplitProgram]
  private lazy var system = SplitSystem(features)
  private(set) lazy var products = PatternProducts(
    data.features, data.patterns, members: features.members)
  private(set) lazy var kernel = product(data.features, .plain, data.features, .transposed)
  /// The most samples for which the interior-point method comes first.
  private static let fewSamples = 1000

  /// `targets` is n × C; `prefersInteriorPoint` is for tests, and leaves out Newton's method in the weights. If the loss is squared, Newton's method in η solves for β
  /// above `newtonAbove` · β_max. Throws if the machine lacks the memory.
  package init(
    _ data: ArrangementData, targets: Matrix, loss name: LossName,
    weighting: ClassWeighting? = nil, norm: WeightNorm = .group,
    grouping: WeightGrouping, prefersInteriorPoint: Bool? = nil,
    newtonAbove: Double = .infinity,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.newtonAbove = newtonAbove
    self.targets = targets
    let loss = name.loss(weighting)
    self.loss = loss
    self.grouping = grouping
    self.norm = norm
    self.progress = progress
    let outputs = targets.columns
    let memory = GatedLossSolver.memory(data, outputs: outputs)
    hasKernel = memory <= memoryLimit
    prefersWeights =
      prefersInteriorPoint == nil && loss.isDifferentiable && !(loss is SquaredLoss)
      && outputs == 1 && norm == .group
    // Newton's method in the weights needs no kernel.
    if !prefersWeights {
      try expectMemory(
        memory,
        for: "a gated network of \(data.samples) samples, \(data.dimension) features, "
          + "\(data.patterns.count) patterns and \(outputs) output\(outputs == 1 ? "" : "s")")
    }
    progress("looking for equal patterns")
    let members = DistinctPatterns(data.patterns, features: data.features).indices
    let features = PatternFeatures(data, members: members)
    self.features = features
    let isInterior =
      (prefersInteriorPoint ?? (data.samples <= GatedLossSolver.fewSamples))
      && (grouping == .perClass || targets.columns == 1)
      && loss.isSeparable && !(loss is SquaredLoss)
    problems = (isInterior ? (0..<outputs).map { $0..<$0 + 1 } : [0..<outputs]).map {
      SplitProgram(
        $0, of: targets, features, loss: loss,
        regularizer: norm.regularizer(
          grouping, outputs: $0.count, regions: 1, dimension: data.dimension))
    }
    self.prefersInteriorPoint = isInterior
    betaMax = problems.reduce(0) { max($0, $1.betaMax) }
  }

  private let prefersInteriorPoint: Bool

  /// Bytes that a program on `data` takes.
  static func memory(_ data: ArrangementData, outputs: Int) -> Double {
    let (n, d, patterns) = (data.samples, data.dimension, data.patterns.count)
    return SplitSystem.memory(samples: n) + Double(n) * Double(8 * d + 4 * patterns)
      + TwoSplitADMM.memory(samples: n, groups: patterns, width: d, outputs: outputs)
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    if beta > newtonAbove * betaMax, beta < betaMax, let newton {
      return newton.point(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
    }
    let points = problems.map { $0.point(beta: beta) }
    func compose() -> ArrangementSolution {
      ArrangementSolution(
        points, targets: targets, loss: loss, regularizer: problems[0].regularizer, beta: beta,
        groups: data.patterns.count, width: data.dimension, iterations: budget.iterations)
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue },
          neurons: points.reduce(0) { $0 + $1.weights.active }))
      budget.publish(compose)
    }
    report()
    var status = Status.optimal
    for (p, point) in points.enumerated() where beta < (problems[p].largest.max() ?? 0) {
      let run = Run(
        problem: p, point: point, beta: beta, start: start, rule: rule, budget: budget)
      var end = Status.optimal
      if prefersWeights, !hasKernel || weightNewton.suits(share: beta / betaMax) {
        end = weightNewton.solve(run, report)
      }
      for isInterior in [prefersInteriorPoint, !prefersInteriorPoint]
      where hasKernel && point.gap > rule.gap && (end == .optimal || end == .stalled) {
        if !isInterior {
          end =
            suitsWorkingSet(beta: beta)
            ? splitOverWorkingSet(run, report) : split(run, from: start, report)
        } else if let method = InteriorRun(run, of: self) {
          end =
            method.isSmall
            ? Threads.withSerialBLAS { method.solve(report) } : method.solve(report)
        }
      }
      if point.gap > rule.gap, status == .optimal { status = end }
    }
    let solution = compose()
    if solution.gap > rule.gap, status == .stalled, let newton {
      let other = newton.point(beta: beta, from: solution, rule: rule, budget: budget, trace: trace)
      if other.gap < solution.gap { return other }
    }
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  /// Used for squared loss if β is large, or if ADMM stalls.
  private lazy var newton =
    loss is SquaredLoss && norm == .group
    ? try? GatedSolver(data, targets: targets, grouping: grouping, progress: progress) : nil
  private let newtonAbove: Double

  /// Newton's method in the weights, for other differentiable losses of one output.
  private lazy var weightNewton = WeightRun(products, loss: loss)
  private let prefersWeights: Bool
  /// Whether the kernel of all samples fits into memory, which the other methods need.
  private let hasKernel: Bool

  /// A task for a method.
  struct Run {
    let problem: Int
    let point: GroupIncumbent
    let beta: Double
    let start: ArrangementSolution?
    let rule: StoppingRule
    let budget: Budget

    /// A tenth is left for the rounding of anyone who recomputes the gap.
    var isReached: Bool { point.gap <= 0.9 * rule.gap }
  }

  // MARK: ADMM

  func split(_ run: Run, from start: ArrangementSolution?, _ report: () -> Void) -> Status {
    if let limit = run.budget.exhausted { return limit }
    let problem = problems[run.problem]
    progress("the kernel of \(data.samples) samples over \(features.groups) patterns")
    return problem.solve(
      run.point, members: features.members, system: system, from: start, rule: run.rule,
      budget: run.budget, report: report)
  }
}
