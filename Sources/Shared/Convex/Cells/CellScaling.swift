import Glibc
import LinearAlgebra

/// An iterate of the interior-point method: p and λ of the orthants, (τ, v) and (β, g) of the second-order cones.
struct CellIterate {
  /// J × r.
  let p: Matrix
  let lambda: Matrix
  let v: Matrix
  let g: Matrix
  /// J × 1.
  let tau: Matrix

  init(blocks: Int, rank r: Int) {
    (p, lambda) = (Matrix(blocks, r), Matrix(blocks, r))
    (v, g, tau) = (Matrix(blocks, r), Matrix(blocks, r), Matrix(blocks, 1))
  }
}

/// The Nesterov–Todd scaling of each second-order cone, W = η [[w₀, w₁ᵀ], [w₁, I + w₁w₁ᵀ/(1 + w₀)]], and the factor of
/// what is left of each block's equations once τ is eliminated: C = diag(λ/p) + R B Rᵀ.
final class CellScaling {
  private let program: CellProgram
  private let w0: Matrix
  private let w1: Matrix
  private let eta: Matrix
  /// W (β, g), J × 1 and J × r.
  let l0: Matrix
  let l1: Matrix
  /// The first row of W⁻², J × 1 and J × r.
  let h00: Matrix
  let h01: Matrix
  /// B^½ and its products with the rays, J × r·r.
  private let root: Matrix
  private let rootRays: Matrix
  /// Upper triangles U⁻¹ with C⁻¹ = U⁻¹ U⁻ᵀ, J × r·r.
  let inverse: Matrix

  init(_ program: CellProgram) {
    self.program = program
    let (j, r) = (program.blocks, program.r)
    (w0, eta, l0, h00) = (Matrix(j, 1), Matrix(j, 1), Matrix(j, 1), Matrix(j, 1))
    (w1, l1, h01) = (Matrix(j, r), Matrix(j, r), Matrix(j, r))
    (root, rootRays, inverse) = (Matrix(j, r * r), Matrix(j, r * r), Matrix(j, r * r))
  }

  func update(_ at: CellIterate) {
    let (r, beta) = (program.r, program.beta)
    Threads.split(program.blocks, grain: 512) { blocks in
      for b in blocks {
        let (v, g, w1, h01) = (at.v.row(b), at.g.row(b), self.w1.row(b), self.h01.row(b))
        var (vn, gn) = (0.0, 0.0)
        for k in 0..<r {
          vn += v[k] * v[k]
          gn += g[k] * g[k]
        }
        (vn, gn) = (vn.squareRoot(), gn.squareRoot())
        let tau = at.tau.base[b]
        // Products are used because differences of squares lose digits near the boundary.
        let sn = max((tau - vn) * (tau + vn), 1e-300).squareRoot()
        let zn = max((beta - gn) * (beta + gn), 1e-300).squareRoot()
        var product = tau / sn * (beta / zn)
        for k in 0..<r { product += v[k] / sn * (g[k] / zn) }
        let gamma = (0.5 * (1 + product)).squareRoot()
        let w0 = (tau / sn + beta / zn) / (2 * gamma)
        let eta = (sn / zn).squareRoot()
        var (square, inner) = (0.0, 0.0)
        for k in 0..<r {
          w1[k] = (v[k] / sn - g[k] / zn) / (2 * gamma)
          square += w1[k] * w1[k]
          inner += w1[k] * g[k]
        }
        self.w0.base[b] = w0
        self.eta.base[b] = eta
        h00.base[b] = (1 + 2 * square) / (eta * eta)
        for k in 0..<r { h01[k] = -2 * w0 / (eta * eta) * w1[k] }
        l0.base[b] = eta * (w0 * beta + inner)
        for k in 0..<r { l1[b, k] = eta * (g[k] + w1[k] * (beta + inner / (1 + w0))) }
        // B^½ = (I − (1 − 1/√(1 + 2‖w₁‖²)) ŵŵᵀ)/η.
        let factor = (1 - 1 / (1 + 2 * square).squareRoot()) / max(square, 1e-300)
        let (root, rootRays, rays) = (self.root.row(b), self.rootRays.row(b), program.rays.row(b))
        for i in 0..<r {
          for k in 0..<r { root[i * r + k] = ((i == k ? 1 : 0) - factor * w1[i] * w1[k]) / eta }
        }
        for i in 0..<r {
          for k in 0..<r {
            var sum = 0.0
            for m in 0..<r { sum += root[k * r + m] * rays[i * r + m] }
            rootRays[i * r + k] = sum
          }
        }
        factorize(b, at.p.row(b), at.lambda.row(b))
      }
    }
  }

