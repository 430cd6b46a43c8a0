import LinearAlgebra

/// Factors G + diag(1/η) by Cholesky, in double precision.
final class DirectGramSystem: GramSystem {
  private let gram: Matrix
  private let size: Int
  private let problems: [GroupProblem]
  private var factors: [Factor?]

  private struct Factor {
    var eta: [Double]
    var active: [Int]
    /// The lower triangle of the factor of G_aa + Λ.
    var matrix: Matrix
  }

  /// `gram` is G (Q × Q), the groups have `size` features each.
  init(_ gram: Matrix, groupSize size: Int, problems: [GroupProblem]) {
    self.gram = gram
    self.size = size
    self.problems = problems
    factors = problems.map { _ in nil }
  }

  func factor(_ problem: Int, _ eta: [Double]) -> Bool {
    let active = eta.indices.filter { eta[$0] > 0 }
    let matrix = gathered(active, active)
    for (k, i) in active.enumerated() {
      for j in k * size..<(k + 1) * size { matrix[j, j] += 1 / eta[i] }
    }
    guard choleskyLower(matrix.rows, matrix.base) else { return false }
    factors[problem] = Factor(eta: eta, active: active, matrix: matrix)
    return true
  }

  func apply(_ x: Matrix, into z: Matrix) {
    z.fill(0)
    for (p, problem) in problems.enumerated() {
      guard let factor = factors[p], !factor.active.isEmpty else { continue }
      let columns = problem.columns
      let right = Matrix(columns.count, factor.active.count * size)
      forEachPlace(factor.active) { place, row in
        for c in columns { right[c - columns.lowerBound, place] = x[row, c] }
      }
      choleskySolve(right.columns, factor.matrix.base, right.base, count: right.rows)
      forEachPlace(factor.active) { place, row in
        for c in columns { z[row, c] = right[c - columns.lowerBound, place] }
      }
    }
  }

  func hessian(
    _ problem: Int, _ working: [Int], directions t: Matrix, into h: UnsafeMutablePointer<Double>
  ) {
    guard let factor = factors[problem] else { return }
    let (columns, count) = (problems[problem].columns, working.count)
    let (outputs, order) = (columns.count, factor.active.count * size)
    let entering = working.filter { factor.eta[$0] == 0 }
    // Row (j, c): T_jcᵀ G_ja, then M⁻¹ of it.
    let solved = Matrix(count * outputs, order)
    let across = gathered(working, factor.active)
    let rows = Matrix(outputs, size)
    for (k, j) in working.enumerated() {
      gather(t, j, columns, into: rows)
      gemm(
        outputs, order, size, rows.base, .plain, across.row(k * size), .plain,
        solved.row(k * outputs))
    }
    choleskySolve(order, factor.matrix.base, solved.base, count: solved.rows)
    let place = Dictionary(uniqueKeysWithValues: factor.active.enumerated().map { ($1, $0) })
    let between = gathered(entering, working)
    let beyond = gathered(entering, factor.active)
    let left = Matrix(1, max(order, count * size))
    var enters = 0
    for (k, i) in working.enumerated() {
      gather(t, i, columns, into: rows)
      if let at = place[i] {
        // Λ_i T_iᵀ X_j at i
        for j in 0..<count {
          var sum = 0.0
          for c in 0..<outputs {
            sum += dot(size, rows.row(c), solved.row(j * outputs + c) + at * size)
          }
          h[k * count + j] = sum / factor.eta[i]
        }
      } else {
        // T_iᵀ (G_ij T_j − G_ia X_j)
        for j in 0..<count { h[k * count + j] = 0 }
        let other = Matrix(outputs, size)
        for c in 0..<outputs {
          gemv(
            size, order, beyond.row(enters * size), .transposed, rows.row(c), left.base)
          for j in 0..<count {
            h[k * count + j] -= dot(order, left.base, solved.row(j * outputs + c))
          }
          gemv(
            size, count * size, between.row(enters * size), .transposed, rows.row(c), left.base)
          for (j, member) in working.enumerated() {
            gather(t, member, columns, into: other)
            h[k * count + j] += dot(size, left.base + j * size, other.row(c))
          }
        }
        enters += 1
      }
    }
    DirectGramSystem.symmetrize(h, count)
  }

  private static func symmetrize(_ h: UnsafeMutablePointer<Double>, _ count: Int) {
    for i in 0..<count {
      for j in 0..<i {
        let mean = 0.5 * (h[i * count + j] + h[j * count + i])
        h[i * count + j] = mean
        h[j * count + i] = mean
      }
    }
  }

  /// The rows of T at gate `i`, transposed: outputs × size.
  private func gather(_ t: Matrix, _ i: Int, _ columns: Range<Int>, into rows: Matrix) {
    for j in 0..<size {
      for c in columns { rows[c - columns.lowerBound, j] = t[i * size + j, c] }
    }
  }

  /// G at the features of the gates `a` and `b`.
  private func gathered(_ a: [Int], _ b: [Int]) -> Matrix {
    let result = Matrix(a.count * size, b.count * size)
    forEachPlace(a) { place, row in
      let (source, target) = (gram.row(row), result.row(place))
      for (k, i) in b.enumerated() {
        (target + k * size).update(from: source + i * size, count: size)
      }
    }
    return result
  }

  private func forEachPlace(_ gates: [Int], _ body: (_ place: Int, _ row: Int) -> Void) {
    for (k, i) in gates.enumerated() {
      for j in 0..<size { body(k * size + j, i * size + j) }
    }
  }
}
