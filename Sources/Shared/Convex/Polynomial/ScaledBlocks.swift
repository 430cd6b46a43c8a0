import LinearAlgebra

/// The 2R blocks Z and 2R slacks S of a class in an interior-point method, each of order m, with their Nesterov–Todd
/// scaling and steps. All matrices are in whitened coordinates.
final class ScaledBlocks {
  private let program: PolynomialProgram
  private let m: Int
  let count: Int
  /// The iterate, W and WJW, the steps, and the right-hand sides ΔZ + W ΔS W.
  let z, s, w, wjw, dz, ds, right: Matrix
  /// The difference between the slacks of ν and ρ and the stored ones; it is added to ΔS.
  private let missing: Matrix
  private let p, pInverse: Matrix
  private let lambda: Matrix
  private let a, b, c: Matrix
  private let small: SymmetricEigensolver

  init(_ program: PolynomialProgram) {
    self.program = program
    m = program.order
    count = 2 * program.regions
    func perBlock() -> Matrix { Matrix(2 * program.regions, program.order * program.order) }
    (z, s, w, wjw) = (perBlock(), perBlock(), perBlock(), perBlock())
    (dz, ds, right) = (perBlock(), perBlock(), perBlock())
    (p, pInverse, missing) = (perBlock(), perBlock(), perBlock())
    lambda = Matrix(count, m)
    a = Matrix(m, m)
    b = Matrix(m, m)
    c = Matrix(m, m)
    small = SymmetricEigensolver(order: m)
  }

  /// 1 for Z, −1 for Z'.
  func sign(_ block: Int) -> Double { block < program.regions ? 1 : -1 }

  /// Z = `size` I in raw coordinates.
  func start(_ size: Double) {
    let identity = Matrix.identity(m)
    program.map.whitenVariable.apply(full: identity.base, a.base, scratch: b.base)
    for i in 0..<count { for j in 0..<m * m { z.row(i)[j] = size * a.base[j] } }
  }

  /// S± = (β/2) TᵀT + ρ± TᵀJT ∓ mat(g) for the packed matrices g of all regions.
  func updateSlacks(beta: Double, _ g: UnsafePointer<Double>, rho: [Double]) {
    setSlacks(s, beta, g, rho)
  }

  /// Leaves S unchanged, and stores its difference from these slacks.
  func compareSlacks(beta: Double, _ g: UnsafePointer<Double>, rho: [Double]) {
    setSlacks(missing, beta, g, rho)
    axpy(s.count, -1, s.base, missing.base)
  }

  private func setSlacks(
    _ target: Matrix, _ beta: Double, _ g: UnsafePointer<Double>, _ rho: [Double]
  ) {
    for i in 0..<count {
      program.map.packing.unpack(
        g + (i % program.regions) * program.map.packing.count, into: a.base)
      let row = target.row(i)
      for j in 0..<m * m {
        row[j] =
          0.5 * beta * program.identityForm.base[j] + rho[i] * program.traceForm.base[j]
          - sign(i) * a.base[j]
      }
    }
  }

  /// Subtracts from the right-hand sides the part of ΔZ that is due to the missing slacks.
  func absorbMissing() {
    for i in 0..<count {
      gemm(m, m, m, w.row(i), .plain, missing.row(i), .plain, b.base)
      gemm(m, m, m, b.base, .plain, w.row(i), .plain, c.base)
      axpy(m * m, -1, c.base, right.row(i))
    }
  }

  /// The right-hand sides of the predictor, Z S = 0.
  func predict() { for i in 0..<right.count { right.base[i] = -z.base[i] } }

  /// The blocks' part of the equations: ⟨J, Z + right⟩ of each block, and Σ ± (Z + right) packed.
  func reduce(into packed: UnsafeMutablePointer<Double>, _ second: inout [Double]) {
    let q = program.map.packing.count
    packed.update(repeating: 0, count: program.map.count)
    for i in 0..<count {
      for j in 0..<m * m { a.base[j] = right.row(i)[j] + z.row(i)[j] }
      second[i] = dot(m * m, a.base, program.traceForm.base)
      program.map.packing.pack(a.base, into: b.base)
      axpy(q, sign(i), b.base, packed + (i % program.regions) * q)
    }
  }

  /// ΔS for the packed change of the dual matrices and Δρ, and ΔZ = right − W ΔS W.
  func complete(_ packed: UnsafePointer<Double>, _ stepRho: [Double]) {
    let q = program.map.packing.count
    for i in 0..<count {
      program.map.packing.unpack(packed + (i % program.regions) * q, into: a.base)
      let d = ds.row(i)
      for j in 0..<m * m {
        d[j] = stepRho[i] * program.traceForm.base[j] - sign(i) * a.base[j]
      }
      gemm(m, m, m, w.row(i), .plain, d, .plain, b.base)
      gemm(m, m, m, b.base, .plain, w.row(i), .plain, c.base)
      for j in 0..<m * m { dz.row(i)[j] = right.row(i)[j] - c.base[j] }
      axpy(m * m, 1, missing.row(i), d)
    }
    symmetrize(dz)
  }

  /// ⟨Z, S⟩ after a step.
  func complementarity(after step: Double) -> Double {
    var sum = 0.0
    for i in 0..<z.count {
      sum += (z.base[i] + step * dz.base[i]) * (s.base[i] + step * ds.base[i])
    }
    return sum
  }

  /// Z += step · ΔZ and S += step · ΔS.
  func move(_ step: Double) {
    axpy(z.count, step, dz.base, z.base)
    axpy(s.count, step, ds.base, s.base)
    symmetrize(z)
    symmetrize(s)
  }

  /// ⟨Z, S⟩ of all blocks.
  var complementarity: Double { dot(z.count, z.base, s.base) }

  func symmetrize(_ x: Matrix) {
    for i in 0..<count {
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
  func update() -> Bool {
    for i in 0..<count {
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
      // The rows of c are the eigenvectors: P = L Vᵀ(rows), with scaled columns.
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

  /// The longest step that keeps Z and S positive semidefinite.
  func stepLength() -> Double {
    var longest = Double.infinity
    for i in 0..<count {
      for dual in [false, true] {
        // Λ^{-1/2} (P⁻¹ ΔZ P⁻ᵀ) Λ^{-1/2}; for the dual, PᵀΔSP instead of P⁻¹ ΔZ P⁻ᵀ.
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

  func correct(_ i: Int, target: Double) {
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
