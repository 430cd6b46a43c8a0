import LinearAlgebra

/// The interior-point method for gated networks with any loss, if samples times outputs are few: min Σ φ(a_k) over the
/// dual's second-order cones z_g = (β, T_g), with T_g = Xᵀ D_i ν_c of one output or of all together, and multipliers
/// x_g = (t_g, −w_g), which are the weights. Nesterov–Todd scaling and Mehrotra's corrector (Vandenberghe 2010); each
/// step takes one Cholesky factor of order Cn.
final class LossInteriorPoint {
  let products: PatternProducts
  let term: DualTerm
  let beta: Double
  let (n, d): (Int, Int)
  let outputs: Int
  /// Whether all outputs of a member share a group.
  let isJoint: Bool
  /// The smallest share of μ that a step aims at.
  static let leastShare = 1e-4
  /// The working members.
  var members: [Int]
  /// X Xᵀ.
  let kernel: Matrix
  /// Matrices of order Cn and of order n.
  let system: Matrix
  let block: Matrix
  /// For coupled outputs: M⁻¹E and the factor of EᵀM⁻¹E; E sums over outputs.
  let coupling: Matrix
  let coupled: Matrix
  /// a, and multipliers of its bounds, C × n.
  let a: Matrix
  let lower: Matrix
  let upper: Matrix
  var z: SecondOrderVectors
  var x: SecondOrderVectors
  /// Rows of n for each member: its image, and its mask.
  let images: Matrix
  let masks: Matrix
  /// Rows of d, and of Cn, for each member.
  let part: Matrix
  let joint: Matrix
  /// s∘Σ D_i X w_i of the current weights.
  let fit: Matrix
  /// T(ν) minus the tail of z: if φ keeps a within its bounds, a moves by factors but z along a line.
  let rest: Matrix

  /// If `isJoint`, each member has a group, otherwise each of its outputs has one. It begins at a feasible multiple of
  /// `origin`, −∇ℓ(0), n × C; `height` is ℓ(0).
  init(
    _ products: PatternProducts, kernel: Matrix, term: DualTerm, isJoint: Bool, beta: Double,
    members: [Int], origin: Matrix, height: Double
  ) {
    self.products = products
    self.kernel = kernel
    self.term = term
    self.beta = beta
    self.members = members
    let (n, d, outputs) = (products.samples, products.dimension, term.y.rows)
    (self.n, self.d, self.outputs, self.isJoint) = (n, d, outputs, isJoint)
    let (count, size) = (members.count, outputs * n)
    system = Matrix(size, size)
    block = outputs == 1 ? system : Matrix(n, n)
    coupling = term.isCoupled ? Matrix(n, size) : Matrix(0, 0)
    coupled = term.isCoupled ? Matrix(n, n) : Matrix(0, 0)
    (images, masks) = (Matrix(count, n), Matrix(count, n))
    part = Matrix(outputs == 1 ? 0 : count, d)
    joint = Matrix(isJoint && outputs > 1 ? count : 0, size)
    func column() -> Matrix { Matrix(outputs, n) }
    (a, lower, upper, fit) = (column(), column(), column(), column())
    let (groups, width) = isJoint ? (count, outputs * d) : (count * outputs, d)
    z = SecondOrderVectors(groups, width)
    x = SecondOrderVectors(groups, width)
    rest = Matrix(groups, width)
    correlate(origin.transposed, into: z.tail)
    let largest = (0..<groups).reduce(0) { max($0, norm(width, z.row($1))) }
    let share = largest > 0 ? min(0.5, 0.5 * beta / largest) : 0.5
    scale(z.tail.count, share, z.tail.base)
    let slope = origin.transposed
    for k in 0..<size { a.base[k] = share * term.signs[k] * slope.base[k] }
    // Complementarity begins as large as the distance of the values can be.
    let mu = max(height, 1e-300) / Double(groups + bounds)
    for i in 0..<groups {
      z[i] = beta
      center(x, at: z, i, mu)
    }
    for k in 0..<size where !term.isBarrier {
      lower.base[k] = mu / (a.base[k] - term.low(k))
      upper.base[k] = mu / (term.high(k) - a.base[k])
    }
    refit()
  }

  /// x_i ← μ z_i⁻¹.
  func center(
    _ x: SecondOrderVectors, at z: SecondOrderVectors, _ i: Int, _ mu: Double
  ) {
    let share = mu / z.determinant(i)
    x[i] = share * z[i]
    for k in 0..<z.dimension { x.row(i)[k] = -share * z.row(i)[k] }
  }

  func signed(_ values: Matrix) -> Matrix {
    let result = Matrix(outputs, n)
    for k in 0..<result.count { result.base[k] = term.signs[k] * values.base[k] }
    return result
  }

  /// ν = s∘a, n × C, strictly within the domain.
  var nu: Matrix { signed(a).transposed }

