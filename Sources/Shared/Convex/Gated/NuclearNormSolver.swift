import LinearAlgebra
import Tensors

/// Trains gated-ReLU networks with several outputs: min ½‖Σ_i D_i X V_i − Y‖² + β Σ_i ‖V_i‖_*, V_i ∈ R^{d×C}
/// (Sahiner, Ergen, Pauly & Pilanci 2021), by ADMM over the patterns that matter. The dual constraint is
/// ‖Xᵀ D_i N‖₂ ≤ β for every pattern.
package final class NuclearNormSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  /// Y, n × C, and Yᵀ.
  private let targets: Matrix
  private let rows: Matrix
  /// ‖Xᵀ D_i Y‖₂ of every pattern.
  private let correlations: [Double]
  private let progress: (String) -> Void
  /// The kernel of the patterns it was made for, for the next β.
  private var system: (patterns: [Int], kernel: RidgeSystem)?

  /// A program of at most this many patterns is solved over all of them at once, a larger one over those
  /// whose constraints are violated otherwise.
  private let manyPatterns: Int

  /// `targets` is n × C. Throws where the kernel does not fit into memory.
  package init(
    _ data: ArrangementData, targets: Matrix, manyPatterns: Int = 512,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    self.manyPatterns = manyPatterns
    self.data = data
    self.targets = targets
    self.progress = progress
    rows = targets.transposed
    let width = Double(min(data.patterns.count, manyPatterns) * targets.columns)
    try expectMemory(
      RidgeSystem.memory(samples: data.samples) + 24 * width * Double(data.dimension),
      for: "the kernel of \(data.samples) samples")
    correlations = NuclearNormSolver.spectralNorms(data, rows)
    betaMax = correlations.max() ?? 0
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let best = BestPoint(data, targets: targets, beta: beta)
    func solution(_ status: Status) -> ArrangementSolution {
      best.solution(status: status, gap: rule.gap, iterations: budget.iterations)
    }
    best.offerDual(rows, kappa: betaMax)
    guard beta < betaMax else {
      tell(best, budget, trace)
      return solution(.optimal)
    }

    var working = initialPatterns(start)
    // While others are still to be priced, a tenth of the gap over all patterns is accurate enough.
    let finest = 0.5 * rule.gap
    var accuracy = max(finest, 0.1)
    while true {
      let isComplete = working.count == data.patterns.count
      let kernel = kernel(of: working)
      let admm = NuclearNormADMM(
        data, patterns: working, targets: rows, beta: beta, system: kernel)
      let end = run(
        admm, kernel, start: best.isZero ? start : best.start, isComplete: isComplete,
        accuracy: accuracy, best: best,
        rule: rule, budget: budget, trace: trace)
      if isComplete { return solution(end) }
      // The patterns that were left out: price them at what the others found.
      let dual = admm.residual
      let norms = NuclearNormSolver.spectralNorms(data, dual)
      best.offerDual(dual, kappa: norms.max() ?? 0)
      tell(best, budget, trace)
      if best.gap <= rule.gap { return solution(.optimal) }
      if end != .optimal { return solution(end) }
      let present = Set(working)
      let violated = norms.indices.filter { !present.contains($0) && norms[$0] > beta }
        .sorted { (norms[$1], $0) < (norms[$0], $1) }
      if violated.isEmpty, accuracy <= finest { return solution(.stalled) }
      accuracy = violated.isEmpty ? finest : max(finest, min(accuracy, 0.1 * best.gap))
      working = (working + violated.prefix(max(64, working.count))).sorted()
    }
  }

  /// Iterates until the gap is reached; where other patterns are still to be priced, until that over the
  /// patterns at work is at most `accuracy`.
  private func run(
    _ admm: NuclearNormADMM, _ kernel: RidgeSystem, start: ArrangementSolution?, isComplete: Bool,
    accuracy: Double, best: BestPoint, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> Status {
    let beta = best.beta
    var ridge = 3 * kernel.scale * (beta / betaMax) * (1 + 50 * beta / betaMax)
    let warm = start.map { weights(of: $0, for: admm.patterns) }
    if let warm, warm.norm > 0 {
      ridge = 2.5 * beta * Double(warm.count) / warm.norm
    }
    guard kernel.factor(ridge: ridge) else { return .stalled }
    if let start, let warm { admm.begin(at: warm.rows, dual: start.dual.transposed) }

    var local = Restricted(rows)
    var control = PenaltyControl()
    var iteration = 0
    var (stalledAt, smallest) = (0, Double.infinity)
    while true {
      if let limit = budget.exhausted { return limit }
      iteration += 1
      budget.count()
      let check = admm.step()
      guard check.primal.isFinite, check.kappa.isFinite else { return .stalled }
      best.offerPrimal(check, admm)
      local.offer(check, dual: admm.residual, beta: beta)
      if isComplete {
        best.offerDual(admm.residual, kappa: check.kappa)
        tell(best, budget, trace)
        if best.gap <= rule.gap { return .optimal }
      } else if relativeGap(primal: local.primal, dual: local.dual) <= accuracy {
        return .optimal
      }
      let gap = relativeGap(primal: local.primal, dual: local.dual)
      if gap < 0.9 * smallest { (smallest, stalledAt) = (gap, iteration) }
      if iteration - stalledAt > 400 { return .stalled }
      let factor = control.factor(
        primalResidual: check.primalResidual, dualResidual: check.dualResidual, gap: gap)
      if let factor {
        guard admm.changeRidge(to: kernel.ridge * factor) else { return .stalled }
      }
    }
  }

  /// The best values over the patterns that are at work.
  private struct Restricted {
    var primal = Double.infinity
    var dual = -Double.infinity
    private let targets: Matrix

    init(_ targets: Matrix) { self.targets = targets }

    mutating func offer(_ check: NuclearNormADMM.Check, dual nu: Matrix, beta: Double) {
      primal = min(primal, check.primal)
      let loss = SquaredLoss()
      let factor = loss.scaling(nu, targets, bound: beta / max(check.kappa, 1e-300))
      scale(nu.count, factor, nu.base)
      dual = max(dual, loss.dualValue(nu, targets))
    }
  }

  private func tell(_ best: BestPoint, _ budget: Budget, _ trace: (TraceRow) -> Void) {
    trace(
      TraceRow(
        iteration: budget.iterations, seconds: budget.seconds, primal: best.primal,
        dual: best.dualValue, neurons: best.rank))
    budget.publish { best.solution(status: .stalled, gap: 0, iterations: budget.iterations) }
  }

  private func kernel(of patterns: [Int]) -> RidgeSystem {
    if let system, system.patterns == patterns { return system.kernel }
    progress("the kernel of \(data.samples) samples over \(patterns.count) patterns")
    // The old one goes before there are two.
    system = nil
    let kernel = RidgeSystem(data, patterns: patterns)
    system = (patterns, kernel)
    return kernel
  }

  /// All patterns, or those that correlate most with the targets and those of the start.
  private func initialPatterns(_ start: ArrangementSolution?) -> [Int] {
    let count = data.patterns.count
    guard count > manyPatterns else { return Array(0..<count) }
    let order = (0..<count).sorted { (correlations[$1], $0) < (correlations[$0], $1) }
    return Set(order.prefix(manyPatterns / 4) + (start?.index ?? [])).sorted()
  }

  /// The weights of `start` as rows for `patterns`, P·C × d, how many patterns have them, and their norm.
  private func weights(
    of start: ArrangementSolution, for patterns: [Int]
  ) -> (rows: Matrix, count: Int, norm: Double) {
    let (classes, d) = (targets.columns, data.dimension)
    let result = Matrix(patterns.count * classes, d)
    let place = Dictionary(uniqueKeysWithValues: patterns.enumerated().map { ($1, $0) })
    for (k, pattern) in start.index.enumerated() {
      guard let i = place[pattern] else { continue }
      for c in 0..<classes {
        result.row(i * classes + c).update(from: start.positive[c].row(k), count: d)
      }
    }
    let norm = start.neurons(.nuclear).reduce(0) { $0 + $1.weight(.nuclear) }
    return (result, start.index.count, norm)
  }

  /// ‖Xᵀ D_i N‖₂ of every pattern, for the C rows of `rows` as N.
  private static func spectralNorms(_ data: ArrangementData, _ rows: Matrix) -> [Double] {
    let count = data.patterns.count
    let result = Matrix(1, count)
    let workers = max(1, min(Threads.count, count))
    Threads.perform(workers) { part in
      let range = count * part / workers..<count * (part + 1) / workers
      let classes = rows.rows
      let columns = PatternColumns(
        samples: data.samples, classes: classes, patterns: range.count)
      let products = Matrix(columns.block * classes, data.dimension)
      let gram = Matrix(classes, classes)
      let eigen = SymmetricEigensolver(order: classes)
      for first in stride(from: range.lowerBound, to: range.upperBound, by: columns.block) {
        let block = Array(first..<min(first + columns.block, range.upperBound))
        columns.transposedProduct(block, data, rows, into: products.base)
        for (i, pattern) in block.enumerated() {
          syrkRowsUpper(classes, data.dimension, products.row(i * classes), gram.base)
          let isDone = eigen.decompose(gram.base, vectors: false)
          result[0, pattern] =
            isDone ? max(0, eigen.values[classes - 1]).squareRoot() : .infinity
        }
      }
    }
    return result.values
  }
}
