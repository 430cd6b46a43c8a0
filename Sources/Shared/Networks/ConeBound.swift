import LinearAlgebra

/// The bound of Σ_i w_i (z_i·u)₊ over a cone {Σ c_k r_k : c ≥ 0}, ‖u‖ ≤ 1, and the room that it takes: one a thread.
///
/// Positive terms are bounded by their values P(r_k) at the rays, since they are sublinear; negative ones from below by
/// Σ θ_i z_i·u with θ = 1 where z_i·u' > 0, the tangent at a u'. So the value is at most g·c with a number g_k for each
/// ray, for each tangent; the best combination of tangents is the smallest ‖R⁻¹(Σ λ_j g_j + μ)‖ over λ in the simplex and
/// μ ≥ 0. Whatever precision that was found with, ‖p‖ + ‖h‖ max_k (g_k − p·r_k)₊ is a bound, if h·r_k ≥ 1 for all k.
struct ConeBound {
  enum Verdict {
    /// Nothing in the cone exceeds the bound, which is at most τ.
    case settled(Double)
    /// The cone has to be split, at `c`; nothing in it exceeds the bound.
    case open(Double)
    /// The value at `c` is above τ.
    case exceeded
  }

  private let r: Int
  private let mostTangents: Int
  /// Tangents: values at the rays, and the points whose products with the rays these are.
  private let values: Matrix
  private let points: Matrix
  /// R⁻¹ e_k as rows.
  private let inverse: Matrix
  private var squares: SmallLeastSquares
  /// p, and the sum of the rays.
  private let p: Matrix
  private let sum: Matrix
  /// A point of the cone in coordinates of its rays.
  private(set) var c: [Double]

  private static let mostRounds = 30

  init(rank: Int) {
    r = rank
    mostTangents = rank + 6
    values = Matrix(mostTangents, rank)
    points = Matrix(mostTangents, rank)
    inverse = Matrix(rank, rank)
    squares = SmallLeastSquares(capacity: mostTangents + rank)
    p = Matrix(1, rank)
    sum = Matrix(1, rank)
    c = Array(repeating: 0, count: rank)
  }

  /// Bounds the cone of `node` until the bound is at most `tau`, or a value in it exceeds `tau`, or no more is to be had.
  mutating func judge(_ node: SphereProof.Node, tau: Double) -> Verdict {
    guard invert(node.rays) else { return .open(node.bound) }
    let height = self.height
    // The parent's point, and a little of everything.
    var total = 0.0
    for k in 0..<r { total += node.c[k] }
    for k in 0..<r { c[k] = node.c[k] + 0.02 * total }
    normalize(node.rays)
    var bound = node.bound
    for count in 1...ConeBound.mostRounds where count <= mostTangents {
      addTangent(node, count - 1)
      let found = combine(node.rays, tangents: count, height: height)
      bound = min(bound, found)
      if bound <= tau { return .settled(bound) }
      normalize(node.rays)
      let (upper, exact) = value(node)
      if exact > tau { return .exceeded }
      // No combination of tangents can bring it below τ.
      if upper > tau { return .open(bound) }
    }
    return .open(bound)
  }

  /// The bound's P(c) − N and the value itself at c, as far as the settled and mixed rows tell.
  private func value(_ node: SphereProof.Node) -> (upper: Double, exact: Double) {
    var (chord, exact, lower) = (0.0, 0.0, 0.0)
    for k in 0..<r {
      chord += c[k] * node.p[k]
      exact += c[k] * node.upper[k]
      lower += c[k] * node.lower[k]
    }
    for i in 0..<node.ups + node.downs {
      let row = node.mixed + i * r
      var t = 0.0
      for k in 0..<r { t += c[k] * row[k] }
      guard t > 0 else { continue }
      if i < node.ups { exact += t } else { lower += t }
    }
    return (chord - lower, exact - lower)
  }

