import Glibc
import LinearAlgebra

/// Solves min ½‖Σ_i D_i X W_i − Y‖² + β Σ_i ‖W_i‖_F, for one output or for C that share their groups, by Newton's
/// method in the η of β‖W‖ = min over η > 0 of ½(‖W‖²/η + β²η), the multiple-kernel form of the group lasso.
///
/// With M = Σ η_i D_i X Xᵀ D_i, ν = (I + M)⁻¹ Y and T_i = Xᵀ D_i ν, the weights are W_i = η_i T_i, and f(η) = ½ ⟨Y, ν⟩
/// + ½ β² Σ η_i is minimised over η ≥ 0; ∂f/∂η_i = −½(‖T_i‖² − β²). A step minimises ½ pᵀHp − rᵀp over η + p ≥ 0 with H
/// = Σ_c U_cᵀ(I + M)⁻¹U_c over the outputs, U_ic = D_i X T_ic. Far from the solution ‖T_i‖ is like a power of η. So the
/// right-hand side is r_i = ‖T_i‖² (‖T_i‖/β − 1), Newton's for 1/‖T_i‖ = 1/β, if ‖T_i‖ > β, and otherwise r_i = ‖T_i‖²
/// log(‖T_i‖/β), Newton's in the logarithms, with the step η_i exp(p_i/η_i). If these gain nothing, the step takes
/// Newton's own r_i = ½(‖T_i‖² − β²).
///
/// Y, ν and ŷ are C × n here, with a row for each output.
final class EtaNewton {
  /// An η_i that is to shrink by more than e to this power becomes 0.
  private static let largestShrinkage = 3.0

  /// The reasons for which a solve ends.
  enum End { case reached, interrupted, stalled }

  private let products: PatternProducts
  private let system: any EtaSystem
  private let pricing: PatternPricing
  private let loss: any Loss
  /// C.
  private let outputs: Int
  private let interruption: Interruption
  private let quadratic = BoundedQuadratic()
  private let rounding: RoundingBound
  /// ‖X‖_F.
  private let featureSize: Double

  // The current problem.
  private var y: Matrix
  private var beta = 1.0
  private var tolerance = 1e-4

  // The current point: η, and what `locate` found for it.
  /// η of all members.
  private(set) var eta: [Double]
  private var active: [Int] = []
  /// An iterative system begins at the ν of an earlier η of this problem.
  let nu: Matrix
  /// ŷ.
  private let fitted: Matrix
  private let scratch: Matrix
  /// T_i and U_i of each output, first for the active members, then for those that enter; and ‖T_i‖ over all outputs.
  private var directions: [Matrix]
  private var images: [Matrix]
  private var norms: [Double] = []
  private var primal = 0.0
  /// f(η), and a bound of its error.
  private var value = 0.0
  private var slack = 0.0

  /// The longest time that computing the norms of all patterns took, if the time is limited.
  private var pricingSeconds = 0.0

  private var working: [Int] = []
  private var (hessian, hessianPart, step) = (Matrix(0, 0), Matrix(0, 0), Matrix(0, 0))

  init(
    _ products: PatternProducts, outputs: Int, system: any EtaSystem, pricing: PatternPricing,
    loss: any Loss, interruption: Interruption
  ) {
    self.outputs = outputs
    self.interruption = interruption
    self.products = products
    self.system = system
    self.pricing = pricing
    self.loss = loss
    let (n, d) = (products.samples, products.dimension)
    rounding = RoundingBound(products.x)
    featureSize = norm(n * d, products.x.base)
    eta = Array(repeating: 0, count: products.count)
    y = Matrix(outputs, n)
    nu = Matrix(outputs, n)
    fitted = Matrix(outputs, n)
    scratch = Matrix(outputs, n)
    directions = (0..<outputs).map { _ in Matrix(0, d) }
    images = (0..<outputs).map { _ in Matrix(0, n) }
  }

