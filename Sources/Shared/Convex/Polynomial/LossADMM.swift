import LinearAlgebra

/// The alternating direction method of multipliers for any loss, all classes at once.
///
/// `BlockSplitting` splits off the cones; the loss is split off by z = ŷ with the scaled multipliers U and the penalty
/// r. The losses' half of a step is
///
///     h = argmin (r/2) ‖Fh − z + U‖² + (ρ/4) ‖h − V‖² over ⟨J, h_r⟩ = 0,   V = P(V₊ − V₋),
///     A = α Fh + (1 − α) z + U,  z = prox of ℓ at A,  U = A − z:
///
/// one factor of G + ρ/2r for all classes, and one reading of the data, which applies the loss's prox between F h and
/// Fᵀ(z − U). Cross-entropy does not depend on the common part of a sample's outputs: only their differences from the
/// mean are split off there, since that part would otherwise move by ρ/(rλ) a step. `LossNewton` makes dual points of
/// the iterates.
final class LossADMM {
  private let program: PolynomialProgram
  private let products: FeatureProducts
  private let loss: any Loss
  private let targets: Matrix
  private let ridge: ConstrainedRidge
  private let splitting: BlockSplitting
  private let newton: LossNewton
  private let isCentered: Bool
  /// r.
  private var penalty: Double
  private var isFactored = false
  private var previousBeta = 0.0

  /// z and U (n × C); Fᵀ(z − U), h and V (C × Q).
  private let z, multipliers: Matrix
  private let right, h, v: Matrix
  private let mean: Matrix
  /// For each worker: A and the previous z of a block; ‖Fh − z‖², ‖z‖², ‖z − previous z‖², ‖U‖².
  private let points, before: [Matrix]
  private let squares: Matrix

  init(_ program: PolynomialProgram, _ products: FeatureProducts, loss: any Loss, targets: Matrix) {
    self.program = program
    self.products = products
    self.loss = loss
    self.targets = targets
    isCentered = !loss.isSeparable
    ridge = ConstrainedRidge(program)
    splitting = BlockSplitting(program)
    newton = LossNewton(program, products, ridge: ridge, isCentered: isCentered)
    let (n, classes, width) = (targets.rows, targets.columns, program.map.count)
    // The second derivative at ŷ = 0.
    penalty = isCentered ? (1 - 1 / Double(classes)) / Double(classes) : loss.typicalCurvature
    z = Matrix(n, classes)
    multipliers = Matrix(n, classes)
    right = Matrix(classes, width)
    h = Matrix(classes, width)
    v = Matrix(classes, width)
    mean = Matrix(1, width)
    points = (0..<products.workers).map { _ in Matrix(FeatureProducts.blockRows, classes) }
    before = (0..<products.workers).map { _ in Matrix(FeatureProducts.blockRows, classes) }
    squares = Matrix(products.workers, 4)
  }

  // MARK: The start

  /// Goes on from the iterate of the last β if there is one; else starts from blocks that another run found, or from a
  /// Newton step at ŷ = 0 split by sign.
  func start(from blocks: [ConeBlocks], beta: Double) {
    defer { previousBeta = beta }
    if splitting.rho > 0 {
      if beta != previousBeta {
        splitting.scalePenalty(beta / previousBeta)
        isFactored = false
      }
      return
    }
    let isCold = blocks.areZero
    if isCold {
      loss.residual(z, targets, into: multipliers)
      newtonStep()
      let limit = 0.1 * loss.value(z, targets) / (beta * Double(h.rows))
      splitting.start(
        splitting: h, limits: [Double](repeating: limit, count: h.rows))
    } else {
      splitting.start(from: blocks)
      pack(blocks, into: h)
      products.predictions(h, into: z)
      if isCentered { centerOutputs(z) }
      loss.residual(z, targets, into: multipliers)
    }
    scale(multipliers.count, -1 / penalty, multipliers.base)
    refresh()
  }

  /// h ← (r G)⁻¹Fᵀν for ν in `multipliers`.
  private func newtonStep() {
    let gram = program.gram
    let count = h.rows * program.regions
    products.adjoint(multipliers, into: h)
    program.map.whiten.applyInParallel(count, h.base)
    let eta = Matrix(h.rows, gram.order)
    for c in 0..<h.rows { gram.basis.project(h.row(c), into: eta.row(c)) }
    gram.solve(eta.base, count: h.rows)
    scale(eta.count, 1 / penalty, eta.base)
    for c in 0..<h.rows { gram.basis.expand(eta.row(c), into: h.row(c)) }
    program.map.unwhitenVariable.applyInParallel(count, h.base)
  }

