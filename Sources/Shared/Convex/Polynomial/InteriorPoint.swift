import LinearAlgebra

/// The primal–dual interior-point method for one class: Nesterov–Todd scaling, Mehrotra's corrector.
///
/// Variables: γ (the dual matrices in Gram coordinates), ρ± per region, slacks
/// S± = (β/2) I + ρ± J ∓ mat(Bγ), and Z±. Eliminating Z and S leaves
///
///     (G⁻¹ + Bᵀ(W₊ ⊗ W₊ + W₋ ⊗ W₋)B) Δγ + C Δρ = …
///
/// of the order of the Gram matrix: one Cholesky factorisation an iteration, whatever the number of
/// samples. All matrices are in whitened coordinates. 7 to 14 iterations reach 10⁻⁶ for every β.
final class InteriorPoint {
  private let program: PolynomialProgram
  private let judge: Judge
  private let inverse: GramSystem.Inverse
  private let m: Int
  private let regions: Int
  private let blocks: Int
  private let system: ScaledSystem

  // Per block (Z and Z' of each region): the iterate, its slack, scalings and steps.
  private let z, s, p, pInverse, w, dz, ds, right, wjw: Matrix
  private let lambda: Matrix
  private let a, b, c, raw: Matrix
  private let small: SymmetricEigensolver
  private let g: Matrix

  init(_ program: PolynomialProgram, judge: Judge, inverse: GramSystem.Inverse) {
    self.program = program
    self.judge = judge
    self.inverse = inverse
    m = program.order
    regions = program.regions
    blocks = 2 * program.regions
    system = ScaledSystem(program)
    func perBlock() -> Matrix { Matrix(2 * program.regions, program.order * program.order) }
    z = perBlock()
    s = perBlock()
    p = perBlock()
    pInverse = perBlock()
    w = perBlock()
    dz = perBlock()
    ds = perBlock()
    right = perBlock()
    wjw = perBlock()
    lambda = Matrix(blocks, m)
    raw = perBlock()
    a = Matrix(m, m)
    b = Matrix(m, m)
    c = Matrix(m, m)
    small = SymmetricEigensolver(order: m)
    g = Matrix(1, program.map.count)
  }

  private func sign(_ block: Int) -> Double { block < regions ? 1 : -1 }

  /// Improves `result` until its gap is at most `tolerance` or nothing more is to be had. `report` is
  /// called after each iteration with the neurons it stands for; it returns `false` to stop.
  func solve(
    _ cls: Int, beta: Double, tolerance: Double, result: inout ClassResult,
    report: (ClassResult, Int) -> Bool
  ) {
    let gram = program.gram
    let n = gram.order
    let mm = m * m
    let gamma = Matrix(1, n)
    let trial = Matrix(1, n)
    let eta = Matrix(1, n)
    let solved = Matrix(1, n)
    let packed = Matrix(1, program.map.count)
    let step = Matrix(1, n)
    var rho = [Double](repeating: 0, count: blocks)
    var stepRho = rho

    start(cls, beta: beta)
    updateSlacks(beta: beta, gamma: gamma.base, rho: rho)
    var stalled = 0
    for _ in 0..<80 {
      // Judge the iterate: γ is dual feasible by S ⪰ 0, up to rounding that `dualValue` sees to.
      let before = result.gap
      inverse.multiply(n, gamma.base, into: solved.base)
      // η = G⁻¹(R − γ)
      for i in 0..<n { eta.base[i] = gram.leastSquares[cls, i] - solved.base[i] }
      trial.base.update(from: gamma.base, count: n)
      let dual = judge.dualValue(cls, trial.base, solved: solved.base, beta: beta)
      if dual > result.dual {
        result.dual = dual
        result.gamma.copy(from: trial)
      }
      for i in 0..<blocks {
        program.map.unwhitenVariable.apply(full: z.row(i), raw.row(i), scratch: a.base)
      }
      judge.makeFeasible(raw)
      let primal = judge.objective(cls, raw, beta: beta)
      if primal < result.primal {
        result.primal = primal
        result.blocks.copy(from: raw)
      }
      let go = report(result, judge.rank(result.blocks))
      if result.gap <= tolerance || !go { return }
      stalled = result.gap < 0.9 * before ? 0 : stalled + 1
      if stalled >= 8 { return }

      let mu = complementarity(z, s) / Double(blocks * m)
      guard mu > 0, mu.isFinite, scalings() else { return }
      guard system.factor(w, wjw, inverse) else { return }

      // Predictor: Z S = 0.
      for i in 0..<blocks * mm { right.base[i] = -z.base[i] }
      direction(eta.base, packed.base, step.base, &stepRho)
      let affine = min(1, stepLength())
      var product = 0.0
      for i in 0..<blocks * mm {
        product +=
          (z.base[i] + affine * dz.base[i]) * (s.base[i] + affine * ds.base[i])
      }
      let ratio = product / Double(blocks * m) / mu
      let sigma = affine > 0.1 ? min(1, max(1e-4, ratio * ratio * ratio)) : 0.5

      // Corrector, in the scaled space where Z and S are both Λ:
      // Λ∘R = σμI − Λ² − sym(ΔZ ΔS)
      for i in 0..<blocks {
        correct(i, target: sigma * mu)
      }
      direction(eta.base, packed.base, step.base, &stepRho)
      let length = min(1, 0.98 * stepLength())
      guard length > 1e-8, length.isFinite else { return }
      axpy(n, length, step.base, gamma.base)
      for i in 0..<blocks { rho[i] += length * stepRho[i] }
      axpy(blocks * mm, length, dz.base, z.base)
      symmetrize(z)
      updateSlacks(beta: beta, gamma: gamma.base, rho: rho)
    }
  }

