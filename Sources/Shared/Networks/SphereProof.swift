import Glibc
import LinearAlgebra

/// A proof by branch and bound that Σ_i w_i (z_i·u)₊ ≤ τ for all ‖u‖ ≤ 1: the dual constraint of ReLU networks over all
/// activation patterns at once, in the row space of the data.
///
/// The sphere is cut into simplicial cones. In a cone, the terms of w_i > 0 are bounded by their values at its rays (their
/// concave envelope), those of w_i < 0 by tangents, of which a few are combined as well as possible; what is left is a
/// projection of at most r numbers. A cone whose positive terms have settled is exact, so the search is finite.
final class SphereProof {
  /// How a search ended.
  enum End {
    /// No value exceeds the bound, which is at most τ.
    case proved(bound: Double)
    /// Some u of length 1 with values above τ.
    case violated([(u: [Double], value: Double)])
    /// The search was stopped; no value exceeds the bound.
    case stopped(bound: Double)
  }

  let rank: Int
  /// Rows x_i = |w_i| z_i, hyperplanes merged: those of w_i > 0, then the others.
  private let rows: Matrix
  private let positives: Int
  /// ℓ of a linear term ℓ·u.
  private let linear: [Double]
  /// Σ ‖x_i‖, by which rounding is measured, and the size from which on a row's sign at a ray counts.
  let size: Double
  let settled: Double

  /// `z` is n × r, `weights` n numbers.
  init(_ z: Matrix, weights: [Double]) {
    rank = z.columns
    let merged = SphereProof.merge(z, weights)
    rows = merged.rows
    positives = merged.positives
    linear = merged.linear
    let norms = (0..<rows.rows).map { norm(z.columns, merged.rows.row($0)) }
    size = norms.reduce(0, +) + norm(linear.count, linear)
    settled = 1e-14 * (norms.max() ?? 0)
  }

  /// Rows on one hyperplane are one: a (t)₊ + b (−t)₊ = (a + b) (t)₊ − b t.
  private static func merge(
    _ z: Matrix, _ weights: [Double]
  ) -> (rows: Matrix, positives: Int, linear: [Double]) {
    let (n, r) = (z.rows, z.columns)
    // Unit normals whose first number that is not zero is positive.
    let units = Matrix(n, r)
    var signs = [Double](repeating: 0, count: n)
    var lengths = signs
    for i in 0..<n {
      lengths[i] = norm(r, z.row(i))
      guard lengths[i] > 0, weights[i] != 0 else { continue }
      let first = (0..<r).first { abs(z[i, $0]) > 1e-12 * lengths[i] }!
      signs[i] = z[i, first] > 0 ? 1 : -1
      for k in 0..<r { units[i, k] = signs[i] * z[i, k] / lengths[i] }
    }
    let order = (0..<n).filter { signs[$0] != 0 }.sorted { a, b in
      for k in 0..<r where units[a, k] != units[b, k] { return units[a, k] < units[b, k] }
      return a < b
    }
    var linear = [Double](repeating: 0, count: r)
    var found: [(row: Int, coefficient: Double)] = []
    var place = 0
    while place < order.count {
      let head = order[place]
      var coefficient = 0.0
      while place < order.count,
        (0..<r).allSatisfy({ units[order[place], $0] == units[head, $0] })
      {
        let i = order[place]
        let part = weights[i] * lengths[i]
        coefficient += part
        if signs[i] < 0 { for k in 0..<r { linear[k] -= part * units[i, k] } }
        place += 1
      }
      if coefficient != 0 { found.append((head, coefficient)) }
    }
    let up = found.filter { $0.coefficient > 0 }
    let all = up + found.filter { $0.coefficient < 0 }
    let rows = Matrix(all.count, r)
    for (k, (i, coefficient)) in all.enumerated() {
      for j in 0..<r { rows[k, j] = abs(coefficient) * units[i, j] }
    }
    return (rows, up.count, linear)
  }

  /// Σ_i w_i (z_i·u)₊.
  func value(_ u: [Double]) -> Double {
    var sum = dot(rank, linear, u)
    for i in 0..<rows.rows {
      let t = dot(rank, rows.row(i), u)
      if t > 0 { sum += i < positives ? t : -t }
    }
    return sum
  }

  // MARK: Nodes

  /// A cone and what is known in it.
  final class Node {
    /// r rays, a row each, of length 1.
    let rays: Matrix
    /// Of each ray P, and the sums of the settled rows, positive and negative.
    var p: [Double]
    var upper: [Double]
    var lower: [Double]
    /// The point where the parent's bound was attained, in coordinates of the rays.
    var c: [Double]
    /// x_i·r_k of the rows that change sign in the cone: positive ones, then negative ones.
    var mixed: UnsafeMutablePointer<Double>
    var capacity: Int
    var (ups, downs) = (0, 0)
    /// No value in the cone exceeds it.
    var bound = Double.infinity

    init(_ rank: Int) {
      rays = Matrix(rank, rank)
      p = Array(repeating: 0, count: rank)
      (upper, lower, c) = (p, p, p)
      (mixed, capacity) = (.allocate(capacity: rank), 1)
    }
    deinit { mixed.deallocate() }

    func reserve(_ count: Int, _ rank: Int) {
      guard count > capacity else { return }
      mixed.deallocate()
      (mixed, capacity) = (.allocate(capacity: count * rank), count)
    }
  }

  /// The r + 1 cones over the facets of a regular simplex.
  func roots() -> [Node] {
    let r = rank
    // Unit vectors with products of −1/r: a multiple of all ones, and e_k less one.
    let vertices = Matrix(r + 1, r)
    let root = Double(r).squareRoot()
    let shift = (Double(r + 1).squareRoot() + 1) / (Double(r) * root)
    for k in 0..<r {
      for j in 0..<r { vertices[k, j] = (j == k ? (1 + 1 / Double(r)).squareRoot() : 0) - shift }
      vertices[r, k] = 1 / root
    }
    return (0...r).map { left in
      let node = Node(r)
      for (place, k) in (0...r).filter({ $0 != left }).enumerated() {
        node.rays.row(place).update(from: vertices.row(k), count: r)
      }
      for k in 0..<r {
        node.upper[k] = dot(r, linear, node.rays.row(k))
        node.c[k] = 1
      }
      let z = Matrix(rows.rows, r)
      gemm(rows.rows, r, r, rows.base, .plain, node.rays.base, .transposed, z.base)
      node.reserve(rows.rows, r)
      settle(z.base, 0..<positives, positives..<rows.rows, into: node)
      for k in 0..<r {
        node.p[k] = node.upper[k]
        for i in 0..<node.ups { node.p[k] += max(0, node.mixed[i * r + k]) }
      }
      return node
    }
  }

  /// Takes rows of values at the rays of `node`: those that keep one sign there settle.
  func settle(
    _ z: UnsafePointer<Double>, _ ups: Range<Int>, _ downs: Range<Int>, into node: Node
  ) {
    let r = rank
    var count = 0
    func take(_ range: Range<Int>, _ sums: inout [Double]) {
      for i in range {
        let row = z + i * r
        var (least, most) = (row[0], row[0])
        for k in 1..<r { (least, most) = (min(least, row[k]), max(most, row[k])) }
        if least >= -settled {
          for k in 0..<r { sums[k] += row[k] }
        } else if most > settled {
          (node.mixed + count * r).update(from: row, count: r)
          count += 1
        }
      }
    }
    take(ups, &node.upper)
    node.ups = count
    take(downs, &node.lower)
    node.downs = count - node.ups
  }
}
