import Glibc
import LinearAlgebra
import Tensors

/// Approximates G by B Bᵀ + a block for each gate: B holds the leading directions of G, found by a randomised Nyström
/// approximation, and the mean; the blocks are the remainders G − B Bᵀ there.
///
/// In the coordinates in which the blocks are diagonal, s, the inverse of B Bᵀ + diag(s + 1/η) takes one Cholesky
/// factorisation of the order of B's columns (Woodbury). It preconditions conjugate gradients, and replaces the exact
/// inverse in the Hessian. (Halko, Martinsson and Tropp 2011 for the range; Frangella, Tropp and Udell 2023 for the
/// use.)
final class LowRankGramSystem: GramSystem {
  private let size: Int
  private let gates: Int
  private let problems: [GroupProblem]
  /// k + 1 columns of B, in the coordinates of the blocks; Q × (k + 1).
  private let basis: Matrix
  /// Eigenvectors of the blocks as rows, a size × size block per gate, and their eigenvalues s.
  private let rotations: Matrix
  private let rest: Matrix
  /// 1/(1 + η s) and η of each problem, and the factor of I + Bᵀ diag(1/(s + 1/η)) B.
  private var shrinkage: [Matrix]
  private var etas: [[Double]]
  private var inner: [Matrix]
  private let (scaled, projected): (Matrix, Matrix)
  private var rotated = Matrix(0, 0)
  private var returned = Matrix(0, 0)

  private var order: Int { gates * size }
  private var rank: Int { basis.columns }

  /// Returns nil if `proceed` ended it.
  init?(
    _ gram: CentredGram, groupSize size: Int, rank k: Int, problems: [GroupProblem],
    proceed: () -> Bool, progress: (String) -> Void
  ) {
    self.size = size
    self.problems = problems
    let q = gram.order
    gates = q / size
    guard
      let range = LowRankGramSystem.nystrom(gram, rank: k, proceed: proceed, progress: progress)
    else { return nil }
    let basis = Matrix(q, k + 1)
    let rotations = Matrix(gates * size, size)
    let rest = Matrix(q, 1)
    let count = gates
    progress("preconditioner: blocks of \(count) gates")
    // The remainder of each block without the leading directions, and the coordinates in which it is diagonal.
    func decompose(_ i: Int, _ block: Matrix, _ solver: SymmetricEigensolver) {
      let rows = i * size..<(i + 1) * size
      gram.block(rows, into: block)
      gemm(
        size, size, k, alpha: -1, range.row(rows.lowerBound), .plain, range.row(rows.lowerBound),
        .transposed, beta: 1, block.base)
      if !solver.decompose(block.base) {
        block.fill(0)
        for j in 0..<size { block[j, j] = 1 }
        for j in 0..<size { solver.values[j] = 0 }
      }
      rotations.row(rows.lowerBound).update(from: block.base, count: size * size)
      for j in 0..<size { rest.base[rows.lowerBound + j] = max(0, solver.values[j]) }
      // B_i in these coordinates, and the mean as its last column.
      gemm(
        size, k, size, block.base, .plain, range.row(rows.lowerBound), .plain,
        basis.row(rows.lowerBound), ldc: k + 1)
      for j in 0..<size {
        basis[rows.lowerBound + j, k] = dot(
          size, block.row(j), gram.mean.base + rows.lowerBound)
      }
    }
    let workers = min(Threads.count, count)
    Threads.perform(workers) { worker in
      let block = Matrix(size, size)
      let solver = SymmetricEigensolver(order: size)
      for i in stride(from: worker, to: count, by: workers) { decompose(i, block, solver) }
    }
    self.basis = basis
    self.rotations = rotations
    self.rest = rest
    shrinkage = problems.map { _ in Matrix(q, 1) }
    etas = problems.map { _ in [] }
    inner = problems.map { _ in Matrix(k + 1, k + 1) }
    scaled = Matrix(min(q, 2048), k + 1)
    projected = Matrix(k + 1, k + 1)
  }

