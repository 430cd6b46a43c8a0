import LinearAlgebra
import Schema
import Tensors

/// Trains ReLU networks with batch normalisation after the ReLU on data of rank at most 4, with squared loss. With the
/// unit vectors h = C (X u)₊/‖C (X u)₊‖ of the listed cells and e = 1/√n, which is orthogonal to all of them, each output
/// is
///
///   min ½ ‖Σ γ_k h_k + a e − y‖² + β √((Σ |γ_k|)² + a²),
///
/// since groups (γ_k, a_k) are shortest if all a_k/γ_k are equal. Column generation: the master has h_k that had the largest price |hᵀν|
/// in their cell, found by non-negative least squares over the images of the cell's rays.
package final class NormalizedReLUSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: NormalizedPatterns
  private let targets: Matrix
  private let cells: [CellImages]

  /// The unit images C D_i X w of a cell's rays w, k × n, and these w, k × d.
  struct CellImages {
    let images: Matrix
    let weights: Matrix
  }

  /// `targets` are n × C. Returns nil if the rank is above 4, if gates have thresholds, or if a gate does not attain its
  /// pattern strictly.
  package init?(_ data: NormalizedPatterns, targets: Matrix) {
    guard let cells = LowRankCells(data.arrangement) else { return nil }
    self.data = data
    self.targets = targets
    let found = data.bases.indices.map { i -> CellImages in
      var (images, weights): ([Double], [Double]) = ([], [])
      for ray in cells.rays(of: i) where data.bases[i] != nil {
        let image = data.image(ray, of: i)
        let length = norm(image.count, image)
        guard length > BatchNormalization.negligible * cells.unit else { continue }
        images += image.map { $0 / length }
        weights += ray.map { $0 / length }
      }
      let count = images.count / data.samples
      return CellImages(
        images: Matrix(count, data.samples, images),
        weights: Matrix(count, data.dimension - 1, weights))
    }
    self.cells = found
    betaMax = (0..<targets.columns).reduce(0) {
      let y = targets.column($1)
      return max($0, NormalizedReLUSolver.dualNorm(of: y, price: Self.prices(found, y).largest))
    }
  }

  /// √(price² + (eᵀν)²), which the dual constraint bounds by β.
  private static func dualNorm(of nu: [Double], price: Double) -> Double {
    let sum = nu.reduce(0, +)
    return withRoom((price * price + sum * sum / Double(nu.count)).squareRoot())
  }

  /// The neuron of the largest price of each cell and sign, and the largest price of all.
  private static func prices(_ cells: [CellImages], _ nu: [Double]) -> (
    atoms: [NormalizedAtom], largest: Double
  ) {
    let lock = Lock()
    nonisolated(unsafe) var found: [NormalizedAtom] = []
    Threads.split(cells.count, grain: 16) { own in
      var mine: [NormalizedAtom] = []
      for i in own {
        for sign in [1.0, -1] {
          if let atom = NormalizedAtom(cells[i], cell: i, sign: sign, nu: nu) { mine.append(atom) }
        }
      }
      lock.locked { found += mine }
    }
    found.sort { ($1.price, $0.cell, $1.sign) < ($0.price, $1.cell, $0.sign) }
    return (found, found.first?.price ?? 0)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let outputs = (0..<targets.columns).map {
      NormalizedMaster(targets.column($0), beta: beta)
    }
    func compose(_ status: Status) -> ArrangementSolution {
      solution(outputs, beta: beta, status, iterations: budget.iterations)
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: outputs.reduce(0) { $0 + $1.primal },
          dual: outputs.reduce(0) { $0 + $1.dualValue },
          neurons: outputs.reduce(0) { $0 + $1.atoms.count }))
      budget.publish { compose(.stalled) }
    }
    var status = Status.optimal
    for master in outputs {
      if let start {
        master.begin(with: atoms(of: start, output: outputs.firstIndex { $0 === master }!))
      }
      let end = solve(master, rule: rule, budget: budget, report)
      if status == .optimal { status = end }
    }
    let result = compose(status)
    return result.with(result.gap <= rule.gap ? .optimal : status)
  }

  /// Neurons that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (24, 20)

  private func solve(
    _ master: NormalizedMaster, rule: StoppingRule, budget: Budget, _ report: () -> Void
  ) -> Status {
    var (best, idle) = (Double.infinity, 0)
    while true {
      let (atoms, largest) = Self.prices(cells, master.residual)
      master.offerDual(Self.dualNorm(of: master.residual, price: largest))
      report()
      // A tenth is left for the rounding of anyone who recomputes the gap.
      if master.gap <= 0.9 * rule.gap { return .optimal }
      if let limit = budget.exhausted { return limit }
      budget.count()
      idle = master.gap < 0.9 * best ? 0 : idle + 1
      best = min(best, master.gap)
      if idle > NormalizedReLUSolver.patience { return .stalled }
      master.add(atoms.filter { $0.price > master.threshold }.prefix(Self.entering))
      master.fit()
    }
  }

  /// The neurons of an earlier solution.
  private func atoms(of start: ArrangementSolution, output c: Int) -> [NormalizedAtom] {
    var result: [NormalizedAtom] = []
    for (sign, all) in [(1.0, start.positive), (-1, start.negative)] {
      for (k, i) in start.index.enumerated() {
        let w = Array(UnsafeBufferPointer(start: all[c].row(k), count: data.dimension - 1))
        let image = data.image(w, of: i)
        let length = norm(image.count, image)
        guard length > 0 else { continue }
        result.append(
          NormalizedAtom(
            cell: i, sign: sign, weights: w.map { $0 / length },
            image: image.map { sign * $0 / length }, price: 0))
      }
    }
    return result
  }

  private func solution(
    _ outputs: [NormalizedMaster], beta: Double, _ status: Status, iterations: Int
  ) -> ArrangementSolution {
    let d = data.dimension
    let fallback = data.bases.firstIndex { $0 != nil }!
    let index = Set(
      outputs.flatMap { $0.atoms.isEmpty && $0.constant != 0 ? [fallback] : $0.atoms.map(\.cell) }
    ).sorted()
    let place = Dictionary(uniqueKeysWithValues: index.enumerated().map { ($1, $0) })
    var result = ArrangementSolution(
      index: index, positive: outputs.map { _ in Matrix(index.count, d) },
      negative: outputs.map { _ in Matrix(index.count, d) },
      dual: Matrix(data.samples, outputs.count), predictions: Matrix(data.samples, outputs.count),
      status: status, primal: 0, dualValue: 0, iterations: iterations)
    for (c, master) in outputs.enumerated() {
      let total = master.lengths.reduce(0, +)
      for (atom, length) in zip(master.atoms, master.lengths) {
        let row = (atom.sign > 0 ? result.positive : result.negative)[c].row(place[atom.cell]!)
        axpy(d - 1, length, atom.weights, row)
        row[d - 1] += atom.sign * master.constant * length / total
      }
      if master.atoms.isEmpty, master.constant != 0 {
        result.positive[c][place[fallback]!, d - 1] = master.constant
      }
      for j in 0..<data.samples { result.dual[j, c] = master.dual[j] }
      result.dualValue += master.dualValue
    }
    data.evaluate(&result, targets: targets, loss: SquaredLoss(), beta: beta)
    return result
  }

  package func predictions(_ point: ArrangementSolution, on x: Matrix) -> Matrix {
    data.predictions(point, on: x, of: .relu)
  }
}
