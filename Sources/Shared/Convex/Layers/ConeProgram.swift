/// A small dense program over the nonnegative orthant and second-order cones,
///
///     min ½ xᵀP x + qᵀx  s.t.  G x + s = h,  s ∈ K,
///
/// by a primal–dual interior-point method with Nesterov–Todd scaling and Mehrotra's predictor and corrector (Vandenberghe,
/// "The CVXOPT linear and quadratic cone program solvers", 2010). K needs interior points h − G x.
struct ConeProgram {
  typealias Row = [(place: Int, value: Double)]

  /// The number of variables.
  let count: Int
  /// P, row-major; empty if it is zero.
  var quadratic: [Double] = []
  /// q.
  var linear: [Double]
  /// The rows of G and the numbers h: those of the orthant, then those of the cones.
  private(set) var rows: [Row] = []
  private(set) var bounds: [Double] = []
  /// The rows of each cone, (s₀, s₁ …) with ‖(s₁ …)‖ ≤ s₀.
  private(set) var cones: [Range<Int>] = []
  private var nonnegative = 0

  init(variables: Int) {
    count = variables
    linear = [Double](repeating: 0, count: variables)
  }

  /// row · x ≤ bound. All of these come before the cones.
  mutating func add(_ row: Row, atMost bound: Double) {
    precondition(cones.isEmpty, "the orthant comes first")
    rows.append(row)
    bounds.append(bound)
    nonnegative += 1
  }

  /// ‖(x_k)‖ ≤ x_head for the variables `tail`.
  mutating func addCone(head: Int, tail: Range<Int>) {
    let first = rows.count
    rows += ([head] + Array(tail)).map { [($0, -1.0)] }
    bounds += [Double](repeating: 0, count: tail.count + 1)
    cones.append(first..<rows.count)
  }

  /// x, and the multipliers z of the rows.
  struct Point {
    var x: [Double]
    var s: [Double]
    var z: [Double]
  }

  /// A solution up to the relative gap and residuals of `tolerance`, or the best point that rounding allows; nil if there
  /// is none.
  func solve(tolerance: Double = 1e-11, limit: Int = 100) -> Point? {
    guard var at = start() else { return nil }
    var best: (point: Point, error: Double)?
    for _ in 0..<limit {
      let (rx, rz) = residuals(at)
      let gap = inner(at.s, at.z)
      let size = max(1e-3, abs(value(at.x)))
      let error = max(
        gap / size, length(rx) / (1 + length(linear)), length(rz) / (1 + length(bounds)))
      guard error.isFinite else { break }
      if best.map({ error < $0.error }) ?? true { best = (at, error) }
      if error <= tolerance { break }
      if let best, error > 1e6 * best.error { break }
      guard let next = step(at, rx, rz, gap) else { break }
      at = next
    }
    return best?.point
  }

  /// ½ xᵀP x + qᵀx.
  func value(_ x: [Double]) -> Double {
    inner(linear, x) + (quadratic.isEmpty ? 0 : 0.5 * inner(x, curvature(x)))
  }

  private func curvature(_ x: [Double]) -> [Double] {
    guard !quadratic.isEmpty else { return [Double](repeating: 0, count: count) }
    return (0..<count).map { i in
      var sum = 0.0
      for k in 0..<count { sum += quadratic[i * count + k] * x[k] }
      return sum
    }
  }

  /// G x.
  private func image(_ x: [Double]) -> [Double] {
    rows.map { $0.reduce(0) { $0 + $1.value * x[$1.place] } }
  }

  /// Gᵀ z.
  private func adjoint(_ z: [Double]) -> [Double] {
    var result = [Double](repeating: 0, count: count)
    for (row, weight) in zip(rows, z) where weight != 0 {
      for entry in row { result[entry.place] += entry.value * weight }
    }
    return result
  }

  /// P x + q + Gᵀz and G x + s − h.
  private func residuals(_ at: Point) -> (x: [Double], z: [Double]) {
    let (curved, back, image) = (curvature(at.x), adjoint(at.z), image(at.x))
    return (
      (0..<count).map { curved[$0] + linear[$0] + back[$0] },
      rows.indices.map { image[$0] + at.s[$0] - bounds[$0] }
    )
  }

  // MARK: Steps

  /// The least-squares start, moved into the cones.
  private func start() -> Point? {
    guard let factor = DenseFactor(normal(Scaling(self)), count) else { return nil }
    let right = zip(adjoint(bounds), linear).map { $0 - $1 }
    let x = factor.solve(right)
    let s = zip(bounds, image(x)).map { $0 - $1 }
    return Point(x: x, s: inside(s), z: inside(s.map { -$0 }))
  }

