import Convex
import LinearAlgebra

extension ReLUInteriorPoint {
  /// One predictor–corrector step. False if the numbers allow none.
  func iterate() -> Bool {
    iterations += 1
    gapBefore = gap
    updateScalings()
    guard factors.factor(ratio: ratio, v: v, scalings: scalings, inverse: terms.inverse) else {
      return false
    }
    predict()
    let after = complementarity(after: stepLength(affine), affine)
    let share = min(1, max(0, after / complementarity))
    correct(target: share * share * share * mu)
    let move = min(1, 0.99 * stepLength(step))
    guard move.isFinite, move > 1e-7 else { return false }
    for j in groups.indices {
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

  /// The scalings at the iterate, λ/s, and the scaled dual points.
  private func updateScalings() {
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
  }

  /// The predictor, which brings all products to 0, into `affine`.
  private func predict() {
    for i in 0..<lower.count { lower.base[i] = -scaled.base[i] }
    forEachGroup { j in
      let cross = self.cross[j]
      for i in 0..<cross.count { cross.base[i] = -self.lambda[j].base[i] * self.s[j].base[i] }
    }
    terms.rightHandSide(target: 0, isCorrector: false, into: affine.nu)
    solve(cones: scaledFirst.map { -$0 }, into: affine)
    terms.complete(affine.nu, target: 0, isCorrector: false)
  }

  /// The sum of all products after a step of `reach` along `direction`.
  private func complementarity(after reach: Double, _ direction: Direction) -> Double {
    var after = terms.complementarity(after: reach, direction.nu)
    for j in groups.indices {
      let (v, g, dv, dg) = (v.row(j), g.row(j), direction.v.row(j), direction.g.row(j))
      after +=
        beta * (tau[j] + reach * direction.tau[j]) + dot(length, v, g)
        + reach * (dot(length, dv, g) + dot(length, v, dg)) + reach * reach * dot(length, dv, dg)
      let (s, l, ds, dl) = (s[j], lambda[j], direction.s[j], direction.lambda[j])
      for i in 0..<s.count {
        after += (s.base[i] + reach * ds.base[i]) * (l.base[i] + reach * dl.base[i])
      }
    }
    return after
  }

  /// The corrector, which brings all products to `target`, into `step`.
  private func correct(target: Double) {
    var d0 = [Double](repeating: 0, count: groups.count)
    d0.withUnsafeMutableBufferPointer { d0 in
      nonisolated(unsafe) let d0 = d0
      forEachGroup { j in
        let (x1, y1) = (self.residual.row(j), self.lower.row(j))
        x1.update(from: self.affine.v.row(j), count: self.length)
        y1.update(from: self.affine.g.row(j), count: self.length)
        d0[j] = self.scalings[j].corrector(
          target: target, self.scaledFirst[j], self.scaled.row(j), tau: self.affine.tau[j], x1, y1)
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
  }

  /// The Newton step for the right-hand sides `cones` with `lower` (of the second-order cones, scaled), `cross` (of λ ∘
  /// s) and result.nu (of the loss). All are overwritten.
  private func solve(cones d0: [Double], into result: Direction) {
    let firsts = eliminate(d0, into: result)
    let right = Matrix(copying: result.nu)
    let (dv, change) = (result.v, result.nu)
    solve(lower, right, into: dv, change)
    refine(dv, change, right, scratch: result.s)
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

  /// Eliminates τ, λ and s: `lower` becomes the right-hand side of the weights. Keeps b_g in `result.g`; returns the
  /// argument of `SecondOrderScaling.tau`.
  private func eliminate(_ d0: [Double], into result: Direction) -> [Double] {
    var firsts = d0
    firsts.withUnsafeMutableBufferPointer { firsts in
      nonisolated(unsafe) let firsts = firsts
      forEachGroup { j in
        var b0 = d0[j]
        let row = self.lower.row(j)
        self.scalings[j].unscale(&b0, row)
        firsts[j] = self.scalings[j].eliminate(b0, row)
        // Keeps b_g, since dg = b_g − (reduced block) dv.
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
    return firsts
  }

  /// v ← H⁻¹(low ± Fᵀν), with ν the solution for r − F H⁻¹ low.
  private func solve(_ low: Matrix, _ r: Matrix, into v: Matrix, _ nu: Matrix) {
    v.copy(from: low)
    factors.applyInverse(v)
    map.outputs(groups, v, into: nu)
    for i in 0..<nu.count { nu.base[i] = r.base[i] - nu.base[i] }
    factors.solve(nu)
    map.correlate(nu, into: correlations)
    v.copy(from: low)
    for (j, group) in groups.enumerated() {
      axpy(length, group.sign, map.part(group, correlations), v.row(j))
    }
    factors.applyInverse(v)
  }

  /// Solves once more for the residuals that rounding left in both equations. `scratch` is slots × rows for each group.
  private func refine(_ dv: Matrix, _ change: Matrix, _ right: Matrix, scratch: [Matrix]) {
    let missing = Matrix(outputs, n)
    map.outputs(groups, dv, into: missing)
    for i in 0..<missing.count {
      missing.base[i] = right.base[i] - missing.base[i] - terms.inverse.base[i] * change.base[i]
    }
    map.correlate(change, into: correlations)
    forEachGroup { j in
      let (row, group) = (self.residual.row(j), self.groups[j])
      row.update(from: self.lower.row(j), count: self.length)
      axpy(self.length, group.sign, self.map.part(group, self.correlations), row)
      self.scalings[j].apply(-1, dv.row(j), addingTo: row)
      let products = scratch[j]
      self.products(dv.row(j), j, into: products)
      for i in 0..<products.count { products.base[i] *= -self.ratio[j].base[i] }
      self.addAdjoint(products, j, to: row)
    }
    let (extra, more) = (Matrix(outputs, n), lower)
    solve(Matrix(copying: residual), missing, into: more, extra)
    axpy(dv.count, 1, more.base, dv.base)
    axpy(change.count, 1, extra.base, change.base)
  }

  /// The longest step that stays in all cones.
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