  /// Improves `point` until its gap is at most `tolerance`, from η = `start` and a ν `near` its own, if given; asks
  /// `proceed` before each iteration, and tells `report` the number of active members.
  func solve(
    _ y: Matrix, beta: Double, from start: [Double], near: Matrix? = nil, tolerance: Double,
    point: PatternIncumbent, proceed: () -> Bool, report: (Int) -> Void
  ) -> End {
    self.y = y
    self.beta = beta
    self.tolerance = tolerance
    primal = loss.value(Matrix(y.rows, y.columns), y)
    eta = start
    if let near {
      nu.copy(from: near)
      // The given ν may be good enough.
      takeActive()
      measure()
      guard value.isFinite else { return .interrupted }
      _ = judge(point)
      report(active.count)
      if point.gap <= tolerance { return .reached }
      if !proceed() { return .interrupted }
    } else {
      nu.fill(0)
    }
    var attempts = 0
    while !locate(gap: 1) {
      if interruption.isOutOfTime { return .interrupted }
      // η is too large for any precision.
      attempts += 1
      if attempts > 20 { return .stalled }
      for i in eta.indices { eta[i] *= 0.1 }
    }
    var best = (gap: Double.infinity, primal: Double.infinity)
    var idle = 0
    while true {
      let entering = judge(point)
      report(active.count)
      if point.gap <= tolerance { return .reached }
      // Rounding has ended the progress if neither point improves any more.
      let isBetter =
        point.gap < 0.9 * best.gap
        || best.primal - point.primal > 0.01 * (point.primal - point.dualValue)
      idle = isBetter ? 0 : idle + 1
      if isBetter { best = (point.gap, point.primal) }
      if idle > 10 { return .stalled }
      if !proceed() { return .interrupted }
      // The pricing after a step takes time too.
      let (isMoved, isOver) = interruption.reserving(pricingSeconds) {
        (advance(entering, gap: point.gap), interruption.isOutOfTime)
      }
      if !isMoved {
        if isOver { return .interrupted }
        guard system.increasePrecision(), locate(gap: point.gap) else { return .stalled }
      }
    }
  }

  // MARK: A point

  /// Finds ν, T, U, ŷ and f at η; false if rounding or the end of the time prevents it. `gap` is the gap as far as it
  /// is known.
  private func locate(gap: Double) -> Bool {
    takeActive()
    var isMeasured = false
    let goal = max(tolerance, 0.01 * min(gap, 1))
    repeat {
      guard system.factor(active, eta) else { continue }
      system.improve(nu, toward: y, error: 0.2 * (goal * primal).squareRoot())
      // ν solves its system to the factor's precision; its error δ shows in y − ŷ − ν. f changes by half δ's square,
      // and the norms by ‖X‖ ‖δ‖ at most, but mostly by far less: the change that a correction makes in them shows how
      // much.
      var (last, moved) = (Double.infinity, Double.infinity)
      for attempt in 0..<6 {
        let (error, change) = measure()
        guard value.isFinite else { break }
        isMeasured = true
        let contraction = error / last
        if last.isFinite { moved = change * contraction }
        if slack <= 0.05 * goal * primal,
          goal >= 1e-4 || min(moved, featureSize * error) <= 0.1 * goal * beta
        {
          return true
        }
        // Once time is out, any point will do.
        // Recompute T after every correction of ν, so end with a measurement.
        if contraction > 0.25 || attempt == 5 || interruption.isOutOfTime { break }
        last = error
        system.solve(rows: scratch)
        axpy(y.count, 1, scratch.base, nu.base)
      }
    } while !interruption.isOutOfTime && system.increasePrecision()
    return value.isFinite && (isMeasured || !interruption.isOutOfTime)
  }

  /// Makes the members with η_i > 0 the active ones.
  private func takeActive() {
    active.removeAll(keepingCapacity: true)
    for i in eta.indices where eta[i] > 0 { active.append(i) }
    reserve(active.count)
  }

  /// Computes T, U, ŷ, f and the primal value for the current η and ν; returns ‖y − ŷ − ν‖, whose vector stays in
  /// `scratch`, and the largest change of a norm ‖T_i‖. f is not a number if the time ended first.
  @discardableResult
  private func measure() -> (error: Double, change: Double) {
    fitted.fill(0)
    guard project(active, isAdding: true) else {
      value = .nan
      return (.infinity, .infinity)
    }
    var (penalty, quadratic, change, sum) = (0.0, 0.0, 0.0, 0.0)
    for (row, i) in active.enumerated() {
      let length = directionNorm(row)
      change = max(change, abs(length - norms[row]))
      norms[row] = length
      penalty += eta[i] * length
      quadratic += eta[i] * length * length
      sum += eta[i]
    }
    let fit = loss.value(fitted, y)
    primal = fit + beta * penalty
    for j in 0..<y.count { scratch.base[j] = y.base[j] - fitted.base[j] - nu.base[j] }
    let error = norm(y.count, scratch.base)
    slack = 0.5 * error * error
    value = fit + 0.5 * quadratic + 0.5 * beta * beta * sum
    return (error, change)
  }