  /// v, or v + t e in the interior of the cones.
  private func inside(_ v: [Double]) -> [Double] {
    var least = Double.infinity
    for i in 0..<nonnegative { least = min(least, v[i]) }
    for cone in cones { least = min(least, v[cone.lowerBound] - tailLength(v, cone)) }
    let size = max(1e-3, length(v) / Double(max(1, v.count)).squareRoot())
    guard least <= 1e-2 * size else { return v }
    var result = v
    let shift = size - least
    for i in 0..<nonnegative { result[i] += shift }
    for cone in cones { result[cone.lowerBound] += shift }
    return result
  }

  private func step(_ at: Point, _ rx: [Double], _ rz: [Double], _ gap: Double) -> Point? {
    let scaling = Scaling(self, at)
    guard let factor = DenseFactor(normal(scaling), count) else { return nil }
    let degree = Double(nonnegative + cones.count)
    let lambda = scaling.lambda
    func direction(_ keep: Double, _ target: [Double]) -> Point {
      // λ ∘ (W dz + W⁻¹ ds) = target
      let w = scaling.divided(target)
      let moved = scaling.multiply(w)
      let bz = rows.indices.map { -keep * rz[$0] - moved[$0] }
      let back = adjoint(scaling.unscaledTwice(bz))
      let right = (0..<count).map { -keep * rx[$0] + back[$0] }
      let dx = factor.solve(right)
      let change = image(dx)
      let dz = scaling.unscaledTwice(rows.indices.map { change[$0] - bz[$0] })
      let turned = scaling.multiply(dz)
      let ds = scaling.multiply(rows.indices.map { w[$0] - turned[$0] })
      return Point(x: dx, s: ds, z: dz)
    }
    let square = scaling.product(lambda, lambda)
    let affine = direction(1, square.map { -$0 })
    let reach = min(1, min(largestStep(at.s, affine.s), largestStep(at.z, affine.z)))
    let after = inner(
      rows.indices.map { at.s[$0] + reach * affine.s[$0] },
      rows.indices.map { at.z[$0] + reach * affine.z[$0] })
    let ratio = max(0, min(1, after / gap))
    let sigma = ratio * ratio * ratio
    let second = scaling.product(scaling.divide(affine.s), scaling.multiply(affine.z))
    let centre = scaling.unit(sigma * gap / degree)
    let full = direction(1 - sigma, rows.indices.map { -square[$0] - second[$0] + centre[$0] })
    let length = min(1, 0.99 * min(largestStep(at.s, full.s), largestStep(at.z, full.z)))
    guard length.isFinite, length > 1e-10 else { return nil }
    func moved(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + length * $1 } }
    return Point(x: moved(at.x, full.x), s: moved(at.s, full.s), z: moved(at.z, full.z))
  }

  /// The largest step from `v` along `d` within the cones.
  private func largestStep(_ v: [Double], _ d: [Double]) -> Double {
    var step = 1e9
    for i in 0..<nonnegative where d[i] < 0 { step = min(step, -v[i] / d[i]) }
    for cone in cones {
      let head = cone.lowerBound
      var (a, b, c) = (d[head] * d[head], v[head] * d[head], v[head] * v[head])
      for k in head + 1..<cone.upperBound {
        a -= d[k] * d[k]
        b -= v[k] * d[k]
        c -= v[k] * v[k]
      }
      let discriminant = b * b - a * c
      if discriminant >= 0 {
        let root = discriminant.squareRoot()
        for bottom in [-b + root, -b - root] where bottom > 0 {
          step = min(step, max(0, c) / bottom)
        }
      }
      if d[head] < 0 { step = min(step, -v[head] / d[head]) }
    }
    return step
  }

  /// P + Gᵀ W⁻² G.
  private func normal(_ scaling: Scaling) -> [Double] {
    var result = quadratic.isEmpty ? [Double](repeating: 0, count: count * count) : quadratic
    func add(_ a: Row, _ b: Row, _ weight: Double) {
      for i in a {
        let share = weight * i.value
        for k in b { result[i.place * count + k.place] += share * k.value }
      }
    }
    for i in 0..<nonnegative {
      add(rows[i], rows[i], 1 / (scaling.diagonal[i] * scaling.diagonal[i]))
    }
    for (c, cone) in cones.enumerated() {
      for i in cone {
        for k in cone {
          add(rows[i], rows[k], scaling.inverseSquare(c, i - cone.lowerBound, k - cone.lowerBound))
        }
      }
    }
    return result
  }

  private func tailLength(_ v: [Double], _ cone: Range<Int>) -> Double {
    length(Array(v[cone.lowerBound + 1..<cone.upperBound]))
  }

  // MARK: Scaling

  /// W with W z = W⁻¹ s = λ: symmetric, of the orthant and of each cone.
  private struct Scaling {
    let program: ConeProgram
    var diagonal: [Double]
    /// Of each cone w̄ with w̄ᵀ J w̄ = 1, and η.
    var points: [[Double]] = []
    var factors: [Double] = []
    var lambda: [Double] = []

    /// W = I.
    init(_ program: ConeProgram) {
      self.program = program
      diagonal = [Double](repeating: 1, count: program.nonnegative)
      points = program.cones.map { [1] + [Double](repeating: 0, count: $0.count - 1) }
      factors = program.cones.map { _ in 1 }
    }

    init(_ program: ConeProgram, _ at: Point) {
      self.init(program)
      for i in diagonal.indices { diagonal[i] = (at.s[i] / at.z[i]).squareRoot() }
      for (c, cone) in program.cones.enumerated() {
        let (s, z) = (Array(at.s[cone]), Array(at.z[cone]))
        let (rs, rz) = (root(s), root(z))
        let product = inner(s, z) / (rs * rz)
        let gamma = (0.5 * (1 + product)).squareRoot()
        points[c] = s.indices.map { k in
          (s[k] / rs + (k == 0 ? z[k] : -z[k]) / rz) / (2 * gamma)
        }
        factors[c] = (rs / rz).squareRoot()
      }
      lambda = multiply(at.z)
    }

    /// √(v₀² − ‖v₁‖²).
    private func root(_ v: [Double]) -> Double {
      let tail = length(Array(v.dropFirst()))
      return max(1e-300, (v[0] - tail) * (v[0] + tail)).squareRoot()
    }

    private func apply(_ v: [Double], inverse: Bool) -> [Double] {
      var result = v
      for i in diagonal.indices { result[i] = inverse ? v[i] / diagonal[i] : v[i] * diagonal[i] }
      for (c, cone) in program.cones.enumerated() {
        let (w, head) = (points[c], cone.lowerBound)
        let sign = inverse ? -1.0 : 1
        var product = 0.0
        for k in 1..<cone.count { product += w[k] * v[head + k] }
        let factor = inverse ? 1 / factors[c] : factors[c]
        result[head] = factor * (w[0] * v[head] + sign * product)
        let share = sign * v[head] + product / (1 + w[0])
        for k in 1..<cone.count { result[head + k] = factor * (v[head + k] + share * w[k]) }
      }
      return result
    }

    func multiply(_ v: [Double]) -> [Double] { apply(v, inverse: false) }
    func divide(_ v: [Double]) -> [Double] { apply(v, inverse: true) }
    func unscaledTwice(_ v: [Double]) -> [Double] { divide(divide(v)) }

    /// Entry (i, k) of W⁻² of cone c: η⁻² (2 (J w̄)(J w̄)ᵀ − J).
    func inverseSquare(_ c: Int, _ i: Int, _ k: Int) -> Double {
      let w = points[c]
      let (a, b) = (i == 0 ? w[0] : -w[i], k == 0 ? w[0] : -w[k])
      return (2 * a * b + (i == k ? (i == 0 ? -1 : 1) : 0)) / (factors[c] * factors[c])
    }

    /// a ∘ b, the products of the cones.
    func product(_ a: [Double], _ b: [Double]) -> [Double] {
      var result = zip(a, b).map { $0 * $1 }
      for cone in program.cones {
        let head = cone.lowerBound
        result[head] = cone.reduce(0) { $0 + a[$1] * b[$1] }
        for k in head + 1..<cone.upperBound { result[k] = a[head] * b[k] + b[head] * a[k] }
      }
      return result
    }

    /// u with λ ∘ u = v.
    func divided(_ v: [Double]) -> [Double] {
      var result = v
      for i in diagonal.indices { result[i] = v[i] / lambda[i] }
      for cone in program.cones {
        let head = cone.lowerBound
        var (product, square) = (0.0, 0.0)
        for k in head + 1..<cone.upperBound {
          product += lambda[k] * v[k]
          square += lambda[k] * lambda[k]
        }
        let tail = square.squareRoot()
        let determinant = max(1e-300, (lambda[head] - tail) * (lambda[head] + tail))
        result[head] = (lambda[head] * v[head] - product) / determinant
        for k in head + 1..<cone.upperBound {
          result[k] = (v[k] - result[head] * lambda[k]) / lambda[head]
        }
      }
      return result
    }

    /// t e.
    func unit(_ t: Double) -> [Double] {
      var result = [Double](repeating: 0, count: program.rows.count)
      for i in diagonal.indices { result[i] = t }
      for cone in program.cones { result[cone.lowerBound] = t }
      return result
    }
  }
}

private func inner(_ a: [Double], _ b: [Double]) -> Double {
  var sum = 0.0
  for k in a.indices { sum += a[k] * b[k] }
  return sum
}

private func length(_ a: [Double]) -> Double { inner(a, a).squareRoot() }
