import Glibc
import LinearAlgebra

/// Solves min ½‖Σ_i D_i X w_i − y‖² + β Σ_i ‖w_i‖ for one output by Newton's method in the η of
/// β‖w‖ = min over η > 0 of ½(‖w‖²/η + β²η), the multiple-kernel form of the group lasso.
///
/// With M = Σ η_i D_i X Xᵀ D_i, ν = (I + M)⁻¹ y and T_i = Xᵀ D_i ν the objective in η ≥ 0 is
/// f(η) = ½ yᵀν + ½ β² Σ η_i, w_i = η_i T_i, and ∂f/∂η_i = −½(‖T_i‖² − β²). A step minimises
/// ½ pᵀHp − rᵀp over η + p ≥ 0 with H = Uᵀ(I + M)⁻¹U, U_i = D_i X T_i. The right-hand side
/// r_i = ‖T_i‖² (‖T_i‖/β − 1), Newton's for 1/‖T_i‖ = 1/β, is nearly linear in η far from the solution;
/// where it gains nothing, Newton's own r_i = ½(‖T_i‖² − β²) is taken.
final class EtaNewton {
  /// What stops a solve.
  enum End { case reached, interrupted, stalled }

  private let products: PatternProducts
  private let system: any EtaSystem
  private let pricing: PatternPricing
  private let loss: any Loss
  private let quadratic = BoundedQuadratic()
  /// ‖x_j‖², for what rounding does to Xᵀ D ν.
  private let rowSquares: [Double]

  private var eta: [Double]
  private var active: [Int] = []
  private let nu: Matrix
  private let fitted: Matrix
  private let remainder: Matrix
  /// T_i and U_i of the active members, then of those that enter; ‖T_i‖.
  private var directions = Matrix(0, 0)
  private var images = Matrix(0, 0)
  private var norms: [Double] = []
  private var hessian = Matrix(0, 0)
  private var step = Matrix(0, 0)
  private var working: [Int] = []

  init(
    _ products: PatternProducts, system: any EtaSystem, pricing: PatternPricing,
    loss: any Loss
  ) {
    self.products = products
    self.system = system
    self.pricing = pricing
    self.loss = loss
    let (n, d) = (products.samples, products.dimension)
    rowSquares = (0..<n).map { dot(d, products.x.row($0), products.x.row($0)) }
    eta = Array(repeating: 0, count: products.count)
    nu = Matrix(n, 1)
    fitted = Matrix(n, 1)
    remainder = Matrix(n, 1)
  }

  /// η of all members after a solve.
  var weights: [Double] { eta }

  /// Improves `point` until its gap is at most `tolerance`, from `start`; asks `proceed` before each
  /// iteration, and tells `report` of each with the number of active members.
  func solve(
    _ y: Matrix, beta: Double, from start: [Double], tolerance: Double, point: GatedPoint,
    proceed: () -> Bool, report: (Int) -> Void
  ) -> End {
    eta = start
    collectActive()
    guard var value = objective(y, beta: beta) else { return .stalled }
    var best = Double.infinity
    var idle = 0
    while true {
      let entering = evaluate(y, beta: beta, tolerance: tolerance, point: point)
      report(active.count)
      if point.gap <= tolerance { return .reached }
      // Rounding ends it where neither the gap nor the objective moves any more.
      idle = point.gap < 0.9 * best ? 0 : idle + 1
      best = min(best, point.gap)
      if idle > 20 { return .stalled }
      if !proceed() { return .interrupted }
      guard let next = advance(y, beta: beta, value: value, entering: entering) else {
        return .stalled
      }
      value = next
    }
  }

  private func collectActive() {
    active.removeAll(keepingCapacity: true)
    for i in eta.indices where eta[i] > 0 { active.append(i) }
  }

  /// Factors I + M(η), solves for ν, and returns f(η); `nil` where rounding prevents it.
  private func objective(_ y: Matrix, beta: Double) -> Double? {
    guard system.factor(active, eta) else { return nil }
    nu.copy(from: y)
    system.solve(nu.base)
    var sum = 0.0
    for i in active { sum += eta[i] }
    let value = 0.5 * dot(y.rows, y.base, nu.base) + 0.5 * beta * beta * sum
    return value.isFinite ? value : nil
  }

  // MARK: The two points

