import Glibc
import LinearAlgebra

/// A group of variables of the ReLU program: the weights of the neurons with one pattern and one sign of
/// the output.
package struct ConeBlock: Hashable {
  package let pattern: Int
  /// 1 for v, −1 for w.
  package let sign: Double

  package init(pattern: Int, sign: Double) {
    self.pattern = pattern
    self.sign = sign
  }
}

/// The interior-point method for the ReLU program with scalar output over some of its blocks j = (i, ±),
///
///   min ½ ‖ν‖² + β Σ ‖v_j‖,  ν = y − Σ A_j v_j,  A_j = ± D_i X,  s_j = B_j v_j ≥ 0,  B_j = (2D_i − I) N,
///
/// with N the unit rows of X: infeasible, primal–dual, Nesterov–Todd scaling for the norms' second-order
/// cones, Mehrotra's predictor and corrector. The Newton matrix of a block is
///
///   H_j = (reduced block of the norm) + Nᵀ diag(λ/s) N   (d × d),
///
/// and ν is left with (I + Σ A_j H_j⁻¹ A_jᵀ) dν = r (n × n), of which each pattern touches its active rows
/// only. Multipliers λ_j ≥ 0 bound the norms of the dual constraint's projections,
/// ‖P_{K_j}(A_jᵀν)‖ ≤ ‖A_jᵀν + B_jᵀλ_j‖: no projection is computed for a certificate.
final class ConeInteriorPoint {
  let x: Matrix
  let cone: ConeRows
  let y: [Double]
  let beta: Double
  private let n: Int
  private let d: Int
  private let c: Int

  /// The blocks that are left, and their state: row j belongs to blocks[j].
  private(set) var blocks: [ConeBlock]
  private(set) var v: Matrix
  private var g: Matrix
  private var s: Matrix
  private var lambda: Matrix
  private var tau: [Double]
  /// The distinct patterns of the blocks, of each its blocks, and of each block its pattern's place.
  private var patterns: [Int] = []
  private var members: [[Int]] = []
  private var slot: [Int] = []
  private let source: Patterns

  private(set) var nu: [Double]
  /// A_jᵀν + B_jᵀλ_j and its norm.
  private(set) var bounded: Matrix
  private(set) var bounds: [Double] = []
  private(set) var primal = Double.infinity
  /// Largest |s − B v|, rows of N being of unit norm.
  private(set) var primalResidual = Double.infinity
  private(set) var mu = 0.0
  private(set) var iterations = 0

  /// Whether there is time to go on.
  private let proceed: () -> Bool
  private var work: Workspace
  private let sum: ActiveRowsSum

  /// Buffers for as many blocks and patterns as there are.
  private struct Workspace {
    let masks: Matrix
    let signs: Matrix
    let factors: Matrix
    let scaling: Matrix
    let ratio: Matrix
    let wide: Matrix
    let wide2: Matrix
    let outputs: Matrix
    let features: Matrix
    let combined: Matrix
    let residual: Matrix
    let lower: Matrix
    let scaled: Matrix
    let primalGap: Matrix

    init(blocks: Int, patterns: Int, n: Int, d: Int, c: Int) {
      masks = Matrix(patterns, n)
      signs = Matrix(patterns, c)
      factors = Matrix(blocks, d * d)
      scaling = Matrix(blocks, d)
      ratio = Matrix(blocks, c)
      wide = Matrix(blocks, c)
      wide2 = Matrix(blocks, c)
      outputs = Matrix(patterns, n)
      features = Matrix(patterns, d)
      combined = Matrix(patterns, d)
      residual = Matrix(blocks, d)
      lower = Matrix(blocks, d)
      scaled = Matrix(blocks, d)
      primalGap = Matrix(blocks, c)
    }
  }

