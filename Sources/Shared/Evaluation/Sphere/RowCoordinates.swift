import LinearAlgebra

/// Rows in an orthonormal basis of their space, and what the basis leaves of each.
struct RowCoordinates {
  /// n × r.
  let coordinates: Matrix
  /// An upper bound of the length of each row outside the space, and of its rounding.
  let rests: [Double]

  var rank: Int { coordinates.columns }

  /// Unit rows that extend less far into a direction are taken not to extend into it; `rests` says what that leaves out.
  private static let negligible = 1e-13

  /// `rows` are n × d. Returns nil if the space has more than `limit` dimensions.
  init?(_ rows: Matrix, limit: Int) {
    let (n, d) = (rows.rows, rows.columns)
    let lengths = (0..<n).map { norm(d, rows.row($0)) }
    let left = Matrix(copying: rows)
    var basis: [[Double]] = []
    while true {
      // The row of which the largest share is left.
      var (longest, share) = (-1, RowCoordinates.negligible)
      for i in 0..<n where lengths[i] > 0 {
        let part = norm(d, left.row(i)) / lengths[i]
        if part > share { (longest, share) = (i, part) }
      }
      guard longest >= 0 else { break }
      guard basis.count < limit else { return nil }
      var direction = Array(UnsafeBufferPointer(start: left.row(longest), count: d))
      for _ in 0..<2 {
        scale(d, 1 / norm(d, direction), &direction)
        for earlier in basis { axpy(d, -dot(d, earlier, direction), earlier, &direction) }
      }
      scale(d, 1 / norm(d, direction), &direction)
      for i in 0..<n {
        for _ in 0..<2 { axpy(d, -dot(d, direction, left.row(i)), direction, left.row(i)) }
      }
      basis.append(direction)
    }
    let r = basis.count
    let axes = Matrix(r, d, basis.flatMap(\.self))
    coordinates = product(rows, .plain, axes, .transposed)
    let rebuilt = product(coordinates, .plain, axes, .plain)
    let rounding = 4 * Double(d + r) * Double.ulpOfOne
    rests = (0..<n).map { i in
      axpy(d, -1, rows.row(i), rebuilt.row(i))
      return norm(d, rebuilt.row(i)) + rounding * lengths[i]
    }
  }
}
