import Glibc
import LinearAlgebra

extension ConeInteriorPoint {
  /// One predictor–corrector step; false if the numbers allow none.
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

    // Predictor: complementarity goes to 0.
    var d0 = [Double](repeating: 0, count: blocks.count)
    for j in blocks.indices {
      d0[j] = -scaledFirst[j]
      let (row, scaled) = (work.lower.row(j), work.scaled.row(j))
      for k in 0..<d { row[k] = -scaled[k] }
    }
    for i in 0..<s.count { work.wide2.base[i] = -lambda.base[i] * s.base[i] }
    solve(cones: d0, into: affine)
    let after = complementarity(after: stepLength(affine), affine)
    let sigma = pow(min(1, max(0, after / mu)), 3)

    // Corrector.
    let target = sigma * mu
    for j in blocks.indices {
      let (x1, y1) = (work.residual.row(j), work.lower.row(j))
      x1.update(from: affine.v.row(j), count: d)
      y1.update(from: affine.g.row(j), count: d)
      d0[j] = scalings[j].corrector(
        target: target, scaledFirst[j], work.scaled.row(j), tau: affine.tau[j], x1, y1)
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

  /// μ after a step of `length` along `direction`.
  private func complementarity(after length: Double, _ direction: Direction) -> Double {
    var sum = 0.0
    for j in blocks.indices {
      var inner = 0.0
      let (v, g, dv, dg) = (v.row(j), g.row(j), direction.v.row(j), direction.g.row(j))
      for k in 0..<d { inner += (v[k] + length * dv[k]) * (g[k] + length * dg[k]) }
      sum += beta * (tau[j] + length * direction.tau[j]) + inner
    }
    for i in 0..<s.count {
      sum +=
        (s.base[i] + length * direction.s.base[i])
        * (lambda.base[i] + length * direction.lambda.base[i])
    }
    return sum / Double(blocks.count * (c + 1))
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
    // E = D X L⁻ᵀ of both signs, side by side.
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

  /// Factors H_j by a triangular factorisation of the rows whose squares it sums, the largest first: near the optimum
  /// they differ so much that H_j itself retains nothing of the smallest.
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

  /// The Newton step for the right-hand sides `cones` with work.lower (of the second-order cones, scaled) and
  /// work.wide2 (of λ ∘ s). All three are overwritten.
  private func solve(cones: [Double], into result: Direction) {
    let firsts = eliminate(cones, into: result)
    let dv = result.v
    dv.copy(from: work.lower)
    var change = [Double](repeating: 0, count: n)
    solve(dv, right: [Double](repeating: 0, count: n), into: &change)
    refine(dv, change)

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

  /// Eliminates τ, λ and s: work.lower ← Bᵀ(r_l/s + W r_p) + b_g − r_d, the right-hand side of the weights. Keeps b_g
  /// in `result.g`; returns the argument of `SecondOrderScaling.tau`.
  private func eliminate(_ cones: [Double], into result: Direction) -> [Double] {
    var firsts = cones
    for j in blocks.indices {
      var b0 = cones[j]
      let row = work.lower.row(j)
      scalings[j].unscale(&b0, row)
      firsts[j] = scalings[j].eliminate(b0, row)
      // Keeps b_g, since dg = b_g − (reduced block) dv.
      result.g.row(j).update(from: row, count: d)
      let (bounded, g) = (bounded.row(j), g.row(j))
      for k in 0..<d { row[k] += bounded[k] + g[k] }
    }
    for i in 0..<s.count {
      work.wide.base[i] =
        work.wide2.base[i] / s.base[i] + work.ratio.base[i] * work.primalGap.base[i]
    }
    addAdjoint(of: work.wide, to: work.lower)
    return firsts
  }

  /// Solves for weights and ν: `z`, at first work.lower, ← H⁻¹ (work.lower + Aᵀ ν) with (I + Σ A_j H_j⁻¹ A_jᵀ) ν =
  /// right − Σ A_j H_j⁻¹ (work.lower).
  private func solve(_ z: Matrix, right: [Double], into nu: inout [Double]) {
    applyInverse(z)
    outputs(z, into: &nu)
    for i in 0..<n { nu[i] = right[i] - nu[i] }
    sum.solve(&nu)
    correlate(nu)
    addCorrelations(to: z)
    applyInverse(z)
  }

  /// Rows of `z` ← work.lower + A_jᵀν, from the last correlation.
  private func addCorrelations(to z: Matrix) {
    for j in blocks.indices {
      let row = z.row(j)
      row.update(from: work.lower.row(j), count: d)
      axpy(d, blocks[j].sign, work.features.row(slot[j]), row)
    }
  }

  /// Solves once more for the residuals that rounding left in both equations.
  private func refine(_ dv: Matrix, _ change: [Double]) {
    var missing = [Double](repeating: 0, count: n)
    outputs(dv, into: &missing)
    for i in 0..<n { missing[i] = -(change[i] + missing[i]) }
    correlate(change)
    products(of: dv, into: work.wide)
    for i in 0..<s.count { work.wide.base[i] *= -work.ratio.base[i] }
    let residual = work.residual
    addCorrelations(to: residual)
    for j in blocks.indices { scalings[j].apply(-1, dv.row(j), addingTo: residual.row(j)) }
    addAdjoint(of: work.wide, to: residual)
    work.lower.copy(from: residual)
    var extra = [Double](repeating: 0, count: n)
    solve(residual, right: missing, into: &extra)
    axpy(dv.count, 1, residual.base, dv.base)
  }

  /// The longest step that stays in all cones.
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
