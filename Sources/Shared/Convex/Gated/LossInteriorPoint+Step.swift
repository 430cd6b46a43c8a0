import LinearAlgebra

extension LossInteriorPoint {
  /// One step; false if rounding prevents it.
  func iterate() -> Bool {
    let (count, d) = (z.count, z.dimension)
    let scaling = ConeScalingPoint(z: z, x: x)
    guard let roots = factor(scaling) else { return false }
    let mu = complementarity

    // The predictor, from which Mehrotra's rule takes the centring.
    let target = SecondOrderVectors(count, d)
    aim(at: 0, scaling, target)
    let none = Matrix(outputs, n)
    let predictor = direction(scaling, roots, target, lower: none, upper: none)
    var (s, t) = steps(predictor)
    (s, t) = (min(1, s), min(1, t))
    if !term.isLinear { (s, t) = (min(s, t), min(s, t)) }
    let share = max(0, complementarity(after: s, t, predictor)) / mu
    var goal = max(LossInteriorPoint.leastShare, min(1, share * share * share)) * mu

    let (lows, highs) = (Matrix(outputs, n), Matrix(outputs, n))
    correct(target, goal, scaling, predictor, lows, highs)
    var step = direction(scaling, roots, target, lower: lows, upper: highs)
    (s, t) = steps(step)
    if min(s, t) < 0.1 {
      // The correction failed: take a step towards the centre.
      goal = 0.3 * mu
      aim(at: goal, scaling, target)
      lows.fill(goal)
      highs.fill(goal)
      step = direction(scaling, roots, target, lower: lows, upper: highs)
      (s, t) = steps(step)
    }
    (s, t) = (min(1, 0.97 * s), min(1, 0.97 * t))
    if !term.isLinear { (s, t) = (min(s, t), min(s, t)) }
    guard s.isFinite, t.isFinite, max(s, t) > 1e-8 else { return false }
    term.move(a, by: step.a, times: s)
    z.add(s, step.z)
    x.add(t, step.x)
    if !term.isBarrier {
      axpy(a.count, t, step.lower.base, lower.base)
      axpy(a.count, t, step.upper.base, upper.base)
    }
    refit()
    return true
  }

  /// `target` ← `goal` e − λ∘λ of all cones.
  private func aim(at goal: Double, _ scaling: ConeScalingPoint, _ target: SecondOrderVectors) {
    let d = z.dimension
    for i in 0..<z.count {
      let (head, tail) = (scaling.lambda[i], scaling.lambda.row(i))
      target[i] = goal - head * head - dot(d, tail, tail)
      for k in 0..<d { target.row(i)[k] = -2 * head * tail[k] }
    }
  }

  /// μ after steps of s and t along the primal and the dual part of `step`.
  private func complementarity(after s: Double, _ t: Double, _ step: Direction) -> Double {
    var after = x.dot(t, step.x, z, s, step.z)
    for j in 0..<a.count where !term.isBarrier {
      let (aj, da) = (a.base[j], s * step.a.base[j])
      after += (lower.base[j] + t * step.lower.base[j]) * (aj + da - term.low(j))
      after += (upper.base[j] + t * step.upper.base[j]) * (term.high(j) - aj - da)
    }
    return after / Double(z.count + bounds)
  }

  /// Mehrotra's corrector: adds `goal` and the predictor's products to `target`, which is −λ∘λ, and fills the
  /// right-hand sides of the bounds.
  private func correct(
    _ target: SecondOrderVectors, _ goal: Double, _ scaling: ConeScalingPoint,
    _ predictor: Direction, _ lows: Matrix, _ highs: Matrix
  ) {
    let d = z.dimension
    let (zs, xs) = (Matrix(1, d), Matrix(1, d))
    for i in 0..<z.count {
      let zHead = scaling.scale(i, predictor.z[i], predictor.z.row(i), into: zs.base)
      let xHead = scaling.unscale(i, predictor.x[i], predictor.x.row(i), into: xs.base)
      target[i] += goal - zHead * xHead - dot(d, zs.base, xs.base)
      let ti = target.row(i)
      for k in 0..<d { ti[k] -= xHead * zs.base[k] + zHead * xs.base[k] }
    }
    for j in 0..<a.count {
      lows.base[j] = goal - predictor.lower.base[j] * predictor.a.base[j]
      highs.base[j] = goal + predictor.upper.base[j] * predictor.a.base[j]
    }
  }
}
