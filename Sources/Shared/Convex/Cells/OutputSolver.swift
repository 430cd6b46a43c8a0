import Glibc
import LinearAlgebra
import Schema

/// The solution of one output, in the coordinates of the low-rank solver.
struct OutputSolution {
  /// v of the cells with sign +, w of those with sign −.
  var weights: [SignedCell: [Double]]
  /// A feasible ν.
  var dual: [Double]
  var primal: Double
  var dualValue: Double
  var status: Status
}

/// Column generation for one output of a ReLU network.
///
/// A round solves the program over the working cells, to the accuracy that the missing cells allow. Then the cells
/// enter at which the dual constraint has its peaks over the sphere of all directions, and, once it is nearly
/// satisfied, their neighbours; cells without weight leave. A cell that comes back stays, so that rounds do not repeat.
struct OutputSolver {
  private let pricing: CellPricing
  private let n: Int
  /// The targets, of size 1 in the mean.
  private let y: [Double]
  private let size: Double
  private let beta: Double
  private let gap: Double
  private let budget: Budget

  /// Cells leave if their weights are shorter than this, relative to the longest.
  private static let light = 1e-3
  /// Neighbours of peaks enter if the largest norm is at most this, relative to β.
  private static let near = 1.5
  /// A round ends when its own gap is at most this, relative to the gap over all cells.
  private static let enough = 0.3

  init(
    _ pricing: CellPricing, targets: [Double], beta: Double, gap: Double, budget: Budget
  ) {
    self.pricing = pricing
    n = targets.count
    size = norm(n, targets) / Double(n).squareRoot()
    let unit = size > 0 ? size : 1
    y = targets.map { $0 / unit }
    self.beta = beta / unit
    self.gap = gap
    self.budget = budget
  }

  /// The best points so far, in scaled units.
  private struct Best {
    var weights: [SignedCell: [Double]] = [:]
    var residual: [Double]
    var primal: Double
    var nu: [Double]
    var dual = 0.0
    var gap: Double { relativeGap(primal: primal, dual: dual) }
  }

  /// Solves, beginning with cells that may carry weight and a ν that may be near the solution's. `trace` receives the
  /// primal and the dual value and the number of cells with weight, and can ask for the point.
  func solve(
    from start: Set<SignedCell> = [], dual: [Double]? = nil,
    trace: (_ primal: Double, _ dual: Double, _ neurons: Int, _ point: () -> OutputSolution) -> Void
  ) -> OutputSolution {
    var best = Best(
      residual: y, primal: 0.5 * dot(n, y, y), nu: Array(repeating: 0, count: n))
    var answer = price(y, &best)
    if let dual, best.gap > gap, size > 0 { answer = price(dual.map { $0 / size }, &best) }
    var status = best.gap <= gap ? Status.optimal : nil
    var working = start
    var (seen, returned) = (start, Set<SignedCell>())
    var isFirst = true
    while status == nil {
      let entering = self.entering(answer, working)
      guard !entering.isEmpty || (isFirst && !working.isEmpty) else {
        status = .stalled
        break
      }
      isFirst = false
      returned.formUnion(entering.intersection(seen))
      seen.formUnion(entering)
      working.formUnion(entering)
      let cells = WorkingCells(working, pricing)
      let point = CellInteriorPoint(cells.program(y, beta: beta))
      while status == nil {
        status = budget.exhausted
        guard status == nil, cells.iterate(point) else { break }
        budget.count()
        keep(point, cells, &best)
        // Far from the end prices tell nothing.
        guard point.complementarity < 0.5 * point.primal else { continue }
        answer = price(point.dual, &best)
        trace(size * size * best.primal, size * size * best.dual, best.weights.count) {
          written(best, .stalled)
        }
        if best.gap <= gap { status = .optimal }
        // The gap that remains then comes from the cells that are missing.
        if point.primalResidual < 1e-6,
          point.complementarity < OutputSolver.enough * (best.primal - best.dual),
          answer.above.contains(where: { !working.contains($0.cell) })
        {
          break
        }
      }
      let lengths = cells.lengths(point)
      let longest = lengths.values.max() ?? 0
      working = working.filter {
        lengths[$0]! > OutputSolver.light * longest || returned.contains($0)
      }
    }
    prune(&best)
    return written(best, status ?? .stalled)
  }

