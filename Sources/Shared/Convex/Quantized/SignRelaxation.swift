import Glibc
import LinearAlgebra
import Schema
import Tensors

/// The features svec(x xᵀ) of samples, of which x_iᵀ M x_i is linear in M, and the eigenvectors of their Gram matrix: what the
/// programs of all outputs have in common.
final class SignFeatures {
  /// n × d.
  let x: Matrix
  /// n × q, q = d(d + 1)/2.
  let features: Matrix
  /// The eigenvectors (rows) and eigenvalues of the smaller of F Fᵀ and FᵀF.
  let vectors: Matrix
  let eigenvalues: [Double]

  /// Whether products are too short for the threads of BLAS, which wait by spinning.
  var isSmall: Bool { features.count < 1 << 18 }

  /// `x` is n × d. Throws if the machine lacks the memory.
  init(_ x: Matrix) throws {
    self.x = x
    let (n, d) = (x.rows, x.columns)
    let q = d * (d + 1) / 2
    try expectMemory(
      8 * (Double(n) * Double(q) + 2 * Double(min(n, q)) * Double(min(n, q))),
      for: "the semidefinite relaxation of \(n) samples of \(d) features")
    features = Matrix(n, q)
    for i in 0..<n {
      let (row, target) = (x.row(i), features.row(i))
      var place = 0
      for a in 0..<d {
        for b in a..<d {
          target[place] = (a == b ? 1 : 2.0.squareRoot()) * row[a] * row[b]
          place += 1
        }
      }
    }
    vectors =
      n <= q
      ? product(features, .plain, features, .transposed)
      : product(features, .transposed, features, .plain)
    let solver = SymmetricEigensolver(order: min(n, q))
    guard solver.decompose(vectors.base) else {
      throw Failure.data("LAPACK found no eigenvalues of the features' Gram matrix")
    }
    eigenvalues = (0..<min(n, q)).map { max(0, solver.values[$0]) }
  }
}

/// The semidefinite program that bounds quantised networks (Bartan and Pilanci 2021) for one output, in symmetric form:
///
///   min over P, N ⪰ 0 of ½ Σ_i (x_iᵀ (P − N) x_i − y_i)² + w max_j (P + N)_jj.
///
/// With w = β d it bounds the optimum from below, with w = 1.7822 β d from above (`upperFactor`). ν is feasible for the dual
/// if diag λ ± Σ_i ν_i x_i x_iᵀ ⪰ 0 for some λ ≥ 0 of the sum w; that λ proves max uᵀSv ≤ Σ λ for all u and v of ±1.
///
/// Solved by ADMM: the loss and the norm are one step in P − N and P + N, the cones the other.
final class SignRelaxation {
  /// π/(2 ln(1 + √2)), Krivine's bound of Grothendieck's constant: rounding keeps so much of every matrix.
  static let upperFactor = Double.pi / (2 * log(1 + 2.0.squareRoot()))

  private let d, n: Int
  private let y: [Double]
  private let samples: SignFeatures
  private let eigen: SymmetricEigensolver
  private var x: Matrix { samples.x }
  private var features: Matrix { samples.features }
  private var vectors: Matrix { samples.vectors }
  private var eigenvalues: [Double] { samples.eigenvalues }

  /// The best points that were found: P and N with their value, ν and λ with theirs.
  private(set) var positive: Matrix
  private(set) var negative: Matrix
  private(set) var primal: Double
  private(set) var dual: [Double]
  private(set) var lambda: [Double]
  private(set) var bound = 0.0
  var gap: Double { relativeGap(primal: primal, dual: bound) }

  /// `y` are n numbers.
  init(_ samples: SignFeatures, _ y: [Double]) {
    (self.samples, self.y) = (samples, y)
    (n, d) = (samples.x.rows, samples.x.columns)
    eigen = SymmetricEigensolver(order: d)
    (positive, negative) = (Matrix(d, d), Matrix(d, d))
    primal = 0.5 * dot(n, y, y)
    dual = [Double](repeating: 0, count: n)
    lambda = [Double](repeating: 0, count: d)
  }

  // MARK: Symmetric matrices as vectors

  private func svec(_ m: Matrix) -> [Double] {
    var result: [Double] = []
    result.reserveCapacity(features.columns)
    for a in 0..<d {
      for b in a..<d { result.append((a == b ? 1 : 2.0.squareRoot()) * m[a, b]) }
    }
    return result
  }

  private func matrix(_ v: [Double]) -> Matrix {
    let result = Matrix(d, d)
    var place = 0
    for a in 0..<d {
      for b in a..<d {
        let value = a == b ? v[place] : v[place] / 2.0.squareRoot()
        (result[a, b], result[b, a]) = (value, value)
        place += 1
      }
    }
    return result
  }

