import LinearAlgebra

/// The interior-point method over the blocks that matter, one start after another.
extension ReLUSolver {
  /// The most blocks that the interior-point method begins with; of more, it takes those that matter so far.
  private static let mostBlocks = 400

  /// The most starts of the interior-point method, each over the blocks of the previous one that matter and those that
  /// were missing.
  private static let mostStarts = 8

  func interiorPoint(_ problem: Problem, _ budget: Budget, _ report: (Int) -> Void) {
    var first = Set(problem.point.active)
    if pricing.count <= ReLUSolver.mostBlocks { first = Set(0..<pricing.count) }
    if first.isEmpty {
      pricing.correlate(problem.y.base)
      let (_, found) = pricing.price(
        above: 0, limit: ReLUSolver.mostBlocks, proceed: { budget.exhausted == nil })
      first = Set(found.map(\.row))
    }
    var returned = Set<Int>()
    for start in 0..<ReLUSolver.mostStarts {
      let before = problem.point.gap
      let carried = interiorPoint(problem, over: first, keeping: returned, budget, report)
      if problem.point.gap <= problem.tolerance || budget.exhausted != nil { return }
      // Price the blocks that the best network lacks, or had for too few iterations before rounding ended them.
      let residual = Matrix(copying: problem.y)
      axpy(residual.count, -1, problem.point.predictions.base, residual.base)
      pricing.correlate(residual.base)
      let (bound, violators) = pricing.price(
        above: problem.beta * (1 + 0.1 * problem.tolerance), limit: ReLUSolver.mostBlocks,
        proceed: { budget.exhausted == nil })
      offerDual(residual, bound: bound, to: problem.point)
      returned.formUnion(violators.map(\.row))
      let next = carried.union(returned)
      if next == first || problem.point.gap <= problem.tolerance { return }
      if start > 0, problem.point.gap > 0.5 * before { return }
      first = next
    }
  }

  /// One start over the blocks `first`; those in `returned` are not dropped again. Returns the blocks that it ended
  /// with.
  private func interiorPoint(
    _ problem: Problem, over first: Set<Int>, keeping returned: Set<Int>, _ budget: Budget,
    _ report: (Int) -> Void
  ) -> Set<Int> {
    let beta = problem.beta
    let x = data.features
    let method = ConeInteriorPoint(
      x, cone: cone, y: problem.targets, beta: beta, patterns: patterns,
      blocks: first.sorted().map(ConePricing.block), gates: gate,
      radius: 10 * norm(problem.y.count, problem.y.base) / norm(x.count, x.base),
      proceed: { !budget.isOutOfTime })
    var carried: Set<Int> { Set(method.blocks.map(ConePricing.row)) }
    var restarts = 0
    // The iterate with the smallest gap over the current blocks: rounding spoils the later ones.
    var lowest = Double.infinity
    var best: Iterate?
    while budget.exhausted == nil {
      let (gap, kappa) = method.gap(loss, problem.y)
      let isFeasible = method.primalResidual <= 1e-9 * method.largestWeight
      let isReached = isFeasible && gap <= 0.5 * problem.tolerance
      let inside = carried
      let violators = judge(method, kappa, isReached: isReached, inside, problem, budget)
      report(method.blocks.count)
      if problem.point.gap <= problem.tolerance { return inside }
      if isReached {
        restarts += 1
        guard !violators.isEmpty, restarts < 20 else { return inside }
        method.restart(
          adding: violators.prefix(max(10, method.blocks.count / 2)).map {
            ConePricing.block($0.row)
          }, gates: gate)
        (lowest, best) = (.infinity, nil)
      } else if let kept = method.carrying(gap: gap, besides: returned) {
        for j in method.blocks.indices where !kept.contains(j) {
          let row = ConePricing.row(method.blocks[j])
          method.withMultipliers(of: j) { pricing.remember(row, $0) }
        }
        method.keep(kept)
        (lowest, best) = (.infinity, nil)
      } else if isFeasible, gap < lowest {
        (lowest, best) = (gap, Iterate(method, kappa: kappa))
      } else if lowest < 1e-4, gap > 100 * lowest {
        break
      }
      budget.count()
      guard method.iterate() else { break }
    }
    if let best { offer(best, to: problem, budget) }
    offer(method.blocks, method.v, to: problem)
    return carried
  }

  /// A copy of an iterate of the interior-point method; `kappa` is its largest bound.
  private struct Iterate {
    let blocks: [ConeBlock]
    let weights: Matrix
    let nu: Matrix
    let kappa: Double
    init(_ method: ConeInteriorPoint, kappa: Double) {
      (blocks, self.kappa) = (method.blocks, kappa)
      weights = Matrix(copying: method.v)
      nu = Matrix(method.nu.count, 1, method.nu)
    }
  }

  /// Offers the iterate's dual point, and its weights if its own gap is reached. Then prices all blocks besides those
  /// `inside`, and returns those that violate their constraint, the largest first.
  private func judge(
    _ method: ConeInteriorPoint, _ kappa: Double, isReached: Bool, _ inside: Set<Int>,
    _ problem: Problem, _ budget: Budget
  ) -> [(row: Int, norm: Double)] {
    pricing.correlate(method.nu)
    var bound = kappa
    var violators: [(row: Int, norm: Double)] = []
    if isReached {
      let all = pricing.price(
        above: max(problem.beta, kappa), besides: inside, proceed: { !budget.isOutOfTime })
      (bound, violators) = (all.bound, all.found)
      offer(method.blocks, method.v, to: problem)
    } else {
      bound = max(kappa, pricing.looseBound(besides: inside))
    }
    offerDual(Matrix(targets.rows, 1, method.nu), bound: bound, to: problem.point)
    return violators
  }

  /// Offers the weights and the dual point of an iterate.
  private func offer(_ iterate: Iterate, to problem: Problem, _ budget: Budget) {
    offer(iterate.blocks, iterate.weights, to: problem)
    pricing.correlate(iterate.nu.base)
    let bound = pricing.price(
      above: max(problem.beta, iterate.kappa),
      besides: Set(iterate.blocks.map(ConePricing.row)), proceed: { !budget.isOutOfTime }
    ).bound
    offerDual(iterate.nu, bound: bound, to: problem.point)
  }
}
