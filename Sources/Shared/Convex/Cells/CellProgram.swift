import LinearAlgebra

/// A ReLU network whose neurons lie in given simplicial cones:
///
///     minimise ½ ‖y − Σ Φ_j p_j‖² + β Σ ‖R_jᵀ p_j‖   subject to   p_j ≥ 0,
///
/// with the rays of cone j as the rows of R_j and Φ_j = ± D_j X R_jᵀ. In coordinates of rays the cone is an orthant,
/// and the solution lies in it exactly.
struct CellProgram {
  let n: Int
  let r: Int
  /// J.
  let blocks: Int
  /// J × r·r: rays as rows.
  let rays: Matrix
  /// Φ, n × J r.
  let features: Matrix
  let y: [Double]
  let beta: Double

  init(rays: Matrix, features: Matrix, targets y: [Double], beta: Double) {
    n = y.count
    blocks = rays.rows
    r = features.columns / max(1, rays.rows)
    precondition(features.rows == n && rays.columns == r * r)
    (self.rays, self.features, self.y, self.beta) = (rays, features, y, beta)
  }

  var columns: Int { blocks * r }

  /// v_j = R_jᵀ p_j, J × r.
  func combine(_ p: Matrix, into v: Matrix) {
    for b in 0..<blocks {
      let (rays, p, v) = (self.rays.row(b), p.row(b), v.row(b))
      for k in 0..<r {
        var sum = 0.0
        for i in 0..<r { sum += rays[i * r + k] * p[i] }
        v[k] = sum
      }
    }
  }

  /// R_j v_j, J × r.
  func multiply(_ v: Matrix, into products: Matrix) {
    for b in 0..<blocks {
      let (rays, v, products) = (self.rays.row(b), v.row(b), products.row(b))
      for i in 0..<r {
        var sum = 0.0
        for k in 0..<r { sum += rays[i * r + k] * v[k] }
        products[i] = sum
      }
    }
  }

  /// target ← target + α Φ p.
  func addPredictions(_ alpha: Double, _ p: Matrix, to target: Matrix) {
    gemv(n, columns, alpha: alpha, features.base, .plain, p.base, beta: 1, target.base)
  }

  /// products ← Φᵀ ν, J × r.
  func correlate(_ nu: Matrix, into products: Matrix) {
    gemv(n, columns, features.base, .transposed, nu.base, products.base)
  }
}
