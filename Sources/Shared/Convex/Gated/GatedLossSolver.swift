import LinearAlgebra
import Schema
import Tensors

/// Trains gated-ReLU networks with any loss and norm: min ℓ(Σ_i D_i X W_i) + β Σ ‖W_g‖ with a group for each pattern
/// and output or for each pattern: by ADMM, or, if samples are few, outputs are problems of their own and the norm is
/// a length, by an interior-point method.
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
  private lazy var products = PatternProducts(
    data.features, data.patterns, members: features.members)
  private lazy var kernel = product(data.features, .plain, data.features, .transposed)
  /// Samples up to which the interior-point method comes first, and up to which it helps where ADMM stalls.
  private static let (fewSamples, mostSamples) = (1000, 4000)
  /// Patterns that the interior-point method takes all at once.
  private static let fewPatterns = 2000

  /// `targets` is n × C; `prefersInteriorPoint` is for tests. If the loss is squared, Newton's method in η solves for β
  /// above `newtonAbove` · β_max. Throws if the machine lacks the memory.
  package init(
    _ data: ArrangementData, targets: Matrix, loss: LossName, norm: WeightNorm = .group,
    grouping: WeightGrouping, prefersInteriorPoint: Bool? = nil,
    newtonAbove: Double = .infinity,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.newtonAbove = newtonAbove
    self.targets = targets
    self.loss = loss.loss
    self.grouping = grouping
    self.norm = norm
    self.progress = progress
    let outputs = targets.columns
    try expectMemory(
      GatedLossSolver.memory(data, outputs: outputs),
      for: "a gated network of \(data.samples) samples, \(data.dimension) features, "
        + "\(data.patterns.count) patterns and \(outputs) output\(outputs == 1 ? "" : "s")")
    progress("looking for equal patterns")
    let members = DistinctPatterns(data.patterns, features: data.features).indices
    let features = PatternFeatures(data, members: members)
    self.features = features
    let isInterior =
      (prefersInteriorPoint ?? (data.samples <= GatedLossSolver.fewSamples))
      && (grouping == .perClass || targets.columns == 1)
      && DualTerm(loss.loss, Matrix(0, 1)) != nil
    problems = (isInterior ? (0..<outputs).map { $0..<$0 + 1 } : [0..<outputs]).map {
      SplitProgram(
        $0, of: targets, features, loss: loss.loss,
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
        points, targets: targets, loss: loss, beta: beta,
        groups: data.patterns.count, width: data.dimension, iterations: budget.iterations)
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue },
          neurons: points.reduce(0) { $0 + $1.active }))
      budget.publish(compose)
    }
    report()
    var status = Status.optimal
    for (p, point) in points.enumerated() where beta < (problems[p].largest.max() ?? 0) {
      let run = Run(
        problem: p, point: point, beta: beta, start: start, rule: rule, budget: budget)
      var end = Status.optimal
      for isInterior in [prefersInteriorPoint, !prefersInteriorPoint]
      where point.gap > rule.gap && (end == .optimal || end == .stalled) {
        if !isInterior {
          end =
            suitsWorkingSet(beta: beta)
            ? splitOverWorkingSet(run, report) : split(run, from: start, report)
        } else if problems[p].outputs.count == 1, data.samples <= GatedLossSolver.mostSamples,
          let term = DualTerm(loss, problems[p].targets)
        {
          let small = data.samples < 600
          end =
            small
            ? Threads.withSerialBLAS { interior(run, term, report) } : interior(run, term, report)
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

  /// For squared loss if β is large, or if ADMM stalls.
  private lazy var newton =
    loss is SquaredLoss && norm == .group
    ? try? GatedSolver(data, targets: targets, grouping: grouping, progress: progress) : nil
  private let newtonAbove: Double

  /// What a method is asked for.
  struct Run {
    let problem: Int
    let point: LossPoint
    let beta: Double
    let start: ArrangementSolution?
    let rule: StoppingRule
    let budget: Budget

    /// A tenth is left for the rounding of whoever recomputes it.
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

  // MARK: The interior-point method

  private func interior(_ run: Run, _ term: DualTerm, _ report: () -> Void) -> Status {
    if let limit = run.budget.exhausted { return limit }
    let problem = problems[run.problem]
    let n = data.samples
    let all = Array(0..<products.count)
    var norms = [Double](repeating: 0, count: all.count)
    products.norms(problem.origin.base, all, into: &norms)
    let members =
      all.count <= GatedLossSolver.fewPatterns
      ? all
      : Array(
        all.sorted { (norms[$0], $1) > (norms[$1], $0) }.prefix(GatedLossSolver.fewPatterns / 2))
    var isInside = [Bool](repeating: false, count: all.count)
    for i in members { isInside[i] = true }
    func begin() -> LossInteriorPoint {
      LossInteriorPoint(
        products, kernel: kernel, term: term, beta: run.beta,
        members: all.filter { isInside[$0] })
    }
    var method = begin()
    var (best, idle) = (Double.infinity, 0)
    while true {
      let nu = method.nu
      products.norms(nu.base, all, into: &norms)
      let largest = problem.norms.largest(nu, of: norms)
      run.point.offer(dual: nu, largest: [largest])
      let primal = offer(method, run)
      report()
      if run.isReached { return .optimal }
      if let limit = run.budget.exhausted { return limit }
      run.budget.count()

      let inside = method.members.reduce(0) { max($0, norms[$1]) }
      let scaled = Matrix(copying: nu)
      scale(
        n, loss.scaling(nu, problem.targets, bound: run.beta / max(inside, 1e-300)), scaled.base)
      let restricted = relativeGap(
        primal: primal, dual: loss.dualValue(scaled, problem.targets))
      // Solved for those at work: begin again with those that they violate, and those that are near.
      let missing = all.filter { !isInside[$0] && norms[$0] > run.beta }
      if restricted < max(0.5 * run.rule.gap, 1e-3), !missing.isEmpty {
        for i in all where norms[i] > 0.95 * run.beta { isInside[i] = true }
        method = begin()
        (best, idle) = (.infinity, 0)
        continue
      }
      idle = restricted < 0.9 * best ? 0 : idle + 1
      best = min(best, restricted)
      if idle > 15 || !method.iterate() { return .stalled }
    }
  }

  /// Offers the iterate's weights, those that are next to nothing left out where that costs next to
  /// nothing; returns the objective of all.
  private func offer(_ method: LossInteriorPoint, _ run: Run) -> Double {
    let (d, targets) = (data.dimension, problems[run.problem].targets)
    let weights = method.weights
    let lengths = method.members.indices.map { LinearAlgebra.norm(d, weights.row($0)) }
    let predictions = method.predictions
    let primal = loss.value(predictions, targets) + run.beta * lengths.reduce(0, +)
    guard primal < run.point.primal else { return primal }
    let least = 1e-5 * (lengths.max() ?? 0)
    let kept = lengths.indices.filter { lengths[$0] > least }
    let part = Matrix(kept.count, d)
    for (k, i) in kept.enumerated() { part.row(k).update(from: weights.row(i), count: d) }
    let members = kept.map { method.members[$0] }
    let images = Matrix(kept.count, data.samples)
    products.images(part, members, into: images)
    let fitted = Matrix(data.samples, 1)
    for k in kept.indices { axpy(data.samples, 1, images.row(k), fitted.base) }
    let value =
      loss.value(fitted, targets) + run.beta * kept.reduce(0) { $0 + lengths[$1] }
    func patterns(_ members: [Int]) -> [Int] { members.map { features.members[$0] } }
    if value <= primal + 0.05 * run.rule.gap * abs(primal) {
      run.point.offer(
        primal: value, active: kept.count, members: patterns(members), weights: part,
        predictions: fitted)
    } else {
      run.point.offer(
        primal: primal, active: lengths.count, members: patterns(method.members),
        weights: weights, predictions: predictions)
    }
    return primal
  }
}
