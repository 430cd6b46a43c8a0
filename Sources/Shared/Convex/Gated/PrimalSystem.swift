import LinearAlgebra

/// The system in the weights of the active members, A d × A d, for use if that is smaller than n × n: with F = [D_1 X …
/// D_A X], S = diag(√η) and B = I + S FᵀF S, (I + M)⁻¹ = I − F S B⁻¹ S Fᵀ. The Gram matrix FᵀF is kept and grows by the
/// new members.
final class PrimalSystem: EtaSystem {
  private let products: PatternProducts
  private let interruption: Interruption
  private let d: Int
  /// The place of each member's block in the Gram matrix, −1 if it has none, and the members by place.
  private var place: [Int]
  private var known: [Int] = []
  /// FᵀF of the known members, leading dimension `gram.columns`.
  private var gram = Matrix(0, 0)
  private var factor = Matrix(0, 0)
  private var active: [Int] = []
  private var roots: [Double] = []
  private var coefficients = Matrix(0, 0)
  private var images = Matrix(0, 0)
  private var projections = Matrix(0, 0)

  /// The number of rows of X in a block of work.
  private static let blockRows = 512

  init(_ products: PatternProducts, interruption: Interruption = Interruption()) {
    self.products = products
    self.interruption = interruption
    d = products.dimension
    place = Array(repeating: -1, count: products.count)
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    self.active = active
    roots = active.map { eta[$0].squareRoot() }
    guard learn(active) else { return false }
    let order = active.count * d
    if factor.rows < order {
      factor = Matrix(max(order, 3 * factor.rows / 2), max(order, 3 * factor.rows / 2))
    }
    let lead = factor.columns
    for a in active.indices {
      for b in 0...a {
        let scale = roots[a] * roots[b]
        let (i, j) = (place[active[a]] * d, place[active[b]] * d)
        for k in 0..<d {
          let source = gram.row(i + k) + j
          let target = factor.row(a * d + k) + b * d
          for l in 0..<d { target[l] = scale * source[l] }
        }
      }
    }
    for k in 0..<order { factor[k, k] += 1 }
    return !interruption.isOutOfTime && choleskyLower(order, factor.base, lda: lead)
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) {
    guard !active.isEmpty else { return }
    let (n, count) = (products.samples, active.count)
    if coefficients.rows < count {
      coefficients = Matrix(min(products.count, count + 16), d)
      images = Matrix(coefficients.rows, n)
    }
    products.correlations(nu, active, into: coefficients)
    for k in 0..<count { scale(d, roots[k], coefficients.row(k)) }
    choleskySolve(count * d, factor.base, lda: factor.columns, coefficients.base, count: 1)
    for k in 0..<count { scale(d, roots[k], coefficients.row(k)) }
    products.images(coefficients, active, into: images)
    for k in 0..<count { axpy(n, -1, images.row(k), nu) }
  }

  /// H = UᵀU − VᵀV, V = L⁻¹ S FᵀU with B = L Lᵀ.
  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>
  ) {
    guard learn(working) else { return }
    let (count, order) = (working.count, active.count * d)
    syrkRowsUpper(count, products.samples, u.base, h)
    if !active.isEmpty {
      if projections.rows < count || projections.columns != order {
        projections = Matrix(count, order)
      }
      for (k, i) in working.enumerated() {
        let row = projections.row(k)
        for (a, j) in active.enumerated() {
          // D_j X ᵀ U_i = G_ji t_i.
          gemv(
            d, d, alpha: roots[a], gram.row(place[j] * d) + place[i] * d, .plain,
            lda: gram.columns, t.row(k), row + a * d)
        }
      }
      triangularSolveRows(order, factor.base, lda: factor.columns, projections.base, count: count)
      // All of VᵀV is subtracted from the upper triangle; the lower is written below.
      gemm(
        count, count, order, alpha: -1, projections.base, .plain, lda: order, projections.base,
        .transposed, ldb: order, beta: 1, h)
    }
    for i in 0..<count { for j in 0..<i { h[i * count + j] = h[j * count + i] } }
  }

  /// Extends the Gram matrix by the new ones among `members`; false if there is no time for it.
  private func learn(_ members: [Int]) -> Bool {
    let new = members.filter { place[$0] < 0 }
    guard !new.isEmpty else { return true }
    let old = known.count
    let together = known + new
    // Computes FᵀF by blocks of rows, for the new columns only.
    let n = products.samples
    let (all, fresh) = (together.count * d, new.count * d)
    let sum = Matrix(fresh, all)
    let rows = Matrix(min(n, PrimalSystem.blockRows), all)
    for first in stride(from: 0, to: n, by: PrimalSystem.blockRows) {
      guard !interruption.isOutOfTime else { return false }
      let count = min(PrimalSystem.blockRows, n - first)
      Threads.split(count, grain: 64) { range in
        for j in range {
          let (x, target) = (self.products.x.row(first + j), rows.row(j))
          for (k, i) in together.enumerated() {
            if self.products.isActive(i, first + j) {
              (target + k * self.d).update(from: x, count: self.d)
            } else {
              (target + k * self.d).update(repeating: 0, count: self.d)
            }
          }
        }
      }
      // One triangle of the products of new columns with the others is enough.
      if old > 0 {
        gemm(
          fresh, old * d, count, rows.base + old * d, .transposed, lda: all, rows.base, .plain,
          ldb: all, beta: 1, sum.base, ldc: all)
      }
      syrkUpper(
        fresh, count, rows.base + old * d, lda: all, beta: 1, sum.base + old * d, ldc: all)
    }
    for k in 0..<fresh { for l in 0..<k { sum[k, old * d + l] = sum[l, old * d + k] } }
    for (k, i) in new.enumerated() { place[i] = old + k }
    known = together
    if gram.columns < all {
      let order = max(known.count, 3 * old / 2) * d
      let larger = Matrix(order, order)
      for row in 0..<old * d { larger.row(row).update(from: gram.row(row), count: old * d) }
      gram = larger
    }
    let lead = gram.columns
    for k in 0..<fresh {
      let row = gram.row(old * d + k)
      row.update(from: sum.row(k), count: all)
      for l in 0..<old * d { gram.base[l * lead + old * d + k] = row[l] }
    }
    return true
  }
}
