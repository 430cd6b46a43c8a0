import Convex
import Glibc
import LinearAlgebra

/// The interior-point method for ReLU programs over pooled features,
///
///   min ℓ(ŷ) + β Σ_j ‖v_j‖,  ŷ = Σ_j ± F_i v_j,  B_i v_jk ≥ 0,
///
/// with groups j = (i, ±), of one output or of all, of slots k of d weights, each in the cone of pattern i by its working rows:
/// infeasible, primal–dual, Nesterov–Todd scaling for the norms' second-order cones, Mehrotra's predictor and
/// corrector. Rows may join between iterations.
///
/// A slot adds D_jk = B_iᵀ diag(λ/s) B_i + η_j⁻² I to the Newton matrix of its group, the scaling a term of
/// rank one; ν is left with (W⁻¹ + Σ_j F_i H_j⁻¹ F_iᵀ) dν = r: n × n for each output, coupled by as many
/// terms of rank one as there are groups. Multipliers λ ≥ 0 bound the projections of the dual constraint,
/// ‖P(±F_iᵀν)‖ ≤ ‖±F_iᵀν + B_iᵀλ_j‖.
final class ReLUInteriorPoint {
  let cones: WorkingCones
  let beta: Double
  let terms: any LossTerms
  /// Those at work, of cones that have an interior, and their numbers.
  private(set) var numbers: [Int]
  private(set) var groups: [ReLUGroup]
  private let map: ReLUOperator
  private let targets: Matrix
  private let loss: any Loss
  private let (n, d): (Int, Int)
  /// C, C·R and C·R·d.
  private let outputs: Int
  private let slots: Int
  private let length: Int

  /// A row a group: v, and the dual point of its norm; s and λ of a group are slots × rows.
  private(set) var v: Matrix
  private var g: Matrix
  private var s: [Matrix] = []
  private var lambda: [Matrix] = []
  private var tau: [Double]
  /// ŷ, C × n.
  let predictions: Matrix
  /// ± F_iᵀν + B_iᵀλ and its norm.
  private var bounded = Matrix(0, 0)
  private(set) var bounds: [Double] = []
  private(set) var primal = Double.infinity
  private(set) var mu = 0.0
  private(set) var iterations = 0
  /// What μ adds up to: the distance of the values of a feasible pair.
  private(set) var complementarity = 0.0

  /// The largest norm of a group's ± F_iᵀν + B_iᵀλ + g.
  private var dualResidual = Double.infinity

  private let correlations: Matrix
  private var ratio: [Matrix] = []
  private var primalGap: [Matrix] = []
  private var cross: [Matrix] = []
  private let factors: ReLUFactors
  private var scalings: [SecondOrderScaling] = []
  private var scalingStorage = Matrix(0, 0)
  private var scaled = Matrix(0, 0)
  private var scaledFirst: [Double] = []
  /// The gap before the last iteration.
  private var gapBefore = Double.infinity
  private var lower = Matrix(0, 0)
  private var residual = Matrix(0, 0)
  private var affine = Direction(0, 0, 0, 0)
  private var step = Direction(0, 0, 0, 0)

  /// A change of the iterate.
  private final class Direction {
    var tau: [Double]
    let v: Matrix
    let g: Matrix
    var s: [Matrix] = []
    var lambda: [Matrix] = []
    let nu: Matrix
    init(_ groups: Int, _ length: Int, _ outputs: Int, _ n: Int) {
      tau = Array(repeating: 0, count: groups)
      v = Matrix(groups, length)
      g = Matrix(groups, length)
      nu = Matrix(outputs, n)
    }
  }

