import LinearAlgebra
import Tensors

/// Trains gated-ReLU networks with one group per pattern and output and squared loss: every output is a
/// problem of its own, with the patterns and the kernel of all.
package final class GatedSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  private let targets: Matrix
  private let loss: any Loss = SquaredLoss()
  private let finest: GatedLevel
  /// Of each output y, and the largest ‖Xᵀ D_i y‖: for a larger β its network is zero.
  private let outputs: [(y: Matrix, betaMax: Double)]

  /// `targets` is n × C. Throws where the machine has not the memory.
  package init(
    _ data: ArrangementData, targets: Matrix, form: GatedForm = .automatic,
    progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    try GatedSolver.expectMemory(for: data, outputs: targets.columns)
    progress("looking for equal patterns")
    let members = DistinctPatterns(data.patterns, features: data.features).indices
    let finest = GatedLevel(
      PatternProducts(data.features, data.patterns, members: members), form: form,
      loss: loss)
    self.finest = finest
    let all = Array(members.indices)
    var norms = [Double](repeating: 0, count: members.count)
    outputs = (0..<targets.columns).map { c in
      let y = Matrix(targets.rows, 1, targets.column(c))
      finest.products.norms(y.base, all, into: &norms)
      return (y, norms.max() ?? 0)
    }
    betaMax = outputs.reduce(0) { max($0, $1.betaMax) }
  }

  /// Refuses, before any work, what exceeds the machine's memory: X twice, the kernel and its factor or
  /// the columns of it that precondition conjugate gradients, and of each output ŷ, ν and some weights.
  private static func expectMemory(for data: ArrangementData, outputs: Int) throws {
    let (n, d) = (Double(data.samples), Double(data.dimension))
    let isKernel = data.samples <= AutomaticSystem.largestKernel
    let primal = Double(AutomaticSystem.largestPrimal)
    let system = isKernel ? n * n : 2 * max(n * min(1000, max(200, n / 50)), primal * primal)
    let active = min(Double(data.patterns.count), 100)
    try Tensors.expectMemory(
      8 * (2 * n * d + system + active * (2 * n + d) + Double(outputs) * (4 * n + active * d)),
      for: "a gated network of \(data.samples) samples, \(data.dimension) features and "
        + "\(outputs) output\(outputs == 1 ? "" : "s")")
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let points = outputs.map { output in
      let point = PrimalDualPoint(output.y, dimension: data.dimension, loss: loss)
      // Rounding of the recomputed norms must not show where β is nearly β_max.
      let bound = output.betaMax > 0 ? (1 - 1e-13) * beta / output.betaMax : .infinity
      let scaling = loss.scaling(output.y, output.y, bound: bound)
      let dual = Matrix(copying: output.y)
      scale(dual.count, scaling, dual.base)
      point.offer(dual: loss.dualValue(dual, output.y), direction: output.y, times: scaling)
      return point
    }
    var counts = points.map { _ in 0 }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue }, neurons: counts.reduce(0, +)))
    }
    report()
    var status = Status.optimal
    for (c, output) in outputs.enumerated() where beta < output.betaMax {
      let point = points[c]
      guard point.gap > rule.gap else { continue }
      if let limit = budget.exhausted {
        status = limit
        break
      }
      let end = finest.solve(
        output.y, beta: beta, from: start.flatMap { self.eta($0, output: c, beta: beta) },
        tolerance: 0.9 * rule.gap, point: point,
        proceed: {
          if budget.exhausted != nil { return false }
          budget.count()
          return true
        },
        report: { active in
          counts[c] = active
          report()
        })
      switch end {
      case .reached: break
      case .interrupted: status = budget.exhausted ?? .stalled
      case .stalled:
        let fallback = GatedInteriorPoint(
          products: finest.products, patterns: data.patterns, loss: loss, gate: gate)
        fallback.solve(
          output.y, beta: beta, tolerance: 0.9 * rule.gap, point: point,
          proceed: {
            if budget.exhausted != nil { return false }
            budget.count()
            return true
          },
          report: { active in
            counts[c] = active
            report()
          })
        if point.gap > rule.gap { status = budget.exhausted ?? .stalled }
      }
    }
    let solution = compose(points, beta: beta, iterations: budget.iterations)
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  private func gate(_ pattern: Int, _ target: UnsafeMutablePointer<Double>) {
    data.gates.copyDoubles(
      pattern * data.dimension..<(pattern + 1) * data.dimension, into: target)
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }

  /// η of the weights of an output: w_i = η_i T_i, where ‖T_i‖ is β at an optimum. `nil` where there is
  /// no weight.
  private func eta(_ start: ArrangementSolution, output c: Int, beta: Double) -> [Double]? {
    let members = finest.products.members
    var eta = [Double](repeating: 0, count: members.count)
    var place: [Int: Int] = [:]
    for (k, i) in members.enumerated() { place[i] = k }
    var any = false
    for (row, i) in start.index.enumerated() {
      guard let k = place[i] else { continue }
      eta[k] = norm(data.dimension, start.positive[c].row(row))
      any = any || eta[k] > 0
    }
    guard any else { return nil }
    let dual = Matrix(start.dual.rows, 1, start.dual.column(c))
    let active = eta.indices.filter { eta[$0] > 0 }
    var norms = [Double](repeating: 0, count: active.count)
    finest.products.norms(dual.base, active, into: &norms)
    let largest = norms.max() ?? 0
    let length = largest > 0 ? largest : beta
    for k in active { eta[k] /= length }
    return eta
  }

  /// The solution of all outputs, its objectives from the data.
  private func compose(
    _ points: [PrimalDualPoint], beta: Double, iterations: Int
  ) -> ArrangementSolution {
    let members = finest.products.members
    let (n, d) = (data.samples, data.dimension)
    let index = Set(points.flatMap(\.active)).sorted()
    var row: [Int: Int] = [:]
    for (k, i) in index.enumerated() { row[i] = k }
    let dual = Matrix(n, points.count)
    let predictions = Matrix(n, points.count)
    let positive = points.enumerated().map { c, point in
      let weights = Matrix(index.count, d)
      for (k, i) in point.active.enumerated() {
        weights.row(row[i]!).update(from: point.weights.row(k), count: d)
      }
      for j in 0..<n {
        dual[j, c] = point.dual.base[j]
        predictions[j, c] = point.predictions.base[j]
      }
      return weights
    }
    var penalty = 0.0
    for weights in positive {
      for k in 0..<index.count { penalty += norm(d, weights.row(k)) }
    }
    return ArrangementSolution(
      index: index.map { members[$0] }, positive: positive, dual: dual, predictions: predictions,
      status: .optimal, primal: loss.value(predictions, targets) + beta * penalty,
      dualValue: loss.dualValue(dual, targets), iterations: iterations)
  }
}

extension ArrangementSolution {
  func with(_ status: Status) -> ArrangementSolution {
    var result = self
    result.status = status
    return result
  }
}