  /// A change of the iterate, or the right-hand side of its cones.
  private final class Direction {
    var tau: [Double]
    let v: Matrix
    let g: Matrix
    let s: Matrix
    let lambda: Matrix
    init(_ blocks: Int, _ d: Int, _ c: Int) {
      tau = Array(repeating: 0, count: blocks)
      v = Matrix(blocks, d)
      g = Matrix(blocks, d)
      s = Matrix(blocks, c)
      lambda = Matrix(blocks, c)
    }
  }
  private var affine: Direction
  private var step: Direction
  private var scalings: [SecondOrderScaling] = []
  /// β of the dual point, scaled.
  private var scaledFirst: [Double] = []

  /// Starts at `radius` times the unit `gates` (a row a pattern), which lie in the cones' interiors.
  init(
    _ x: Matrix, cone: ConeRows, y: [Double], beta: Double, patterns source: Patterns,
    blocks: [ConeBlock], gates: (Int, UnsafeMutablePointer<Double>) -> Void, radius: Double,
    proceed: @escaping () -> Bool = { true }
  ) {
    self.proceed = proceed
    self.x = x
    self.cone = cone
    self.y = y
    self.beta = beta
    self.source = source
    self.blocks = blocks
    (n, d, c) = (x.rows, x.columns, cone.rows.rows)
    let count = blocks.count
    v = Matrix(count, d)
    g = Matrix(count, d)
    s = Matrix(count, c)
    lambda = Matrix(count, c)
    bounded = Matrix(count, d)
    bounds = Array(repeating: .infinity, count: count)
    tau = Array(repeating: 2 * radius, count: count)
    nu = y
    sum = ActiveRowsSum(x.rows, width: 2 * x.columns, scratch: (cone.rows.rows + 1) / 2)
    work = Workspace(blocks: 0, patterns: 0, n: n, d: d, c: c)
    affine = Direction(0, d, c)
    step = Direction(0, d, c)
    reindex()
    let mu = beta * radius
    for j in 0..<count {
      gates(blocks[j].pattern, v.row(j))
      LinearAlgebra.scale(d, radius / max(norm(d, v.row(j)), 1e-300), v.row(j))
    }
    products(of: v, into: s)
    let floor = 0.3 * radius / Double(d).squareRoot()
    for i in 0..<s.count {
      s.base[i] = max(s.base[i], floor)
      lambda.base[i] = mu / s.base[i]
    }
    refresh()
  }

  // MARK: Blocks

  /// Collects the patterns of `blocks` and makes the buffers fit.
  private func reindex() {
    patterns = []
    members = []
    slot = []
    var places: [Int: Int] = [:]
    for (j, block) in blocks.enumerated() {
      if let place = places[block.pattern] {
        members[place].append(j)
        slot.append(place)
      } else {
        places[block.pattern] = patterns.count
        slot.append(patterns.count)
        patterns.append(block.pattern)
        members.append([j])
      }
    }
    work = Workspace(blocks: blocks.count, patterns: patterns.count, n: n, d: d, c: c)
    affine = Direction(blocks.count, d, c)
    step = Direction(blocks.count, d, c)
    for (p, pattern) in patterns.enumerated() {
      source.expand(pattern, into: work.masks.row(p))
      cone.signs(source, pattern, into: work.signs.row(p))
    }
    scaledFirst = Array(repeating: 0, count: blocks.count)
    scalings = (0..<blocks.count).map { SecondOrderScaling(d, storage: work.scaling.row($0)) }
  }

  /// Leaves only the blocks `kept` (in ascending order).
  func keep(_ kept: [Int]) {
    take(state.rows(kept))
  }

  /// What a block carries from one iteration to the next.
  private struct State {
    var blocks: [ConeBlock]
    var tau: [Double]
    var v: Matrix
    var g: Matrix
    var s: Matrix
    var lambda: Matrix