  /// `targets` is n × C. Every weight begins at `radius` times the centre of its cone, v and w alike, so
  /// that ŷ is 0. `first` are the numbers of the groups at work, ascending: all, unless given.
  init(
    _ cones: WorkingCones, map: ReLUOperator, loss: any Loss, targets: Matrix, beta: Double,
    radius: Double, first: [Int]? = nil, proceed: @escaping () -> Bool = { true }
  ) {
    self.cones = cones
    self.map = map
    self.loss = loss
    self.targets = targets
    self.beta = beta
    n = cones.features.samples
    d = cones.features.dimension
    outputs = targets.columns
    slots = map.slots
    length = map.length
    let size = radius * Double(slots).squareRoot()
    let most = cones.cones.reduce(1) { max($0, $1.matrix.rows) }
    let mu = beta * size / Double(slots * most)
    numbers = (first ?? Array(0..<map.groups.count)).filter {
      cones.cones[map.groups.pattern($0)].isOpen
    }
    groups = numbers.map { map.groups[$0] }
    let count = groups.count
    v = Matrix(count, length)
    g = Matrix(count, length)
    tau = Array(repeating: 0, count: count)
    predictions = Matrix(outputs, n)
    correlations = Matrix(
      cones.features.patterns, targets.columns * cones.features.regions * cones.features.dimension)
    factors = ReLUFactors(
      cones, groups: groups, outputs: outputs, isCoupled: !loss.isSeparable,
      proceed: proceed)
    let start = ReLUInteriorPoint.start(map, groups, loss, targets, beta: beta, into: correlations)
    terms =
      BoxLossTerms(loss, targets.transposed, start: start, mu: mu)
      ?? SmoothLossTerms(loss.name, targets.transposed, start: start)
    let centres = exactCentres()
    for (j, group) in groups.enumerated() {
      let centre = centres[group.pattern]!
      for k in 0..<slots { axpy(d, radius, centre, v.row(j) + k * d) }
      let rows = cones.cones[group.pattern].matrix
      let (slack, multipliers) = (Matrix(slots, rows.rows), Matrix(slots, rows.rows))
      gemm(slots, rows.rows, d, v.row(j), .plain, rows.base, .transposed, slack.base)
      for i in 0..<slack.count { multipliers.base[i] = mu / slack.base[i] }
      // The point of the norm's cone whose product with (β, g) is μ too.
      let share = mu / beta
      tau[j] = 0.5 * (share + (share * share + 4 * size * size).squareRoot())
      axpy(length, -beta / tau[j], v.row(j), g.row(j))
      s.append(slack)
      lambda.append(multipliers)
    }
    makeRoomForGroups()
    refresh()
  }

  /// The analytic centres of the working rows, by pattern.
  private func exactCentres() -> [Int: [Double]] {
    let patterns = Set(groups.map(\.pattern)).sorted()
    let result = Matrix(patterns.count, d)
    Threads.perform(patterns.count) { k in
      let cone = self.cones.cones[patterns[k]]
      let centre = cone.analyticCentre(from: cone.centre, exactly: true)
      result.row(k).update(from: centre, count: self.d)
    }
    return Dictionary(
      uniqueKeysWithValues: patterns.indices.map {
        (patterns[$0], Array(UnsafeBufferPointer(start: result.row($0), count: d)))
      })
  }

  /// ν to begin with, C × n: the multiple of the slope at 0 whose ‖F_iᵀν‖ are half of β at most, so that the dual
  /// residual is small from the first step on; but no less than a share of the slope, so that no slope begins close to a
  /// bound (hinge, n = 1,000, 30 patterns, β = 1: 221 iterations and no end without it, 20 with it).
  private static func start(
    _ map: ReLUOperator, _ groups: [ReLUGroup], _ loss: any Loss, _ targets: Matrix, beta: Double,
    into correlations: Matrix
  ) -> Matrix {
    let slope = Matrix(targets.rows, targets.columns)
    loss.residual(Matrix(targets.rows, targets.columns), targets, into: slope)
    let result = slope.transposed
    map.correlate(result, into: correlations)
    let largest = groups.reduce(0) { max($0, norm(map.length, map.part($1, correlations))) }
    let least = loss.pieces == nil ? 0.1 : 0.25
    let share = largest > 0 ? min(0.5, max(least, 0.5 * beta / largest)) : 0.5
    scale(result.count, share, result.base)
    return result
  }

  /// Buffers for the groups as they are, a row a group; then those of slots × rows.
  private func makeRoomForGroups() {
    let count = groups.count
    bounded = Matrix(count, length)
    bounds = Array(repeating: .infinity, count: count)
    scalingStorage = Matrix(count, length)
    scaled = Matrix(count, length)
    scaledFirst = Array(repeating: 0, count: count)
    lower = Matrix(count, length)
    residual = Matrix(count, length)
    affine = Direction(count, length, outputs, n)
    step = Direction(count, length, outputs, n)
    scalings = (0..<count).map { SecondOrderScaling(length, storage: scalingStorage.row($0)) }
    makeRoom()
  }

