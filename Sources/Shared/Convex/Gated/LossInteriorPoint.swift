import Glibc
import LinearAlgebra

/// What a scalar loss is in the dual: with a = s∘ν (s the targets' signs, or 1) it is Σ φ(a_j) to be least over
/// low ≤ a ≤ high.
struct DualTerm {
  let y: Matrix
  let low: Double
  let high: Double
  let signs: [Double]
  /// `nil` for the logistic loss.
  private let pieces: LinearPieces?

  /// Whether φ keeps a within its bounds by itself.
  var isBarrier: Bool { pieces == nil }
  var isLinear: Bool { pieces.map { $0.curvature == 0 } ?? false }

  /// `nil` for losses that are no sum over bounded a_j. `y` is n × 1.
  init?(_ loss: any Loss, _ y: Matrix) {
    guard loss.pieces != nil || loss is LogisticLoss else { return nil }
    pieces = loss.pieces
    self.y = y
    (low, high) = pieces.map { (-$0.slopes.upperBound, -$0.slopes.lowerBound) } ?? (0, 1)
    signs = pieces?.isMargin ?? true ? y.values : Array(repeating: 1, count: y.rows)
  }

  /// Where an interior-point method begins.
  func start(_ j: Int) -> Double {
    let isMargin = pieces?.isMargin ?? true
    let share = isMargin ? 0 : 0.5 * max(-1, min(1, y.base[j]))
    return 0.5 * (low + high + share * (high - low))
  }

  /// φ'(a_j) and φ''(a_j).
  func slope(_ a: Double, _ j: Int) -> Double {
    guard let pieces else { return log(a / (1 - a)) }
    return pieces.curvature * a - (pieces.isMargin ? 1 : y.base[j])
  }
  func curvature(_ a: Double) -> Double { pieces?.curvature ?? (1 / (a * (1 - a))) }
}

/// The interior-point method for one output of a gated network with the logistic loss or one of linear or quadratic pieces, where n
/// is small: min Σ φ(a_j) over the dual's second-order cones z_i = (β, T_i), T_i = Xᵀ D_i ν, with multipliers
/// x_i = (t_i, −w_i), which are the weights. Nesterov–Todd scaling and Mehrotra's corrector (Vandenberghe 2010);
/// one Cholesky factor of order n a step.
final class LossInteriorPoint {
  private let products: PatternProducts
  private let term: DualTerm
  private let beta: Double
  private let n: Int
  private let d: Int
  /// The members at work.
  private(set) var members: [Int]
  /// X Xᵀ.
  private let kernel: Matrix
  private let system: Matrix
  /// a, and multipliers of its bounds.
  private let a: Matrix
  private let lower: Matrix
  private let upper: Matrix
  private var z: SecondOrderVectors
  private var x: SecondOrderVectors
  /// Rows of n for each member: masks, and images.
  private var images = Matrix(0, 0)
  private var masks = Matrix(0, 0)
  /// s∘Σ D_i X w_i of the weights as they are.
  private let fit: Matrix

  init(
    _ products: PatternProducts, kernel: Matrix, term: DualTerm, beta: Double, members: [Int]
  ) {
    self.products = products
    self.kernel = kernel
    self.term = term
    self.beta = beta
    self.members = members
    let (n, d) = (products.samples, products.dimension)
    (self.n, self.d) = (n, d)
    system = Matrix(n, n)
    (a, lower, upper, fit) = (Matrix(n, 1), Matrix(n, 1), Matrix(n, 1), Matrix(n, 1))
    for j in 0..<n { a.base[j] = term.start(j) }
    z = SecondOrderVectors(members.count, d)
    x = SecondOrderVectors(members.count, d)
    // A matrix of its own, which must live through the call.
    withExtendedLifetime(nu) { products.correlations($0.base, members, into: z.tail) }
    var mu = 0.1 * Double(n) / Double(2 * n + members.count)
    for i in members.indices {
      z[i] = max(beta, 1.5 * norm(d, z.row(i)))
      center(x, at: z, i, mu)
    }
    // Multipliers of a size that predictions of about 1 have.
    fill(images: x.tail)
    let largest = (0..<n).reduce(0) { max($0, abs(fit.base[$1])) }
    let size = 1 / max(largest, 1e-300)
    scale(x.count, size, x.head.base)
    scale(x.tail.count, size, x.tail.base)
    mu *= size
    scale(n, -size, fit.base)
    if !term.isBarrier {
      lower.fill(0.5)
      upper.fill(0.5)
    }
  }

  /// x_i ← μ z_i⁻¹.
  private func center(
    _ x: SecondOrderVectors, at z: SecondOrderVectors, _ i: Int, _ mu: Double
  ) {
    let share = mu / z.determinant(i)
    x[i] = share * z[i]
    for k in 0..<d { x.row(i)[k] = -share * z.row(i)[k] }
  }

  /// ν = s∘a, strictly within the domain.
  var nu: Matrix { Matrix(n, 1, (0..<n).map { term.signs[$0] * a.base[$0] }) }