  /// Computes T and U at ν for the members in `list`, from row `first` on, and adds their part to ŷ if `isAdding`.
  /// Returns false if there is no time for it.
  private func project(_ list: [Int], from first: Int = 0, isAdding: Bool) -> Bool {
    let rows = first..<first + list.count
    let (t, u) = (directions.map { $0.slice(rows) }, images.map { $0.slice(rows) })
    if outputs > 1 {
      let proceed = { !self.interruption.isOutOfTime }
      return products.stacked.correlations(nu, list, into: t, proceed: proceed)
        && products.stacked.images(
          t, list, into: u, eta: eta, addingTo: isAdding ? fitted : nil, proceed: proceed)
    }
    products.correlations(nu.row(0), list, into: t[0])
    products.images(t[0], list, into: u[0])
    guard isAdding else { return true }
    for (k, i) in list.enumerated() { axpy(products.samples, eta[i], u[0].row(k), fitted.row(0)) }
    return true
  }

  /// ‖T_i‖ over all outputs for the member in row `row`.
  private func directionNorm(_ row: Int) -> Double {
    if outputs == 1 { return norm(products.dimension, directions[0].row(row)) }
    var square = 0.0
    for t in directions { square += dot(products.dimension, t.row(row), t.row(row)) }
    return square.squareRoot()
  }

  /// Offers the primal and the dual point of ν to `point`; returns the members that should enter.
  private func judge(_ point: PatternIncumbent) -> [(member: Int, norm: Double)] {
    point.offer(
      primal: primal, active: active, eta: active.map { eta[$0] }, directions: directions,
      predictions: fitted)
    var largest = 0.0
    for row in active.indices { largest = max(largest, norms[row]) }
    let open = pricing.open(nu, above: beta, besides: active)
    var entering: [(member: Int, norm: Double)] = []
    if open > 0 {
      // All patterns are priced if this costs no more than a factorisation; otherwise they wait until the active ones
      // and the worst violators of the last time have made progress.
      let (n, d) = (products.samples, products.dimension)
      let level = beta * (1 + 1e-9)
      let isCheap = outputs * open * d <= n * n + 4 * outputs * (active.count + 10) * d
      if !isCheap {
        largest = max(largest, pricing.pricePool(nu, above: level, besides: active))
      }
      let restricted = relativeGap(
        primal: primal,
        dual: loss.dualValue(of: nu, y, beta: beta, largest: largest + rounding(nu)))
      if isCheap || restricted <= max(tolerance, 0.1 * min(point.gap, 1)) {
        let left = interruption.secondsLeft()
        let proceed = { self.interruption.secondsLeft() > 0 }
        largest = max(largest, pricing.price(nu, above: level, proceed: proceed))
        if left.isFinite {
          pricingSeconds = max(pricingSeconds, left - interruption.secondsLeft())
        }
      } else {
        largest = max(largest, pricing.looseBound(nu))
      }
      entering = pricing.violators
    }
    point.offer(dual: nu, largest: largest + rounding(nu))
    return entering
  }

  /// Estimates the seconds for all norms at a ν from the time for a part of them.
  func secondsOfNorms() -> Double {
    let part = Array(0..<max(1, products.count / 10))
    let nu = Matrix(outputs, products.samples)
    nu.fill(1)
    let start = interruption.secondsLeft()
    _ = products.norms(nu, part)
    return (start - interruption.secondsLeft()) * Double(products.count) / Double(part.count)
  }

  /// Offers the best multiple of an arbitrary ν to `point`, after computing all norms.
  func offer(_ nu: Matrix, _ y: Matrix, beta: Double, to point: PatternIncumbent) {
    self.y = y
    self.beta = beta
    self.nu.copy(from: nu)
    let largest = products.norms(nu, Array(0..<products.count)).max() ?? 0
    point.offer(dual: nu, largest: largest + rounding(nu))
  }

  // MARK: The step