    /// The blocks `kept`, copied.
    func rows(_ kept: [Int]) -> State {
      func cut(_ matrix: Matrix) -> Matrix {
        let result = Matrix(kept.count, matrix.columns)
        for (k, j) in kept.enumerated() {
          result.row(k).update(from: matrix.row(j), count: matrix.columns)
        }
        return result
      }
      return State(
        blocks: kept.map { blocks[$0] }, tau: kept.map { tau[$0] }, v: cut(v), g: cut(g), s: cut(s),
        lambda: cut(lambda))
    }
  }

  /// The iterate, not copied.
  private var state: State {
    State(blocks: blocks, tau: tau, v: v, g: g, s: s, lambda: lambda)
  }

  private func take(_ state: State) {
    blocks = state.blocks
    tau = state.tau
    (v, g, s, lambda) = (state.v, state.g, state.s, state.lambda)
    bounded = Matrix(blocks.count, d)
    bounds = Array(repeating: .infinity, count: blocks.count)
    reindex()
    refresh()
  }

  /// Goes on with more blocks.
  func restart(
    adding added: [ConeBlock], gates: (Int, UnsafeMutablePointer<Double>) -> Void
  ) {
    let old = blocks.count
    var all = state
    func extend(_ matrix: Matrix) -> Matrix {
      let result = Matrix(old + added.count, matrix.columns)
      result.base.update(from: matrix.base, count: matrix.count)
      return result
    }
    all.blocks += added
    (all.v, all.g, all.s, all.lambda) = (extend(v), extend(g), extend(s), extend(lambda))
    // Large enough to move, small beside the blocks that carry the network.
    var largest = 0.0
    for j in 0..<old { largest = max(largest, norm(d, v.row(j))) }
    let radius = max(Double(c + 1) * mu / beta, 0.02 * largest)
    let mu = beta * radius / Double(c + 1)
    for j in old..<all.blocks.count {
      gates(all.blocks[j].pattern, all.v.row(j))
      LinearAlgebra.scale(d, radius / max(norm(d, all.v.row(j)), 1e-300), all.v.row(j))
      all.tau.append(2 * radius)
    }
    // What was there leaves the boundary so far that it does not stop the first steps of what comes.
    for j in 0..<old {
      let slack = min(0.5, mu / (beta * max(all.tau[j], radius)))
      all.tau[j] = max(all.tau[j], norm(d, all.v.row(j)) + mu / beta)
      let length = norm(d, all.g.row(j))
      if length > beta * (1 - slack) {
        LinearAlgebra.scale(d, beta * (1 - slack) / length, all.g.row(j))
      }
    }
    take(all)
    products(of: v, into: work.wide)
    let floor = 0.3 * radius / Double(d).squareRoot()
    for i in 0..<s.count {
      if i >= old * c { s.base[i] = max(work.wide.base[i], floor) }
      if s.base[i] > lambda.base[i] {
        lambda.base[i] = max(lambda.base[i], mu / s.base[i])
      } else {
        s.base[i] = max(s.base[i], mu / lambda.base[i])
      }
    }
    refresh()
  }

  /// Without blocks that neither carry weight nor are about to: of those that end at 0, ‖v‖ is about
  /// c μ/(β − ‖P‖). Those of `returned` (rows of pricing) stay. `nil` where there are few of them.
  func carrying(gap: Double, besides returned: Set<Int> = []) -> [Int]? {
    let factor = gap < 0.01 ? 12.0 : gap < 0.03 ? 6 : gap < 0.1 ? 3 : 0
    let floor = factor * Double(c + 1) * mu / beta
    let kept = blocks.indices.filter {
      norm(d, v.row($0)) > floor || returned.contains(ConePricing.row(blocks[$0]))
    }
    return kept.count < blocks.count * 9 / 10 && !kept.isEmpty ? kept : nil
  }

  /// Bᵀλ of block `j`.
  func withMultipliers(of j: Int, _ body: (UnsafePointer<Double>) -> Void) {
    let row = work.residual.row(j)
    let feature = work.features.row(slot[j])
    for k in 0..<d { row[k] = bounded[j, k] - blocks[j].sign * feature[k] }
    body(row)
  }

