import LinearAlgebra

/// The primal–dual interior-point method for one class: Nesterov–Todd scaling, Mehrotra's corrector.
///
/// Variables: γ (the dual matrices in Gram coordinates), ρ± per region, slacks
/// S± = (β/2) I + ρ± J ∓ mat(Bγ), and Z±. Eliminating Z and S leaves
///
///     (G⁻¹ + Bᵀ(W₊ ⊗ W₊ + W₋ ⊗ W₋)B) Δγ + C Δρ = …
///
/// of the order of the Gram matrix: one Cholesky factorisation per iteration, whatever the number of samples. All
/// matrices are in whitened coordinates. 7 to 14 iterations reach 10⁻⁶ for every β.
final class InteriorPoint {
  private let program: PolynomialProgram
  private let judge: Judge
  private let inverse: GramSystem.Inverse
  private let m: Int
  private let regions: Int
  private let blocks: Int
  private let system: ScaledSystem

  private let parts: ScaledBlocks
  private let a, b, c, raw: Matrix
  private let small: SymmetricEigensolver
  private let g: Matrix

  static let maximumIterations = 80

  init(_ program: PolynomialProgram, judge: Judge, inverse: GramSystem.Inverse) {
    self.program = program
    self.judge = judge
    self.inverse = inverse
    m = program.order
    regions = program.regions
    blocks = 2 * program.regions
    system = ScaledSystem(program)
    parts = ScaledBlocks(program)
    raw = Matrix(blocks, m * m)
    a = Matrix(m, m)
    b = Matrix(m, m)
    c = Matrix(m, m)
    small = SymmetricEigensolver(order: m)
    g = Matrix(1, program.map.count)
  }

  /// Improves `result` until its gap is at most `tolerance` or no progress is possible. It calls `report` after each
  /// iteration with the number of neurons; `report` returns false to stop.
  func solve(
    _ cls: Int, beta: Double, tolerance: Double, result: inout ClassResult,
    report: (ClassResult, Int) -> Bool
  ) {
    let n = program.gram.order
    let gamma = Matrix(1, n)
    let eta = Matrix(1, n)
    let step = Matrix(1, n)
    var rho = [Double](repeating: 0, count: blocks)
    var stepRho = rho

    start(cls, beta: beta)
    updateSlacks(beta: beta, gamma: gamma.base, rho: rho)
    var stalled = 0
    for _ in 0..<InteriorPoint.maximumIterations {
      let before = result.gap
      offer(cls, beta: beta, gamma, eta, to: &result)
      let go = report(result, judge.rank(result.blocks))
      if result.gap <= tolerance || !go { return }
      stalled = result.gap < 0.9 * before ? 0 : stalled + 1
      if stalled >= 8 { return }

      guard let length = findStep(eta, into: step, &stepRho) else { return }
      axpy(n, length, step.base, gamma.base)
      for i in 0..<blocks { rho[i] += length * stepRho[i] }
      parts.move(length)
      updateSlacks(beta: beta, gamma: gamma.base, rho: rho)
    }
  }

  /// Offers the iterate: γ is dual feasible by S ⪰ 0, up to rounding that `dualValue` corrects. `eta` ← G⁻¹(R − γ).
  private func offer(
    _ cls: Int, beta: Double, _ gamma: Matrix, _ eta: Matrix, to result: inout ClassResult
  ) {
    let n = program.gram.order
    let (trial, solved) = (Matrix(copying: gamma), Matrix(1, n))
    inverse.multiply(n, gamma.base, into: solved.base)
    for i in 0..<n { eta.base[i] = program.gram.leastSquares[cls, i] - solved.base[i] }
    let dual = judge.dualValue(cls, trial.base, solved: solved.base, beta: beta)
    if dual > result.dual {
      result.dual = dual
      result.gamma.copy(from: trial)
    }
    for i in 0..<blocks {
      program.map.unwhitenVariable.apply(full: parts.z.row(i), raw.row(i), scratch: a.base)
    }
    judge.makeFeasible(raw)
    let primal = judge.objective(cls, raw, beta: beta)
    if primal < result.primal {
      result.primal = primal
      result.blocks.copy(from: raw)
    }
  }

  /// The predictor–corrector step in γ and ρ, and its possible length; nil if the numbers allow none.
  private func findStep(
    _ eta: Matrix, into step: Matrix, _ stepRho: inout [Double]
  ) -> Double? {
    let packed = Matrix(1, program.map.count)
    let mu = parts.complementarity / Double(blocks * m)
    guard mu > 0, mu.isFinite, parts.update() else { return nil }
    guard system.factor(parts.w, parts.wjw, inverse) else { return nil }

    // Predictor: Z S = 0.
    parts.predict()
    direction(eta.base, packed.base, step.base, &stepRho)
    let affine = min(1, parts.stepLength())
    let product = parts.complementarity(after: affine)
    let ratio = product / Double(blocks * m) / mu
    let sigma = affine > 0.1 ? min(1, max(1e-4, ratio * ratio * ratio)) : 0.5

    // Corrector, in the scaled space in which Z and S are both Λ:
    // Λ∘R = σμI − Λ² − sym(ΔZ ΔS)
    for i in 0..<blocks { parts.correct(i, target: sigma * mu) }
    direction(eta.base, packed.base, step.base, &stepRho)
    let length = min(1, 0.98 * parts.stepLength())
    return length > 1e-8 && length.isFinite ? length : nil
  }

  /// Z = z₀ I in raw coordinates, with z₀ half the nuclear norm of the least-squares solution divided by its size, or
  /// less if β is so large that the norm must be smaller.
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
    parts.start(size)
  }

  /// S± = (β/2) TᵀT + ρ± TᵀJT ∓ mat(Bγ).
  private func updateSlacks(beta: Double, gamma: UnsafePointer<Double>, rho: [Double]) {
    program.gram.basis.expand(gamma, into: g.base)
    parts.updateSlacks(beta: beta, g.base, rho: rho)
  }

  /// Solves the Newton system for the right-hand sides `right` (ΔZ = right − W ΔS W).
  private func direction(
    _ eta: UnsafePointer<Double>, _ packed: UnsafeMutablePointer<Double>,
    _ step: UnsafeMutablePointer<Double>, _ stepRho: inout [Double]
  ) {
    let n = program.gram.order
    var second = [Double](repeating: 0, count: blocks)
    parts.reduce(into: packed, &second)
    program.gram.basis.project(packed, into: step)
    for i in 0..<n { step[i] = eta[i] - step[i] }
    system.solve(step, second, &stepRho)
    program.gram.basis.expand(step, into: packed)
    parts.complete(packed, stepRho)
  }
}
