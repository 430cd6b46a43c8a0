import Glibc
import LinearAlgebra

/// Counts the cells into which the hyperplanes {u : x_j · u = 0} of some rows x_j cut the space, by deletion and
/// restriction: the next hyperplane H adds as many cells as the earlier ones make within H (Zaslavsky, "Facing up
/// to arrangements", 1975).
///
/// Rows are told apart as far as rounding allows: rows that are parallel, within a subspace too, up to a few roundings
/// of the computation so far count as one hyperplane.
struct CellCount {
  /// Two roundings of a unit vector.
  private static let rounding = 4 * Double.ulpOfOne
  /// Two normals count as parallel if the angle between them is at most this many times the sum of their errors.
  private static let factor = 4.0
  /// Unit rows that extend less far than this into a direction do not extend into it.
  private static let negligible = 1e-12

  /// The number of cells.
  let cells: Int
  /// How far unit rows extend, at most, into directions that count as none; columns are scaled by powers of two between
  /// `scales`.
  let neglected: Double
  let scales: (least: Double, most: Double)

  /// The number of cells, or `nil` if there are more than `limit`.
  static func count(_ rows: Matrix, limit: Int) -> Int? { CellCount(rows, limit: limit)?.cells }

  /// `nil` if there are more than `limit` cells.
  ///
  /// - Parameter rows: n × d; rows of zeros cut nothing.
  init?(_ rows: Matrix, limit: Int) {
    let powers = CellCount.columnScales(rows)
    scales = (powers.min() ?? 1, powers.max() ?? 1)
    let unit = CellCount.unitRows(rows, powers)
    guard unit.rows > 0 else {
      guard limit >= 1 else { return nil }
      (cells, neglected) = (1, 0)
      return
    }
    // r linearly independent hyperplanes alone make 2^r cells.
    let ranks = min(62, Int(log2(Double(max(1, limit)))) + 1)
    guard let (basis, rest) = CellCount.basis(of: unit, atMost: ranks) else { return nil }
    let (normals, errors) = CellCount.whitened(unit, basis)
    guard let cells = CellCount.cells(normals, errors, limit: limit) else { return nil }
    (self.cells, neglected) = (cells, rest)
  }

  // MARK: Coordinates

  /// Powers of two that bring the largest entry of each column near 1.
  private static func columnScales(_ rows: Matrix) -> [Double] {
    (0..<rows.columns).map { k in
      let largest = (0..<rows.rows).reduce(0) { max($0, abs(rows[$1, k])) }
      return largest > 0 ? scalbn(1, Int32(-max(-1000, min(1000, largest.exponent)))) : 1
    }
  }

  /// The nonzero rows, of unit length, after columns were scaled: both leave all signs as they are.
  private static func unitRows(_ rows: Matrix, _ scales: [Double]) -> Matrix {
    let (n, d) = (rows.rows, rows.columns)
    let result = Matrix(n, d)
    var count = 0
    for j in 0..<n {
      let target = result.row(count)
      for k in 0..<d { target[k] = rows[j, k] * scales[k] }
      let largest = (0..<d).reduce(0) { max($0, abs(target[$1])) }
      guard largest > 0 else { continue }
      // Divided first by the largest entry, so that squares of tiny entries do not underflow.
      for k in 0..<d { target[k] /= largest }
      scale(d, 1 / norm(d, target), target)
      count += 1
    }
    return Matrix(count, d, Array(result.values.prefix(count * d)))
  }

  /// An orthonormal basis of the space of unit rows, r × d, and the length of what is left of the longest one; `nil` if
  /// the space has more than `limit` dimensions: Gram and Schmidt's method on the row of which most is left.
  private static func basis(
    of rows: Matrix, atMost limit: Int
  ) -> (basis: Matrix, rest: Double)? {
    let d = rows.columns
    let rest = Matrix(copying: rows)
    var basis: [[Double]] = []
    var remainder = 0.0
    while true {
      let lengths = (0..<rest.rows).map { norm(d, rest.row($0)) }
      let longest = lengths.indices.max { lengths[$0] < lengths[$1] }!
      guard lengths[longest] > negligible else {
        remainder = lengths[longest]
        break
      }
      if basis.count == limit { return nil }
      var direction = Array(UnsafeBufferPointer(start: rest.row(longest), count: d))
      for _ in 0..<2 {
        scale(d, 1 / norm(d, direction), &direction)
        for earlier in basis { axpy(d, -dot(d, earlier, direction), earlier, &direction) }
      }
      scale(d, 1 / norm(d, direction), &direction)
      for _ in 0..<2 {
        for j in 0..<rest.rows { axpy(d, -dot(d, direction, rest.row(j)), direction, rest.row(j)) }
      }
      basis.append(direction)
      if basis.count == d { break }
    }
    return (Matrix(basis.count, d, basis.flatMap(\.self)), remainder)
  }

