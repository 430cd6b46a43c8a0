import LinearAlgebra

/// The Newton system of the interior-point method:
///
///     [ M   C ] [Δγ]   M = G⁻¹ + Bᵀ(W₊ ⊗ W₊ + W₋ ⊗ W₋)B,
///     [ Cᵀ  E ] [Δρ]   C the columns ∓Bᵀ svec(WJW), E = diag⟨J, WJW⟩,
///
/// by one Cholesky factorisation of M and the Schur complement of the 2R columns.
final class ScaledSystem {
  private let program: PolynomialProgram
  private let basis: FeatureBasis
  private let regions: Int
  private let matrix: Matrix
  /// Rows: C, and M⁻¹C.
  private let columns: Matrix
  private let solved: Matrix
  private let schur: Matrix
  private var diagonal: [Double]
  private let packed: Matrix
  /// For an explicit basis: the rows of Bᵀ after W · W.
  private let images: Matrix?
  private let coordinates: Coordinates?

  init(_ program: PolynomialProgram) {
    self.program = program
    basis = program.gram.basis
    regions = program.regions
    let n = basis.order
    let selected = basis.explicit == nil ? basis.selected.count : n
    matrix = Matrix(selected, selected)
    columns = Matrix(2 * regions, n)
    solved = Matrix(2 * regions, n)
    schur = Matrix(2 * regions, 2 * regions)
    diagonal = Array(repeating: 0, count: 2 * regions)
    packed = Matrix(1, program.map.count)
    images = basis.explicit.map { Matrix($0.rows, $0.columns) }
    coordinates =
      basis.explicit == nil
      ? Coordinates(basis.selected, packing: program.map.packing) : nil
  }

  /// `w` and `wjw` are W and WJW of the 2R blocks. Returns false if M is not positive definite.
  func factor(_ w: Matrix, _ wjw: Matrix, _ inverse: GramSystem.Inverse) -> Bool {
    let q = program.map.packing.count
    let n = basis.order
    if let coordinates {
      coordinates.fill(matrix, w, regions: regions)
      basis.reflect(matrix)
    } else {
      product(w)
    }
    inverse.add(to: matrix, order: n)
    guard choleskyLower(n, matrix.base, lda: matrix.columns) else { return false }
    for block in 0..<2 * regions {
      let sign = block < regions ? -1.0 : 1.0
      packed.fill(0)
      program.map.packing.pack(wjw.row(block), into: packed.base + (block % regions) * q)
      basis.project(packed.base, into: columns.row(block))
      scale(n, sign, columns.row(block))
      diagonal[block] = dot(wjw.columns, wjw.row(block), program.traceForm.base)
    }
    solved.copy(from: columns)
    choleskySolve(n, matrix.base, lda: matrix.columns, solved.base, count: 2 * regions)
    // E − CᵀM⁻¹C
    gemm(
      2 * regions, 2 * regions, n, alpha: -1, columns.base, .plain, solved.base, .transposed,
      schur.base)
    for block in 0..<2 * regions { schur[block, block] += diagonal[block] }
    return true
  }

  /// Solves for (Δγ, Δρ): `x` holds the first right-hand side and takes Δγ.
  func solve(_ x: UnsafeMutablePointer<Double>, _ second: [Double], _ rho: inout [Double]) {
    let n = basis.order
    choleskySolve(n, matrix.base, lda: matrix.columns, x, count: 1)
    for block in 0..<2 * regions { rho[block] = second[block] - dot(n, columns.row(block), x) }
    let copy = Matrix(copying: schur)
    rho.withUnsafeMutableBufferPointer { _ = solveGeneral(2 * regions, copy.base, $0.baseAddress!) }
    for block in 0..<2 * regions { axpy(n, -rho[block], solved.row(block), x) }
  }