  /// Packed Z − Z' of all classes.
  private func pack(_ blocks: [ConeBlocks], into result: Matrix) {
    for (c, block) in blocks.enumerated() { program.packDifference(block, into: result.row(c)) }
  }

  /// Fᵀ(z − U) for the z and U that were set.
  private func refresh() {
    products.pass(nil, adjoint: right) { _, range, block in
      let (z, u) = (self.z.row(range.lowerBound), self.multipliers.row(range.lowerBound))
      for k in 0..<block.count { block.base[k] = z[k] - u[k] }
    }
  }

  // MARK: A step

  /// Sets ρ by the size of Z and r by the residuals, and factors if one of them changed.
  private func adapt(beta: Double) -> Bool {
    let rho = splitting.rho
    let wanted = splitting.wantedPenalty(beta: beta) ?? (rho > 0 ? rho : beta)
    if rho == 0 || wanted > 1.5 * rho || wanted < 0.67 * rho {
      splitting.set(penalty: wanted)
      isFactored = false
    }
    var sums = [0.0, 0.0, 0.0, 0.0]
    for worker in 0..<squares.rows { for k in 0..<4 { sums[k] += squares[worker, k] } }
    let (primal, dual) = ((sums[0] / sums[1]).squareRoot(), (sums[2] / sums[3]).squareRoot())
    let ratio = max(0.2, min(5, (primal / dual).squareRoot()))
    if ratio.isFinite, ratio > 1.6 || ratio < 0.62 {
      penalty *= ratio
      scale(multipliers.count, 1 / ratio, multipliers.base)
      refresh()
      isFactored = false
    }
    if !isFactored { isFactored = ridge.factor(0.5 * splitting.rho / penalty) }
    return isFactored
  }

  private func iterate(beta: Double) {
    splitting.prepare(difference: v)
    ridge.project(v)
    let weight = 0.5 * splitting.rho / penalty
    for i in 0..<h.count { h.base[i] = right.base[i] + weight * v.base[i] }
    if isCentered {
      centerClasses(h, mean: mean.base)
      ridge.solve(h)
      mean.fill(0)
      let share = 1 / Double(h.rows)
      for c in 0..<h.rows { axpy(h.columns, share, v.row(c), mean.base) }
      for c in 0..<h.rows { axpy(h.columns, 1, mean.base, h.row(c)) }
    } else {
      ridge.solve(h)
    }
    squares.fill(0)
    products.pass(h, adjoint: right) { worker, range, block in
      self.splitLoss(worker, range, block)
    }
    splitting.step(h, beta: beta)
  }

  /// Computes z and U of the samples `range` for ŷ in `block`, which becomes z − U.
  private func splitLoss(_ worker: Int, _ range: Range<Int>, _ block: Matrix) {
    if isCentered { centerOutputs(block) }
    let (own, y) = (z.slice(range), targets.slice(range))
    let u = multipliers.row(range.lowerBound)
    let point = points[worker].slice(0..<range.count)
    let old = before[worker].slice(0..<range.count)
    let alpha = BlockSplitting.alpha
    old.copy(from: own)
    for k in 0..<block.count {
      point.base[k] = alpha * block.base[k] + (1 - alpha) * own.base[k] + u[k]
    }
    loss.prox(point, y, penalty: penalty, into: own)
    let sums = squares.row(worker)
    for k in 0..<block.count {
      let now = own.base[k]
      u[k] = point.base[k] - now
      let (primal, dual) = (block.base[k] - now, now - old.base[k])
      sums[0] += primal * primal
      sums[1] += now * now
      sums[2] += dual * dual
      sums[3] += u[k] * u[k]
      block.base[k] = now - u[k]
    }
  }

  private func centerOutputs(_ rows: Matrix) {
    let classes = rows.columns
    for i in 0..<rows.rows {
      let row = rows.row(i)
      var sum = 0.0
      for c in 0..<classes { sum += row[c] }
      sum /= Double(classes)
      for c in 0..<classes { row[c] -= sum }
    }
  }

  // MARK: The search

  /// The most variables times samples for which iterations take a few microseconds. With kinks the gap stands still for
  /// thousands of them before it falls.
  private static let smallSize = 1 << 15