  /// The weights of the members, rows.
  var weights: Matrix {
    let result = Matrix(copying: x.tail)
    scale(result.count, -1, result.base)
    return result
  }

  /// ŷ of the weights.
  var predictions: Matrix { Matrix(n, 1, (0..<n).map { term.signs[$0] * fit.base[$0] }) }

  private func refit() {
    fill(images: x.tail)
    scale(n, -1, fit.base)
  }

  /// `fit` ← s∘Σ D_i X t_i.
  private func fill(images t: Matrix) {
    sum(t, into: fit.base)
  }

  private func sum(_ t: Matrix, into target: UnsafeMutablePointer<Double>) {
    if images.rows < members.count { images = Matrix(members.count, n) }
    products.images(t, members, into: images)
    for j in 0..<n { target[j] = 0 }
    for i in members.indices { axpy(n, 1, images.row(i), target) }
    for j in 0..<n { target[j] *= term.signs[j] }
  }

  private var bounds: Int { term.isBarrier ? 0 : 2 * n }

  private var complementarity: Double {
    var sum = x.dot(z)
    for j in 0..<n {
      sum += lower.base[j] * (a.base[j] - term.low) + upper.base[j] * (term.high - a.base[j])
    }
    return sum / Double(members.count + bounds)
  }

  /// A direction of all variables.
  private struct Direction {
    var a: Matrix
    var z: SecondOrderVectors
    var x: SecondOrderVectors
    var lower: Matrix
    var upper: Matrix
  }

  /// One step; `false` where rounding prevents it.
  func iterate() -> Bool {
    let count = members.count
    let scaling = ConeScalingPoint(z: z, x: x)
    guard let roots = factor(scaling) else { return false }
    let mu = complementarity
    let size = count + bounds

    // The predictor, from which Mehrotra's rule takes the centring.
    let target = SecondOrderVectors(count, d)
    for i in 0..<count {
      let li = scaling.lambda.row(i)
      target[i] = -scaling.lambda[i] * scaling.lambda[i] - dot(d, li, li)
      for k in 0..<d { target.row(i)[k] = -2 * scaling.lambda[i] * li[k] }
    }
    let none = Matrix(n, 1)
    let predictor = direction(scaling, roots, target, lower: none, upper: none)
    var (s, t) = steps(predictor)
    (s, t) = (min(1, s), min(1, t))
    if !term.isLinear { (s, t) = (min(s, t), min(s, t)) }
    var after = x.dot(t, predictor.x, z, s, predictor.z)
    for j in 0..<n {
      let (aj, da) = (a.base[j], s * predictor.a.base[j])
      after += (lower.base[j] + t * predictor.lower.base[j]) * (aj + da - term.low)
      after += (upper.base[j] + t * predictor.upper.base[j]) * (term.high - aj - da)
    }
    let share = max(0, after) / Double(size) / mu
    var goal = max(1e-4, min(1, share * share * share)) * mu

    let (lows, highs) = (Matrix(n, 1), Matrix(n, 1))
    let (zs, xs) = (Matrix(1, d), Matrix(1, d))
    for i in 0..<count {
      let zHead = scaling.scale(i, predictor.z[i], predictor.z.row(i), into: zs.base)
      let xHead = scaling.unscale(i, predictor.x[i], predictor.x.row(i), into: xs.base)
      target[i] += goal - zHead * xHead - dot(d, zs.base, xs.base)
      let ti = target.row(i)
      for k in 0..<d { ti[k] -= xHead * zs.base[k] + zHead * xs.base[k] }
    }
    for j in 0..<n {
      lows.base[j] = goal - predictor.lower.base[j] * predictor.a.base[j]
      highs.base[j] = goal + predictor.upper.base[j] * predictor.a.base[j]
    }
    var step = direction(scaling, roots, target, lower: lows, upper: highs)
    (s, t) = steps(step)
    if min(s, t) < 0.1 {
      // The correction led astray: a step towards the centre.
      goal = 0.3 * mu
      for i in 0..<count {
        let li = scaling.lambda.row(i)
        target[i] = goal - scaling.lambda[i] * scaling.lambda[i] - dot(d, li, li)
        for k in 0..<d { target.row(i)[k] = -2 * scaling.lambda[i] * li[k] }
      }
      lows.fill(goal)
      highs.fill(goal)
      step = direction(scaling, roots, target, lower: lows, upper: highs)
      (s, t) = steps(step)
    }
    (s, t) = (min(1, 0.97 * s), min(1, 0.97 * t))
    if !term.isLinear { (s, t) = (min(s, t), min(s, t)) }
    guard s.isFinite, t.isFinite, max(s, t) > 1e-8 else { return false }
    axpy(n, s, step.a.base, a.base)
    z.add(s, step.z)
    x.add(t, step.x)
    if !term.isBarrier {
      axpy(n, t, step.lower.base, lower.base)
      axpy(n, t, step.upper.base, upper.base)
    }
    refit()
    return true
  }