  /// The relative gap over these blocks, and the largest of their bounds.
  func gap(_ loss: any Loss, _ targets: Matrix) -> (gap: Double, largest: Double) {
    let largest = bounds.max() ?? 0
    let dual = loss.dualValue(of: Matrix(n, 1, nu), targets, beta: beta, largest: largest)
    return (relativeGap(primal: primal, dual: dual), largest)
  }

  var largestWeight: Double { blocks.indices.reduce(0) { max($0, norm(d, v.row($1))) } }

  // MARK: Products

  /// target_j ← diag(signs) N z_j, c numbers a block.
  private func products(of z: Matrix, into target: Matrix) {
    gemm(blocks.count, c, d, z.base, .plain, cone.rows.base, .transposed, target.base)
    applySigns(target)
  }

  private func applySigns(_ target: Matrix) {
    Threads.split(blocks.count, grain: max(1, 20_000 / max(1, c))) { range in
      for j in range {
        let (row, signs) = (target.row(j), self.work.signs.row(self.slot[j]))
        for k in 0..<self.c { row[k] *= signs[k] }
      }
    }
  }

  /// target_j ← target_j + Bᵀ z_j; z is lost.
  private func addAdjoint(of z: Matrix, to target: Matrix) {
    applySigns(z)
    gemm(blocks.count, d, c, z.base, .plain, cone.rows.base, .plain, beta: 1, target.base)
  }

  /// result ← Σ A_j z_j.
  private func outputs(_ z: Matrix, into result: inout [Double]) {
    work.combined.fill(0)
    for j in blocks.indices { axpy(d, blocks[j].sign, z.row(j), work.combined.row(slot[j])) }
    gemm(
      patterns.count, n, d, work.combined.base, .plain, x.base, .transposed, work.outputs.base)
    for i in 0..<n { result[i] = 0 }
    result.withUnsafeMutableBufferPointer { result in
      let result = result.baseAddress!
      for p in patterns.indices {
        let (row, mask) = (work.outputs.row(p), work.masks.row(p))
        for i in 0..<n { result[i] += mask[i] * row[i] }
      }
    }
  }

  /// work.features_p ← Xᵀ D_p ν.
  private func correlate(_ nu: [Double]) {
    nu.withUnsafeBufferPointer { nu in
      let nu = nu.baseAddress!
      for p in patterns.indices {
        let (row, mask) = (work.outputs.row(p), work.masks.row(p))
        for i in 0..<n { row[i] = mask[i] * nu[i] }
      }
    }
    gemm(patterns.count, d, n, work.outputs.base, .plain, x.base, .plain, work.features.base)
  }

  // MARK: State

  /// ν, the residuals, the bounds, the objective and μ of the iterate.
  private func refresh() {
    var outputs = [Double](repeating: 0, count: n)
    self.outputs(v, into: &outputs)
    for i in 0..<n { nu[i] = y[i] - outputs[i] }
    correlate(nu)
    work.wide.copy(from: lambda)
    for j in blocks.indices {
      let (row, feature) = (bounded.row(j), work.features.row(slot[j]))
      for k in 0..<d { row[k] = blocks[j].sign * feature[k] }
    }
    addAdjoint(of: work.wide, to: bounded)
    products(of: v, into: work.primalGap)
    primalResidual = 0
    var complementarity = 0.0
    for i in 0..<s.count {
      work.primalGap.base[i] = s.base[i] - work.primalGap.base[i]
      primalResidual = max(primalResidual, abs(work.primalGap.base[i]))
      complementarity += s.base[i] * lambda.base[i]
    }
    var loss = 0.0
    for value in nu { loss += value * value }
    var norms = 0.0
    for j in blocks.indices {
      bounds[j] = norm(d, bounded.row(j))
      norms += norm(d, v.row(j))
      complementarity += beta * tau[j] + dot(d, v.row(j), g.row(j))
    }
    primal = 0.5 * loss + beta * norms
    mu = complementarity / Double(max(1, blocks.count * (c + 1)))
  }

