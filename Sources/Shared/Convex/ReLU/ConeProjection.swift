import Glibc
import LinearAlgebra

/// The rows that bound the cones K_i = {u : (2D_i − I) X u ≥ 0}: the nonzero rows of X, scaled to unit norm, one for
/// each direction. But x, 2x and −x all stay if a pattern puts them on inconsistent sides, as thresholds do, or as a
/// gate orthogonal to x does with −x.
package final class ConeRows {
  /// N, c × d.
  let rows: Matrix
  /// The row of X for each.
  let source: [Int]
  /// N Nᵀ, if it is small enough to keep.
  private(set) lazy var gram: Matrix? = makeGram()

  private static let largestGram = 4096

  private func makeGram() -> Matrix? {
    guard rows.rows <= ConeRows.largestGram else { return nil }
    let gram = Matrix(rows.rows, rows.rows)
    syrkRowsUpper(rows.rows, rows.columns, rows.base, gram.base)
    gram.mirrorUpper()
    return gram
  }

  /// No rows: every cone is the whole space of `d` features.
  init(none d: Int) {
    rows = Matrix(0, d)
    source = []
  }

  /// The rows of `units`, which are of unit norm.
  package init(units: Matrix) {
    rows = units
    source = Array(0..<units.rows)
  }

  /// One of several parallel rows is enough if each of `patterns` puts all of them on the sides that the one implies.
  /// Thresholds, and gates orthogonal to a row, do not.
  init(_ x: Matrix, patterns: Patterns? = nil) {
    let d = x.columns
    let kept = (0..<x.rows).filter { norm(d, x.row($0)) > 0 }
    let units = Matrix(kept.count, d)
    for (k, i) in kept.enumerated() {
      let length = norm(d, x.row(i))
      for j in 0..<d { units[k, j] = x[i, j] / length }
    }
    // x, −x and their multiples bound the same cones; two nearly parallel rows would make projections singular.
    let errors = [Double](repeating: 0x1p-50, count: kept.count)
    let firsts = ParallelRows.representatives(units.base, kept.count, d, errors)
    var chosen = firsts
    if let patterns, firsts.count < kept.count {
      let isFirst = Set(firsts)
      for k in kept.indices where !isFirst.contains(k) {
        let isKnown = chosen.contains { other in
          let cosine = dot(d, units.row(other), units.row(k))
          guard abs(cosine) > 1 - 1e-12 else { return false }
          return (0..<patterns.count).allSatisfy {
            let isSame =
              patterns.isActive($0, row: kept[k]) == patterns.isActive($0, row: kept[other])
            return isSame == (cosine > 0)
          }
        }
        if !isKnown { chosen.append(k) }
      }
      chosen.sort()
    }
    source = chosen.map { kept[$0] }
    rows = Matrix(chosen.count, d)
    for (c, k) in chosen.enumerated() { rows.row(c).update(from: units.row(k), count: d) }
  }

  /// signs_c ← 1 if the row is active in the pattern, else −1.
  func signs(_ patterns: Patterns, _ index: Int, into signs: UnsafeMutablePointer<Double>) {
    for (c, row) in source.enumerated() {
      signs[c] = patterns.isActive(index, row: row) ? 1 : -1
    }
  }
}