  /// Factors I + h^−½ (S (K ∘ DΘDᵀ + Σ 2θ_i u_i u_iᵀ) S) h^−½, u_i = D_i X w_i, S the signs; returns h^−½,
  /// h the second derivatives with those of the bounds' barriers. `nil` where rounding prevents it.
  private func factor(_ scaling: ConeScalingPoint) -> [Double]? {
    let count = members.count
    if images.rows < count { images = Matrix(count, n) }
    if masks.rows < count { masks = Matrix(count, n) }
    for i in 0..<count {
      products.expand(members[i], times: scaling.theta[i].squareRoot(), into: masks.row(i))
    }
    products.images(scaling.w.tail, members, into: images)
    for i in 0..<count { scale(n, (2 * scaling.theta[i]).squareRoot(), images.row(i)) }
    var roots = [Double](repeating: 0, count: n)
    for j in 0..<n {
      var h = term.curvature(a.base[j])
      if !term.isBarrier {
        h += lower.base[j] / (a.base[j] - term.low) + upper.base[j] / (term.high - a.base[j])
      }
      roots[j] = 1 / h.squareRoot()
    }
    // Upper triangles, which LAPACK's lower ones are the transposes of.
    syrkUpper(n, count, masks.base, system.base)
    for i in 0..<n {
      let (row, k) = (system.row(i), kernel.row(i))
      for j in i..<n { row[j] *= k[j] }
    }
    syrkUpper(n, count, images.base, beta: 1, system.base)
    for i in 0..<n {
      let (row, left) = (system.row(i), roots[i] * term.signs[i])
      for j in i..<n { row[j] *= left * roots[j] * term.signs[j] }
      row[i] += 1
    }
    system.mirrorUpper()
    return choleskyLower(n, system.base) ? roots : nil
  }

  /// The Newton direction for complementarity `target` in scaled cones, and `lower`, `upper` for the bounds.
  private func direction(
    _ scaling: ConeScalingPoint, _ roots: [Double], _ target: SecondOrderVectors, lower l: Matrix,
    upper u: Matrix
  ) -> Direction {
    let count = members.count
    let rc = SecondOrderVectors(count, d)
    let moved = SecondOrderVectors(count, d)
    let room = Matrix(1, d)
    for i in 0..<count {
      let head = scaling.divide(i, target[i], target.row(i), into: room.base)
      rc[i] = scaling.scale(i, head, room.base, into: rc.row(i))
      // What the weights become were T to stay: −x − rc + θ 2w₀w₁ (β − z₀).
      let bend = 2 * scaling.theta[i] * scaling.w[i] * (beta - z[i])
      let (ri, xi, wi, mi) = (rc.row(i), x.row(i), scaling.w.row(i), moved.row(i))
      for k in 0..<d { mi[k] = -xi[k] - ri[k] + bend * wi[k] }
    }
    let da = Matrix(n, 1)
    sum(moved.tail, into: da.base)
    for j in 0..<n {
      let aj = a.base[j]
      var right = -term.slope(aj, j) - da.base[j]
      if !term.isBarrier {
        right += l.base[j] / (aj - term.low) - u.base[j] / (term.high - aj)
      }
      da.base[j] = roots[j] * right
    }
    choleskySolve(n, system.base, da.base, count: 1)
    let image = Matrix(n, 1)
    for j in 0..<n {
      da.base[j] *= roots[j]
      image.base[j] = term.signs[j] * da.base[j]
    }
    let dz = SecondOrderVectors(count, d)
    products.correlations(image.base, members, into: dz.tail)
    let dx = SecondOrderVectors(count, d)
    for i in 0..<count {
      dz[i] = beta - z[i]
      let head = scaling.scaleTwice(i, dz[i], dz.row(i), into: dx.row(i))
      dx[i] = rc[i] - head
      let (ri, xi) = (rc.row(i), dx.row(i))
      for k in 0..<d { xi[k] = ri[k] - xi[k] }
    }
    let (dl, du) = (Matrix(n, 1), Matrix(n, 1))
    if !term.isBarrier {
      for j in 0..<n {
        let aj = a.base[j]
        dl.base[j] = (l.base[j] - lower.base[j] * da.base[j]) / (aj - term.low) - lower.base[j]
        du.base[j] = (u.base[j] + upper.base[j] * da.base[j]) / (term.high - aj) - upper.base[j]
      }
    }
    return Direction(a: da, z: dz, x: dx, lower: dl, upper: du)
  }

  /// The largest steps in (a, z) and in the multipliers.
  private func steps(_ step: Direction) -> (Double, Double) {
    var s = z.largestStep(step.z)
    var t = x.largestStep(step.x)
    for j in 0..<n {
      let (aj, da) = (a.base[j], step.a.base[j])
      if da < 0 { s = min(s, -(aj - term.low) / da) }
      if da > 0 { s = min(s, (term.high - aj) / da) }
      guard !term.isBarrier else { continue }
      if step.lower.base[j] < 0 { t = min(t, -lower.base[j] / step.lower.base[j]) }
      if step.upper.base[j] < 0 { t = min(t, -upper.base[j] / step.upper.base[j]) }
    }
    return (s, t)
  }
}