  // MARK: An iteration

  /// One predictor–corrector step. False where the numbers allow none.
  func iterate() -> Bool {
    iterations += 1
    for j in blocks.indices {
      scalings[j].update(tau: tau[j], v.row(j), beta: beta, g.row(j))
      let (ratio, s, lambda) = (work.ratio.row(j), s.row(j), lambda.row(j))
      for k in 0..<c { ratio[k] = lambda[k] / s[k] }
      // The scaled dual point.
      var first = beta
      let row = work.scaled.row(j)
      row.update(from: g.row(j), count: d)
      scalings[j].scale(&first, row)
      scaledFirst[j] = first
    }
    guard factor() else { return false }

    // Predictor: complementarity to 0.
    var d0 = [Double](repeating: 0, count: blocks.count)
    for j in blocks.indices {
      d0[j] = -scaledFirst[j]
      let (row, scaled) = (work.lower.row(j), work.scaled.row(j))
      for k in 0..<d { row[k] = -scaled[k] }
    }
    for i in 0..<s.count { work.wide2.base[i] = -lambda.base[i] * s.base[i] }
    solve(cones: d0, into: affine)
    let length = stepLength(affine)
    var after = 0.0
    for j in blocks.indices {
      var inner = 0.0
      let (v, g, dv, dg) = (v.row(j), g.row(j), affine.v.row(j), affine.g.row(j))
      for k in 0..<d { inner += (v[k] + length * dv[k]) * (g[k] + length * dg[k]) }
      after += beta * (tau[j] + length * affine.tau[j]) + inner
    }
    for i in 0..<s.count {
      after +=
        (s.base[i] + length * affine.s.base[i]) * (lambda.base[i] + length * affine.lambda.base[i])
    }
    after /= Double(blocks.count * (c + 1))
    let sigma = pow(min(1, max(0, after / mu)), 3)

    // Corrector.
    let target = sigma * mu
    for j in blocks.indices {
      var x0 = affine.tau[j]
      var y0 = 0.0
      let x1 = work.residual.row(j)
      let y1 = work.lower.row(j)
      x1.update(from: affine.v.row(j), count: d)
      y1.update(from: affine.g.row(j), count: d)
      scalings[j].unscale(&x0, x1)
      scalings[j].scale(&y0, y1)
      let l0 = scaledFirst[j]
      let l1 = work.scaled.row(j)
      let c0 = target - l0 * l0 - dot(d, l1, l1) - (x0 * y0 + dot(d, x1, y1))
      for k in 0..<d { y1[k] = -2 * l0 * l1[k] - (x0 * y1[k] + y0 * x1[k]) }
      let length = norm(d, l1)
      let determinant = max((l0 - length) * (l0 + length), 1e-300)
      d0[j] = (l0 * c0 - dot(d, l1, y1)) / determinant
      for k in 0..<d { y1[k] = (y1[k] - l1[k] * d0[j]) / l0 }
    }
    for i in 0..<s.count {
      work.wide2.base[i] =
        target - affine.s.base[i] * affine.lambda.base[i] - lambda.base[i] * s.base[i]
    }
    solve(cones: d0, into: step)
    let move = min(1, 0.99 * stepLength(step))
    guard move.isFinite, move > 1e-7 else { return false }
    for j in blocks.indices { tau[j] += move * step.tau[j] }
    axpy(v.count, move, step.v.base, v.base)
    axpy(g.count, move, step.g.base, g.base)
    axpy(s.count, move, step.s.base, s.base)
    axpy(lambda.count, move, step.lambda.base, lambda.base)
    refresh()
    return primal.isFinite && mu > 0
  }

