import LinearAlgebra
import Schema

/// Trains ReLU networks of three layers with squared loss and one output on few samples, over all patterns of both layers (Ergen
/// and Pilanci 2021): see `UnitProgram`.
///
/// Column generation: the master is the program over some blocks, a small one over second-order cones, and those of the
/// largest price above β enter.
package final class UnitSolver: RegularizedSolver {
  /// Not below the smallest β for which the zero network is optimal: a unit of any width is no better.
  package let betaMax: Double
  private let data: ArrangementData
  private let targets: Matrix
  private let program: UnitProgram
  private let pricing: UnitPricing

  /// Blocks that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (4, 6)
  /// Violators to choose from, of which some have no interior points.
  private static let enough = 40
  /// Blocks whose share of the norm is below this have none at the optimum.
  private static let negligible = 1e-6

  /// `targets` are n × 1. Nil if there are too many samples or patterns.
  package init?(_ data: ArrangementData, targets: Matrix, width: Int) {
    guard data.samples <= SampleSet.mostSamples, targets.columns == 1 else { return nil }
    let program = UnitProgram(data, targets: targets.values, width: width)
    guard let pricing = UnitPricing(program) else { return nil }
    (self.data, self.targets, self.program, self.pricing) = (data, targets, program, pricing)
    betaMax = withRoom(pricing.largest(program.targets) * program.unit * program.size)
  }

  package func start(at point: UnitSolution) -> UnitSolution? { point }

  package func predictions(_ point: UnitSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data)
  }

  package func point(
    beta: Double, from start: UnitSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> UnitSolution {
    let scaled = beta / (program.unit * program.size)
    var best = start ?? UnitSolution(zero: targets)
    // A dual point of another β is none of this one.
    let zero = UnitSolution(zero: targets)
    (best.dual, best.multipliers, best.exceptions) = (zero.dual, zero.multipliers, [])
    best.dualValue = 0
    best = offering(best.units, to: best, beta: beta, isFirst: true)
    var blocks = best.blocks
    var nu = residual(best.units)
    var (least, idle) = (Double.infinity, 0)
    func end(_ status: Status) -> UnitSolution {
      var result = offering(
        significant(best.units).map(reduced), to: best, beta: beta, isFirst: true)
      (result.status, result.iterations, result.blocks) = (status, budget.iterations, blocks)
      return result
    }
    while true {
      guard
        let prices = pricing.prices(
          nu, above: scaled, enough: UnitSolver.enough, proceed: { budget.exhausted == nil })
      else { return end(budget.exhausted ?? .stalled) }
      offer(nu, prices, scaled, to: &best)
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: best.primal,
          dual: best.dualValue, neurons: best.neurons))
      budget.publish { end(.stalled) }
      if best.gap <= 0.9 * rule.gap || beta >= betaMax { return end(.optimal) }
      if let limit = budget.exhausted { return end(limit) }
      idle = best.gap < 0.9 * least ? 0 : idle + 1
      least = min(least, best.gap)
      let new = entering(prices, besides: blocks)
      if idle > UnitSolver.patience || new.isEmpty { return end(.stalled) }
      budget.count()
      guard let units = master(blocks + new, scaled) else { return end(.stalled) }
      best = offering(units, to: best, beta: beta)
      blocks = significant(units).map(\.block)
      nu = residual(units)
    }
  }

  /// Violators that have interior points, and are not among `blocks`.
  private func entering(
    _ prices: UnitPricing.Prices, besides blocks: [UnitBlock]
  ) -> [UnitBlock] {
    var result: [UnitBlock] = []
    for (block, _) in prices.violators where !blocks.contains(block) {
      if program.hasInterior(block) { result.append(block) }
      if result.count == UnitSolver.entering { break }
    }
    return result
  }

  // MARK: Points

  /// Σ o D' Σ s_j D_j X v_j.
  private func outputs(_ units: [UnitSolution.Unit]) -> [Double] {
    let x = data.features
    return (0..<x.rows).map { i in
      var sum = CompensatedSum()
      for unit in units where unit.block.set.contains(i) {
        for (member, v) in zip(unit.block.members, unit.weights) where program.isActive(member, i) {
          sum.add(
            unit.block.set.sign * UnitProgram.sign(member), times: dot(v.count, x.row(i), v))
        }
      }
      return sum.value
    }
  }

  /// (y − ŷ) over the size of y.
  private func residual(_ units: [UnitSolution.Unit]) -> [Double] {
    zip(targets.values, outputs(units)).map { ($0 - $1) / program.size }
  }

  /// `best` with the primal point `units`, if that is better.
  private func offering(
    _ units: [UnitSolution.Unit], to best: UnitSolution, beta: Double, isFirst: Bool = false
  ) -> UnitSolution {
    let predictions = outputs(units)
    var value = CompensatedSum()
    for (y, output) in zip(targets.values, predictions) {
      value.add(0.5 * (output - y), times: output - y)
    }
    for unit in units { for v in unit.weights { value.add(beta, times: norm(v.count, v)) } }
    guard isFirst || value.value < best.primal else { return best }
    var result = best
    result.units = units
    result.predictions = Matrix(predictions.count, 1, predictions)
    result.primal = value.value
    return result
  }

  /// Takes the best multiple of ν that the prices show to be feasible, if it is better.
  private func offer(
    _ nu: [Double], _ prices: UnitPricing.Prices, _ beta: Double, to best: inout UnitSolution
  ) {
    let square = dot(nu.count, nu, nu)
    guard square > 0 else {
      if best.dualValue < 0 { best.dualValue = 0 }
      return
    }
    let product = dot(nu.count, nu, program.targets)
    let reach = prices.largest > 0 ? beta / withRoom(prices.largest) : .infinity
    let share = max(0, min(product / square, reach))
    let value = program.size * program.size * (share * product - 0.5 * share * share * square)
    guard value > best.dualValue else { return }
    let factor = share * program.size
    best.dualValue = value
    best.dual = Matrix(nu.count, 1, nu.map { factor * $0 })
    best.multipliers = prices.multipliers.map { $0.map { factor * $0 } }
    best.exceptions = prices.exceptions.map { ($0.block, $0.multipliers.map { factor * $0 }) }
  }

  // MARK: The master

  /// The best weights of `blocks`; nil if rounding allows none.
  private func master(_ blocks: [UnitBlock], _ beta: Double) -> [UnitSolution.Unit]? {
    var starts: [Int] = []
    var count = 0
    for block in blocks {
      starts.append(count)
      count += program.count(block)
    }
    var cone = ConeProgram(variables: count)
    for (block, first) in zip(blocks, starts) {
      program.addRows(block, first: first, room: 0, to: &cone)
    }
    for (block, first) in zip(blocks, starts) { program.addCones(block, first: first, to: &cone) }
    cone.quadratic = [Double](repeating: 0, count: count * count)
    for i in 0..<program.samples {
      let row = zip(blocks, starts).flatMap { program.outputs($0, first: $1, i) }
      for a in row {
        cone.linear[a.place] -= program.targets[i] * a.value
        for b in row { cone.quadratic[a.place * count + b.place] += a.value * b.value }
      }
    }
    let d = program.dimension
    for (block, first) in zip(blocks, starts) {
      for m in block.members.indices { cone.linear[first + m * (d + 1)] = beta }
    }
    guard let point = cone.solve() else { return nil }
    let scale = program.size / program.unit
    return zip(blocks, starts).map { block, first in
      UnitSolution.Unit(
        block: block,
        weights: block.members.indices.map { m in
          let start = first + m * (d + 1) + 1
          return point.x[start..<start + d].map { scale * $0 }
        })
    }
  }

  /// The units without those that have next to no weight. The dual point needs them: ν moves by what they put out.
  private func significant(_ units: [UnitSolution.Unit]) -> [UnitSolution.Unit] {
    let sizes = units.map { $0.weights.reduce(0) { $0 + norm($1.count, $1) } }
    let least = UnitSolver.negligible * sizes.reduce(0, +)
    return zip(units, sizes).filter { $1 > least }.map(\.0)
  }

  /// The unit without neurons that put out nothing, and with no more than there are samples: by Carathéodory's theorem for
  /// what they put out.
  private func reduced(_ unit: UnitSolution.Unit) -> UnitSolution.Unit {
    let d = data.dimension
    let sizes = unit.weights.map { norm(d, $0) }
    let least = 1e-14 * sizes.reduce(0, +)
    let kept = sizes.indices.filter { sizes[$0] > least }
    var shares = kept.map { _ in 1.0 }
    if kept.count > data.samples {
      let images = Matrix(kept.count, data.samples)
      for (row, k) in kept.enumerated() {
        let member = unit.block.members[k]
        for i in 0..<data.samples where program.isActive(member, i) {
          images[row, i] =
            UnitProgram.sign(member) * dot(d, data.features.row(i), unit.weights[k]) / sizes[k]
        }
      }
      if let weights = CaratheodoryReduction.reduce(images, weights: kept.map { sizes[$0] }) {
        shares = zip(weights, kept).map { $0 / sizes[$1] }
      }
    }
    let left = kept.indices.filter { shares[$0] > 0 }
    return UnitSolution.Unit(
      block: UnitBlock(set: unit.block.set, members: left.map { unit.block.members[kept[$0]] }),
      weights: left.map { place in unit.weights[kept[place]].map { shares[place] * $0 } })
  }
}
