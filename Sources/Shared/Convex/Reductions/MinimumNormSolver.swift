import LinearAlgebra
import Schema
import Tensors

/// Networks of the smallest norm under a constraint on what they put out (Wang and Pilanci 2021): ŷ = y, or margins
/// yŷ ≥ 1 for targets ±1,
///
///   min Σ ‖v_i‖ + ‖w_i‖ s.t. the constraint;  max yᵀν s.t. κ(ν) ≤ 1, for margins yν ≥ 0.
///
/// The constraint is an exact penalty: with ℓ the sum of |ŷ − y|/2, or of hinges, the program ℓ + β Σ‖·‖ has the same
/// minimisers for every β below 1/(2 max |ν|), or 1/max |ν|. It is solved for smaller and smaller β until its ν keeps away
/// from the ends of its range; what rounding leaves of the constraint is then removed.
package final class MinimumNormSolver<Inner: RegularizedSolver>: RegularizedSolver
where Inner.Start == ArrangementSolution?, Inner.Point == ArrangementSolution {
  package let betaMax = Double.greatestFiniteMagnitude
  private let inner: Inner
  private let data: ArrangementData
  private let targets: Matrix
  private let goal: NormConstraint
  private let activation: Activation
  /// Whether a point was found that satisfies the constraint, and the output that was farthest from it.
  package private(set) var isFeasible = false
  package private(set) var farthest = 0

  /// `inner` solves the program over `data` with the loss `goal.penalty`; `targets` are n × C.
  package init(
    _ inner: Inner, data: ArrangementData, targets: Matrix, goal: NormConstraint,
    activation: Activation
  ) {
    (self.inner, self.data, self.targets, self.goal) = (inner, data, targets, goal)
    self.activation = activation
  }

  package func start(at point: ArrangementSolution) -> ArrangementSolution? { point }

  package func predictions(_ point: ArrangementSolution, on data: Inner.Data) -> Matrix {
    inner.predictions(point, on: data)
  }

  /// The share of the range of ν that the exact penalty may take.
  private static var range: Double { 0.9 }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    var innerRule = rule
    innerRule.gap = min(0.1 * rule.gap, 1e-9)
    var best: ArrangementSolution?
    var previous = start
    var scale = 0.1 * inner.betaMax
    for _ in 0..<14 where scale > 0 {
      let point = inner.point(
        beta: scale, from: previous, rule: innerRule, budget: budget, trace: { _ in })
      previous = point
      let candidate = converted(point, beta: scale)
      if let candidate, candidate.gap < best?.gap ?? .infinity {
        best = candidate
        trace(
          TraceRow(
            iteration: budget.iterations, seconds: budget.seconds, primal: candidate.primal,
            dual: candidate.dualValue, neurons: candidate.index.count))
        budget.publish { candidate }
      }
      if let best, best.gap <= rule.gap { break }
      if budget.exhausted != nil { break }
      scale *= 0.1
    }
    // If no gate lets anything through, the zero network is all there is.
    isFeasible = best != nil || (inner.betaMax == 0 && goal == .interpolation && isZero)
    guard let best else { return infeasible(previous, budget) }
    return best.with(best.gap <= rule.gap ? .optimal : budget.exhausted ?? .stalled)
  }

  private var isZero: Bool { (0..<targets.count).allSatisfy { targets.base[$0] == 0 } }

  /// The point with ν over β, and with weights that satisfy the constraint; nil if they are too far from it.
  private func converted(_ point: ArrangementSolution, beta: Double) -> ArrangementSolution? {
    var result = point
    let closest =
      goal == .margin ? scaledToMargin(&result) : interpolating(&result)
    guard closest else { return nil }
    scale(result.dual.count, 1 / beta, result.dual.base)
    result.primal = lengths(result)
    result.dualValue = dot(targets.count, result.dual.base, targets.base)
    result.iterations = point.iterations
    return result
  }

  private func lengths(_ point: ArrangementSolution) -> Double {
    (point.positive + point.negative).reduce(0) { sum, weights in
      (0..<weights.rows).reduce(sum) { $0 + norm(weights.columns, weights.row($1)) }
    }
  }

  /// Divides the weights of each output by its smallest margin; false if one is not above 0.
  private func scaledToMargin(_ point: inout ArrangementSolution) -> Bool {
    point.predictions.copy(from: predictions(of: point))
    for c in 0..<targets.columns {
      let margins = (0..<targets.rows).map { targets[$0, c] * point.predictions[$0, c] }
      guard let least = margins.min(), least > 0.5 else {
        farthest = margins.indices.min { margins[$0] < margins[$1] } ?? 0
        return false
      }
      // So that no rounding leaves a margin below 1.
      let factor = (1 + 4 * Double.ulpOfOne) / least
      point.positive[c] = Matrix(copying: point.positive[c])
      scale(point.positive[c].count, factor, point.positive[c].base)
      guard activation == .relu else { continue }
      point.negative[c] = Matrix(copying: point.negative[c])
      scale(point.negative[c].count, factor, point.negative[c].base)
    }
    point.predictions.copy(from: predictions(of: point))
    return true
  }

  /// How far ŷ may be from y before it is corrected, and after, relative to the largest |y|.
  private static var limits: (before: Double, after: Double) { (1e-4, 2e-10) }

  /// Adds the shortest change of the weights, each measured by its own length, that makes ŷ = y; false if they are too far
  /// from it.
  private func interpolating(_ point: inout ArrangementSolution) -> Bool {
    let largest = (0..<targets.count).reduce(0) { max($0, abs(targets.base[$1])) }
    let (n, d) = (data.samples, data.dimension)
    point.predictions.copy(from: predictions(of: point))
    func error() -> Double {
      var worst = 0.0
      for k in 0..<targets.count {
        let own = abs(targets.base[k] - point.predictions.base[k])
        if own > worst { (worst, farthest) = (own, k / targets.columns) }
      }
      return worst
    }
    guard error() <= MinimumNormSolver.limits.before * largest else { return false }
    for c in 0..<targets.columns {
      point.positive[c] = Matrix(copying: point.positive[c])
      if activation == .relu { point.negative[c] = Matrix(copying: point.negative[c]) }
    }
    let gram = product(data.features, .plain, data.features, .transposed)
    for _ in 0..<4 where error() > 0 {
      for c in 0..<targets.columns {
        let signed =
          [(1.0, point.positive[c])] + (activation == .relu ? [(-1.0, point.negative[c])] : [])
        // Σ ‖v‖² D_i X Xᵀ D_i over the active weights.
        let kernel = Matrix(n, n)
        for (_, weights) in signed {
          for (k, i) in point.index.enumerated() {
            let length = norm(d, weights.row(k))
            guard length > 0 else { continue }
            for a in 0..<n where data.patterns.isActive(i, row: a) {
              for b in 0...a where data.patterns.isActive(i, row: b) {
                kernel[a, b] += length * length * gram[a, b]
              }
            }
          }
        }
        let trace = (0..<n).reduce(0) { max($0, kernel[$1, $1]) }
        for a in 0..<n { kernel[a, a] += 1e-13 * trace }
        guard trace > 0, choleskyLower(n, kernel.base) else { continue }
        let right = Matrix(1, n, (0..<n).map { targets[$0, c] - point.predictions[$0, c] })
        choleskySolve(n, kernel.base, right.base, count: 1)
        for (sign, weights) in signed {
          for (k, i) in point.index.enumerated() {
            let length = norm(d, weights.row(k))
            for a in 0..<n where data.patterns.isActive(i, row: a) {
              axpy(d, sign * length * length * right[0, a], data.features.row(a), weights.row(k))
            }
          }
        }
      }
      point.predictions.copy(from: predictions(of: point))
    }
    return error() <= MinimumNormSolver.limits.after * largest
  }

  /// Σ D_i X (v_i − w_i), n × C.
  private func predictions(of point: ArrangementSolution) -> Matrix {
    point.recomputedPredictions(data)
  }

  private func infeasible(_ point: ArrangementSolution?, _ budget: Budget) -> ArrangementSolution {
    let zero = Matrix(targets.rows, targets.columns)
    let none = (0..<targets.columns).map { _ in Matrix(0, data.dimension) }
    return ArrangementSolution(
      index: [], positive: none, negative: activation == .relu ? none : [], dual: zero,
      predictions: Matrix(copying: zero), status: budget.exhausted ?? .stalled, primal: 0,
      dualValue: 0, iterations: budget.iterations)
  }
}