  /// Buffers of slots × rows.
  private func makeRoom() {
    func fresh() -> [Matrix] { s.map { Matrix($0.rows, $0.columns) } }
    (ratio, primalGap, cross) = (fresh(), fresh(), fresh())
    (affine.s, affine.lambda) = (fresh(), fresh())
    (step.s, step.lambda) = (fresh(), fresh())
  }

  private func matrix(_ j: Int) -> Matrix { cones.cones[groups[j].pattern].matrix }

  /// Calls `body` with each group, on all threads.
  private func forEachGroup(_ body: (Int) -> Void) {
    Threads.perform(groups.count, body)
  }

  // MARK: Rows

  /// Whether rows joined the working cones that are not in yet.
  var isBehind: Bool { groups.indices.contains { s[$0].columns < matrix($0).rows } }

  /// Moves every weight by `shifts` (slots a group) times the centre of its cone, and takes the rows that
  /// joined the working cones.
  func extend(shifts: Matrix) {
    for (j, group) in groups.enumerated() {
      let rows = matrix(j)
      let (old, new) = (s[j].columns, rows.rows)
      let centre = cones.centres.row(group.pattern)
      var size = 0.0
      for k in 0..<slots {
        axpy(d, shifts[j, k], centre, v.row(j) + k * d)
        size = max(size, norm(d, v.row(j) + k * d))
      }
      let (slack, multipliers) = (Matrix(slots, new), Matrix(slots, new))
      gemm(slots, new, d, v.row(j), .plain, rows.base, .transposed, slack.base)
      var depths = [Double](repeating: 0, count: new)
      gemv(new, d, rows.base, .plain, centre, &depths)
      for k in 0..<slots {
        for i in 0..<old {
          slack[k, i] = s[j][k, i] + shifts[j, k] * depths[i]
          multipliers[k, i] = lambda[j][k, i]
        }
        for i in old..<max(old, new) {
          slack[k, i] = max(slack[k, i], 1e-3 * size * depths[i])
          multipliers[k, i] = mu / slack[k, i]
        }
      }
      (s[j], lambda[j]) = (slack, multipliers)
      tau[j] = max(tau[j], norm(length, v.row(j)) + 0.5 * mu / beta)
    }
    makeRoom()
    refresh()
  }

  // MARK: Groups

  /// The relative gap of the program of these groups alone, by their multipliers.
  var gap: Double {
    let dual = loss.dualValue(
      of: terms.nu.transposed, targets, beta: beta, largest: bounds.max() ?? 0)
    return relativeGap(primal: primal, dual: dual)
  }

  /// The groups that carry weight or are about to, by their places: of those that end at 0, ‖v‖ is about
  /// c μ/(β − ‖P‖), c the multipliers. `returned` (numbers) stay. Returns nil if few others are there, or if it is
  /// too early to tell: after an iteration that closed much of the gap weights need another one to follow.
  func carrying(besides returned: Set<Int>) -> [Int]? {
    let gap = max(self.gap, gapBefore)
    let factor = gap < 0.01 ? 12.0 : gap < 0.03 ? 6 : gap < 0.1 ? 3 : 0
    guard factor > 0 else { return nil }
    let kept = groups.indices.filter {
      norm(length, v.row($0)) > factor * Double(s[$0].count + 1) * mu / beta
        || returned.contains(numbers[$0])
    }
    return kept.count < groups.count * 9 / 10 && !kept.isEmpty ? kept : nil
  }

  /// Goes on with the groups at the places `kept`, ascending, alone.
  func keep(_ kept: [Int]) {
    func cut(_ matrix: Matrix) -> Matrix {
      let result = Matrix(kept.count, length)
      for (k, j) in kept.enumerated() { result.row(k).update(from: matrix.row(j), count: length) }
      return result
    }
    (v, g, tau) = (cut(v), cut(g), kept.map { tau[$0] })
    (s, lambda) = (kept.map { s[$0] }, kept.map { lambda[$0] })
    numbers = kept.map { numbers[$0] }
    groups = kept.map { groups[$0] }
    factors.take(groups)
    makeRoomForGroups()
    refresh()
  }