  /// The rows in coordinates of the basis in which they point in all directions alike, of unit length, and the angles
  /// to within which they are known.
  private static func whitened(_ rows: Matrix, _ basis: Matrix) -> (Matrix, [Double]) {
    let (n, r) = (rows.rows, basis.rows)
    let normals = product(rows, .plain, basis, .transposed)
    // Columns become orthonormal: N ← N R⁻¹. A rounding of N grows by up to ‖R⁻¹‖.
    let inverse = Matrix.identity(r)
    let columns = normals.transposed
    for k in 0..<r {
      for _ in 0..<2 {
        for b in 0..<k {
          let overlap = dot(n, columns.row(b), columns.row(k))
          axpy(n, -overlap, columns.row(b), columns.row(k))
          axpy(r, -overlap, inverse.row(b), inverse.row(k))
        }
        let length = norm(n, columns.row(k))
        scale(n, 1 / length, columns.row(k))
        scale(r, 1 / length, inverse.row(k))
      }
    }
    let growth = norm(inverse.count, inverse.base)
    let result = columns.transposed
    let errors = (0..<n).map { j in
      let length = norm(r, result.row(j))
      scale(r, 1 / length, result.row(j))
      return 2 * rounding * max(1, growth / length)
    }
    return (result, errors)
  }

  // MARK: Counting

  /// The cells of the hyperplanes with unit normals (m × r) that are known to within `errors`.
  private static func cells(_ all: Matrix, _ allErrors: [Double], limit: Int) -> Int? {
    let r = all.columns
    if r == 1 { return limit >= 2 ? 2 : nil }
    if r == 2 {
      let count = max(1, 2 * lines(all, allErrors))
      return count <= limit ? count : nil
    }
    let kept = representatives(all, allErrors)
    let (normals, errors) = (all.selecting(kept), kept.map { allErrors[$0] })
    var total = 1
    for k in kept.indices {
      guard
        let within = restricted(normals, errors, to: k).flatMap({
          cells($0.normals, $0.errors, limit: limit - total)
        }) ?? (k == 0 ? 1 : nil)
      else { return nil }
      total += within
      if total > limit { return nil }
    }
    return total
  }

  /// The intersections of the hyperplanes before number `k` with it, in an orthonormal basis of it; `nil` if there are
  /// none.
  private static func restricted(
    _ normals: Matrix, _ errors: [Double], to k: Int
  ) -> (normals: Matrix, errors: [Double])? {
    guard k > 0 else { return nil }
    let r = normals.columns
    // Householder's reflection that takes the normal to ± the first axis.
    var v = Array(UnsafeBufferPointer(start: normals.row(k), count: r))
    v[0] += v[0] < 0 ? -1 : 1
    let factor = 2 / dot(r, v, v)
    let result = Matrix(k, r - 1)
    var resultErrors = [Double](repeating: 0, count: k)
    for j in 0..<k {
      let (row, target) = (normals.row(j), result.row(j))
      let shift = factor * dot(r, v, row)
      for i in 1..<r { target[i - 1] = row[i] - shift * v[i] }
      let length = norm(r - 1, target)
      scale(r - 1, 1 / length, target)
      resultErrors[j] = (errors[j] + errors[k] + rounding) / length
    }
    return (result, resultErrors)
  }

  /// How many lines of the plane there are.
  private static func lines(_ normals: Matrix, _ errors: [Double]) -> Int {
    let sorted = errors.indices.map { j -> (angle: Double, error: Double) in
      let angle = atan2(normals[j, 1], normals[j, 0])
      // A normal and its opposite are one line.
      return (angle < 0 ? angle + .pi : angle, errors[j])
    }.sorted { $0 < $1 }
    guard let first = sorted.first, let last = sorted.last else { return 0 }
    func differ(_ a: (angle: Double, error: Double), _ b: (angle: Double, error: Double)) -> Bool {
      b.angle - a.angle > factor * (a.error + b.error)
    }
    let gaps = zip(sorted, sorted.dropFirst()).count { differ($0, $1) }
    return max(1, gaps + (differ(last, (first.angle + .pi, first.error)) ? 1 : 0))
  }

  /// One row for each set of parallel rows: the first of each chain.
  private static func representatives(_ rows: Matrix, _ errors: [Double]) -> [Int] {
    let r = rows.columns
    // Products with a vector that has no symmetry of the data: those of parallel rows agree up to their signs.
    let probe = (0..<r).map { cos(2 + 2.3 * Double($0)) }
    let length = norm(r, probe)
    let keys = (0..<rows.rows).map { abs(dot(r, rows.row($0), probe)) / length }
    let order = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
    let largest = errors.max() ?? 0
    var leader = Array(keys.indices)
    func root(_ i: Int) -> Int {
      var i = i
      while leader[i] != i { i = leader[i] }
      return i
    }
    for (place, i) in order.enumerated() {
      for j in order[(place + 1)...] {
        guard keys[j] - keys[i] <= factor * (errors[i] + largest) else { break }
        if root(i) != root(j), areParallel(rows, i, j, factor * (errors[i] + errors[j])) {
          let (a, b) = (root(i), root(j))
          leader[max(a, b)] = min(a, b)
        }
        // Each of many equal rows is compared with the next one alone.
        if keys[i] == keys[j], errors[i] <= errors[j], root(i) == root(j) { break }
      }
    }
    return keys.indices.filter { leader[$0] == $0 }
  }

  /// Whether the angle between rows i and j, as lines, is at most `tolerance`.
  private static func areParallel(_ rows: Matrix, _ i: Int, _ j: Int, _ tolerance: Double) -> Bool {
    var (sum, difference) = (0.0, 0.0)
    for k in 0..<rows.columns {
      sum += (rows[i, k] + rows[j, k]) * (rows[i, k] + rows[j, k])
      difference += (rows[i, k] - rows[j, k]) * (rows[i, k] - rows[j, k])
    }
    return min(sum, difference) <= tolerance * tolerance
  }
}
