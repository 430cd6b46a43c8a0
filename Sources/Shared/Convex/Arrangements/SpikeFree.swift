import LinearAlgebra

/// Whether data are spike-free (Ergen and Pilanci 2021): every (Xu)₊ is an Xz with ‖z‖ ≤ ‖u‖. Then ReLU networks on them are
/// linear ones under the constraints Xv ≥ 0.
///
/// Rows of zeros and all but one of several positive multiples of a row ask nothing new of z, and are left out. If the others are
/// dependent, Σ λ_j x_j = 0, then Σ λ_j (x_j · u)₊ has a kink somewhere, so that (Xu)₊ leaves the space of the Xz. If they are
/// independent, z = X⁺(Xu)₊, and with c = (Xu)₊, e = (−Xu)₊ and M = (XXᵀ)⁻¹ the condition is cᵀMc ≤ (c − e)ᵀM(c − e) for all c, e ≥ 0
/// that are never positive together: it holds iff no entry of M off the diagonal is above 0.
package struct SpikeFree {
  package let holds: Bool
  package let reason: String

  /// Directions in which unit rows extend less than this count as none.
  private static let negligible = 1e-10

  /// `x` is X, n × d.
  package init(_ x: Matrix) {
    let d = x.columns
    let kept = (0..<x.rows).filter { norm(d, x.row($0)) > 0 }
    let units = Matrix(kept.count, d)
    for (k, j) in kept.enumerated() {
      let length = norm(d, x.row(j))
      for i in 0..<d { units[k, i] = x[j, i] / length }
    }
    let errors = [Double](repeating: RowSpace.rounding, count: kept.count)
    // The first of each direction; opposite rows are two.
    let firsts = ParallelRows.classes(units.base, kept.count, d, errors).flatMap { line -> [Int] in
      let same = line.filter { dot(d, units.row($0), units.row(line[0])) > 0 }
      return [same[0]] + line.filter { !same.contains($0) }.prefix(1)
    }.sorted()
    let rows = units.selecting(firsts)
    let m = rows.rows
    let rank = SingularValues(rows)?.values.prefix { $0 > SpikeFree.negligible }.count ?? 0
    guard rank == m else {
      (holds, reason) = (
        false,
        "\(m) rows of different directions have rank \(rank): what a neuron puts out there is not always linear in them"
      )
      return
    }
    let gram = product(rows, .plain, rows, .transposed)
    guard m > 0, choleskyLower(m, gram.base) else {
      (holds, reason) = (m == 0, m == 0 ? "all rows are 0" : "the rows are too near to dependent")
      return
    }
    choleskyInverseLower(m, gram.base)
    var worst = (value: -Double.infinity, i: 0, j: 0)
    for i in 0..<m {
      for j in 0..<i {
        // Relative to the diagonal, so that rounding counts alike everywhere.
        let value = gram[i, j] / (gram[i, i] * gram[j, j]).squareRoot()
        if value > worst.value { worst = (value, i, j) }
      }
    }
    holds = worst.value <= 1e-12
    reason =
      holds
      ? "no entry of the inverse of X X^T off its diagonal is above 0"
      : "the inverse of X X^T has an entry above 0 for rows \(kept[firsts[worst.j]]) and \(kept[firsts[worst.i]])"
  }
}
