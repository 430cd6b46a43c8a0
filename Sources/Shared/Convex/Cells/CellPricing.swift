import Glibc
import LinearAlgebra

/// A cell with the sign of its neurons' output weights: positive for v, negative for w.
struct SignedCell: Hashable {
  var cell: Int
  var isNegative: Bool
  var sign: Double { isNegative ? -1 : 1 }
}

/// The dual constraints of a ReLU network over cells of small rank: the norms of the projections of ± XᵀD_iν onto
/// the cones K_i, in closed form.
///
/// The norm is max uᵀT over unit vectors u of the cone. The maximiser lies inside a face of one of the cone's
/// simplices, or is a ray; the norm is the length of T's projection onto that face's span.
struct CellPricing {
  let features: Matrix
  let patterns: Patterns
  let splitting: ConeSplitting
  /// The cells on the other sides of each cell's walls, if they are in the list.
  let neighbours: [[Int32]]

  /// `rows` are the rows that lie on each hyperplane of `splitting`.
  init(features: Matrix, patterns: Patterns, splitting: ConeSplitting, rows: [[Int]]) {
    self.features = features
    self.patterns = patterns
    self.splitting = splitting
    let index = PatternIndex(patterns)
    var bits = [UInt8](repeating: 0, count: patterns.stride)
    neighbours = (0..<patterns.count).map { cell in
      splitting.walls[cell].compactMap { wall in
        for byte in bits.indices { bits[byte] = patterns.bits(cell)[byte] }
        for row in rows[Int(wall)] { bits[row >> 3] ^= 1 << UInt8(row & 7) }
        return index.find(bits).map { Int32($0) }
      }
    }
  }

  struct Answer {
    /// The largest norm of all.
    var largest = 0.0
    /// The cells whose norm is above the limit, in the order of their number.
    var above: [(cell: SignedCell, norm: Double)] = []
  }

  /// The cells among `above` whose norm no neighbour of theirs exceeds: the peaks of |νᵀ(Xu)₊| over the sphere.
  func peaks(_ answer: Answer) -> [(cell: SignedCell, norm: Double)] {
    let norms = Dictionary(uniqueKeysWithValues: answer.above.map { ($0.cell, $0.norm) })
    return answer.above.filter { candidate in
      neighbours[candidate.cell.cell].allSatisfy { other in
        let cell = SignedCell(cell: Int(other), isNegative: candidate.cell.isNegative)
        guard let norm = norms[cell] else { return true }
        // The first of equals.
        return abs(norm - candidate.norm) <= 1e-9 * norm
          ? candidate.cell.cell < cell.cell : norm < candidate.norm
      }
    }
  }

  /// The largest norm, and all norms above `limit`, for ν (n).
  func answer(_ nu: UnsafePointer<Double>, limit: Double) -> Answer {
    let r = splitting.r
    let table = byteTable(nu)
    let block = 1024
    let parts = (patterns.count + block - 1) / block
    var answers = [Answer](repeating: Answer(), count: parts)
    let lock = Lock()
    Threads.perform(parts) { part in
      var answer = Answer()
      let t = UnsafeMutablePointer<Double>.allocate(capacity: r)
      defer { t.deallocate() }
      splitting.rays.withUnsafeBufferPointer { rays in
        for cell in part * block..<min(patterns.count, (part + 1) * block) {
          sum(table, cell, into: t)
          var length = 0.0
          for k in 0..<r { length += t[k] * t[k] }
          length = length.squareRoot()
          guard length > min(limit, answer.largest) else { continue }
          var norms = Norms()
          for s in splitting.starts[cell]..<splitting.starts[cell + 1] {
            Self.project(t, length, rays.baseAddress! + s * r * r, r, &norms)
          }
          for (norm, isNegative) in [(norms.positive, false), (norms.negative, true)] {
            answer.largest = max(answer.largest, norm)
            if norm > limit {
              answer.above.append((SignedCell(cell: cell, isNegative: isNegative), norm))
            }
          }
        }
      }
      lock.locked { answers[part] = answer }
    }
    return answers.reduce(into: Answer()) {
      $0.largest = max($0.largest, $1.largest)
      $0.above += $1.above
    }
  }

  /// The sum of ν_j x_j over the rows of every byte of a pattern, for each value of the byte: with it XᵀDν takes one
  /// addition for eight rows.
  private func byteTable(_ nu: UnsafePointer<Double>) -> Matrix {
    let r = splitting.r
    let table = Matrix(patterns.stride * 256, r)
    for byte in 0..<patterns.stride {
      for value in 1..<256 {
        let (rest, row) = (value & (value - 1), 8 * byte + value.trailingZeroBitCount)
        let (target, source) = (table.row(256 * byte + value), table.row(256 * byte + rest))
        let weight = row < patterns.rows ? nu[row] : 0
        let x = features.row(min(row, patterns.rows - 1))
        for k in 0..<r { target[k] = source[k] + weight * x[k] }
      }
    }
    return table
  }

  private func sum(_ table: Matrix, _ cell: Int, into t: UnsafeMutablePointer<Double>) {
    let r = splitting.r
    let bits = patterns.bits(cell)
    for k in 0..<r { t[k] = 0 }
    for byte in 0..<patterns.stride {
      let row = table.base + (256 * byte + Int(bits[byte])) * r
      for k in 0..<r { t[k] += row[k] }
    }
  }

  /// The norms of the projections of t and of −t.
  private struct Norms {
    var (positive, negative) = (0.0, 0.0)

