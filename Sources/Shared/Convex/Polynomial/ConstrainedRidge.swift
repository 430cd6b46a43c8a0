import LinearAlgebra

/// Solves with G + κI over the packed matrices h_r of the regions with ⟨J, h_r⟩ = 0; G = FᵀF is the Gram matrix in raw
/// coordinates.
///
/// One Cholesky factorisation for each κ; the constraints are a Schur complement of order R.
final class ConstrainedRidge {
  /// svec J / ‖J‖ of one region.
  let j: [Double]
  private let q: Int
  private let regions: Int
  private let width: Int
  /// Upper triangle: G; lower: the factor of G + κI; the diagonal of G is separate.
  private let matrix: Matrix
  private let diagonal: [Double]
  /// (G + κI)⁻¹J for the R regions (R × Q), and the inverse of Jᵀ(G + κI)⁻¹J (R × R).
  private let solvedJ: Matrix
  private let schurInverse: Matrix

  /// For the Gram matrix of all samples.
  convenience init(_ program: PolynomialProgram) {
    let matrix = program.gram.expandedGram()
    ConstrainedRidge.unwhitenGram(matrix, program.map)
    self.init(program, gram: matrix)
  }

  /// For any Gram matrix in raw coordinates, whose memory it takes over; it reads the upper triangle.
  init(_ program: PolynomialProgram, gram: Matrix) {
    q = program.map.packing.count
    regions = program.regions
    width = program.map.count
    j = ConstrainedRidge.direction(program)
    matrix = gram
    diagonal = (0..<gram.rows).map { gram[$0, $0] }
    solvedJ = Matrix(regions, width)
    schurInverse = Matrix(regions, regions)
  }

  /// svec J / ‖J‖.
  static func direction(_ program: PolynomialProgram) -> [Double] {
    let m = program.order
    var j = [Double](repeating: 0, count: program.map.packing.count)
    for i in 0..<m {
      j[program.map.packing.diagonal(i)] = (i == m - 1 ? -1 : 1) / Double(m).squareRoot()
    }
    return j
  }

  /// Turns G from whitened into raw coordinates: the congruence on its rows, then on its columns.
  private static func unwhitenGram(_ gram: Matrix, _ map: FeatureMap) {
    map.unwhiten.applyInParallel(gram.rows * map.regions, gram.base)
    gram.transpose()
    map.unwhiten.applyInParallel(gram.rows * map.regions, gram.base)
    gram.symmetrize()
  }

  /// Factors G + κI; false if it is singular in double precision.
  func factor(_ shift: Double) -> Bool {
    matrix.mirrorUpper()
    for i in 0..<width { matrix[i, i] = diagonal[i] + shift }
    guard choleskyLower(width, matrix.base) else { return false }
    solvedJ.fill(0)
    for r in 0..<regions { for p in 0..<q { solvedJ[r, r * q + p] = j[p] } }
    choleskySolve(width, matrix.base, solvedJ.base, count: regions)
    for r in 0..<regions {
      for t in 0..<regions { schurInverse[t, r] = dot(q, j, solvedJ.row(r) + t * q) }
    }
    schurInverse.symmetrize()
    guard choleskyLower(regions, schurInverse.base) else { return false }
    choleskyInverseLower(regions, schurInverse.base)
    schurInverse.mirrorLower()
    return true
  }

  /// Replaces each row b (Q numbers) by argmin ½ hᵀ(G + κI)h − bᵀh over ⟨J, h_r⟩ = 0.
  func solve(_ rows: Matrix) {
    guard rows.rows > 0 else { return }
    choleskySolve(width, matrix.base, rows.base, count: rows.rows)
    Threads.split(rows.rows) { part in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * self.regions) { buffer in
        let excess = buffer.baseAddress!
        let weights = excess + self.regions
        for c in part {
          let h = rows.row(c)
          for r in 0..<self.regions { excess[r] = dot(self.q, self.j, h + r * self.q) }
          gemv(self.regions, self.regions, self.schurInverse.base, .plain, excess, weights)
          for r in 0..<self.regions { axpy(self.width, -weights[r], self.solvedJ.row(r), h) }
        }
      }
    }
  }

  /// Subtracts from each row its parts along J.
  func project(_ rows: Matrix) {
    for c in 0..<rows.rows {
      for r in 0..<regions {
        let h = rows.row(c) + r * q
        axpy(q, -dot(q, j, h), j, h)
      }
    }
  }
}
