import LinearAlgebra

/// The linear system of a step of the interior-point method. Each block is eliminated by its own factor; what
/// remains, I + Φ C⁻¹ Φᵀ, has the order n.
final class CellSystem {
  private let program: CellProgram
  private let scaling: CellScaling
  private let gram: StableGram
  /// [Φ U⁻¹ I], n × (J r + n).
  private let scaled: Matrix

  // Right-hand sides: of the second-order cones (scaled), of the orthants, of the dual and of the primal equations.
  let d0: Matrix
  let d1: Matrix
  let rl: Matrix
  let dualResidual: Matrix
  let primalResidual: Matrix
  /// The step, and dν.
  let step: CellIterate
  let dnu: Matrix

  private let b0: Matrix
  private let bg: Matrix
  private let c: Matrix
  private let work: Matrix
  private let work2: Matrix
  private let dnu2: Matrix

  init(_ program: CellProgram, _ scaling: CellScaling) {
    self.program = program
    self.scaling = scaling
    let (n, j, r) = (program.n, program.blocks, program.r)
    gram = StableGram(order: n)
    scaled = Matrix(n, j * r + n)
    (d0, d1, rl, dualResidual) = (Matrix(j, 1), Matrix(j, r), Matrix(j, r), Matrix(j, r))
    (primalResidual, dnu, dnu2) = (Matrix(n, 1), Matrix(n, 1), Matrix(n, 1))
    step = CellIterate(blocks: j, rank: r)
    (b0, bg, c, work) = (Matrix(j, 1), Matrix(j, r), Matrix(j, r), Matrix(j, r))
    work2 = Matrix(j, r)
  }

  /// Computes the factors for the scaling. Returns `false` if rounding allows none.
  func factorize() -> Bool {
    let (r, width, blocks) = (program.r, scaled.columns, program.blocks)
    Threads.split(program.n, grain: 16) { rows in
      for i in rows {
        let (source, target) = (program.features.row(i), scaled.base + i * width)
        for b in 0..<blocks {
          let inverse = scaling.inverse.row(b)
          for m in 0..<r {
            var sum = 0.0
            for k in 0...m { sum += source[b * r + k] * inverse[k * r + m] }
            target[b * r + m] = sum
          }
        }
      }
    }
    return gram.update(scaled, columns: program.columns)
  }

  /// The step from `at` for the right-hand sides, refined once.
  func solve(_ at: CellIterate) {
    let (r, columns) = (program.r, program.columns)
    // (b₀, b) = W⁻¹ d; without τ: b − h₀₁ b₀/h₀₀.
    for b in 0..<program.blocks {
      let (bg, d1, h01) = (self.bg.row(b), self.d1.row(b), scaling.h01.row(b))
      var first = d0.base[b]
      for k in 0..<r { bg[k] = d1[k] }
      scaling.applyInverse(b, &first, bg)
      b0.base[b] = first
      for k in 0..<r { bg[k] -= h01[k] * first / scaling.h00.base[b] }
    }
    program.multiply(bg, into: c)
    for i in 0..<columns { c.base[i] += rl.base[i] - dualResidual.base[i] }
    // dν + Φ dp = ρ and C dp − Φᵀ dν = c: (I + Φ C⁻¹ Φᵀ) dν = ρ − Φ C⁻¹ c.
    work.copy(from: c)
    dnu.copy(from: primalResidual)
    eliminate(work, dnu, into: step.p)
    refine(at)
    program.combine(step.p, into: step.v)
    for b in 0..<program.blocks {
      let (h01, v, g, bg) = (scaling.h01.row(b), step.v.row(b), step.g.row(b), self.bg.row(b))
      var inner = 0.0
      for k in 0..<r {
        inner += h01[k] * v[k]
        g[k] = bg[k]
      }
      step.tau.base[b] = (b0.base[b] - inner) / scaling.h00.base[b]
      scaling.subtractRootSquare(b, v, g)
    }
    for i in 0..<columns {
      step.lambda.base[i] = rl.base[i] - at.lambda.base[i] / at.p.base[i] * step.p.base[i]
    }
  }

  /// Replaces `dnu`, a right-hand side, by dν, and writes dp to `p`, from `c`, which is overwritten.
  private func eliminate(_ c: Matrix, _ dnu: Matrix, into p: Matrix) {
    p.copy(from: c)
    scaling.solve(p)
    program.addPredictions(-1, p, to: dnu)
    gram.solve(dnu.base)
    program.correlate(dnu, into: p)
    axpy(program.columns, 1, c.base, p.base)
    scaling.solve(p)
  }

  /// One step of iterative refinement of dν and dp.
  private func refine(_ at: CellIterate) {
    let (n, columns) = (program.n, program.columns)
    program.correlate(dnu, into: work)
    for i in 0..<columns {
      work.base[i] += c.base[i] - at.lambda.base[i] / at.p.base[i] * step.p.base[i]
    }
    for b in 0..<program.blocks { scaling.subtractCurvature(b, step.p.row(b), work.row(b)) }
    for i in 0..<n { dnu2.base[i] = primalResidual.base[i] - dnu.base[i] }
    program.addPredictions(-1, step.p, to: dnu2)
    eliminate(work, dnu2, into: work2)
    axpy(n, 1, dnu2.base, dnu.base)
    axpy(columns, 1, work2.base, step.p.base)
  }
}