  /// Tells of each group's multipliers z = Bᵀλ.
  func forEachMultiplier(_ body: (_ number: Int, _ z: UnsafePointer<Double>) -> Void) {
    var z = [Double](repeating: 0, count: length)
    for (j, group) in groups.enumerated() {
      let (t, row) = (map.part(group, correlations), bounded.row(j))
      for k in 0..<length { z[k] = row[k] - group.sign * t[k] }
      body(numbers[j], z)
    }
  }

  // MARK: State

  /// Bᵀ of slots × rows, added to `target`.
  private func addAdjoint(_ z: Matrix, _ j: Int, to target: UnsafeMutablePointer<Double>) {
    let rows = matrix(j)
    for k in 0..<slots {
      gemv(rows.rows, d, rows.base, .transposed, z.row(k), beta: 1, target + k * d)
    }
  }

  private func products(
    _ z: UnsafePointer<Double>, _ j: Int, into target: Matrix, beta: Double = 0, alpha: Double = 1
  ) {
    let rows = matrix(j)
    for k in 0..<slots {
      gemv(rows.rows, d, alpha: alpha, rows.base, .plain, z + k * d, beta: beta, target.row(k))
    }
  }

  /// Predictions, ν, the residuals, the bounds, the objective and μ of the iterate.
  private func refresh() {
    map.outputs(groups, v, into: predictions)
    terms.refresh(predictions)
    map.correlate(terms.nu, into: correlations)
    var sums = [Double](repeating: 0, count: groups.count)
    sums.withUnsafeMutableBufferPointer { sums in
      nonisolated(unsafe) let sums = sums
      bounds.withUnsafeMutableBufferPointer { bounds in
        nonisolated(unsafe) let bounds = bounds
        forEachGroup { j in
          let row = self.bounded.row(j)
          row.update(from: self.map.part(self.groups[j], self.correlations), count: self.length)
          if self.groups[j].sign < 0 { scale(self.length, -1, row) }
          self.addAdjoint(self.lambda[j], j, to: row)
          let gap = self.primalGap[j]
          gap.copy(from: self.s[j])
          self.products(self.v.row(j), j, into: gap, beta: 1, alpha: -1)
          bounds[j] = norm(self.length, row)
          sums[j] =
            dot(gap.count, self.s[j].base, self.lambda[j].base) + self.beta * self.tau[j]
            + dot(self.length, self.v.row(j), self.g.row(j))
        }
      }
    }
    primal = loss.value(predictions.transposed, targets)
    dualResidual = 0
    for j in groups.indices {
      primal += beta * norm(length, v.row(j))
      var square = 0.0
      for k in 0..<length {
        let value = bounded[j, k] + g[j, k]
        square += value * value
      }
      dualResidual = max(dualResidual, square.squareRoot())
    }
    let products = (sum: sums.reduce(0, +), count: Double(productCount))
    let (sum, count) = terms.complementarity
    complementarity = products.sum + sum
    mu = complementarity / (products.count + count)
  }

  /// Products that are to be μ, without those of the loss.
  private var productCount: Int { s.reduce(groups.count) { $0 + $1.count } }

  // MARK: An iteration

