@preconcurrency import Glibc
import LinearAlgebra
import Tensors

/// Trains ReLU networks over given patterns, one group per pattern and output, squared loss, to a
/// certified optimum of
///
///   min ½ ‖Σ D_i X (v_i − w_i) − y‖² + β Σ (‖v_i‖ + ‖w_i‖),  (2D_i − I) X v_i ≥ 0, the same for w
///
/// (Pilanci and Ergen 2020, equation 8), by `ConeInteriorPoint` over the blocks that matter and
/// `ConePricing` over all others. Outputs do not share variables: each is solved for itself.
package final class ReLUSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  private let targets: Matrix
  private let cone: ConeRows
  private let pricing: ConePricing
  /// The first of the patterns that are equal, without those that are zero.
  private let distinct: [Int]

  /// `targets` is n × C.
  package init(
    _ data: ArrangementData, targets: Matrix, progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    cone = ConeRows(data.features)
    pricing = ConePricing(data.features, patterns: data.patterns, cone: cone)
    distinct = Array(0..<data.patterns.count)
    var largest = 0.0
    for output in 0..<targets.columns {
      pricing.correlate(targets.column(output))
      largest = max(largest, pricing.largest())
    }
    betaMax = largest
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .relu, gatesOf: self.data)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let (n, d) = (data.samples, data.dimension)
    let y = targets.column(0)
    let isLoud = getenv("LOUD") != nil
    if getenv("NEWTON") != nil {
      do {
        var loose = StoppingRule()
        loose.gap = 1e-3
        let gated = try GatedSolver(data, targets: targets).point(
          beta: beta, from: nil, rule: loose, budget: Budget(loose, startedAt: Budget.now()),
          trace: { _ in })
        if isLoud { fputs("gated \(budget.seconds) \(gated.primal)\n", stderr) }
        var start: [ConeBlock] = []
        var eta: [Double] = []
        for (k, i) in gated.index.enumerated() {
          start += [ConeBlock(pattern: i, sign: 1), ConeBlock(pattern: i, sign: -1)]
          let value = norm(d, gated.positive[0].row(k)) / beta
          eta += [value, value]
        }
        let nu = (0..<n).map { y[$0] - gated.predictions[$0, 0] }
        let newton = ConeNewton(
          data.features, y: y, beta: beta, pricing: pricing, patterns: data.patterns, blocks: start,
          eta: eta, nu: nu)
        guard newton.begin() else { fatalError() }
        var best = -Double.infinity
        for _ in 0..<60 {
          pricing.correlate(newton.nu)
          let open = (0..<pricing.count).filter { pricing.bound($0) > beta * (1 + 1e-12) }
          let norms = pricing.project(open)
          let violators = open.indices.map { (row: open[$0], norm: norms[$0]) }.filter {
            $0.norm > beta * (1 + 1e-9)
          }.sorted { $0.norm > $1.norm }
          let kappa = max(beta, norms.max() ?? 0)
          let (nn, ny) = (dot(n, newton.nu, newton.nu), dot(n, newton.nu, y))
          let s = max(-beta / kappa, min(beta / kappa, ny / nn))
          best = max(best, s * ny - 0.5 * s * s * nn)
          var primal = 0.0
          for i in 0..<n { primal += 0.5 * (y[i] - newton.outputs[i]) * (y[i] - newton.outputs[i]) }
          for j in newton.blocks.indices { primal += beta * newton.eta[j] * newton.norms[j] }
          let gap = (primal - best) / primal
          if isLoud {
            fputs(
              "\(newton.iterations) \(budget.seconds) primal \(primal) gap \(gap) kappa \(kappa / beta) open \(open.count) blocks \(newton.blocks.count)\n",
              stderr)
          }
          if gap <= rule.gap { break }
          guard newton.advance(violators: violators, gap: gap) else {
            if isLoud { fputs("no step\n", stderr) }
            break
          }
        }
      } catch { fatalError() }
    }
    let zero = Matrix(n, 1)
    return ArrangementSolution(
      index: [], positive: [Matrix(0, d)], negative: [Matrix(0, d)], dual: zero, predictions: zero,
      status: .stalled, primal: 1, dualValue: 0, iterations: budget.iterations)
  }

  private func gate(_ pattern: Int, _ target: UnsafeMutablePointer<Double>) {
    let d = data.dimension
    data.gates.withElements(of: Double.self) {
      target.update(from: $0.baseAddress! + pattern * d, count: d)
    }
  }
}
