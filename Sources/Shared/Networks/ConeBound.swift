import LinearAlgebra

/// The bound of Σ_i w_i (z_i·u)₊ over a cone {Σ c_k r_k : c ≥ 0}, ‖u‖ ≤ 1, and the room that it takes: one a thread.
///
/// Positive terms are bounded by their values P(r_k) at the rays, since they are sublinear; negative ones from below by
/// Σ θ_i z_i·u with θ = 1 where z_i·u' > 0, the tangent at a u'. So the value is at most g·c with a number g_k for each
/// ray, for each tangent; the best combination of tangents is the smallest ‖R⁻¹(Σ λ_j g_j + μ)‖ over λ in the simplex and
/// μ ≥ 0. Whatever precision that was found with, ‖p‖ + ‖h‖ max_k (g_k − p·r_k)₊ is a bound, if h·r_k ≥ 1 for all k.
final class ConeBound {
  typealias Numbers = UnsafeMutablePointer<Double>

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
  /// R⁻¹ e_k as rows, and room for finding them.
  private let inverse: Matrix
  private let elimination: Matrix
  /// Variables are μ, then λ.
  private let squares: NonNegativeLeastSquares
  private let vectors: Matrix
  /// p, the sum of the rays with coefficients c, and the mixture of tangents.
  private let (p, sum, mixture): (Numbers, Numbers, Numbers)
  /// A point of the cone in coordinates of its rays.
  let c: Numbers
  private let products: Matrix
  /// w² of the least-squares problem (`improve`).
  private var weight = 1.0

  init(rank: Int, mostRows: Int) {
    r = rank
    mostTangents = rank + 6
    values = Matrix(mostTangents, rank)
    points = Matrix(mostTangents, rank)
    inverse = Matrix(rank, rank)
    elimination = Matrix(rank, rank)
    squares = NonNegativeLeastSquares(capacity: mostTangents + rank)
    vectors = Matrix(4, rank)
    (p, sum, mixture, c) = (vectors.base, vectors.row(1), vectors.row(2), vectors.row(3))
    products = Matrix(1, RowLoops.padded(mostRows) + 4)
  }

  /// Bounds `cone` until the bound is at most `tau`, or a value in it exceeds `tau`, or no more is to be had.
  func judge(_ cone: ProofCone, tau: Double) -> Verdict {
    // The parent's point, and a little of everything.
    var total = 0.0
    for k in 0..<r { total += cone.c[k] }
    for k in 0..<r { c[k] = cone.c[k] + 0.02 * total }
    normalize(cone)
    guard invert(cone) else { return .open(cone.bound) }
    let height = self.height
    var bound = cone.bound
    var lower = combineDowns(cone)
    prepare()
    for count in 1...mostTangents {
      addTangent(cone, count - 1)
      bound = min(bound, improve(cone, tangents: count, height: height))
      if bound <= tau { return .settled(bound) }
      normalize(cone)
      lower = combineDowns(cone)
      // No combination of tangents can bring the bound below what P's chord less N is at c.
      if RowLoops.dot(r, c, cone.p) - lower > tau {
        let upper =
          RowLoops.dot(r, c, cone.upper)
          + RowLoops.combine(cone.upColumns, cone.upLength, r, c, into: products.base)
        return upper - lower > tau ? .exceeded : .open(bound)
      }
    }
    return .open(bound)
  }

  /// N at c; its mixed rows are left in `products`.
  private func combineDowns(_ cone: ProofCone) -> Double {
    RowLoops.dot(r, c, cone.lower)
      + RowLoops.combine(cone.downColumns, cone.downLength, r, c, into: products.base)
  }

  /// The tangent at the point whose mixed rows are in `products`, as number `place`.
  private func addTangent(_ cone: ProofCone, _ place: Int) {
    let (g, q) = (values.row(place), points.row(place))
    for k in 0..<r {
      g[k] =
        cone.p[k] - cone.lower[k]
        - RowLoops.sum(
          cone.downColumns + k * cone.downLength, cone.downLength, where: products.base)
    }
    for j in 0..<r { q[j] = 0 }
    for k in 0..<r {
      let row = inverse.row(k)
      for j in 0..<r { q[j] += g[k] * row[j] }
    }
  }

  /// The least-squares problem without tangents.
  private func prepare() {
    for k in 0..<r {
      squares.setRight(k, 0)
      for l in 0...k { squares.setGram(k, l, RowLoops.dot(r, inverse.row(k), inverse.row(l))) }
    }
    squares.clear(r)
  }