  /// Factors every H_j and the matrix of ν.
  private func factor() -> Bool {
    sum.build(patterns.count) { p, worker, _ in self.proceed() && self.addTerm(p, worker) }
  }

  /// Factors the blocks of pattern `p` and adds Σ A_j H_j⁻¹ A_jᵀ.
  private func addTerm(_ p: Int, _ worker: ActiveRowsSum.Worker) -> Bool {
    let gathered = worker.gathered.base
    for j in members[p] {
      // Nᵀ diag(λ/s) N by the rows of √(λ/s) N.
      let ratio = work.ratio.row(j)
      for k in 0..<c {
        let root = ratio[k].squareRoot()
        let (from, to) = (cone.rows.row(k), gathered + k * d)
        for i in 0..<d { to[i] = root * from[i] }
      }
      let h = work.factors.row(j)
      syrkUpper(d, c, gathered, h)
      let (diagonal, rankOne, w) = (
        scalings[j].diagonal, scalings[j].rankOne, scalings[j].vector
      )
      for i in 0..<d {
        for k in i..<d { h[i * d + k] -= rankOne * w[i] * w[k] }
        h[i * d + i] += diagonal
      }
      for i in 0..<d { for k in 0..<i { h[i * d + k] = h[k * d + i] } }
      guard choleskyLower(d, h) || factorByRows(j) else { return false }
    }
    // E = D X L⁻ᵀ of both signs side by side.
    let width = members[p].count * d
    worker.take(rows: source, patterns[p])
    for (place, j) in members[p].enumerated() {
      for (k, row) in worker.rows.enumerated() {
        (gathered + k * width + place * d).update(from: x.row(row), count: d)
      }
      triangularSolveRows(
        d, work.factors.row(j), gathered + place * d, ldb: width, count: worker.rows.count)
    }
    worker.multiply(columns: 0..<width, stride: width)
    worker.spread()
    return true
  }

  /// The factor of H_j as the triangle of the rows whose squares it is the sum of, the largest first: near
  /// the optimum they differ so much that H_j itself keeps nothing of the smallest.
  private func factorByRows(_ j: Int) -> Bool {
    let ratio = work.ratio.row(j)
    let (diagonal, w) = (scalings[j].diagonal.squareRoot(), scalings[j].vector)
    let square = dot(d, w, w)
    // √(reduced block) = η⁻¹ (I − (1 − 1/√(1 + 2‖w‖²)) wwᵀ/‖w‖²)
    let shrink = square > 0 ? (1 - 1 / (1 + 2 * square).squareRoot()) / square : 0
    let sizes = (0..<c).map { ratio[$0].squareRoot() } + [Double](repeating: diagonal, count: d)
    let order = sizes.indices.sorted { sizes[$0] == sizes[$1] ? $0 < $1 : sizes[$0] > sizes[$1] }
    let columns = Matrix(d, c + d)
    for (place, row) in order.enumerated() {
      for i in 0..<d {
        columns[i, place] =
          row < c
          ? sizes[row] * cone.rows[row, i]
          : diagonal * ((row - c == i ? 1 : 0) - shrink * w[row - c] * w[i])
      }
    }
    guard triangularFactor(d, c + d, columns.base) else { return false }
    let h = work.factors.row(j)
    for i in 0..<d {
      for k in 0...i { h[i * d + k] = columns[i, k] }
      guard h[i * d + i].isFinite, h[i * d + i] != 0 else { return false }
    }
    return true
  }

  /// z_j ← H_j⁻¹ z_j.
  private func applyInverse(_ z: Matrix) {
    Threads.split(blocks.count, grain: max(1, 40_000 / (d * d))) { range in
      for j in range { choleskySolve(self.d, self.work.factors.row(j), z.row(j), count: 1) }
    }
  }