  /// Z = z₀ I in raw coordinates, z₀ half the nuclear norm of the least-squares solution over its size,
  /// or less where β is so large that the norm must be smaller.
  private func start(_ cls: Int, beta: Double) {
    program.gram.basis.expand(program.gram.leastSquares.row(cls), into: g.base)
    var nuclear = 0.0
    for r in 0..<regions {
      program.map.packing.unpack(g.base + r * program.map.packing.count, into: a.base)
      program.map.unwhitenVariable.apply(full: a.base, b.base, scratch: c.base)
      _ = small.decompose(b.base, vectors: false)
      for i in 0..<m { nuclear += abs(small.values[i]) }
    }
    let limit = 0.1 * program.gram.squares[cls] / beta
    let size = min(0.5 * nuclear, limit) / Double(m * regions)
    let identity = Matrix.identity(m)
    program.map.whitenVariable.apply(full: identity.base, a.base, scratch: b.base)
    for i in 0..<blocks {
      for j in 0..<m * m { z.row(i)[j] = size * a.base[j] }
    }
  }

  /// S± = (β/2) TᵀT + ρ± TᵀJT ∓ mat(Bγ).
  private func updateSlacks(beta: Double, gamma: UnsafePointer<Double>, rho: [Double]) {
    program.gram.basis.expand(gamma, into: g.base)
    for i in 0..<blocks {
      program.map.packing.unpack(
        g.base + (i % regions) * program.map.packing.count, into: a.base)
      let target = s.row(i)
      for j in 0..<m * m {
        target[j] =
          0.5 * beta * program.identityForm.base[j] + rho[i] * program.traceForm.base[j]
          - sign(i) * a.base[j]
      }
    }
  }

  private func complementarity(_ x: Matrix, _ y: Matrix) -> Double { dot(x.count, x.base, y.base) }

  private func symmetrize(_ x: Matrix) {
    for i in 0..<blocks {
      let block = x.row(i)
      for r in 0..<m {
        for k in r + 1..<max(r + 1, m) {
          let mean = 0.5 * (block[r * m + k] + block[k * m + r])
          block[r * m + k] = mean
          block[k * m + r] = mean
        }
      }
    }
  }

  /// P with PᵀSP = P⁻¹ZP⁻ᵀ = Λ, and W = PPᵀ: from Z = LLᵀ and LᵀSL = VEVᵀ, P = LVE^{-1/4}, Λ = E^{1/2}.
  private func scalings() -> Bool {
    for i in 0..<blocks {
      let l = a.base
      l.update(from: z.row(i), count: m * m)
      guard choleskyLower(m, l) else { return false }
      for r in 0..<m { for k in r + 1..<max(r + 1, m) { l[r * m + k] = 0 } }
      gemm(m, m, m, l, .transposed, s.row(i), .plain, b.base)
      gemm(m, m, m, b.base, .plain, l, .plain, c.base)
      guard small.decompose(c.base), small.values[0] > -1e-8 * small.values[m - 1] else {
        return false
      }
      let tiny = 1e-16 * small.values[m - 1]
      // Rows of c are the eigenvectors: P = L Vᵀ(rows) scaled by columns.
      gemm(m, m, m, l, .plain, c.base, .transposed, p.row(i))
      for k in 0..<m {
        let e = max(small.values[k], tiny)
        lambda[i, k] = e.squareRoot()
        let factor = 1 / e.squareRoot().squareRoot()
        for r in 0..<m { p.row(i)[r * m + k] *= factor }
      }
      gemm(m, m, m, p.row(i), .plain, p.row(i), .transposed, w.row(i))
      // P⁻¹ = Λ⁻¹ Pᵀ S
      gemm(m, m, m, p.row(i), .transposed, s.row(i), .plain, pInverse.row(i))
      for k in 0..<m { scale(m, 1 / lambda[i, k], pInverse.row(i) + k * m) }
      gemm(m, m, m, w.row(i), .plain, program.traceForm.base, .plain, b.base)
      gemm(m, m, m, b.base, .plain, w.row(i), .plain, wjw.row(i))
    }
    symmetrize(wjw)
    return true
  }