  /// Columns B (Q × k) with B Bᵀ near CᵀC and nowhere above it: CᵀC Ω (ΩᵀCᵀC Ω)^−½, with an Ω that a product with CᵀC
  /// has turned to the leading directions.
  private static func nystrom(
    _ gram: CentredGram, rank k: Int, proceed: () -> Bool, progress: (String) -> Void
  ) -> Matrix? {
    let q = gram.order
    let (range, image) = (SingleMatrix(q, k), SingleMatrix(q, k))
    let middle = SingleMatrix(gram.form == .samples ? gram.matrix.rows : 0, k)
    Threads.split(q) { rows in
      for i in rows {
        var random = RandomSource(seed: 0, stream: 3 + i)
        for j in 0..<k { range.row(i)[j] = Float(random.gaussian()) }
      }
    }
    let steps = 2
    for step in 1...steps {
      guard proceed() else { return nil }
      progress("preconditioner: \(k) directions, product \(step) of \(steps)")
      orthonormalize(range)
      gram.multiplyCentred(range, into: image, middle: middle, within: [0..<q])
      if step < steps { range.base.update(from: image.base, count: range.count) }
    }
    // S = ΩᵀY = L Lᵀ, B = Y L⁻ᵀ; eigenvalues that rounding makes negative are lifted.
    let s = Matrix(k, k)
    let (omega, result) = (Matrix(min(q, 2048), k), Matrix(q, k))
    for i in 0..<result.count { result.base[i] = Double(image.base[i]) }
    for first in stride(from: 0, to: q, by: omega.rows) {
      let count = min(omega.rows, q - first)
      for i in 0..<count * k { omega.base[i] = Double(range.row(first)[i]) }
      gemm(k, k, count, omega.base, .transposed, result.row(first), .plain, beta: 1, s.base)
    }
    s.symmetrize()
    var largest = 0.0
    for j in 0..<k { largest = max(largest, s[j, j]) }
    var lift = 1e-7 * largest
    let factor = Matrix(k, k)
    repeat {
      factor.copy(from: s)
      for j in 0..<k { factor[j, j] += lift }
      lift *= 10
    } while !choleskyLower(k, factor.base) && lift < largest
    triangularSolveRows(k, factor.base, result.base, count: q)
    return result
  }

  /// Columns ← an orthonormal basis of their span, by two Cholesky factorisations of their Gram matrix.
  private static func orthonormalize(_ matrix: SingleMatrix) {
    let (q, k) = (matrix.rows, matrix.columns)
    let part = Matrix(min(q, 2048), k)
    for _ in 0..<2 {
      let gram = Matrix(k, k)
      for first in stride(from: 0, to: q, by: part.rows) {
        let count = min(part.rows, q - first)
        for i in 0..<count * k { part.base[i] = Double(matrix.row(first)[i]) }
        syrkUpper(k, count, part.base, beta: 1, gram.base)
      }
      gram.mirrorUpper()
      var trace = 0.0
      for j in 0..<k { trace += gram[j, j] }
      let factor = Matrix(k, k)
      var lift = 1e-14 * trace
      repeat {
        factor.copy(from: gram)
        for j in 0..<k { factor[j, j] += lift }
        lift *= 100
      } while !choleskyLower(k, factor.base) && lift < trace
      for first in stride(from: 0, to: q, by: part.rows) {
        let count = min(part.rows, q - first)
        for i in 0..<count * k { part.base[i] = Double(matrix.row(first)[i]) }
        triangularSolveRows(k, factor.base, part.base, count: count)
        for i in 0..<count * k { matrix.row(first)[i] = Float(part.base[i]) }
      }
    }
  }