  /// The weights: rows of d, with the outputs of a member one after another.
  var weights: Matrix {
    let result = Matrix(members.count * outputs, d)
    for k in 0..<result.count { result.base[k] = -x.tail.base[k] }
    return result
  }

  /// ŷ of the weights, n × C.
  var predictions: Matrix { signed(fit).transposed }

  /// The lengths of the groups of each member.
  var lengths: [[Double]] {
    let each = isJoint ? 1 : outputs
    return members.indices.map { i in
      (0..<each).map { norm(x.dimension, x.row(i * each + $0)) }
    }
  }

  func refit() {
    sum(x.tail, into: fit.base)
    scale(fit.count, -1, fit.base)
    guard term.isBarrier else { return }
    correlate(signed(a), into: rest)
    axpy(rest.count, -1, z.tail.base, rest.base)
  }

  /// target ← s∘Σ D_i X t_i, C × n.
  func sum(_ t: Matrix, into target: UnsafeMutablePointer<Double>) {
    for c in 0..<outputs {
      let sum = target + c * n
      imagine(t, c)
      for j in 0..<n { sum[j] = 0 }
      for i in members.indices { axpy(n, 1, images.row(i), sum) }
      for j in 0..<n { sum[j] *= term.signs[c * n + j] }
    }
  }

  /// `images` ← D_i X t_ic of output `c`.
  func imagine(_ t: Matrix, _ c: Int) {
    guard outputs > 1 else {
      products.images(t, members, into: images)
      return
    }
    for i in members.indices {
      part.row(i).update(from: t.base + (i * outputs + c) * d, count: d)
    }
    products.images(part, members, into: images)
  }

  /// `t` ← Xᵀ D_i ν_c for all members and outputs; ν is C × n.
  func correlate(_ nu: Matrix, into t: Matrix) {
    guard outputs > 1 else {
      products.correlations(nu.base, members, into: t)
      return
    }
    for c in 0..<outputs {
      products.correlations(nu.row(c), members, into: part)
      for i in members.indices {
        (t.base + (i * outputs + c) * d).update(from: part.row(i), count: d)
      }
    }
  }

  var bounds: Int { term.isBarrier ? 0 : 2 * a.count }

  var complementarity: Double {
    var sum = x.dot(z)
    if !term.isBarrier {
      for j in 0..<a.count {
        let (low, high) = (term.low(j), term.high(j))
        sum += lower.base[j] * (a.base[j] - low) + upper.base[j] * (high - a.base[j])
      }
    }
    return sum / Double(z.count + bounds)
  }

  /// A direction of all variables.
  struct Direction {
    var a: Matrix
    var z: SecondOrderVectors
    var x: SecondOrderVectors
    var lower: Matrix
    var upper: Matrix
  }

  /// Factors I + h^−½ S M S h^−½ with the signs S and, for each output, M = K ∘ DΘDᵀ + Σ 2θ_i u_i u_iᵀ, u_i = D_i X
  /// w_i; joint groups have one u_i over all outputs. Returns h^−½, with h the second derivatives of φ plus those of
  /// the bounds' barriers; nil if rounding prevents it.
  func factor(_ scaling: ConeScalingPoint) -> [Double]? {
    var roots = [Double](repeating: 0, count: a.count)
    for k in 0..<a.count {
      var h = term.curvature(a.base[k], k)
      if !term.isBarrier {
        h += lower.base[k] / (a.base[k] - term.low(k)) + upper.base[k] / (term.high(k) - a.base[k])
      }
      roots[k] = 1 / h.squareRoot()
    }
    // Upper triangles, which LAPACK reads as transposed lower ones.
    if outputs > 1 { system.fill(0) }
    for c in 0..<outputs { build(scaling, c) }
    if joint.rows > 0 { syrkUpper(a.count, joint.rows, joint.base, beta: 1, system.base) }
    for i in 0..<a.count {
      let (row, left) = (system.row(i), roots[i] * term.signs[i])
      for j in i..<a.count { row[j] *= left * roots[j] * term.signs[j] }
      row[i] += 1
    }
    system.mirrorUpper()
    guard choleskyLower(a.count, system.base) else { return nil }
    return !term.isCoupled || couple(roots) ? roots : nil
  }

  /// Adds the block of output `c`, without the rank-one terms of joint groups, which become rows of `joint`.
  func build(_ scaling: ConeScalingPoint, _ c: Int) {
    let count = members.count
    func theta(_ i: Int) -> Double { scaling.theta[isJoint ? i : i * outputs + c] }
    imagine(scaling.w.tail, c)
    for i in 0..<count {
      scale(n, (2 * theta(i)).squareRoot(), images.row(i))
      if joint.rows > 0 { (joint.row(i) + c * n).update(from: images.row(i), count: n) }
    }
    if c == 0 || !isJoint {
      for i in 0..<count {
        products.expand(members[i], times: theta(i).squareRoot(), into: masks.row(i))
      }
      syrkUpper(n, count, masks.base, block.base)
      for i in 0..<n {
        let (row, k) = (block.row(i), kernel.row(i))
        for j in i..<n { row[j] *= k[j] }
      }
      if joint.rows == 0 { syrkUpper(n, count, images.base, beta: 1, block.base) }
    }
    guard outputs > 1 else { return }
    for i in 0..<n {
      (system.row(c * n + i) + c * n + i).update(from: block.row(i) + i, count: n - i)
    }
  }