  /// The Newton step for the right-hand sides `cones` with work.lower (of the second-order cones, scaled)
  /// and work.wide2 (of λ ∘ s). All three are lost.
  private func solve(cones: [Double], into result: Direction) {
    // cc = Bᵀ(rl/s + W r_p) + b_g − r_d, into work.lower.
    var firsts = cones
    for j in blocks.indices {
      var b0 = cones[j]
      let row = work.lower.row(j)
      scalings[j].unscale(&b0, row)
      firsts[j] = scalings[j].eliminate(b0, row)
      // Kept: dg = b_g − (reduced block) dv.
      result.g.row(j).update(from: row, count: d)
      let (bounded, g) = (bounded.row(j), g.row(j))
      for k in 0..<d { row[k] += bounded[k] + g[k] }
    }
    for i in 0..<s.count {
      work.wide.base[i] =
        work.wide2.base[i] / s.base[i] + work.ratio.base[i] * work.primalGap.base[i]
    }
    addAdjoint(of: work.wide, to: work.lower)

    let dv = result.v
    dv.copy(from: work.lower)
    applyInverse(dv)
    var change = [Double](repeating: 0, count: n)
    outputs(dv, into: &change)
    for i in 0..<n { change[i] = -change[i] }
    sum.solve(&change)
    correlate(change)
    for j in blocks.indices {
      let row = dv.row(j)
      row.update(from: work.lower.row(j), count: d)
      axpy(d, blocks[j].sign, work.features.row(slot[j]), row)
    }
    applyInverse(dv)

    // Once more for what rounding left of both equations.
    var missing = [Double](repeating: 0, count: n)
    outputs(dv, into: &missing)
    for i in 0..<n { missing[i] = -(change[i] + missing[i]) }
    correlate(change)
    products(of: dv, into: work.wide)
    for i in 0..<s.count { work.wide.base[i] *= -work.ratio.base[i] }
    let residual = work.residual
    for j in blocks.indices {
      let row = residual.row(j)
      row.update(from: work.lower.row(j), count: d)
      axpy(d, blocks[j].sign, work.features.row(slot[j]), row)
      scalings[j].apply(-1, dv.row(j), addingTo: row)
    }
    addAdjoint(of: work.wide, to: residual)
    work.lower.copy(from: residual)
    applyInverse(residual)
    var extra = [Double](repeating: 0, count: n)
    outputs(residual, into: &extra)
    for i in 0..<n { extra[i] = missing[i] - extra[i] }
    sum.solve(&extra)
    correlate(extra)
    for j in blocks.indices {
      let row = residual.row(j)
      row.update(from: work.lower.row(j), count: d)
      axpy(d, blocks[j].sign, work.features.row(slot[j]), row)
    }
    applyInverse(residual)
    axpy(dv.count, 1, residual.base, dv.base)

    products(of: dv, into: result.s)
    for i in 0..<s.count {
      result.s.base[i] -= work.primalGap.base[i]
      result.lambda.base[i] =
        (work.wide2.base[i] - lambda.base[i] * result.s.base[i]) / s.base[i]
    }
    for j in blocks.indices {
      result.tau[j] = scalings[j].tau(firsts[j], dv.row(j))
      scalings[j].apply(-1, dv.row(j), addingTo: result.g.row(j))
    }
  }

  /// The longest step that keeps all cones.
  private func stepLength(_ direction: Direction) -> Double {
    var length = 1.0
    for i in 0..<s.count {
      if direction.s.base[i] < 0 { length = min(length, -s.base[i] / direction.s.base[i]) }
      if direction.lambda.base[i] < 0 {
        length = min(length, -lambda.base[i] / direction.lambda.base[i])
      }
    }
    for j in blocks.indices {
      length = SecondOrderScaling.step(
        d, tau[j], v.row(j), direction.tau[j], direction.v.row(j), limit: length)
      length = SecondOrderScaling.step(d, beta, g.row(j), 0, direction.g.row(j), limit: length)
    }
    return length
  }
}