  /// Offers the primal and the dual point of ν to `point`; returns the members that should enter.
  private func evaluate(
    _ y: Matrix, beta: Double, tolerance: Double, point: GatedPoint
  ) -> [(member: Int, norm: Double)] {
    let n = y.rows
    reserve(active.count)
    // ν solves its system to the factor's precision; what the weights leave of y says how well.
    var primal = 0.0
    for attempt in 0..<3 {
      products.correlations(nu.base, active, into: directions)
      products.images(directions, active, into: images)
      var penalty = 0.0
      fitted.fill(0)
      for (row, i) in active.enumerated() {
        norms[row] = norm(products.dimension, directions.row(row))
        penalty += eta[i] * norms[row]
        axpy(n, eta[i], images.row(row), fitted.base)
      }
      primal = loss.value(fitted, y) + beta * penalty
      for j in 0..<n { remainder.base[j] = y.base[j] - fitted.base[j] - nu.base[j] }
      let error = norm(n, remainder.base)
      if attempt == 2 || !(error * norm(n, nu.base) > 1e-2 * tolerance * primal) { break }
      system.solve(remainder.base)
      axpy(n, 1, remainder.base, nu.base)
    }
    point.offer(
      primal: primal, active: active, eta: eta, directions: directions, predictions: fitted)

    var largest = 0.0
    for row in active.indices { largest = max(largest, norms[row]) }
    let open = pricing.open(nu, above: beta, besides: active)
    var entering: [(member: Int, norm: Double)] = []
    if open > 0 {
      let known = dualValue(y, beta: beta, largest: largest).value
      let restricted = relativeGap(primal: primal, dual: known)
      let cost = Double(open) * Double(products.dimension)
      if cost <= Double(n) * Double(n) / 6 || restricted <= max(tolerance, 0.1 * point.gap) {
        largest = max(largest, pricing.price(nu, above: beta * (1 + 1e-9)))
        entering = pricing.violators
      } else {
        largest = max(largest, pricing.looseBound(nu))
      }
    }
    let (value, scaling) = dualValue(y, beta: beta, largest: largest)
    point.offer(dual: value, direction: nu, times: scaling)
    return entering
  }

  /// The dual value of the best multiple of ν that satisfies ‖Xᵀ D_i ν‖ ≤ β, where the largest of those
  /// norms is `largest`.
  private func dualValue(
    _ y: Matrix, beta: Double, largest: Double
  ) -> (value: Double, scaling: Double) {
    let n = y.rows
    // Whoever recomputes the norms adds up in another order: leave room for the rounding of such sums.
    var square = 0.0
    for j in 0..<n { square += nu.base[j] * nu.base[j] * rowSquares[j] }
    let unit = 0x1p-52 * (4 + 0.5 * Double(n).squareRoot())
    let bound = largest + unit * square.squareRoot()
    let scaling = loss.scaling(nu, y, bound: bound > 0 ? beta / bound : .infinity)
    for j in 0..<n { remainder.base[j] = scaling * nu.base[j] }
    return (loss.dualValue(remainder, y), scaling)
  }

  // MARK: The step

  /// Moves η, by a step that lowers f from `value`; returns f there, or `nil` where none was found.
  private func advance(
    _ y: Matrix, beta: Double, value: Double, entering: [(member: Int, norm: Double)]
  ) -> Double? {
    let n = y.rows
    // Few at a time: most that violate now will not once the first have entered.
    let cap = max(10, active.count)
    let chosen =
      entering.count > cap
      ? Array(entering.sorted { ($0.norm, $1.member) > ($1.norm, $0.member) }[..<cap]) : entering
    working.removeAll(keepingCapacity: true)
    working += active
    let count = active.count + chosen.count
    reserve(count)
    for (k, violator) in chosen.enumerated() {
      working.append(violator.member)
      norms[active.count + k] = violator.norm
    }
    if !chosen.isEmpty {
      products.correlations(nu.base, working, into: directions)
      products.images(directions, working, into: images)
    }
    system.hessian(images, count: count, into: hessian.base)

    let before = working.map { eta[$0] }
    let (right, lower, p) = (step.row(0), step.row(1), step.row(2))
    for k in 0..<count { lower[k] = -before[k] }
    for isSecular in [true, false] {
      for k in 0..<count {
        let square = norms[k] * norms[k]
        right[k] = isSecular ? square * (norms[k] / beta - 1) : 0.5 * (square - beta * beta)
      }
      quadratic.minimize(count, hessian.base, right, lower: lower, into: p)
      var decrease = 0.0
      for k in 0..<count { decrease += 0.5 * (norms[k] * norms[k] - beta * beta) * p[k] }
      guard decrease > 0 else { continue }
      var t = 1.0
      for _ in 0..<(isSecular ? 3 : 12) {
        for (k, i) in working.enumerated() {
          let reachesBound = t == 1 && p[k] <= lower[k] * (1 - 1e-12)
          eta[i] = reachesBound ? 0 : max(0, before[k] + t * p[k])
        }
        collectActive()
        if let next = objective(y, beta: beta),
          next <= value - 1e-4 * t * decrease || abs(next - value) < 1e-13 * abs(value)
        {
          return next
        }
        t *= isSecular ? 0.3 : 0.5
      }
    }
    for (k, i) in working.enumerated() { eta[i] = before[k] }
    _ = n
    return nil
  }

  /// Makes room for `count` rows; what stands there stays.
  private func reserve(_ count: Int) {
    guard directions.rows < count else { return }
    let rows = min(products.count, max(count + 16, 2 * directions.rows))
    func grown(_ old: Matrix, columns: Int) -> Matrix {
      let new = Matrix(rows, columns)
      new.base.update(from: old.base, count: old.count)
      return new
    }
    directions = grown(directions, columns: products.dimension)
    images = grown(images, columns: products.samples)
    norms += Array(repeating: 0, count: rows - norms.count)
    hessian = Matrix(rows, rows)
    step = Matrix(3, rows)
  }
}
