import LinearAlgebra
import Schema

extension GatedLossSolver {
  /// Newton's method in the weights, for one output and a differentiable loss.
  final class WeightRun {
    private let newton: WeightNewton
    private let products: PatternProducts
    private let loss: any Loss
    private let interruption = Interruption()

    init(_ products: PatternProducts, loss: any Loss) {
      (self.products, self.loss) = (products, loss)
      newton = WeightNewton(products, outputs: 1, loss: loss, interruption: interruption)
    }

    /// Whether to try it first for a β that is `share` of its largest.
    func suits(share: Double) -> Bool {
      WeightNewton.suits(products, outputs: 1, loss: loss, share: share)
    }

    /// Improves the point of `run` until its gap is small enough; otherwise returns why it ended.
    func solve(_ run: Run, _ report: () -> Void) -> Status {
      interruption.secondsLeft = { run.budget.secondsLeft }
      defer { interruption.secondsLeft = { .infinity } }
      let (n, targets) = (products.samples, run.point.targets)
      let y = Matrix(1, n, (0..<n).map { targets[$0, 0] })
      let point = PatternIncumbent(
        y, dimension: products.dimension, loss: loss, beta: run.beta)
      if let start = run.start, let active = start.members(among: products) {
        _ = point.offer(start.positive, of: active, products)
      }
      func proceed() -> Bool {
        if run.budget.exhausted != nil { return false }
        run.budget.count()
        return true
      }
      let end = newton.solve(
        y, beta: run.beta, tolerance: 0.9 * run.rule.gap, point: point, proceed: proceed
      ) { _ in
        self.offer(point, to: run.point)
        report()
      }
      offer(point, to: run.point)
      switch end {
      case .reached: return .optimal
      case .interrupted: return run.budget.exhausted ?? .timeLimit
      case .stalled: return run.budget.exhausted ?? .stalled
      }
    }

    private func offer(_ own: PatternIncumbent, to point: GroupIncumbent) {
      func column(_ row: Matrix) -> Matrix { Matrix(row.columns, 1, row.values) }
      let count = own.active.count
      point.offer(
        primal: own.primal, active: count, members: own.active.map { products.members[$0] },
        weights: own.weights.rows.slice(0..<count), predictions: column(own.predictions))
      point.offer(dual: column(own.dual), largest: own.beta)
    }
  }
}