/// Projects vectors onto the cones K = {u : B u ≥ 0}, B = diag(signs) N: non-negative least squares,
///
///   min over λ ≥ 0 of ‖t + Bᵀλ‖,   P_K(t) = t + Bᵀλ,
///
/// by block principal pivoting (Kim and Park, "Fast nonnegative matrix factorization: an active-set-like
/// method and comparisons", SIAM J. Sci. Comput. 2011) from the support of an earlier projection, with
/// the method of Lawson and Hanson ("Solving least squares problems", 1974, chapter 23) as the fall-back.
/// Any λ ≥ 0 that comes out gives the bound ‖t + Bᵀλ‖ on the norm of the projection. Two threads must not use one at
/// the same time.
package final class ConeProjector {
  private let cone: ConeRows
  private let d: Int
  private let count: Int
  /// The projection, d numbers.
  package let point: UnsafeMutablePointer<Double>
  /// Rows whose multipliers may be positive, in ascending order.
  package private(set) var support: [Int] = []
  /// λ of the support.
  private let lambda: UnsafeMutablePointer<Double>
  private let slack: UnsafeMutablePointer<Double>
  private var ceiling = 0.0
  private let basis: UnsafeMutablePointer<Double>
  private let factor: UnsafeMutablePointer<Double>
  /// N Nᵀ of all rows.
  private let gram: Matrix?
  private let residual: UnsafeMutablePointer<Double>

  /// Without `keepsGram`, it computes the entries of N Nᵀ anew each time they are needed.
  package init(_ rows: ConeRows, keepsGram: Bool = true) {
    cone = rows
    d = rows.rows.columns
    count = rows.rows.rows
    func zeros(_ count: Int) -> UnsafeMutablePointer<Double> {
      let result = UnsafeMutablePointer<Double>.allocate(capacity: max(1, count))
      result.initialize(repeating: 0, count: max(1, count))
      return result
    }
    point = zeros(d)
    lambda = zeros(d)
    slack = zeros(count)
    basis = zeros(d * d)
    factor = zeros(d * d)
    gram = keepsGram ? rows.gram : nil
    residual = zeros(d)
  }

  deinit { for memory in [point, lambda, slack, basis, factor, residual] { memory.deallocate() } }

  /// Projects `t` (d numbers) and returns the norm of the projection. Once multipliers show that the norm is at most
  /// `ceiling`, it returns their bound instead, and `point` is t + Bᵀλ for them.
  @discardableResult
  package func project(
    _ t: UnsafePointer<Double>, signs: UnsafePointer<Double>, from warm: [Int] = [],
    ceiling: Double = 0
  ) -> Double {
    let scale = norm(d, t)
    self.ceiling = ceiling
    support = []
    point.update(from: t, count: d)
    guard scale > 0, count > 0 else { return scale }
    let tolerance = 1e-12 * scale
    if !pivot(t, signs, tolerance, warm) { lawsonHanson(t, signs, tolerance) }
    return norm(d, point)
  }

  /// λ and t + Bᵀλ for multipliers of `support` without bounds; false if its rows are dependent.
  private func minimize(
    _ t: UnsafePointer<Double>, _ signs: UnsafePointer<Double>
  ) -> Bool {
    let a = support.count
    point.update(from: t, count: d)
    guard a > 0 else { return true }
    guard a <= d else { return false }
    for (k, row) in support.enumerated() {
      let source = cone.rows.row(row)
      let sign = signs[row]
      let target = basis + k * d
      for i in 0..<d { target[i] = sign * source[i] }
    }
    if let gram {
      support.withUnsafeBufferPointer { support in
        for k in 0..<a {
          let source = gram.row(support[k])
          let sign = signs[support[k]]
          let target = factor + k * a
          for i in 0...k { target[i] = sign * signs[support[i]] * source[support[i]] }
        }
      }
    } else {
      syrkRowsUpper(a, d, basis, factor)
      for i in 0..<a { for j in 0..<i { factor[i * a + j] = factor[j * a + i] } }
    }
    guard choleskyLower(a, factor) else { return false }
    for k in 0..<a where factor[k * a + k] < 1e-7 { return false }
    for k in 0..<a { lambda[k] = 0 }
    // λ = −(B Bᵀ)⁻¹ B t, and the same for the rounding error left in B (t + Bᵀλ) = 0.
    for _ in 0..<2 {
      gemv(a, d, alpha: -1, basis, .plain, point, residual)
      choleskySolve(a, factor, residual, count: 1)
      axpy(a, 1, residual, lambda)
      gemv(a, d, basis, .transposed, residual, beta: 1, point)
    }
    return true
  }

  /// Whether the positive part of λ shows that the projection's norm is at most `ceiling`; then `point` is t + Bᵀλ for
  /// that part.
  private func isBelowCeiling(_ t: UnsafePointer<Double>) -> Bool {
    guard ceiling > 0 else { return false }
    var isPositive = true
    for k in support.indices where lambda[k] < 0 { isPositive = false }
    if isPositive { return norm(d, point) <= ceiling }
    // z = Bᵀ max(λ, 0), and its multiple that brings t nearest to 0.
    let z = residual
    for i in 0..<d { z[i] = 0 }
    for k in support.indices where lambda[k] > 0 { axpy(d, lambda[k], basis + k * d, z) }
    let square = dot(d, z, z)
    let factor = square > 0 ? max(0, -dot(d, t, z) / square) : 0
    for i in 0..<d { z[i] = t[i] + factor * z[i] }
    guard norm(d, z) <= ceiling else { return false }
    point.update(from: z, count: d)
    var kept: [Int] = []
    for k in support.indices where lambda[k] > 0 { kept.append(support[k]) }
    support = kept
    return true
  }

  /// slack ← N (t + Bᵀλ), with the signs.
  private func updateSlack(_ signs: UnsafePointer<Double>) {
    gemv(count, d, cone.rows.base, .plain, point, slack)
    for c in 0..<count { slack[c] *= signs[c] }
  }

  private func pivot(
    _ t: UnsafePointer<Double>, _ signs: UnsafePointer<Double>, _ tolerance: Double, _ warm: [Int]
  ) -> Bool {
    support = warm.filter { $0 < count }
    if support.count > d { support.removeLast(support.count - d) }
    for round in 0..<25 {
      guard minimize(t, signs) else { return false }
      if isBelowCeiling(t) { return true }
      updateSlack(signs)
      for row in support { slack[row] = 0 }
      var kept: [Int] = []
      for (k, row) in support.enumerated() where lambda[k] >= 0 { kept.append(row) }
      var violated: [Int] = []
      for c in 0..<count where slack[c] < -tolerance { violated.append(c) }
      if kept.count == support.count && violated.isEmpty { return true }
      // Few rows enter at once if many could cycle; no more than d can be independent.
      var limit = round > 2 || support.isEmpty ? max(4, kept.count / 6) : violated.count
      limit = min(limit, d - kept.count)
      violated.keepSmallest(limit, by: slack)
      support = (kept + violated).sorted()
    }
    return false
  }

  /// Starts at the rows of `support` with positive multipliers. The most violated rows enter, and a step goes only as
  /// far as the multipliers stay positive. The norm falls with every step, so that no support occurs twice.
  private func lawsonHanson(
    _ t: UnsafePointer<Double>, _ signs: UnsafePointer<Double>, _ tolerance: Double
  ) {
    var old = [Double](repeating: 0, count: d)
    var refused = Set<Int>()
    repair(t, signs, &old)
    for _ in 0..<(10 * d + 100) {
      if norm(d, point) <= ceiling { return }
      updateSlack(signs)
      for row in support { slack[row] = 0 }
      var violated: [Int] = []
      for c in 0..<count where slack[c] < -tolerance && !refused.contains(c) { violated.append(c) }
      if violated.isEmpty { return }
      let limit = max(1, min(max(2, support.count / 8), d - support.count))
      violated.keepSmallest(limit, by: slack)
      let before = (support, Array(old[0..<support.count]))
      for row in violated.sorted() {
        let place = support.firstIndex { $0 > row } ?? support.count
        support.insert(row, at: place)
        old.insert(0, at: place)
      }
      if !minimize(t, signs) || !repair(t, signs, &old, isMinimized: true) {
        // Dependent on the rows that are already in.
        (support, old) = (before.0, before.1 + Array(repeating: 0, count: d))
        if violated.count == 1 {
          refused.insert(violated[0])
        } else {
          // Try the worst row alone.
          let worst = violated.min { slack[$0] < slack[$1] }!
          let place = support.firstIndex { $0 > worst } ?? support.count
          support.insert(worst, at: place)
          old.insert(0, at: place)
          if !minimize(t, signs) || !repair(t, signs, &old, isMinimized: true) {
            (support, old) = (before.0, before.1 + Array(repeating: 0, count: d))
            refused.insert(worst)
          }
        }
        _ = minimize(t, signs)
      } else {
        refused.removeAll()
      }
    }
  }

  /// Goes from the multipliers `old` ≥ 0 of the support towards the minimiser over it as far as all stay ≥ 0, drops the
  /// rows whose multipliers end at 0, and repeats this until the minimiser is feasible. False if the rows are
  /// dependent.
  @discardableResult
  private func repair(
    _ t: UnsafePointer<Double>, _ signs: UnsafePointer<Double>, _ old: inout [Double],
    isMinimized: Bool = false
  ) -> Bool {
    if !isMinimized, !minimize(t, signs) {
      support = []
      return minimize(t, signs)
    }
    while true {
      var step = 1.0
      for k in support.indices where lambda[k] < 0 {
        step = min(step, old[k] / (old[k] - lambda[k]))
      }
      var kept: [Int] = []
      var values: [Double] = []
      for k in support.indices {
        let value = old[k] + step * (lambda[k] - old[k])
        // The multiplier did not move from 0, or has reached it.
        if lambda[k] < 0 && value <= 1e-12 * (abs(lambda[k]) + old[k]) { continue }
        kept.append(support[k])
        values.append(max(0, value))
      }
      let isDone = kept.count == support.count
      support = kept
      for (k, value) in values.enumerated() { old[k] = value }
      if isDone { return true }
      guard minimize(t, signs) else { return false }
    }
  }
}