    mutating func raise(_ value: Double, _ isNegative: Bool) {
      if isNegative { negative = max(negative, value) } else { positive = max(positive, value) }
    }
  }

  /// Raises `norms` to those of the projections of t and −t onto the cone of the rows of `rays` (r × r).
  private static func project(
    _ t: UnsafePointer<Double>, _ length: Double, _ rays: UnsafePointer<Double>, _ r: Int,
    _ norms: inout Norms
  ) {
    var products = SIMD4<Double>.zero
    for i in 0..<r {
      for k in 0..<r { products[i] += rays[i * r + k] * t[k] }
      norms.raise(abs(products[i]), products[i] < 0)
    }
    var inside = projectOntoPlanes(t, length, rays, r, products, &norms)
    if r == 3 { inside = sides(t, rays) }
    if r > 3 {
      let (positive, negative) = projectOntoFaces(t, length, rays, r)
      norms.raise(positive, false)
      norms.raise(negative, true)
      return
    }
    if inside.positive { norms.raise(length, false) }
    if inside.negative { norms.raise(length, true) }
  }

  /// Raises `norms` to those of the projections onto the plane of each pair of rays that lie between the two.
  /// `products` are the rays' with t. Returns whether t and −t lie in the cone, for r ≤ 2.
  private static func projectOntoPlanes(
    _ t: UnsafePointer<Double>, _ length: Double, _ rays: UnsafePointer<Double>, _ r: Int,
    _ products: SIMD4<Double>, _ norms: inout Norms
  ) -> (positive: Bool, negative: Bool) {
    var inside = (positive: r > 1, negative: r > 1)
    for i in 0..<r {
      for j in 0..<i {
        let (a, b) = (rays + i * r, rays + j * r)
        // 1 − a·b and (a − b)·t without cancellation: rays can be close.
        var (half, slope) = (0.0, 0.0)
        for k in 0..<r {
          half += (a[k] - b[k]) * (a[k] - b[k])
          slope += (a[k] - b[k]) * t[k]
        }
        half *= 0.5
        // t = λ_a a + λ_b b in the plane, times 1 − (a·b)².
        let first = slope + half * products[j]
        let second = half * products[i] - slope
        guard half > 0, half < 2 else { continue }
        let square = (slope * slope + 2 * half * products[i] * products[j]) / (half * (2 - half))
        let value = min(length, max(0, square).squareRoot())
        if first >= 0, second >= 0 { norms.raise(value, false) }
        if first <= 0, second <= 0 { norms.raise(value, true) }
        if r == 2 {
          inside.positive = first >= 0 && second >= 0
          inside.negative = first <= 0 && second <= 0
        }
      }
    }
    return inside
  }

  /// Whether t and −t lie in the cone of three rays: on the same side of each plane of two as the third ray.
  private static func sides(
    _ t: UnsafePointer<Double>, _ rays: UnsafePointer<Double>
  ) -> (positive: Bool, negative: Bool) {
    var inside = (positive: true, negative: true)
    for i in 0..<3 {
      let (a, b, c) = (rays + i * 3, rays + (i + 1) % 3 * 3, rays + (i + 2) % 3 * 3)
      let normal = (
        a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
      )
      let orientation = normal.0 * c[0] + normal.1 * c[1] + normal.2 * c[2]
      let side = (normal.0 * t[0] + normal.1 * t[1] + normal.2 * t[2]) * orientation
      if side < 0 { inside.positive = false } else if side > 0 { inside.negative = false }
    }
    return inside
  }

  /// The largest norm of a projection of t, and of −t, that lies inside the span of three rays or more.
  private static func projectOntoFaces(
    _ t: UnsafePointer<Double>, _ length: Double, _ rays: UnsafePointer<Double>, _ r: Int
  ) -> (positive: Double, negative: Double) {
    var result = (positive: 0.0, negative: 0.0)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * r * r + r) { buffer in
      let (basis, triangle) = (buffer.baseAddress!, buffer.baseAddress! + r * r)
      let products = triangle + r * r
      for face in 1..<1 << r where face.nonzeroBitCount >= 3 {
        // Gram and Schmidt: ray e is Σ_q triangle[q, e] q.
        var size = 0
        var square = 0.0
        for i in 0..<r where face >> i & 1 == 1 {
          let q = basis + size * r
          q.update(from: rays + i * r, count: r)
          for e in 0..<size {
            let earlier = basis + e * r
            var overlap = 0.0
            for k in 0..<r { overlap += earlier[k] * q[k] }
            for k in 0..<r { q[k] -= overlap * earlier[k] }
            triangle[e * r + size] = overlap
          }
          var norm = 0.0
          for k in 0..<r { norm += q[k] * q[k] }
          norm = norm.squareRoot()
          triangle[size * r + size] = norm
          products[size] = 0
          for k in 0..<r {
            q[k] /= norm
            products[size] += q[k] * t[k]
          }
          square += products[size] * products[size]
          size += 1
        }
        // The projection's coordinates, last first.
        var (isPositive, isNegative) = (true, true)
        for e in stride(from: size - 1, through: 0, by: -1) {
          products[e] /= triangle[e * r + e]
          if products[e] < 0 { isPositive = false } else if products[e] > 0 { isNegative = false }
          for m in 0..<e { products[m] -= triangle[m * r + e] * products[e] }
        }
        let value = size == r ? length : min(length, square.squareRoot())
        if isPositive { result.positive = max(result.positive, value) }
        if isNegative { result.negative = max(result.negative, value) }
      }
    }
    return result
  }
}