  /// x_iᵀ M x_i.
  private func outputs(_ v: [Double]) -> [Double] {
    var result = [Double](repeating: 0, count: n)
    gemv(n, features.columns, features.base, .plain, v, &result)
    return result
  }

  /// The M of the smallest ½ ‖A M − y‖² + (r/2) ‖M − C‖².
  private func fitted(_ c: [Double], _ r: Double) -> [Double] {
    let q = features.columns
    var rest = outputs(c)
    for i in 0..<n { rest[i] = y[i] - rest[i] }
    func solved(_ v: [Double]) -> [Double] {
      let m = eigenvalues.count
      var (along, result) = ([Double](repeating: 0, count: m), [Double](repeating: 0, count: m))
      // Eigenvectors are the rows.
      gemv(m, m, vectors.base, .plain, v, &along)
      for k in 0..<m { along[k] /= eigenvalues[k] + r }
      gemv(m, m, vectors.base, .transposed, along, &result)
      return result
    }
    var step = [Double](repeating: 0, count: q)
    if n <= q {
      gemv(n, q, features.base, .transposed, solved(rest), &step)
    } else {
      var slope = step
      gemv(n, q, features.base, .transposed, rest, &slope)
      step = solved(slope)
    }
    return zip(c, step).map { $0 + $1 }
  }

  /// The part of M in the cone of positive semidefinite matrices.
  private func projected(_ m: Matrix) -> Matrix {
    let rows = Matrix(copying: m)
    guard eigen.decompose(rows.base) else { return Matrix(d, d) }
    let result = Matrix(d, d)
    let scaled = Matrix(copying: rows)
    for k in 0..<d { scale(d, max(0, eigen.values[k]), scaled.row(k)) }
    gemm(d, d, d, rows.base, .transposed, scaled.base, .plain, result.base)
    result.symmetrize()
    return result
  }

  // MARK: The search

  private static let (checks, relaxation, patience) = (20, 1.6, 200)

  /// Solves it for the weight w until the gap is at most `goal`, or nothing is gained, or `proceed` ends it.
  func solve(weight w: Double, goal: Double, proceed: () -> Bool) {
    bound = 0
    dual = [Double](repeating: 0, count: n)
    lambda = [Double](repeating: 0, count: d)
    primal = 0.5 * dot(n, y, y)
    positive.fill(0)
    negative.fill(0)
    let size = max(1e-300, (eigenvalues.max() ?? 0))
    var r = 0.05 * size
    var (p, q) = (Matrix(d, d), Matrix(d, d))
    let (u, v) = (Matrix(d, d), Matrix(d, d))
    var (last, idle) = (Double.infinity, 0)
    for iteration in 1...100_000 {
      // The step in M = P − N and T = P + N, whose distances count half.
      let (c, t) = (Matrix(d, d), Matrix(d, d))
      for k in 0..<d * d {
        let (a, b) = (p.base[k] - u.base[k], q.base[k] - v.base[k])
        (c.base[k], t.base[k]) = (a - b, a + b)
      }
      let m = matrix(fitted(svec(c), r / 2))
      let multipliers = levelled(t, weight: w, r)
      let (oldP, oldQ) = (p, q)
      for k in 0..<d * d {
        let relax = SignRelaxation.relaxation
        let (a, b) = (0.5 * (t.base[k] + m.base[k]), 0.5 * (t.base[k] - m.base[k]))
        c.base[k] = relax * a + (1 - relax) * p.base[k]
        t.base[k] = relax * b + (1 - relax) * q.base[k]
      }
      axpy(d * d, 1, c.base, u.base)
      axpy(d * d, 1, t.base, v.base)
      (p, q) = (projected(u), projected(v))
      axpy(d * d, -1, p.base, u.base)
      axpy(d * d, -1, q.base, v.base)
      guard iteration % SignRelaxation.checks == 0 else { continue }
      offer(p, q, multipliers, weight: w)
      if gap <= goal || !proceed() { return }
      idle = gap < 0.99 * last ? 0 : idle + 1
      last = min(last, gap)
      if idle > SignRelaxation.patience { return }
      // Both residuals should fall alike.
      let (primalRest, dualRest) = (
        distance(c, p) + distance(t, q), r * (distance(p, oldP) + distance(q, oldQ))
      )
      let factor =
        primalRest * size > 10 * dualRest ? 2.0 : dualRest > 10 * primalRest * size ? 0.5 : 1
      if factor != 1, iteration < 2000 {
        r *= factor
        scale(d * d, 1 / factor, u.base)
        scale(d * d, 1 / factor, v.base)
      }
    }
  }

