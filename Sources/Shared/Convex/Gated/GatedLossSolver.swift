import LinearAlgebra
import Tensors

/// Trains gated-ReLU networks with any loss: min ℓ(Σ_i D_i X W_i) + β Σ ‖W_g‖ with a group for each pattern
/// and output or for each pattern, by ADMM over the patterns that matter.
package final class GatedLossSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  /// n × C.
  private let targets: Matrix
  private let loss: any Loss
  private let grouping: WeightGrouping
  private let progress: (String) -> Void
  private let features: PatternFeatures
  private let norms: GroupNorms
  /// −∇ℓ(0) and its norms' bounds.
  private let origin: Matrix
  private let originLargest: [Double]
  private lazy var system = SplitSystem(features)
  private var penalties: (loss: Double, norm: Double)?

  /// `targets` is n × C. Throws where the machine has not the memory.
  package init(
    _ data: ArrangementData, targets: Matrix, loss: LossName, grouping: WeightGrouping,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    self.loss = loss.loss
    self.grouping = grouping
    self.progress = progress
    try GatedLossSolver.expectMemory(for: data, outputs: targets.columns)
    progress("looking for equal patterns")
    let members = DistinctPatterns(data.patterns, features: data.features).indices
    features = PatternFeatures(data, members: members)
    norms = GroupNorms(features, grouping: grouping, outputs: targets.columns)
    origin = Matrix(targets.rows, targets.columns)
    self.loss.residual(Matrix(targets.rows, targets.columns), targets, into: origin)
    norms.compute(origin)
    originLargest = norms.largest(origin)
    betaMax = norms.values.values.max() ?? 0
  }

  private static func expectMemory(for data: ArrangementData, outputs: Int) throws {
    let (n, d, patterns) = (data.samples, data.dimension, data.patterns.count)
    try Tensors.expectMemory(
      SplitSystem.memory(samples: n) + Double(n) * Double(8 * d + 4 * patterns)
        + TwoSplitADMM.memory(samples: n, groups: patterns, width: d, outputs: outputs),
      for: "a gated network of \(data.samples) samples, \(data.dimension) features, "
        + "\(data.patterns.count) patterns and \(outputs) output\(outputs == 1 ? "" : "s")")
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let point = LossPoint(targets, loss: loss, grouping: grouping, beta: beta)
    point.offer(dual: origin, largest: originLargest)
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: point.primal,
          dual: point.dualValue, neurons: point.active))
    }
    report()
    var status = Status.optimal
    if beta < betaMax, point.gap > rule.gap {
      status = split(point, beta: beta, from: start, rule: rule, budget: budget, report: report)
    }
    let solution = compose(point, beta: beta, iterations: budget.iterations)
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  /// Iterates until the gap is reached.
  private func split(
    _ point: LossPoint, beta: Double, from start: ArrangementSolution?, rule: StoppingRule,
    budget: Budget, report: () -> Void
  ) -> Status {
    if let limit = budget.exhausted { return limit }
    progress("the kernel of \(data.samples) samples over \(features.groups) patterns")
    let admm = TwoSplitADMM(
      features, system: system, targets: targets, loss: loss, grouping: grouping, beta: beta,
      penalties: penalties)
    guard admm.prepare() else { return .stalled }
    if let start { admm.begin(at: weights(of: start), dual: start.dual) }
    let (predictions, nu) = (
      Matrix(targets.rows, targets.columns), Matrix(targets.rows, targets.columns)
    )
    var iteration = 0
    var lastChange = 0
    var (smallest, smallestAt) = (Double.infinity, 0)
    while true {
      if let limit = budget.exhausted { return limit }
      budget.count()
      iteration += 1
      admm.iterate()
      guard iteration % GatedLossSolver.checkInterval == 0 else { continue }
      admm.predictions(into: predictions)
      let primal = loss.value(predictions, targets) + beta * admm.penalty
      guard primal.isFinite else { return .stalled }
      point.offer(
        primal: primal, active: admm.active, members: features.members, weights: admm.weights,
        predictions: predictions)
      admm.dual(into: nu)
      loss.restrict(nu, targets)
      offer(nu, to: point)
      if loss.name != .hinge {
        loss.residual(predictions, targets, into: nu)
        offer(nu, to: point)
      }
      report()
      penalties = (admm.lossPenalty, admm.normPenalty)
      if point.gap <= 0.9 * rule.gap { return .optimal }
      if point.gap < 0.9 * smallest { (smallest, smallestAt) = (point.gap, iteration) }
      if iteration - smallestAt > GatedLossSolver.patience { return .stalled }
      admm.refresh()
      if iteration - lastChange >= 20, iteration < 1000 {
        let (hasChanged, isSound) = admm.adaptPenalties()
        guard isSound else { return .stalled }
        if hasChanged { lastChange = iteration }
      }
    }
  }

  /// Iterations from one certificate to the next.
  private static let checkInterval = 10
  /// Iterations that may pass without a gap a tenth smaller.
  private static let patience = 2000

  private func offer(_ nu: Matrix, to point: LossPoint) {
    norms.compute(nu)
    point.offer(dual: nu, largest: norms.largest(nu))
  }

  /// The weights of `start` as rows, PC × d.
  private func weights(of start: ArrangementSolution) -> Matrix {
    let (outputs, d) = (targets.columns, data.dimension)
    let result = Matrix(features.groups * outputs, d)
    let place = Dictionary(
      uniqueKeysWithValues: features.members.enumerated().map { ($1, $0) })
    for (k, pattern) in start.index.enumerated() {
      guard let i = place[pattern] else { continue }
      for c in 0..<outputs {
        result.row(i * outputs + c).update(from: start.positive[c].row(k), count: d)
      }
    }
    return result
  }

  /// The solution with its objectives from the numbers that are written.
  private func compose(
    _ point: LossPoint, beta: Double, iterations: Int
  ) -> ArrangementSolution {
    let (outputs, d) = (targets.columns, data.dimension)
    let active = point.members.indices.filter { i in
      norm(outputs * d, point.weights.row(i * outputs)) > 0
    }
    var penalty = 0.0
    let positive = (0..<outputs).map { c in
      let matrix = Matrix(active.count, d)
      for (k, i) in active.enumerated() {
        matrix.row(k).update(from: point.weights.row(i * outputs + c), count: d)
      }
      return matrix
    }
    for k in active.indices {
      let lengths = positive.map { norm(d, $0.row(k)) }
      penalty += grouping == .perClass ? lengths.reduce(0, +) : norm(outputs, lengths)
    }
    return ArrangementSolution(
      index: active.map { point.members[$0] }, positive: positive, dual: point.dual,
      predictions: point.predictions, status: .optimal,
      primal: loss.value(point.predictions, targets) + beta * penalty,
      dualValue: loss.dualValue(point.dual, targets), iterations: iterations)
  }
}

extension Loss {
  /// Takes away what rounding puts beyond the conjugate's domain.
  func restrict(_ nu: Matrix, _ targets: Matrix) {
    switch name {
    case .hinge, .logistic:
      for k in 0..<nu.count {
        let y = targets.base[k]
        nu.base[k] = y * min(1, max(0, y * nu.base[k]))
      }
    case .huber: for k in 0..<nu.count { nu.base[k] = min(1, max(-1, nu.base[k])) }
    case .squared: break
    case .crossEntropy:
      // The columns of each row sum to 0, and none exceeds its target.
      for j in 0..<nu.rows {
        let (row, y) = (nu.row(j), targets.row(j))
        var sum = 0.0
        for c in 0..<nu.columns {
          row[c] = max(0, y[c] - row[c])
          sum += row[c]
        }
        for c in 0..<nu.columns { row[c] = y[c] - row[c] / sum }
      }
    }
  }
}