  /// One predictor–corrector step. False where the numbers allow none.
  func iterate() -> Bool {
    iterations += 1
    gapBefore = gap
    let count = groups.count
    scalings.withUnsafeMutableBufferPointer { scalings in
      nonisolated(unsafe) let scalings = scalings
      scaledFirst.withUnsafeMutableBufferPointer { first in
        nonisolated(unsafe) let first = first
        forEachGroup { j in
          scalings[j].update(
            tau: self.tau[j], self.v.row(j), beta: self.beta, self.g.row(j))
          let (ratio, s, lambda) = (self.ratio[j], self.s[j], self.lambda[j])
          for i in 0..<ratio.count { ratio.base[i] = lambda.base[i] / s.base[i] }
          let row = self.scaled.row(j)
          row.update(from: self.g.row(j), count: self.length)
          first[j] = self.beta
          scalings[j].scale(&first[j], row)
        }
      }
    }
    guard factors.factor(ratio: ratio, v: v, scalings: scalings, inverse: terms.inverse) else {
      return false
    }

    // Predictor: complementarity to 0.
    var d0 = scaledFirst.map { -$0 }
    for i in 0..<lower.count { lower.base[i] = -scaled.base[i] }
    forEachGroup { j in
      let cross = self.cross[j]
      for i in 0..<cross.count { cross.base[i] = -self.lambda[j].base[i] * self.s[j].base[i] }
    }
    terms.rightHandSide(target: 0, isCorrector: false, into: affine.nu)
    solve(cones: d0, into: affine)
    terms.complete(affine.nu, target: 0, isCorrector: false)
    let reach = stepLength(affine)
    var after = terms.complementarity(after: reach, affine.nu)
    for j in 0..<count {
      let (v, g, dv, dg) = (v.row(j), g.row(j), affine.v.row(j), affine.g.row(j))
      after +=
        beta * (tau[j] + reach * affine.tau[j]) + dot(length, v, g)
        + reach * (dot(length, dv, g) + dot(length, v, dg)) + reach * reach * dot(length, dv, dg)
      let (s, l, ds, dl) = (s[j], lambda[j], affine.s[j], affine.lambda[j])
      for i in 0..<s.count {
        after += (s.base[i] + reach * ds.base[i]) * (l.base[i] + reach * dl.base[i])
      }
    }
    let ratio = min(1, max(0, after / complementarity))
    let target = ratio * ratio * ratio * mu

    // Corrector.
    d0.withUnsafeMutableBufferPointer { d0 in
      nonisolated(unsafe) let d0 = d0
      forEachGroup { j in
        let length = self.length
        var x0 = self.affine.tau[j]
        var y0 = 0.0
        let (x1, y1) = (self.residual.row(j), self.lower.row(j))
        x1.update(from: self.affine.v.row(j), count: length)
        y1.update(from: self.affine.g.row(j), count: length)
        self.scalings[j].unscale(&x0, x1)
        self.scalings[j].scale(&y0, y1)
        let (l0, l1) = (self.scaledFirst[j], self.scaled.row(j))
        let c0 = target - l0 * l0 - dot(length, l1, l1) - (x0 * y0 + dot(length, x1, y1))
        for k in 0..<length { y1[k] = -2 * l0 * l1[k] - (x0 * y1[k] + y0 * x1[k]) }
        let size = norm(length, l1)
        let determinant = max((l0 - size) * (l0 + size), 1e-300)
        d0[j] = (l0 * c0 - dot(length, l1, y1)) / determinant
        for k in 0..<length { y1[k] = (y1[k] - l1[k] * d0[j]) / l0 }
        let cross = self.cross[j]
        for i in 0..<cross.count {
          cross.base[i] =
            target - self.affine.s[j].base[i] * self.affine.lambda[j].base[i]
            - self.lambda[j].base[i] * self.s[j].base[i]
        }
      }
    }
    terms.rightHandSide(target: target, isCorrector: true, into: step.nu)
    solve(cones: d0, into: step)
    terms.complete(step.nu, target: target, isCorrector: true)
    let move = min(1, 0.99 * stepLength(step))
    guard move.isFinite, move > 1e-7 else { return false }
    for j in 0..<count {
      tau[j] += move * step.tau[j]
      axpy(s[j].count, move, step.s[j].base, s[j].base)
      axpy(s[j].count, move, step.lambda[j].base, lambda[j].base)
    }
    axpy(v.count, move, step.v.base, v.base)
    axpy(g.count, move, step.g.base, g.base)
    terms.move(move, step.nu)
    refresh()
    return primal.isFinite && mu > 0
  }