  func factor(_ problem: Int, _ eta: [Double]) -> Bool {
    etas[problem] = eta
    let (shrink, matrix) = (shrinkage[problem], inner[problem])
    for j in 0..<order { shrink.base[j] = 1 / (1 + eta[j / size] * rest.base[j]) }
    // I + Bᵀ E⁻¹ B with E⁻¹ = η/(1 + η s), by blocks of the rows with η > 0.
    matrix.fill(0)
    var filled = 0
    func flush() {
      syrkUpper(rank, filled, scaled.base, beta: 1, matrix.base)
      filled = 0
    }
    for j in 0..<order where eta[j / size] > 0 {
      let factor = (eta[j / size] * shrink.base[j]).squareRoot()
      let (target, source) = (scaled.row(filled), basis.row(j))
      for c in 0..<rank { target[c] = factor * source[c] }
      filled += 1
      if filled == scaled.rows { flush() }
    }
    flush()
    matrix.mirrorUpper()
    for c in 0..<rank { matrix[c, c] += 1 }
    return choleskyLower(rank, matrix.base)
  }

  func apply(_ x: Matrix, into z: Matrix) {
    let columns = x.columns
    if rotated.columns != columns || rotated.rows != order {
      rotated = Matrix(order, columns)
      returned = Matrix(order, columns)
    }
    rotate(x, .plain, into: rotated)
    for (p, problem) in problems.enumerated() { weigh(rotated, p, problem.columns) }
    // E⁻¹x − E⁻¹B (I + BᵀE⁻¹B)⁻¹ BᵀE⁻¹x
    let along = Matrix(columns, rank)
    gemm(columns, rank, order, rotated.base, .transposed, basis.base, .plain, along.base)
    for (p, problem) in problems.enumerated() {
      choleskySolve(
        rank, inner[p].base, along.row(problem.columns.lowerBound), count: problem.columns.count)
    }
    gemm(order, columns, rank, basis.base, .plain, along.base, .transposed, returned.base)
    for (p, problem) in problems.enumerated() { weigh(returned, p, problem.columns) }
    for k in 0..<rotated.count { rotated.base[k] -= returned.base[k] }
    rotate(rotated, .transposed, into: z)
  }

  /// Multiplies the columns of a problem by E⁻¹.
  private func weigh(_ x: Matrix, _ p: Int, _ columns: Range<Int>) {
    let (eta, shrink) = (etas[p], shrinkage[p])
    for j in 0..<order {
      let (factor, row) = (eta.isEmpty ? 0 : eta[j / size] * shrink.base[j], x.row(j))
      for c in columns { row[c] *= factor }
    }
  }

  /// Z_i ← U_i X_i, or back by U_iᵀ, for every gate.
  private func rotate(_ x: Matrix, _ direction: Operation, into z: Matrix) {
    Threads.split(gates, grain: 16) { part in
      for i in part {
        gemm(
          size, x.columns, size, rotations.row(i * size), direction, x.row(i * size), .plain,
          z.row(i * size))
      }
    }
  }

  func hessian(
    _ problem: Int, _ working: [Int], directions t: Matrix, into h: UnsafeMutablePointer<Double>
  ) {
    let (columns, count) = (problems[problem].columns, working.count)
    let (outputs, shrink) = (columns.count, shrinkage[problem])
    // Rows (i, c): Σ_j t̂_j g_j B̂_j with g = 1/(1 + η s), and on the diagonal Σ t̂² g s.
    let rows = Matrix(count * outputs, rank)
    var diagonal = [Double](repeating: 0, count: count)
    let weighted = Matrix(outputs, size)
    let rotated = Matrix(size, t.columns)
    for (k, i) in working.enumerated() {
      gemm(
        size, t.columns, size, rotations.row(i * size), .plain, t.row(i * size), .plain,
        rotated.base)
      for j in 0..<size {
        let (g, s) = (shrink.base[i * size + j], rest.base[i * size + j])
        for c in columns {
          let value = rotated[j, c]
          weighted[c - columns.lowerBound, j] = g * value
          diagonal[k] += value * value * g * s
        }
      }
      gemm(
        outputs, rank, size, weighted.base, .plain, basis.row(i * size), .plain,
        rows.row(k * outputs))
    }
    triangularSolveRows(rank, inner[problem].base, rows.base, count: rows.rows)
    syrkRowsUpper(count, outputs * rank, rows.base, h)
    for i in 0..<count {
      h[i * count + i] += diagonal[i]
      for j in 0..<i { h[i * count + j] = h[j * count + i] }
    }
  }
}