  /// Moves η by a step that lowers f; false if none was found, in which case η is unchanged.
  private func advance(_ entering: [(member: Int, norm: Double)], gap: Double) -> Bool {
    guard gather(entering) else { return false }
    let count = working.count
    let (before, lower, p) = (step.row(0), step.row(1), step.row(2))
    let (bent, least, plain) = (step.row(3), step.row(4), step.row(5))
    for (k, i) in working.enumerated() {
      let square = norms[k] * norms[k]
      before[k] = eta[i]
      lower[k] = -eta[i]
      least[k] = -EtaNewton.largestShrinkage * eta[i]
      bent[k] = square * (norms[k] > beta ? norms[k] / beta - 1 : log(norms[k] / beta))
      if square == 0 { bent[k] = 0 }
      plain[k] = 0.5 * (square - beta * beta)
    }
    let start = (value: value, slack: slack)
    // If there are more patterns than H has rank, its minimiser may lie far outside the region in which f is like the
    // quadratic: damping H keeps it near.
    for (right, bound, damping, attempts) in [
      (bent, least, 0, 3), (plain, lower, 0, 12), (plain, lower, 1e-6, 6), (plain, lower, 1e-2, 12),
    ] {
      quadratic.minimize(count, hessian.base, right, lower: bound, damping: damping, into: p)
      if attempts == 3 {
        for k in 0..<count where p[k] < 0 {
          let isAtBound = p[k] <= bound[k] * (1 - 1e-12)
          p[k] = isAtBound ? lower[k] : before[k] * expm1(p[k] / before[k])
        }
      }
      let decrease = dot(count, plain, p)
      guard decrease > 0, !interruption.isOutOfTime else { continue }
      if search(from: start, decrease, attempts: attempts, gap: gap) { return true }
    }
    for (k, i) in working.enumerated() { eta[i] = before[k] }
    return false
  }

  /// Makes the active members and the worst of `entering` the `working` ones, with norms, T, U and H. Returns false if
  /// there is no time for it.
  private func gather(_ entering: [(member: Int, norm: Double)]) -> Bool {
    // Few at a time: most that violate now will no longer do so once the first have entered.
    let cap = max(10, active.count)
    let chosen =
      entering.count > cap
      ? Array(entering.sorted { ($0.norm, $1.member) > ($1.norm, $0.member) }[..<cap]) : entering
    reserve(active.count + chosen.count)
    working.removeAll(keepingCapacity: true)
    working += active
    for (k, violator) in chosen.enumerated() {
      working.append(violator.member)
      norms[active.count + k] = violator.norm
    }
    guard project(chosen.map(\.member), from: active.count, isAdding: false) else { return false }
    system.hessian(
      working, directions: directions, images: images, into: hessian.base,
      scratch: hessianPart.base)
    return !interruption.isOutOfTime
  }

  /// Tries some lengths of the step p from η (rows 0 to 2 of `step` hold η, the bounds and p), the longest first, until
  /// f falls by as much as `decrease` promises.
  private func search(
    from start: (value: Double, slack: Double), _ decrease: Double, attempts: Int, gap: Double
  ) -> Bool {
    let (before, lower, p) = (step.row(0), step.row(1), step.row(2))
    var t = 1.0
    for _ in 0..<attempts {
      for (k, i) in working.enumerated() {
        let reachesBound = t == 1 && p[k] <= lower[k] * (1 - 1e-12)
        eta[i] = reachesBound ? 0 : max(0, before[k] + t * p[k])
      }
      // Once time is out, the point is offered, if it is one, and nothing follows.
      let isLocated = locate(gap: gap)
      if isLocated,
        value <= start.value - 1e-4 * t * decrease || interruption.isOutOfTime
          || abs(value - start.value) <= 1e-13 * abs(start.value) + slack + start.slack
      {
        return true
      }
      if interruption.isOutOfTime { break }
      t *= attempts == 3 ? 0.3 : 0.5
    }
    return false
  }

  /// Makes room for `count` members and keeps the contents.
  private func reserve(_ count: Int) {
    guard norms.count < count else { return }
    let rows = min(products.count, max(count + 16, 2 * norms.count))
    func grown(_ old: Matrix, columns: Int) -> Matrix {
      let new = Matrix(rows, columns)
      new.base.update(from: old.base, count: old.count)
      return new
    }
    for c in 0..<outputs {
      directions[c] = grown(directions[c], columns: products.dimension)
      images[c] = grown(images[c], columns: products.samples)
    }
    norms += Array(repeating: 0, count: rows - norms.count)
    hessian = Matrix(rows, rows)
    if outputs > 1 { hessianPart = Matrix(rows, rows) }
    step = Matrix(6, rows)
  }
}
