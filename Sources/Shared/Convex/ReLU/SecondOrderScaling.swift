import Glibc
import LinearAlgebra

/// The Nesterov–Todd scaling W of one second-order cone at the primal point (τ, v) and the dual point
/// (β, g): W (τ, v) scaled down and W⁻¹ (β, g) scaled up agree. W = η [w₀ w₁ᵀ; w₁ I + w₁w₁ᵀ/(1 + w₀)].
///
/// With τ eliminated the cone adds to the Newton matrix of v the block
/// η⁻² (I − 2/(1 + 2‖w₁‖²) w₁ w₁ᵀ) (Nesterov and Todd 1997; Andersen, Roos and Terlaky 2003).
package struct SecondOrderScaling {
  private let d: Int
  private(set) var eta = 1.0
  private(set) var w0 = 1.0
  /// w₁, d numbers; its memory is the caller's.
  private let w1: UnsafeMutablePointer<Double>
  /// ‖w₁‖².
  private var square = 0.0

  package init(_ d: Int, storage: UnsafeMutablePointer<Double>) {
    self.d = d
    w1 = storage
  }

  /// √((a − ‖b‖)(a + ‖b‖)).
  static func depth(_ a: Double, _ b: Double) -> Double {
    max((a - b) * (a + b), 1e-300).squareRoot()
  }

  package mutating func update(
    tau: Double, _ v: UnsafePointer<Double>, beta: Double, _ g: UnsafePointer<Double>
  ) {
    let s = SecondOrderScaling.depth(tau, norm(d, v))
    let z = SecondOrderScaling.depth(beta, norm(d, g))
    let gamma = ((1 + (tau * beta + dot(d, v, g)) / (s * z)) / 2).squareRoot()
    w0 = (tau / s + beta / z) / (2 * gamma)
    square = 0
    for k in 0..<d {
      w1[k] = (v[k] / s - g[k] / z) / (2 * gamma)
      square += w1[k] * w1[k]
    }
    eta = (s / z).squareRoot()
  }

  /// The diagonal η⁻² and the factor of −w₁w₁ᵀ of the reduced block.
  package var diagonal: Double { 1 / (eta * eta) }
  package var rankOne: Double { 2 / (eta * eta * (1 + 2 * square)) }
  package var vector: UnsafePointer<Double> { UnsafePointer(w1) }

  /// (a₀, a) ← W⁻¹ (a₀, a).
  package func unscale(_ a0: inout Double, _ a: UnsafeMutablePointer<Double>) {
    let inner = dot(d, w1, a)
    let factor = -a0 + inner / (1 + w0)
    a0 = (w0 * a0 - inner) / eta
    for k in 0..<d { a[k] = (a[k] + w1[k] * factor) / eta }
  }

  /// (a₀, a) ← W (a₀, a).
  package func scale(_ a0: inout Double, _ a: UnsafeMutablePointer<Double>) {
    let inner = dot(d, w1, a)
    let factor = a0 + inner / (1 + w0)
    a0 = (w0 * a0 + inner) * eta
    for k in 0..<d { a[k] = (a[k] + w1[k] * factor) * eta }
  }

  /// Mehrotra's corrector: the right-hand side b of W-scaled complementarity (λ ∘ b = `target` e − λ∘λ − dx∘ds) with λ
  /// = (l₀, l) and the predictor's changes (dτ, dv) and (0, dg). These are overwritten: `dg` becomes the vector part of
  /// b; returns b₀.
  package func corrector(
    target: Double, _ l0: Double, _ l: UnsafePointer<Double>, tau: Double,
    _ dv: UnsafeMutablePointer<Double>, _ dg: UnsafeMutablePointer<Double>
  ) -> Double {
    var (x0, y0) = (tau, 0.0)
    unscale(&x0, dv)
    scale(&y0, dg)
    let c0 = target - l0 * l0 - dot(d, l, l) - (x0 * y0 + dot(d, dv, dg))
    for k in 0..<d { dg[k] = -2 * l0 * l[k] - (x0 * dg[k] + y0 * dv[k]) }
    let length = norm(d, l)
    let determinant = max((l0 - length) * (l0 + length), 1e-300)
    let first = (l0 * c0 - dot(d, l, dg)) / determinant
    for k in 0..<d { dg[k] = (dg[k] - l[k] * first) / l0 }
    return first
  }

  /// The elimination of τ for b = W⁻¹ of a right-hand side: b₁ ← b₁ − h₀₁ b₀/h₀₀ in place; returns b₀/h₀₀.
  package func eliminate(_ b0: Double, _ b: UnsafeMutablePointer<Double>) -> Double {
    // h₀₀ = η⁻² (1 + 2‖w₁‖²), h₀₁ = −2 η⁻² w₀ w₁
    let first = b0 * eta * eta / (1 + 2 * square)
    axpy(d, 2 * w0 / (eta * eta) * first, w1, b)
    return first
  }

  /// dτ for dv.
  package func tau(_ first: Double, _ dv: UnsafePointer<Double>) -> Double {
    first + 2 * w0 * dot(d, w1, dv) / (1 + 2 * square)
  }

  /// target ← target + sign · (reduced block) · dv.
  package func apply(
    _ sign: Double, _ dv: UnsafePointer<Double>, addingTo target: UnsafeMutablePointer<Double>
  ) {
    let inner = rankOne * dot(d, w1, dv)
    let diagonal = diagonal
    for k in 0..<d { target[k] += sign * (diagonal * dv[k] - inner * w1[k]) }
  }

  /// The largest step ≤ `limit` for which (x₀, x) + step · (y₀, y) stays in the cone.
  package static func step(
    _ d: Int, _ x0: Double, _ x: UnsafePointer<Double>, _ y0: Double, _ y: UnsafePointer<Double>,
    limit: Double
  ) -> Double {
    let a = y0 * y0 - dot(d, y, y)
    let b = x0 * y0 - dot(d, x, y)
    let length = norm(d, x)
    let c = max((x0 - length) * (x0 + length), 1e-300)
    let discriminant = b * b - a * c
    guard a < 0 || (b < 0 && discriminant >= 0) else { return limit }
    let root = c / (-b + max(discriminant, 0).squareRoot())
    return root > 0 ? min(limit, root) : limit
  }
}