  /// M⁻¹E and the factor of EᵀM⁻¹E.
  func couple(_ roots: [Double]) -> Bool {
    coupling.fill(0)
    for j in 0..<n { for c in 0..<outputs { coupling[j, c * n + j] = roots[c * n + j] } }
    choleskySolve(a.count, system.base, coupling.base, count: n)
    coupled.fill(0)
    for j in 0..<n {
      let row = coupling.row(j)
      for k in 0..<a.count { row[k] *= roots[k] }
      for c in 0..<outputs { axpy(n, 1, row + c * n, coupled.row(j)) }
    }
    coupled.symmetrize()
    return choleskyLower(n, coupled.base)
  }

  /// The Newton direction for complementarity `target` in the scaled cones, and `lower` and `upper` for the bounds.
  func direction(
    _ scaling: ConeScalingPoint, _ roots: [Double], _ target: SecondOrderVectors, lower l: Matrix,
    upper u: Matrix
  ) -> Direction {
    let (count, d) = (z.count, z.dimension)
    let rc = SecondOrderVectors(count, d)
    let moved = SecondOrderVectors(count, d)
    let room = Matrix(1, d)
    for i in 0..<count {
      let head = scaling.divide(i, target[i], target.row(i), into: room.base)
      rc[i] = scaling.scale(i, head, room.base, into: rc.row(i))
      // The weights that would result if ν stayed: −x − rc + W² (β − z₀, rest).
      _ = scaling.scaleTwice(i, beta - z[i], rest.row(i), into: room.base)
      let (ri, xi, mi) = (rc.row(i), x.row(i), moved.row(i))
      for k in 0..<d { mi[k] = room.base[k] - xi[k] - ri[k] }
    }
    let da = Matrix(outputs, n)
    sum(moved.tail, into: da.base)
    for j in 0..<a.count {
      let aj = a.base[j]
      var right = -term.slope(aj, j) - da.base[j]
      if !term.isBarrier {
        right += l.base[j] / (aj - term.low(j)) - u.base[j] / (term.high(j) - aj)
      }
      da.base[j] = roots[j] * right
    }
    choleskySolve(a.count, system.base, da.base, count: 1)
    for j in 0..<a.count { da.base[j] *= roots[j] }
    if term.isCoupled {
      let common = Matrix(1, n)
      for c in 0..<outputs { axpy(n, -1, da.row(c), common.base) }
      choleskySolve(n, coupled.base, common.base, count: 1)
      gemv(n, a.count, coupling.base, .transposed, common.base, beta: 1, da.base)
    }
    let dz = SecondOrderVectors(count, d)
    correlate(signed(da), into: dz.tail)
    axpy(dz.tail.count, 1, rest.base, dz.tail.base)
    let dx = SecondOrderVectors(count, d)
    for i in 0..<count {
      dz[i] = beta - z[i]
      let head = scaling.scaleTwice(i, dz[i], dz.row(i), into: dx.row(i))
      dx[i] = rc[i] - head
      let (ri, xi) = (rc.row(i), dx.row(i))
      for k in 0..<d { xi[k] = ri[k] - xi[k] }
    }
    let (dl, du) = (Matrix(outputs, n), Matrix(outputs, n))
    if !term.isBarrier {
      for j in 0..<a.count {
        let (below, above) = (a.base[j] - term.low(j), term.high(j) - a.base[j])
        dl.base[j] = (l.base[j] - lower.base[j] * da.base[j]) / below - lower.base[j]
        du.base[j] = (u.base[j] + upper.base[j] * da.base[j]) / above - upper.base[j]
      }
    }
    return Direction(a: da, z: dz, x: dx, lower: dl, upper: du)
  }

  /// The largest steps in (a, z) and in the multipliers.
  func steps(_ step: Direction) -> (Double, Double) {
    var s = z.largestStep(step.z)
    var t = x.largestStep(step.x)
    for j in 0..<a.count where !term.isBarrier {
      let (aj, da) = (a.base[j], step.a.base[j])
      if da < 0 { s = min(s, -(aj - term.low(j)) / da) }
      if da > 0 { s = min(s, (term.high(j) - aj) / da) }
      if step.lower.base[j] < 0 { t = min(t, -lower.base[j] / step.lower.base[j]) }
      if step.upper.base[j] < 0 { t = min(t, -upper.base[j] / step.upper.base[j]) }
    }
    return (s, t)
  }
}
