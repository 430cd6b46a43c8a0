import Glibc
import LinearAlgebra
import Schema

/// Trains ReLU networks on data of small rank over the cells of an arrangement: all of them, or any subset.
///
/// Column generation: an interior-point method solves the program over a few cones, all others are priced by the
/// exact norm of their dual constraint, and those that violate it enter, until the gap over all is certified. With
/// the complete list the optimum is that of all ReLU networks (Pilanci and Ergen, 2020).
package final class LowRankSolver: ArrangementSolver {
  private let data: ArrangementData
  private let targets: Matrix
  /// X in an orthonormal basis of its rows' space over `unit`, n × r, and that basis (r × d).
  private let features: Matrix
  private let basis: Matrix
  private let unit: Double
  private let pricing: CellPricing
  /// The smallest β that makes the network zero.
  package let betaMax: Double

  /// `targets` are n × C. Returns `nil` if this solver does not apply: if the rank is above 4, if gates have
  /// thresholds, or if a gate does not attain its pattern strictly.
  package init?(data: ArrangementData, targets: Matrix) {
    guard let cells = LowRankCells(data) else { return nil }
    self.data = data
    self.targets = targets
    (basis, features, unit) = (cells.basis, cells.features, cells.unit)
    let pricing = CellPricing(
      features: features, patterns: data.patterns, splitting: cells.splitting,
      rows: cells.hyperplanes.rows)
    self.pricing = pricing
    betaMax =
      unit
      * (0..<targets.columns).reduce(0) {
        max($0, pricing.answer(targets.column($1), limit: .infinity).largest)
      }
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    withoutActuallyEscaping(trace) {
      solve(beta: beta, from: start, rule: rule, budget: budget, trace: $0)
    }
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .relu, gatesOf: self.data)
  }

  /// Solves each output by itself for β > 0, from an `earlier` solution over the same patterns if there is one.
  package func solve(
    beta: Double, from earlier: ArrangementSolution? = nil, rule: StoppingRule, budget: Budget,
    trace: @escaping (TraceRow) -> Void = { _ in }
  ) -> ArrangementSolution {
    let (d, classes) = (data.dimension, targets.columns)
    var outputs: [OutputSolution] = []
    var status = Status.optimal
    for c in 0..<classes {
      var start: Set<SignedCell> = []
      if let earlier {
        for (place, cell) in earlier.index.enumerated() {
          for (weights, isNegative) in [(earlier.positive[c], false), (earlier.negative[c], true)]
          where norm(d, weights.row(place)) > 0 {
            start.insert(SignedCell(cell: cell, isNegative: isNegative))
          }
        }
      }
      let done = outputs.reduce((primal: 0.0, dual: 0.0)) {
        ($0.primal + $1.primal, $0.dual + $1.dualValue)
      }
      let solver = OutputSolver(
        pricing, targets: targets.column(c), beta: beta / unit, gap: rule.gap, budget: budget)
      let output = solver.solve(from: start, dual: earlier?.dual.column(c)) {
        primal, dual, neurons, point in
        trace(
          TraceRow(
            iteration: budget.iterations, seconds: budget.seconds, primal: done.primal + primal,
            dual: done.dual + dual, neurons: neurons))
        budget.publish {
          compose(outputs + [point()], beta: beta, .stalled, iterations: budget.iterations)
        }
      }
      outputs.append(output)
      if output.status != .optimal, status == .optimal { status = output.status }
    }

    return compose(outputs, beta: beta, status, iterations: budget.iterations)
  }

  /// The solution of all outputs; outputs that are still to be solved are zero.
  private func compose(
    _ outputs: [OutputSolution], beta: Double, _ status: Status, iterations: Int
  ) -> ArrangementSolution {
    let (n, d, classes) = (data.samples, data.dimension, targets.columns)
    let index = Set(outputs.flatMap { $0.weights.keys.map(\.cell) }).sorted()
    let place = Dictionary(uniqueKeysWithValues: index.enumerated().map { ($1, $0) })
    var solution = ArrangementSolution(
      index: index, positive: [], negative: [], dual: Matrix(n, classes),
      predictions: Matrix(n, classes), status: status, primal: 0, dualValue: 0,
      iterations: iterations)
    for (c, output) in outputs.enumerated() {
      let (v, w) = (Matrix(index.count, d), Matrix(index.count, d))
      for (cell, weights) in output.weights {
        // Back from the basis: v = Bᵀ z/unit.
        let target = (cell.isNegative ? w : v).row(place[cell.cell]!)
        gemv(basis.rows, d, alpha: 1 / unit, basis.base, .transposed, weights, target)
      }
      solution.positive.append(v)
      solution.negative.append(w)
      for i in 0..<n { solution.dual[i, c] = output.dual[i] }
      solution.dualValue +=
        dot(n, output.dual, targets.column(c)) - 0.5 * dot(n, output.dual, output.dual)
    }
    for _ in outputs.count..<classes {
      solution.positive.append(Matrix(index.count, d))
      solution.negative.append(Matrix(index.count, d))
    }
    evaluate(&solution, beta: beta)
    return solution
  }

  /// Predictions and primal value of the weights as they are written.
  private func evaluate(_ solution: inout ArrangementSolution, beta: Double) {
    let (n, d) = (data.samples, data.dimension)
    var lengths = 0.0
    let products = Matrix(1, n)
    let masked = Matrix(1, n)
    for c in 0..<targets.columns {
      for (place, cell) in solution.index.enumerated() {
        for (weights, sign) in [(solution.positive[c], 1.0), (solution.negative[c], -1)] {
          let row = weights.row(place)
          let length = norm(d, row)
          guard length > 0 else { continue }
          lengths += length
          gemv(n, d, data.features.base, .plain, row, products.base)
          data.patterns.mask(cell, products.base, into: masked.base)
          for i in 0..<n { solution.predictions[i, c] += sign * masked.base[i] }
        }
      }
    }
    var loss = 0.0
    for i in 0..<targets.count {
      let difference = solution.predictions.base[i] - targets.base[i]
      loss += difference * difference
    }
    solution.primal = 0.5 * loss + beta * lengths
    // If both values are equal, rounding can put the dual value above the primal.
    if solution.dualValue > solution.primal,
      solution.dualValue - solution.primal < 1e-12 * solution.primal
    {
      solution.dualValue = solution.primal
    }
  }
}