  /// The bound by the first `count` tangents, of which the last is new; c becomes the point where it is attained.
  private func improve(_ cone: ProofCone, tangents count: Int, height: Double) -> Double {
    // min ‖Σ λ_j q_j + Σ μ_k R⁻¹e_k‖² + w² (Σ λ_j − 1)²; any w will do, λ is scaled afterwards.
    let new = count - 1
    let q = points.row(new)
    if new == 0 {
      weight = RowLoops.dot(r, q, q)
      if !(weight > 0) { weight = 1 }
    }
    squares.setRight(r + new, weight)
    for j in 0..<count {
      squares.setGram(r + new, r + j, RowLoops.dot(r, q, points.row(j)) + weight)
    }
    for k in 0..<r { squares.setGram(r + new, k, RowLoops.dot(r, inverse.row(k), q)) }
    squares.add(r + new)
    squares.improve(r + count)
    let x = squares.x
    var share = 0.0
    for j in 0..<count { share += x[r + j] }
    guard share > 0 else { return .infinity }
    for k in 0..<r { (p[k], mixture[k]) = (0, 0) }
    for j in 0..<count where x[r + j] > 0 {
      let part = x[r + j] / share
      let (point, value) = (points.row(j), values.row(j))
      for k in 0..<r {
        p[k] += part * point[k]
        mixture[k] += part * value[k]
      }
    }
    for k in 0..<r where x[k] > 0 {
      let (part, row) = (x[k] / share, inverse.row(k))
      for j in 0..<r { p[j] += part * row[j] }
    }
    // What p lacks at the rays, and its coordinates: R Rᵀ c = R p.
    var lack = 0.0
    for k in 0..<r {
      lack = max(lack, mixture[k] - RowLoops.dot(r, p, cone.ray(k)))
      c[k] = max(0, RowLoops.dot(r, p, inverse.row(k)))
    }
    return RowLoops.dot(r, p, p).squareRoot() + height * lack
  }

  /// `inverse` ← R⁻¹ by elimination with row pivots; false if the rays are too nearly dependent.
  private func invert(_ cone: ProofCone) -> Bool {
    // Rᵀ X = I has the rows of (R⁻¹)ᵀ as columns: eliminate on the columns of R.
    let (a, b) = (elimination.base, inverse.base)
    a.update(from: cone.memory, count: r * r)
    for i in 0..<r * r { b[i] = 0 }
    for i in 0..<r { b[i * r + i] = 1 }
    for k in 0..<r {
      var pivot = k
      for i in k + 1..<max(k + 1, r) where abs(a[i * r + k]) > abs(a[pivot * r + k]) { pivot = i }
      guard abs(a[pivot * r + k]) > 1e-13 else { return false }
      let (row, image) = (a + k * r, b + k * r)
      if pivot != k {
        for j in 0..<r {
          swap(&a[pivot * r + j], &row[j])
          swap(&b[pivot * r + j], &image[j])
        }
      }
      let scale = 1 / row[k]
      for j in 0..<r {
        row[j] *= scale
        image[j] *= scale
      }
      for i in 0..<r where i != k {
        let factor = a[i * r + k]
        let (other, target) = (a + i * r, b + i * r)
        for j in 0..<r {
          other[j] -= factor * row[j]
          target[j] -= factor * image[j]
        }
      }
    }
    for i in 0..<r { for j in 0..<i { swap(&b[i * r + j], &b[j * r + i]) } }
    return true
  }

  /// ‖h‖ of the h with h·r_k = 1 for all rays.
  private var height: Double {
    for j in 0..<r { sum[j] = 0 }
    for k in 0..<r {
      let row = inverse.row(k)
      for j in 0..<r { sum[j] += row[j] }
    }
    return RowLoops.dot(r, sum, sum).squareRoot()
  }

  /// Scales c so that ‖Σ c_k r_k‖ = 1.
  private func normalize(_ cone: ProofCone) {
    for j in 0..<r { sum[j] = 0 }
    for k in 0..<r {
      let ray = cone.ray(k)
      for j in 0..<r { sum[j] += c[k] * ray[j] }
    }
    let length = RowLoops.dot(r, sum, sum).squareRoot()
    guard length > 0 else { return }
    for k in 0..<r { c[k] /= length }
  }
}