  /// The Newton step for the right-hand sides `cones` with `lower` (of the second-order cones, scaled),
  /// `cross` (of λ ∘ s) and result.nu (of the loss). All are lost.
  private func solve(cones d0: [Double], into result: Direction) {
    var firsts = d0
    firsts.withUnsafeMutableBufferPointer { firsts in
      nonisolated(unsafe) let firsts = firsts
      forEachGroup { j in
        var b0 = d0[j]
        let row = self.lower.row(j)
        self.scalings[j].unscale(&b0, row)
        firsts[j] = self.scalings[j].eliminate(b0, row)
        // Kept: dg = b_g − (reduced block) dv.
        result.g.row(j).update(from: row, count: self.length)
        axpy(self.length, 1, self.bounded.row(j), row)
        axpy(self.length, 1, self.g.row(j), row)
        let sum = result.s[j]
        for i in 0..<sum.count {
          sum.base[i] =
            self.cross[j].base[i] / self.s[j].base[i]
            + self.ratio[j].base[i] * self.primalGap[j].base[i]
        }
        self.addAdjoint(sum, j, to: row)
      }
    }
    let right = Matrix(copying: result.nu)
    let (change, features) = (result.nu, correlations)
    /// v ← H⁻¹(low ± Fᵀν), ν the solution for r − F H⁻¹ low.
    func eliminate(_ low: Matrix, _ r: Matrix, _ v: Matrix, _ nu: Matrix) {
      v.copy(from: low)
      factors.applyInverse(v)
      map.outputs(groups, v, into: nu)
      for i in 0..<nu.count { nu.base[i] = r.base[i] - nu.base[i] }
      factors.solve(nu)
      map.correlate(nu, into: features)
      v.copy(from: low)
      for (j, group) in groups.enumerated() {
        axpy(length, group.sign, map.part(group, features), v.row(j))
      }
      factors.applyInverse(v)
    }
    let dv = result.v
    eliminate(lower, right, dv, change)

    // Once more for what rounding left of both equations.
    let missing = Matrix(outputs, n)
    map.outputs(groups, dv, into: missing)
    for i in 0..<missing.count {
      missing.base[i] = right.base[i] - missing.base[i] - terms.inverse.base[i] * change.base[i]
    }
    map.correlate(change, into: features)
    forEachGroup { j in
      let (row, group) = (self.residual.row(j), self.groups[j])
      row.update(from: self.lower.row(j), count: self.length)
      axpy(self.length, group.sign, self.map.part(group, features), row)
      self.scalings[j].apply(-1, dv.row(j), addingTo: row)
      let products = result.s[j]
      self.products(dv.row(j), j, into: products)
      for i in 0..<products.count { products.base[i] *= -self.ratio[j].base[i] }
      self.addAdjoint(products, j, to: row)
    }
    let (extra, more) = (Matrix(outputs, n), lower)
    let low = Matrix(copying: residual)
    eliminate(low, missing, more, extra)
    axpy(dv.count, 1, more.base, dv.base)
    axpy(change.count, 1, extra.base, change.base)

    result.tau.withUnsafeMutableBufferPointer { tau in
      nonisolated(unsafe) let tau = tau
      forEachGroup { j in
        let ds = result.s[j]
        self.products(dv.row(j), j, into: ds)
        for i in 0..<ds.count {
          ds.base[i] -= self.primalGap[j].base[i]
          result.lambda[j].base[i] =
            (self.cross[j].base[i] - self.lambda[j].base[i] * ds.base[i]) / self.s[j].base[i]
        }
        tau[j] = self.scalings[j].tau(firsts[j], dv.row(j))
        self.scalings[j].apply(-1, dv.row(j), addingTo: result.g.row(j))
      }
    }
  }

  /// The longest step that keeps all cones.
  private func stepLength(_ direction: Direction) -> Double {
    var reach = [Double](repeating: 1, count: groups.count)
    reach.withUnsafeMutableBufferPointer { reach in
      nonisolated(unsafe) let reach = reach
      forEachGroup { j in
        var limit = 1.0
        for (x, dx) in [(self.s[j], direction.s[j]), (self.lambda[j], direction.lambda[j])] {
          for i in 0..<x.count where dx.base[i] < 0 { limit = min(limit, -x.base[i] / dx.base[i]) }
        }
        limit = SecondOrderScaling.step(
          self.length, self.tau[j], self.v.row(j), direction.tau[j], direction.v.row(j),
          limit: limit)
        reach[j] = SecondOrderScaling.step(
          self.length, self.beta, self.g.row(j), 0, direction.g.row(j), limit: limit)
      }
    }
    return min(terms.stepLength(direction.nu), reach.min() ?? 1)
  }
}