  private func distance(_ a: Matrix, _ b: Matrix) -> Double {
    var sum = 0.0
    for k in 0..<d * d { sum += (a.base[k] - b.base[k]) * (a.base[k] - b.base[k]) }
    return sum.squareRoot()
  }

  /// Cuts the diagonal of `t` to the level of the smallest w max_j t_jj + (r/4) Σ (t_jj − c_j)². Returns the multipliers
  /// λ ≥ 0, whose sum is w.
  private func levelled(_ t: Matrix, weight w: Double, _ r: Double) -> [Double] {
    let diagonal = (0..<d).map { t[$0, $0] }
    let sorted = diagonal.sorted(by: >)
    var (sum, level) = (0.0, 0.0)
    for (k, value) in sorted.enumerated() {
      sum += value
      level = (sum - 2 * w / r) / Double(k + 1)
      if k + 1 == d || sorted[k + 1] <= level { break }
    }
    return (0..<d).map { j in
      let cut = max(0, diagonal[j] - level)
      t[j, j] -= cut
      return 0.5 * r * cut
    }
  }

  /// Takes P and N, and the dual point that they and the multipliers give, if they are better.
  private func offer(_ p: Matrix, _ q: Matrix, _ multipliers: [Double], weight w: Double) {
    let difference = Matrix(copying: p)
    axpy(d * d, -1, q.base, difference.base)
    let predictions = outputs(svec(difference))
    var nu = [Double](repeating: 0, count: n)
    for i in 0..<n { nu[i] = y[i] - predictions[i] }
    let largest = (0..<d).reduce(0) { max($0, p[$1, $1] + q[$1, $1]) }
    let value = 0.5 * dot(n, nu, nu) + w * largest
    if value < primal {
      primal = value
      positive.base.update(from: p.base, count: d * d)
      negative.base.update(from: q.base, count: d * d)
    }
    // diag λ ± S is shifted until it is positive semidefinite.
    let s = Matrix(d, d)
    let scaled = Matrix(copying: x)
    for i in 0..<n { scale(d, nu[i], scaled.row(i)) }
    gemm(d, d, n, scaled.base, .transposed, x.base, .plain, s.base)
    s.symmetrize()
    var shift = 0.0
    for sign in [1.0, -1.0] {
      let form = Matrix(d, d)
      for k in 0..<d * d { form.base[k] = sign * s.base[k] }
      for j in 0..<d { form[j, j] += multipliers[j] }
      guard eigen.decompose(form.base, vectors: false) else { return }
      shift = max(shift, -eigen.values[0])
    }
    let total = withRoom(multipliers.reduce(0, +) + Double(d) * shift)
    let (square, product) = (dot(n, nu, nu), dot(n, nu, y))
    guard square > 0 else { return }
    let scale = max(0, min(product / square, total > 0 ? w / total : .infinity))
    let reached = scale * product - 0.5 * scale * scale * square
    guard reached > bound else { return }
    bound = reached
    dual = nu.map { scale * $0 }
    lambda = multipliers.map { scale * ($0 + shift) }
  }

  // MARK: Rounding

  /// `count` pairs of signs, drawn so that on average they are a multiple of P − N: signs of normal vectors whose
  /// covariances are sinh and sin of the matrix (Bartan and Pilanci 2021, after Krivine).
  func samples(_ count: Int, _ random: inout RandomSource) -> [SignPricing.Pair] {
    let largest = (0..<d).reduce(0) { max($0, positive[$1, $1] + negative[$1, $1]) }
    guard largest > 0 else { return [] }
    let gamma = log(1 + 2.0.squareRoot())
    let size = 2 * d
    let covariance = Matrix(size, size)
    for a in 0..<d {
      for b in 0..<d {
        let sum = a == b ? largest : positive[a, b] + negative[a, b]
        let (same, other) = (
          sinh(gamma * sum / largest),
          sin(gamma * (positive[a, b] - negative[a, b]) / largest)
        )
        (covariance[a, b], covariance[d + a, d + b]) = (same, same)
        (covariance[a, d + b], covariance[d + b, a]) = (other, other)
      }
    }
    let solver = SymmetricEigensolver(order: size)
    guard solver.decompose(covariance.base) else { return [] }
    let roots = (0..<size).map { max(0, solver.values[$0]).squareRoot() }
    return (0..<count).map { _ in
      let normal = (0..<size).map { roots[$0] * random.gaussian() }
      var draw = [Double](repeating: 0, count: size)
      gemv(size, size, covariance.base, .transposed, normal, &draw)
      let signs = draw.map { $0 < 0 ? -1.0 : 1 }
      return SignPricing.Pair(
        u: Array(signs[0..<d]), v: Array(signs[d...]), value: 0)
    }
  }
}
