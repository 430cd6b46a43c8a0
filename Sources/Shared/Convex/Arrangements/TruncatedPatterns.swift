import LinearAlgebra

/// All patterns of the best approximation of X of a smaller rank, X̂ = X V Vᵀ, V (d × R) being the first R right singular
/// vectors: {1[X̂u ≥ 0]} of the vectors u that lie on none of its hyperplanes. Gates are in the space of V, where X and X̂ are
/// the same: they attain their patterns on X too.
package struct TruncatedPatterns {
  /// X, n × d.
  private let rows: Matrix
  /// Vᵀ, R × d.
  private let basis: Matrix
  /// Those of X V, n × R.
  private let exact: ExactPatterns
  /// ‖X − X̂‖₂, the singular value that comes next.
  package let error: Double
  /// How many patterns there can be.
  package var bound: Double { exact.bound }

  /// A singular value below this share of the largest is rounding.
  private static let negligible = 1e-12

  /// nil if the rows have no larger rank than `rank`: then nothing is truncated. Throws `Failure.data` if there can be
  /// more patterns than `maximum`, or if there is no memory for so many.
  package init?(_ rows: Matrix, rank: Int, maximum: Int) throws {
    guard rank < min(rows.rows, rows.columns), let all = SingularValues(rows),
      all.values[rank] > TruncatedPatterns.negligible * all.values[0]
    else { return nil }
    self.rows = rows
    error = all.values[rank]
    basis = Matrix(copying: all.right.slice(0..<rank))
    exact = try ExactPatterns(product(rows, .plain, basis, .transposed), maximum: maximum)
  }

  /// Lists the patterns in the order of words of 0 and 1. Throws `Failure.data` if double precision cannot tell cells
  /// apart.
  package func list(
    progress: (_ hyperplanes: Int, _ all: Int) -> Void = { _, _ in }
  ) throws -> GatedPatterns {
    let found = try exact.list(progress: progress)
    let gates = product(found.gates, .plain, basis, .plain)
    let patterns = Patterns.signs(of: DataRows(rows), gates: gates)
    let isSame = (0..<patterns.count).allSatisfy { i in
      (0..<rows.rows).allSatisfy {
        patterns.isActive(i, row: $0) == found.patterns.isActive(i, row: $0)
      }
    }
    guard isSame else { throw ExactPatterns.tooClose }
    return GatedPatterns(patterns: patterns, gates: gates, thresholds: nil)
  }
}