  /// U of the QR factorisation of [√(λ/p) I; B^½ Rᵀ], and its inverse, by Gram and Schmidt's method, which
  /// orthogonalises each of the r columns of 2r entries twice.
  private func factorize(
    _ b: Int, _ p: UnsafePointer<Double>, _ lambda: UnsafePointer<Double>
  ) {
    let r = program.r
    let (rootRays, inverse) = (self.rootRays.row(b), self.inverse.row(b))
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * r * r) { buffer in
      let columns = buffer.baseAddress!
      let triangle = columns + 2 * r * r
      triangle.update(repeating: 0, count: r * r)
      for k in 0..<r {
        let column = columns + 2 * r * k
        for m in 0..<r {
          column[m] = m == k ? (lambda[k] / p[k]).squareRoot() : 0
          column[r + m] = rootRays[k * r + m]
        }
        for _ in 0..<2 {
          for e in 0..<k {
            let earlier = columns + 2 * r * e
            var overlap = 0.0
            for m in 0..<2 * r { overlap += earlier[m] * column[m] }
            for m in 0..<2 * r { column[m] -= overlap * earlier[m] }
            triangle[e * r + k] += overlap
          }
        }
        var length = 0.0
        for m in 0..<2 * r { length += column[m] * column[m] }
        length = length.squareRoot()
        triangle[k * r + k] = length
        for m in 0..<2 * r { column[m] /= length }
      }
      for m in 0..<r {
        for k in m + 1..<max(r, m + 1) { inverse[k * r + m] = 0 }
        inverse[m * r + m] = 1 / triangle[m * r + m]
        for k in stride(from: m - 1, through: 0, by: -1) {
          var sum = 0.0
          for e in k + 1...m { sum += triangle[k * r + e] * inverse[e * r + m] }
          inverse[k * r + m] = -sum / triangle[k * r + k]
        }
      }
    }
  }

  /// x_j ← C_j⁻¹ x_j, J × r.
  func solve(_ x: Matrix) {
    let r = program.r
    withUnsafeTemporaryAllocation(of: Double.self, capacity: r) { half in
      for b in 0..<program.blocks {
        let (inverse, x) = (inverse.row(b), x.row(b))
        for m in 0..<r {
          var sum = 0.0
          for k in 0...m { sum += inverse[k * r + m] * x[k] }
          half[m] = sum
        }
        for k in 0..<r {
          var sum = 0.0
          for m in k..<r { sum += inverse[k * r + m] * half[m] }
          x[k] = sum
        }
      }
    }
  }

  /// target_b ← target_b − R B Rᵀ p of block b.
  func subtractCurvature(
    _ b: Int, _ p: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
  ) {
    let r = program.r
    let rootRays = self.rootRays.row(b)
    for k in 0..<r {
      var half = 0.0
      for i in 0..<r { half += rootRays[i * r + k] * p[i] }
      for i in 0..<r { target[i] -= rootRays[i * r + k] * half }
    }
  }

  /// target_b ← target_b − B v of block b.
  func subtractRootSquare(
    _ b: Int, _ v: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
  ) {
    let r = program.r
    let root = self.root.row(b)
    for m in 0..<r {
      var half = 0.0
      for k in 0..<r { half += root[m * r + k] * v[k] }
      for i in 0..<r { target[i] -= root[i * r + m] * half }
    }
  }

  /// x ← W x of block b, x = (x₀, x₁).
  func apply(_ b: Int, _ x0: inout Double, _ x1: UnsafeMutablePointer<Double>) {
    let (r, w1, w0, eta) = (program.r, self.w1.row(b), self.w0.base[b], self.eta.base[b])
    var inner = 0.0
    for k in 0..<r { inner += w1[k] * x1[k] }
    for k in 0..<r { x1[k] = (x1[k] + w1[k] * (x0 + inner / (1 + w0))) * eta }
    x0 = (w0 * x0 + inner) * eta
  }

  /// x ← W⁻¹ x of block b.
  func applyInverse(_ b: Int, _ x0: inout Double, _ x1: UnsafeMutablePointer<Double>) {
    let (r, w1, w0, eta) = (program.r, self.w1.row(b), self.w0.base[b], self.eta.base[b])
    var inner = 0.0
    for k in 0..<r { inner += w1[k] * x1[k] }
    for k in 0..<r { x1[k] = (x1[k] + w1[k] * (inner / (1 + w0) - x0)) / eta }
    x0 = (w0 * x0 - inner) / eta
  }
}