  /// M without G⁻¹ for an explicit basis: each basis vector b as a matrix, W₊ b W₊ + W₋ b W₋, times Bᵀ.
  private func product(_ w: Matrix) {
    let rows = basis.explicit!
    let q = program.map.packing.count
    let m = program.order
    for r in 0..<regions {
      let forms = [r, regions + r].map { block in
        let transform = Matrix(m, m)
        transform.base.update(from: w.row(block), count: m * m)
        return Congruence(transform)
      }
      Threads.split(rows.rows, grain: 4) { range in
        let scratch = forms[0].makeScratch()
        let sum = Matrix(1, q)
        for k in range {
          let source = rows.row(k) + r * q
          let target = self.images!.row(k) + r * q
          forms[0].apply(1, source, target, scratch: scratch)
          forms[1].apply(1, source, sum.base, scratch: scratch)
          axpy(q, 1, sum.base, target)
        }
      }
    }
    gemm(
      rows.rows, rows.rows, rows.columns, images!.base, .plain, rows.base, .transposed, matrix.base)
  }
}

/// The selected coordinates of svec as pairs (i, j), and the symmetric Kronecker products on them.
private struct Coordinates {
  /// A run of coordinates (i, j), (i, j + 1), … of one region.
  struct Run {
    let start: Int
    let count: Int
    let i: Int
    let j: Int
  }
  /// Per region: its first selected coordinate, and its runs.
  private let regions: [(first: Int, runs: [Run])]
  private let order: Int

  init(_ selected: [Int], packing: SymmetricVectors) {
    order = packing.order
    var pairs: [(Int, Int)] = []
    for i in 0..<packing.order { for j in i..<packing.order { pairs.append((i, j)) } }
    var regions: [(first: Int, runs: [Run])] = []
    let count = selected.isEmpty ? 0 : selected.last! / packing.count + 1
    var position = 0
    for region in 0..<count {
      let first = position
      var runs: [Run] = []
      while position < selected.count, selected[position] / packing.count == region {
        let start = position
        let (i, j) = pairs[selected[position] % packing.count]
        position += 1
        while position < selected.count, selected[position] == selected[position - 1] + 1,
          selected[position] / packing.count == region,
          pairs[selected[position] % packing.count].0 == i
        {
          position += 1
        }
        runs.append(Run(start: start, count: position - start, i: i, j: j))
      }
      regions.append((first, runs))
    }
    self.regions = regions
  }

  /// Lower triangle of `target` ← blockdiag over the regions of W₊ ⊗ₛ W₊ + W₋ ⊗ₛ W₋: between (i, j) and
  /// (k, l) the entry ½ s s' (W_ik W_jl + W_il W_jk), s = √2 off the diagonal.
  func fill(_ target: Matrix, _ w: Matrix, regions total: Int) {
    let m = order
    let root = 2.0.squareRoot()
    for (region, (first, runs)) in regions.enumerated() {
      let plus = w.row(region)
      let minus = w.row(total + region)
      // The rows of a triangle cost more the later they come, so the threads take runs in turn.
      Threads.perform(runs.count) { index in
        let run = runs[runs.count - 1 - index]
        for offset in 0..<run.count {
          let (i, j) = (run.i, run.j + offset)
          let row = run.start + offset
          let output = target.row(row)
          for column in 0..<first { output[column] = 0 }
          let outer = i == j ? 0.5 * root : 1.0
          let (pi, pj) = (plus + i * m, plus + j * m)
          let (mi, mj) = (minus + i * m, minus + j * m)
          for inner in runs {
            if inner.start > row { break }
            let k = inner.i
            let length = min(inner.count, row + 1 - inner.start)
            let (a, b) = (outer * pi[k], outer * pj[k])
            let (c, d) = (outer * mi[k], outer * mj[k])
            let to = output + inner.start
            let (pil, pjl) = (pi + inner.j, pj + inner.j)
            let (mil, mjl) = (mi + inner.j, mj + inner.j)
            for l in 0..<length {
              to[l] = a * pjl[l] + b * pil[l] + c * mjl[l] + d * mil[l]
            }
            if inner.j == k { to[0] *= 0.5 * root }
          }
        }
      }
    }
  }
}