  /// Runs until the gap of `best` is at most `tolerance`, or progress ends. It asks `proceed` after every iteration,
  /// and calls `report` after every check.
  func solve(
    beta: Double, tolerance: Double, judge: LossJudge, best: PolynomialIncumbent,
    proceed: () -> Bool, report: () -> Void
  ) {
    let blocks = (0..<h.rows).map { _ in
      ConeBlocks(2 * program.regions, program.order * program.order)
    }
    var iteration = 0
    var spent = 0
    var earliest = 0
    var last = Double.infinity
    var (previous, slow) = (Double.infinity, 0)
    let isSmall = !loss.isDifferentiable && h.count * targets.rows <= LossADMM.smallSize
    let patience = isSmall ? 40 : 3
    while true {
      iteration += 1
      if [1, 3, 6, 12, 25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800]
        .contains(iteration) || !isFactored
      {
        guard adapt(beta: beta) else { return }
      }
      iterate(beta: beta)
      var goes = proceed()
      guard iteration % 10 == 0 || !goes else { continue }

      let value = offerPrimal(blocks, judge, best)
      let factor = feasibleShare(judge, beta: beta)
      // The gap that a search for a dual point would end with, estimated from the multipliers of the loss.
      let expected = relativeGap(primal: best.primal, dual: self.expectedDual(factor))
      let isReady =
        factor >= 0.9 && expected <= 0.8 * tolerance && iteration >= earliest
        && abs(value - last) <= tolerance * abs(value)
      last = value
      let isAffordable = factor >= 0.9 && iteration >= 200 && 3 * spent <= iteration
      if isReady || isAffordable || (!goes && spent == 0) {
        // If the budget is spent, one reading of the data, which does not count as an iteration.
        let limit = !goes ? 1 : isReady ? 200 : 50
        let polished = polish(
          beta: beta, tolerance: tolerance, limit: limit, judge, best, proceed)
        spent += polished.products
        goes = goes && polished.goes
        earliest = iteration + max(10, iteration / 4)
      }
      report()
      if best.gap <= tolerance || !goes { return }
      // Leave if the gap does not move any more.
      if iteration % 200 == 0 {
        slow = spent > 0 && best.gap > 0.9 * previous ? slow + 1 : 0
        if slow >= patience { return }
        previous = best.gap
      }
    }
  }

  /// Offers both networks of the iterate, those of Z and of h, using the memory of `blocks`; returns the objective of
  /// the first.
  private func offerPrimal(
    _ blocks: [ConeBlocks], _ judge: LossJudge, _ best: PolynomialIncumbent
  ) -> Double {
    for c in 0..<h.rows { splitting.unpack(c, into: blocks[c]) }
    let value = judge.offer(blocks, to: best)
    // Far from the end, and for small β, the network of h is the better one.
    for c in 0..<h.rows {
      splitting.unpack(c, into: blocks[c])
      program.setDifference(h.row(c), of: blocks[c])
    }
    judge.offer(blocks, to: best)
    return value
  }

  /// The feasible share of (ρ/2)(h − V), which an exact half of a step makes equal to Fᵀν.
  private func feasibleShare(_ judge: LossJudge, beta: Double) -> Double {
    let multiplier = Matrix(copying: h)
    axpy(h.count, -1, v.base, multiplier.base)
    scale(h.count, 0.5 * splitting.rho, multiplier.base)
    return min(1, beta / judge.constraint(multiplier))
  }

  /// The dual value of the multiple `factor` of the loss's multipliers −rU, if Fᵀν were equal to (ρ/2)(h − V).
  private func expectedDual(_ factor: Double) -> Double {
    let nu = Matrix(copying: multipliers)
    scale(nu.count, -penalty, nu.base)
    loss.restrict(nu, targets)
    scale(nu.count, factor, nu.base)
    return loss.dualValue(nu, targets)
  }

  /// Makes a dual point from the iterate, which stays unchanged: z and U taken from the point would disturb it. Returns
  /// the number of readings of the data, and whether `proceed` lets it go on.
  private func polish(
    beta: Double, tolerance: Double, limit: Int, _ judge: LossJudge, _ best: PolynomialIncumbent,
    _ proceed: () -> Bool
  ) -> (products: Int, goes: Bool) {
    let smooth = SmoothLoss(loss, targets, penalty: penalty, multipliers: multipliers)
    // A residual of that size costs a fifth of the tolerance in the dual value.
    let norm = beta * best.weights.regularizer
    let share = norm > 0 ? max(1e-8, min(0.01, 0.2 * tolerance * abs(best.primal) / norm)) : 0.01
    let goal = LossNewton.Goal(
      rho: splitting.rho, penalty: penalty, tolerance: share * beta, limit: limit)
    return newton.solve(
      Matrix(copying: h), near: v, smooth, goal, constraint: judge.constraint,
      visit: { dual, constraint in
        if constraint.isFinite { best.offer(dual: dual, largest: constraint) }
      }, proceed: proceed)
  }
}