  /// The tangent at c as number `place`.
  private mutating func addTangent(_ node: SphereProof.Node, _ place: Int) {
    let g = values.row(place)
    for k in 0..<r { g[k] = node.p[k] - node.lower[k] }
    for i in node.ups..<node.ups + node.downs {
      let row = node.mixed + i * r
      var t = 0.0
      for k in 0..<r { t += c[k] * row[k] }
      if t > 0 { for k in 0..<r { g[k] -= row[k] } }
    }
    let q = points.row(place)
    for j in 0..<r {
      var t = 0.0
      for k in 0..<r { t += g[k] * inverse[k, j] }
      q[j] = t
    }
  }

  /// The bound by the first `count` tangents; c becomes the point where it is attained.
  private mutating func combine(_ rays: Matrix, tangents count: Int, height: Double) -> Double {
    // min ‖Σ λ_j q_j + Σ μ_k R⁻¹e_k‖² + w² (Σ λ_j − 1)²; any w will do, λ is scaled afterwards.
    var weight = 0.0
    for j in 0..<count { weight = max(weight, dot(r, points.row(j), points.row(j))) }
    if weight == 0 { weight = 1 }
    for i in 0..<count {
      squares.setRight(i, weight)
      for j in 0...i { squares.setGram(i, j, dot(r, points.row(i), points.row(j)) + weight) }
    }
    for k in 0..<r {
      squares.setRight(count + k, 0)
      for j in 0..<count {
        squares.setGram(count + k, j, dot(r, inverse.row(k), points.row(j)))
      }
      for l in 0...k {
        squares.setGram(count + k, count + l, dot(r, inverse.row(k), inverse.row(l)))
      }
    }
    squares.solve(count + r)
    var share = 0.0
    for j in 0..<count { share += squares.x[j] }
    guard share > 0 else { return .infinity }
    p.fill(0)
    for j in 0..<count { axpy(r, squares.x[j] / share, points.row(j), p.base) }
    for k in 0..<r { axpy(r, squares.x[count + k] / share, inverse.row(k), p.base) }
    // What p lacks at the rays, and its coordinates: R Rᵀ c = R p.
    var lack = 0.0
    for k in 0..<r {
      var g = 0.0
      for j in 0..<count { g += squares.x[j] * values[j, k] }
      lack = max(lack, g / share - dot(r, p.base, rays.row(k)))
      c[k] = max(0, dot(r, p.base, inverse.row(k)))
    }
    return norm(r, p.base) + height * lack
  }

  /// `inverse` ← R⁻¹ by elimination with row pivots; false if the rays are too nearly dependent.
  private func invert(_ rays: Matrix) -> Bool {
    let a = Matrix(copying: rays)
    for i in 0..<r { for j in 0..<r { inverse[i, j] = i == j ? 1 : 0 } }
    // Rᵀ X = I has the rows of (R⁻¹)ᵀ as columns: eliminate on the columns of R.
    for k in 0..<r {
      let pivot = (k..<r).max { abs(a[$0, k]) < abs(a[$1, k]) }!
      guard abs(a[pivot, k]) > 1e-13 else { return false }
      if pivot != k {
        for j in 0..<r {
          swap(&a[pivot, j], &a[k, j])
          swap(&inverse[pivot, j], &inverse[k, j])
        }
      }
      let scale = 1 / a[k, k]
      for j in 0..<r {
        a[k, j] *= scale
        inverse[k, j] *= scale
      }
      for i in 0..<r where i != k && a[i, k] != 0 {
        let factor = a[i, k]
        for j in 0..<r {
          a[i, j] -= factor * a[k, j]
          inverse[i, j] -= factor * inverse[k, j]
        }
      }
    }
    inverse.transpose()
    return true
  }

  /// ‖h‖ of the h with h·r_k = 1 for all rays.
  private var height: Double {
    sum.fill(0)
    for k in 0..<r { axpy(r, 1, inverse.row(k), sum.base) }
    return norm(r, sum.base)
  }

  /// Scales c so that ‖Σ c_k r_k‖ = 1.
  private mutating func normalize(_ rays: Matrix) {
    sum.fill(0)
    for k in 0..<r { axpy(r, c[k], rays.row(k), sum.base) }
    let length = norm(r, sum.base)
    guard length > 0 else { return }
    for k in 0..<r { c[k] /= length }
  }
}
