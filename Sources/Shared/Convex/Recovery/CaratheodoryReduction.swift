import LinearAlgebra

/// Fewer terms for the same sum at no higher cost (Carathéodory's theorem): while the vectors of a sum
/// Σ t_j a_j with t ≥ 0 are linearly dependent, Σ z_j a_j = 0, weights move along z, in the direction in
/// which Σ t_j does not grow, until one of them is zero. At most as many terms remain as the vectors'
/// rank.
///
/// For neurons of unit norm a_j is their output on the data and Σ t_j the norm that β multiplies. At an
/// optimum Σ z_j = 0, because νᵀa_j = β for every neuron that has weight.
package enum CaratheodoryReduction {
  /// The new weights, 0 for those that were removed; `nil` if rounding allows no reduction that keeps the sum to ten
  /// digits.
  ///
  /// - Parameters:
  ///   - vectors: a_j as rows, m × n; overwritten.
  ///   - weights: t_j > 0.
  package static func reduce(_ vectors: Matrix, weights: [Double]) -> [Double]? {
    let m = vectors.rows
    precondition(weights.count == m, "a weight a vector")
    guard m > 0, vectors.columns > 0 else { return [Double](repeating: 0, count: m) }
    // Large weights first: they become the basis, and small ones are removed.
    let order = weights.indices.sorted {
      (weights[$1], $0) < (weights[$0], $1)
    }
    let length = min(m, vectors.columns)
    let compact = Matrix(m, length)
    let ordered = Matrix(m, vectors.columns)
    for (j, k) in order.enumerated() {
      ordered.row(j).update(from: vectors.row(k), count: vectors.columns)
    }
    guard ordered.isFinite else { return nil }
    if vectors.columns > m {
      // A = Q R: the columns of R depend on each other as those of A do.
      guard triangularFactor(m, vectors.columns, ordered.base) else { return nil }
      for j in 0..<m { compact.row(j).update(from: ordered.row(j), count: j + 1) }
    } else {
      compact.copy(from: ordered)
    }
    if vectors.columns > m, hasFullRank(compact) { return weights }
    let start = order.map { weights[$0] }
    for tolerance in [1e-11, 1e-13] {
      guard let reduced = reduce(compact, start, tolerance: tolerance) else { continue }
      var result = [Double](repeating: 0, count: m)
      for (j, k) in order.enumerated() { result[k] = reduced[j] }
      return result
    }
    return nil
  }

  /// Whether the vectors that a triangular factor belongs to are far from any linear dependence; the
  /// factor's columns are the rows of `triangle`.
  static func hasFullRank(_ triangle: Matrix) -> Bool {
    let lengths = (0..<triangle.rows).map { norm(min($0 + 1, triangle.columns), triangle.row($0)) }
    let floor = 1e-4 * (lengths.max() ?? 0)
    return lengths.indices.allSatisfy {
      $0 < triangle.columns && abs(triangle[$0, $0]) > 1e-10 * max(lengths[$0], floor)
    }
  }

  private static func reduce(
    _ vectors: Matrix, _ start: [Double], tolerance: Double
  ) -> [Double]? {
    let (m, n) = (vectors.rows, vectors.columns)
    let lengths = (0..<m).map { norm(n, vectors.row($0)) }
    let floor = 1e-4 * (lengths.max() ?? 0)
    let basis = OrthogonalBasis(length: n)
    var weights = start
    for j in 0..<m {
      while !basis.append(
        vectors.row(j), name: j, tolerance: tolerance * max(lengths[j], floor))
      {
        // a_j = Σ z_q a_q: the null vector is 1 at j and −z at the members.
        let z = basis.coefficients
        let excess = 1 - z.reduce(0, +)
        let sign = excess >= 0 ? 1.0 : -1.0
        // t ← t − s · sign · (1, −z), and the weight that reaches 0 first is removed.
        var (step, leaving) = sign > 0 ? (weights[j], -1) : (Double.infinity, -1)
        for (q, name) in basis.members.enumerated() where -sign * z[q] > 0 {
          let ratio = weights[name] / (-sign * z[q])
          if ratio < step { (step, leaving) = (ratio, q) }
        }
        // If the sum of z falls, some entry is negative; a sum that is not a number ends the reduction.
        guard step.isFinite else { return nil }
        weights[j] -= sign * step
        for (q, name) in basis.members.enumerated() {
          weights[name] = max(0, weights[name] + sign * step * z[q])
        }
        if leaving < 0 {
          weights[j] = 0
          break
        }
        weights[basis.members[leaving]] = 0
        basis.remove(leaving)
      }
    }
    return polish(vectors, start, weights, basis)
  }

  /// Undoes what rounding moved the sum by, as far as weights stay above 0 and the cost stays the same; `nil` if the
  /// sum is not kept to ten digits.
  private static func polish(
    _ vectors: Matrix, _ start: [Double], _ weights: [Double], _ basis: OrthogonalBasis
  ) -> [Double]? {
    let (m, n) = (vectors.rows, vectors.columns)
    var residual = [Double](repeating: 0, count: n)
    func measure(_ weights: [Double]) -> Double {
      let difference = (0..<m).map { start[$0] - weights[$0] }
      gemv(m, n, vectors.base, .transposed, difference, &residual)
      return norm(n, residual)
    }
    var target = [Double](repeating: 0, count: n)
    gemv(m, n, vectors.base, .transposed, start, &target)
    let size = norm(n, target)
    let cost = start.reduce(0, +)
    var best = weights
    var error = measure(best)
    for _ in 0..<3 where error > 1e-15 * size {
      let correction = basis.solve(residual)
      var next = best
      for (q, name) in basis.members.enumerated() { next[name] += correction[q] }
      guard next.allSatisfy({ $0 >= 0 }), next.reduce(0, +) <= cost * (1 + 1e-13) else { break }
      let nextError = measure(next)
      guard nextError < error else { break }
      (best, error) = (next, nextError)
    }
    return error <= 1e-11 * size ? best : nil
  }
}