  /// Solves the Newton system for the right-hand sides `right` (ΔZ = right − W ΔS W).
  private func direction(
    _ eta: UnsafePointer<Double>, _ packed: UnsafeMutablePointer<Double>,
    _ step: UnsafeMutablePointer<Double>, _ stepRho: inout [Double]
  ) {
    let mm = m * m
    let n = program.gram.order
    let q = program.map.packing.count
    var second = [Double](repeating: 0, count: blocks)
    packed.update(repeating: 0, count: program.map.count)
    for i in 0..<blocks {
      for j in 0..<mm { a.base[j] = right.row(i)[j] + z.row(i)[j] }
      second[i] = dot(mm, a.base, program.traceForm.base)
      program.map.packing.pack(a.base, into: b.base)
      axpy(q, sign(i), b.base, packed + (i % regions) * q)
    }
    program.gram.basis.project(packed, into: step)
    for i in 0..<n { step[i] = eta[i] - step[i] }
    system.solve(step, second, &stepRho)
    program.gram.basis.expand(step, into: packed)
    for i in 0..<blocks {
      program.map.packing.unpack(packed + (i % regions) * q, into: a.base)
      let d = ds.row(i)
      for j in 0..<mm {
        d[j] = stepRho[i] * program.traceForm.base[j] - sign(i) * a.base[j]
      }
      gemm(m, m, m, w.row(i), .plain, d, .plain, b.base)
      gemm(m, m, m, b.base, .plain, w.row(i), .plain, c.base)
      for j in 0..<mm { dz.row(i)[j] = right.row(i)[j] - c.base[j] }
    }
    symmetrize(dz)
  }

  /// The longest step that keeps Z and S positive semidefinite.
  private func stepLength() -> Double {
    var longest = Double.infinity
    for i in 0..<blocks {
      for dual in [false, true] {
        // Λ^{-1/2} (P⁻¹ ΔZ P⁻ᵀ) Λ^{-1/2}, and PᵀΔSP in its place.
        scaled(i, dual: dual, into: b.base)
        for r in 0..<m {
          for k in 0..<m { b.base[r * m + k] /= (lambda[i, r] * lambda[i, k]).squareRoot() }
        }
        guard small.decompose(b.base, vectors: false) else { return 0 }
        if small.values[0] < 0 { longest = min(longest, -1 / small.values[0]) }
      }
    }
    return longest
  }

  private func scaled(_ i: Int, dual: Bool, into target: UnsafeMutablePointer<Double>) {
    if dual {
      gemm(m, m, m, p.row(i), .transposed, ds.row(i), .plain, a.base)
      gemm(m, m, m, a.base, .plain, p.row(i), .plain, target)
    } else {
      gemm(m, m, m, pInverse.row(i), .plain, dz.row(i), .plain, a.base)
      gemm(m, m, m, a.base, .plain, pInverse.row(i), .transposed, target)
    }
  }

  private func correct(_ i: Int, target: Double) {
    scaled(i, dual: false, into: b.base)
    scaled(i, dual: true, into: c.base)
    gemm(m, m, m, b.base, .plain, c.base, .plain, a.base)
    for r in 0..<m {
      for k in 0..<m {
        var value = -0.5 * (a.base[r * m + k] + a.base[k * m + r])
        if r == k { value += target - lambda[i, r] * lambda[i, r] }
        b.base[r * m + k] = 2 * value / (lambda[i, r] + lambda[i, k])
      }
    }
    gemm(m, m, m, p.row(i), .plain, b.base, .plain, c.base)
    gemm(m, m, m, c.base, .plain, p.row(i), .transposed, right.row(i))
  }
}