  /// The point in units of the targets.
  private func written(_ best: Best, _ status: Status) -> OutputSolution {
    OutputSolution(
      weights: best.weights.mapValues { $0.map { $0 * size } }, dual: best.nu.map { $0 * size },
      primal: size * size * best.primal, dualValue: size * size * best.dual, status: status)
  }

  /// Prices all cells by `nu`, and keeps s ν as the dual point if it is the best so far; s is the best factor for which
  /// the point is feasible.
  private func price(_ nu: [Double], _ best: inout Best) -> CellPricing.Answer {
    let answer = pricing.answer(nu, limit: beta)
    let (product, square) = (dot(n, nu, y), dot(n, nu, nu))
    guard square > 0 else { return answer }
    let limit = answer.largest > 0 ? beta / answer.largest : .infinity
    let factor = max(-limit, min(limit, product / square))
    let value = factor * product - 0.5 * factor * factor * square
    if value > best.dual {
      best.dual = value
      best.nu = nu.map { factor * $0 }
    }
    return answer
  }

  /// The cells that enter: peaks, near the end their neighbours, and the same cells with the other sign, which balance
  /// a start far inside. If no peak is new, every cell that violates its constraint enters.
  private func entering(
    _ answer: CellPricing.Answer, _ working: Set<SignedCell>
  ) -> Set<SignedCell> {
    var cells: Set<SignedCell> = []
    for (peak, _) in pricing.peaks(answer) {
      cells.insert(peak)
      guard answer.largest < OutputSolver.near * beta else { continue }
      for other in pricing.neighbours[peak.cell] {
        cells.insert(SignedCell(cell: Int(other), isNegative: peak.isNegative))
      }
    }
    if cells.isSubset(of: working) { cells = Set(answer.above.map(\.cell)) }
    cells.formUnion(cells.map { SignedCell(cell: $0.cell, isNegative: !$0.isNegative) })
    return cells.subtracting(working)
  }

  /// Keeps the point if it is the best so far. The weights of a cell's simplices add up, which makes no norm larger.
  private func keep(
    _ point: CellInteriorPoint, _ cells: WorkingCells, _ best: inout Best
  ) {
    guard point.primal < 2 * best.primal else { return }
    let weights = cells.weights(point)
    let lengths = weights.values.reduce(0) { $0 + norm(pricing.splitting.r, $1) }
    let residual = point.residual
    let primal = 0.5 * dot(n, residual, residual) + beta * lengths
    if primal < best.primal {
      (best.primal, best.weights, best.residual) = (primal, weights, residual)
    }
  }

  /// Drops weights that the objective does not need, the shortest first, as long as the objective grows by no more than
  /// a tenth of the gap.
  private func prune(_ best: inout Best) {
    let r = pricing.splitting.r
    let limit = min(
      best.primal + 0.1 * (best.primal - best.dual),
      max(best.primal, best.dual / (1 - 0.999 * gap)))
    let lengths = best.weights.mapValues { norm(r, $0) }
    let longest = lengths.values.max() ?? 0
    for threshold in [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10] {
      let dropped = best.weights.filter { lengths[$0.key]! <= threshold * longest }
      var residual = best.residual
      for (cell, weights) in dropped {
        for j in 0..<n where pricing.patterns.isActive(cell.cell, row: j) {
          residual[j] += cell.sign * dot(r, pricing.features.row(j), weights)
        }
      }
      let kept = best.weights.filter { dropped[$0.key] == nil }
      let primal =
        0.5 * dot(n, residual, residual) + beta * kept.keys.reduce(0) { $0 + lengths[$1]! }
      if primal <= limit {
        (best.weights, best.residual, best.primal) = (kept, residual, primal)
        return
      }
    }
  }
}