/// A growing and shrinking set of linearly independent vectors with their factorisation A = Q R.
final class OrthogonalBasis {
  private let length: Int
  /// Columns of Q, as rows.
  private let q: Matrix
  /// R, upper triangular: column p belongs to member p.
  private let r: Matrix
  private(set) var members: [Int] = []
  /// The coefficients of the vector that `append` refused, in terms of the members.
  private(set) var coefficients: [Double] = []

  init(length: Int) {
    self.length = length
    (q, r) = (Matrix(length, length), Matrix(length, length))
  }

  /// Adds a vector, unless its part outside the span of the members is at most `tolerance`; `coefficients` then say how
  /// it depends on them.
  func append(_ vector: UnsafePointer<Double>, name: Int, tolerance: Double) -> Bool {
    let k = members.count
    var rest = copied(vector)
    var projection = [Double](repeating: 0, count: k)
    var part = projection
    // Twice is enough for orthogonality to rounding.
    for _ in 0..<2 {
      gemv(k, length, q.base, .plain, rest, &part)
      gemv(k, length, alpha: -1, q.base, .transposed, part, beta: 1, &rest)
      for p in 0..<k { projection[p] += part[p] }
    }
    let left = norm(length, rest)
    guard k < length, left > tolerance else {
      coefficients = backSubstitute(projection)
      return false
    }
    for i in 0..<length { q[k, i] = rest[i] / left }
    for p in 0..<k { r[p, k] = projection[p] }
    r[k, k] = left
    members.append(name)
    return true
  }

  /// Removes member `position`: R without its column becomes triangular again by rotations.
  func remove(_ position: Int) {
    let k = members.count
    members.remove(at: position)
    for p in 0..<k { for c in position..<k - 1 { r[p, c] = r[p, c + 1] } }
    for p in position..<k - 1 {
      let (a, b) = (r[p, p], r[p + 1, p])
      let size = (a * a + b * b).squareRoot()
      guard size > 0 else { continue }
      let (cosine, sine) = (a / size, b / size)
      for c in p..<k - 1 { rotate(&r.row(p)[c], &r.row(p + 1)[c], cosine, sine) }
      for i in 0..<length { rotate(&q.row(p)[i], &q.row(p + 1)[i], cosine, sine) }
    }
    for p in 0..<k { r[p, k - 1] = 0 }
  }

  /// The coefficients that bring the members nearest to `vector`.
  func solve(_ vector: [Double]) -> [Double] {
    var projection = [Double](repeating: 0, count: members.count)
    gemv(members.count, length, q.base, .plain, vector, &projection)
    return backSubstitute(projection)
  }

  private func copied(_ vector: UnsafePointer<Double>) -> [Double] {
    Array(UnsafeBufferPointer(start: vector, count: length))
  }

  private func rotate(_ x: inout Double, _ y: inout Double, _ cosine: Double, _ sine: Double) {
    (x, y) = (cosine * x + sine * y, cosine * y - sine * x)
  }

  private func backSubstitute(_ right: [Double]) -> [Double] {
    var x = right
    for p in stride(from: x.count - 1, through: 0, by: -1) {
      for c in p + 1..<max(p + 1, x.count) { x[p] -= r[p, c] * x[c] }
      x[p] /= r[p, p]
    }
    return x
  }
}
