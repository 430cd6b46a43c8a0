import Glibc
import LinearAlgebra

/// A proof by branch and bound that Σ_i w_i (z_i·u)₊ ≤ τ for all ‖u‖ ≤ 1: the dual constraint of ReLU networks over all
/// activation patterns at once, in the row space of the data.
///
/// The sphere is cut into simplicial cones. In a cone, the terms of w_i > 0 are bounded by their values at its rays (their
/// concave envelope), those of w_i < 0 by tangents, of which a few are combined as well as possible; what is left is a
/// projection of at most r numbers. A cone whose positive terms have settled is exact, so the search is finite.
///
/// This is the function that is bounded: `ConeBound` bounds it on a cone, `ConeSplit` cuts cones, `ProofSearch` goes
/// through them.
final class SphereProof {
  let rank: Int
  /// Rows x_i = |w_i| z_i, hyperplanes merged: those of w_i > 0, then the others.
  let rows: Matrix
  let positives: Int
  /// ℓ of a linear term ℓ·u.
  let linear: [Double]
  /// Σ ‖x_i‖, by which rounding is measured, and the size from which on a row's sign at a ray counts.
  let size: Double
  let settled: Double
  /// No value exceeds it: Σ ‖x_i‖ over w_i > 0, and ‖ℓ‖.
  let crudeBound: Double

  /// `z` is n × r, `weights` n numbers.
  init(_ z: Matrix, weights: [Double]) {
    rank = z.columns
    let merged = SphereProof.merge(z, weights)
    rows = merged.rows
    positives = merged.positives
    linear = merged.linear
    let norms = (0..<rows.rows).map { norm(z.columns, merged.rows.row($0)) }
    let slope = norm(linear.count, linear)
    size = norms.reduce(0, +) + slope
    crudeBound = norms.prefix(positives).reduce(0, +) + slope
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

  /// The r + 1 cones over the facets of a regular simplex, of this proof's `number` among others.
  func roots(_ number: Int) -> [ProofCone] {
    let r = rank
    // Unit vectors with products of −1/r: a multiple of all ones, and e_k less one.
    let vertices = Matrix(r + 1, r)
    let root = Double(r).squareRoot()
    let shift = (Double(r + 1).squareRoot() + 1) / (Double(r) * root)
    for k in 0..<r {
      for j in 0..<r { vertices[k, j] = (j == k ? (1 + 1 / Double(r)).squareRoot() : 0) - shift }
      vertices[r, k] = 1 / root
    }
    let room = ConeSplit(rank: r, mostRows: rows.rows)
    return (0...r).map { left in
      let rays = vertices.selecting((0...r).filter { $0 != left })
      return room.root(self, number: number, rays: rays)
    }
  }
}
