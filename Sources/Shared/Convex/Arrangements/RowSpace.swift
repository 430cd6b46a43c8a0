import Glibc
import LinearAlgebra

/// The hyperplanes {u : x_j · u = 0} of the rows x_j, in coordinates of the row space that suit them.
///
/// Columns are scaled by powers of two and rows to unit length, neither of which changes a sign. With B an
/// orthonormal basis of the rows' space and X Bᵀ = Q R, the hyperplanes are those of the rows q_j of Q: in
/// these coordinates they point in all directions alike. A point z there is the vector u = Bᵀ R⁻¹ z of R^d.
package struct RowSpace {
  /// r.
  package let rank: Int
  /// Unit normals of the distinct hyperplanes, m × r.
  package let normals: Matrix
  /// The angle to within which each normal is known.
  package let errors: [Double]
  /// An orthonormal basis of the space of the rows as they are, r × d.
  package let basis: Matrix
  /// R⁻ᵀ B times the column scales, r × d: row z ↦ u.
  private let lift: Matrix

  /// The angle up to which rows of doubles that should be parallel may differ: some roundings of unit vectors.
  package static let rounding = 1.8e-15
  /// A direction in which no unit row extends further than this counts as none.
  private static let negligible = 1e-12

  /// `rows` are n × d. `probe(rank, hyperplanes)` is called after every direction that is found and may throw, so that
  /// a long factorisation can end as soon as it is clear that the rank is too high.
  package init(_ rows: Matrix, probe: (_ rank: Int, _ hyperplanes: Int) throws -> Void) rethrows {
    let scales = RowSpace.columnScales(rows)
    let unit = RowSpace.distinctUnitRows(rows, scales)
    let d = rows.columns
    let basis = try RowSpace.basis(of: unit) { try probe($0, unit.rows) }
    rank = basis.rows
    // Q R = X Bᵀ.
    let q = product(unit, .plain, basis, .transposed)
    let inverse = RowSpace.orthonormalize(q)
    var amplification = 0.0
    for i in 0..<inverse.count { amplification += inverse.base[i] * inverse.base[i] }
    amplification = amplification.squareRoot()
    var errors = [Double](repeating: 0, count: q.rows)
    for j in 0..<q.rows {
      let length = norm(rank, q.row(j))
      errors[j] = RowSpace.rounding * max(1, amplification / length)
      scale(rank, 1 / length, q.row(j))
    }
    normals = q
    self.errors = errors
    let unscaled = basis.transposed
    for k in 0..<d { for i in 0..<rank { unscaled[k, i] /= scales[k] } }
    _ = RowSpace.orthonormalize(unscaled)
    self.basis = unscaled.transposed
    lift = product(inverse, .transposed, basis, .plain)
    for i in 0..<rank { for k in 0..<d { lift[i, k] *= scales[k] } }
  }

  /// The unit vectors of R^d that the rows of `points` (P × r) stand for.
  package func vectors(_ points: Matrix) -> Matrix {
    let result = product(points, .plain, lift, .plain)
    for i in 0..<result.rows {
      let length = norm(result.columns, result.row(i))
      if length > 0 { scale(result.columns, 1 / length, result.row(i)) }
    }
    return result
  }

  /// Powers of two that bring the largest entry of each column near 1.
  private static func columnScales(_ rows: Matrix) -> [Double] {
    (0..<rows.columns).map { k in
      var largest = 0.0
      for j in 0..<rows.rows { largest = max(largest, abs(rows[j, k])) }
      guard largest > 0 else { return 1 }
      return scalbn(1, Int32(-max(-1000, min(1000, largest.exponent))))
    }
  }

  /// The scaled nonzero rows as unit vectors, one for each set of parallel rows.
  private static func distinctUnitRows(_ rows: Matrix, _ scales: [Double]) -> Matrix {
    let d = rows.columns
    let scaled = Matrix(copying: rows)
    var chosen: [Int] = []
    for j in 0..<rows.rows {
      let row = scaled.row(j)
      var largest = 0.0
      for k in 0..<d {
        row[k] *= scales[k]
        largest = max(largest, abs(row[k]))
      }
      guard largest > 0 else { continue }
      // Divided first by the largest entry, so that squares of tiny entries do not underflow.
      for k in 0..<d { row[k] /= largest }
      let length = norm(d, row)
      for k in 0..<d { row[k] /= length }
      chosen.append(j)
    }
    let unit = scaled.selecting(chosen)
    let errors = [Double](repeating: rounding, count: unit.rows)
    return unit.selecting(ParallelRows.representatives(unit.base, unit.rows, d, errors))
  }

  /// An orthonormal basis of the rows' space by Gram and Schmidt's method, which takes the row that extends furthest
  /// and orthogonalises each twice.
  private static func basis(of rows: Matrix, probe: (Int) throws -> Void) rethrows -> Matrix {
    let (m, d) = (rows.rows, rows.columns)
    let rest = Matrix(copying: rows)
    var basis: [Double] = []
    var found = 0
    while found < min(m, d) {
      var (furthest, extent) = (0, 0.0)
      for j in 0..<m {
        let length = norm(d, rest.row(j))
        if length > extent { (furthest, extent) = (j, length) }
      }
      guard extent > negligible else { break }
      var direction = copied(rest.row(furthest), d)
      direction.withUnsafeMutableBufferPointer { buffer in
        let v = buffer.baseAddress!
        basis.withUnsafeBufferPointer { earlier in
          for _ in 0..<2 {
            scale(d, 1 / norm(d, v), v)
            for b in 0..<found {
              let direction = earlier.baseAddress! + b * d
              axpy(d, -dot(d, direction, v), direction, v)
            }
          }
        }
        scale(d, 1 / norm(d, v), v)
        for j in 0..<m {
          for _ in 0..<2 { axpy(d, -dot(d, v, rest.row(j)), v, rest.row(j)) }
        }
      }
      basis += direction
      found += 1
      try probe(found)
    }
    return Matrix(found, d, basis)
  }

  /// Makes the columns of `q` (m × r, of full rank) orthonormal; returns R⁻¹, by which they were multiplied.
  private static func orthonormalize(_ q: Matrix) -> Matrix {
    let (m, r) = (q.rows, q.columns)
    let columns = q.transposed
    let inverse = Matrix.identity(r)
    // Row k of `inverse` holds column k of R⁻¹ until the end.
    for k in 0..<r {
      for _ in 0..<2 {
        for b in 0..<k {
          let overlap = dot(m, columns.row(b), columns.row(k))
          axpy(m, -overlap, columns.row(b), columns.row(k))
          axpy(r, -overlap, inverse.row(b), inverse.row(k))
        }
        let length = norm(m, columns.row(k))
        scale(m, 1 / length, columns.row(k))
        scale(r, 1 / length, inverse.row(k))
      }
    }
    q.copy(from: columns.transposed)
    return inverse.transposed
  }

  private static func copied(_ row: UnsafePointer<Double>, _ count: Int) -> [Double] {
    Array(UnsafeBufferPointer(start: row, count: count))
  }
}
