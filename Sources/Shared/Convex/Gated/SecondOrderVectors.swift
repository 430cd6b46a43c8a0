import LinearAlgebra

/// A vector in a product of second-order cones {(t, u) : ‖u‖ ≤ t}, each of d + 1 numbers.
final class SecondOrderVectors {
  let count: Int
  let dimension: Int
  /// t, and u as rows.
  let head: Matrix
  let tail: Matrix

  init(_ count: Int, _ dimension: Int) {
    (self.count, self.dimension) = (count, dimension)
    head = Matrix(1, count)
    tail = Matrix(count, dimension)
  }

  subscript(i: Int) -> Double {
    get { head.base[i] }
    set { head.base[i] = newValue }
  }

  func row(_ i: Int) -> UnsafeMutablePointer<Double> { tail.row(i) }

  /// t² − ‖u‖² of block i.
  func determinant(_ i: Int) -> Double {
    let length = norm(dimension, row(i))
    return (self[i] - length) * (self[i] + length)
  }

  func dot(_ other: SecondOrderVectors) -> Double {
    LinearAlgebra.dot(count, head.base, other.head.base)
      + LinearAlgebra.dot(tail.count, tail.base, other.tail.base)
  }

  func add(_ step: Double, _ direction: SecondOrderVectors) {
    axpy(count, step, direction.head.base, head.base)
    axpy(tail.count, step, direction.tail.base, tail.base)
  }

  /// (this + s·direction) · (other + t·change), summed over all blocks.
  func dot(
    _ s: Double, _ direction: SecondOrderVectors, _ other: SecondOrderVectors, _ t: Double,
    _ change: SecondOrderVectors
  ) -> Double {
    dot(other) + s * direction.dot(other) + t * dot(change) + s * t * direction.dot(change)
  }

  /// The largest step along `direction` that stays in all cones.
  func largestStep(_ direction: SecondOrderVectors) -> Double {
    var step = 1e9
    let d = dimension
    for i in 0..<count {
      let a = direction.determinant(i)
      let b = self[i] * direction[i] - LinearAlgebra.dot(d, row(i), direction.row(i))
      let c = determinant(i)
      let discriminant = b * b - a * c
      if discriminant >= 0 {
        let root = discriminant.squareRoot()
        for bottom in [-b + root, -b - root] where bottom > 0 { step = min(step, c / bottom) }
      }
      if direction[i] < 0 { step = min(step, -self[i] / direction[i]) }
    }
    return step
  }
}

/// The scaling point of Nesterov and Todd for z and x in second-order cones: W with W z = W⁻¹ x = λ,
/// W = √θ (w, [w₀ w₁ᵀ; w₁ I + w₁w₁ᵀ/(1 + w₀)]).
struct ConeScalingPoint {
  /// w of unit determinant, and θ.
  let w: SecondOrderVectors
  let theta: [Double]
  let lambda: SecondOrderVectors
  private let d: Int

  init(z: SecondOrderVectors, x: SecondOrderVectors) {
    let (count, d) = (z.count, z.dimension)
    self.d = d
    let w = SecondOrderVectors(count, d)
    var theta = [Double](repeating: 0, count: count)
    for i in 0..<count {
      let (gz, gx) = (
        max(z.determinant(i), 1e-300).squareRoot(), max(x.determinant(i), 1e-300).squareRoot()
      )
      let (zi, xi, wi) = (z.row(i), x.row(i), w.row(i))
      let inner = (z[i] * x[i] + LinearAlgebra.dot(d, zi, xi)) / (gz * gx)
      let gamma = (0.5 * (1 + inner)).squareRoot()
      w[i] = (x[i] / gx + z[i] / gz) / (2 * gamma)
      for k in 0..<d { wi[k] = (xi[k] / gx - zi[k] / gz) / (2 * gamma) }
      theta[i] = gx / gz
    }
    self.w = w
    self.theta = theta
    lambda = SecondOrderVectors(count, d)
    for i in 0..<count { lambda[i] = scale(i, z[i], z.row(i), into: lambda.row(i)) }
  }

  /// W v of block i; returns its head.
  func scale(
    _ i: Int, _ head: Double, _ tail: UnsafePointer<Double>, into t: UnsafeMutablePointer<Double>
  ) -> Double {
    let (wi, root) = (w.row(i), theta[i].squareRoot())
    let inner = dot(d, wi, tail)
    let share = head + inner / (1 + w[i])
    for k in 0..<d { t[k] = root * (share * wi[k] + tail[k]) }
    return root * (w[i] * head + inner)
  }

  /// W⁻¹ v of block i.
  func unscale(
    _ i: Int, _ head: Double, _ tail: UnsafePointer<Double>, into t: UnsafeMutablePointer<Double>
  ) -> Double {
    let (wi, root) = (w.row(i), theta[i].squareRoot())
    let inner = dot(d, wi, tail)
    let share = -head + inner / (1 + w[i])
    for k in 0..<d { t[k] = (share * wi[k] + tail[k]) / root }
    return (w[i] * head - inner) / root
  }

  /// W² v = θ (2w(w·v) − Jv) of block i.
  func scaleTwice(
    _ i: Int, _ head: Double, _ tail: UnsafePointer<Double>, into t: UnsafeMutablePointer<Double>
  ) -> Double {
    let wi = w.row(i)
    let inner = w[i] * head + dot(d, wi, tail)
    for k in 0..<d { t[k] = theta[i] * (2 * wi[k] * inner + tail[k]) }
    return theta[i] * (2 * w[i] * inner - head)
  }

  /// λ \ v of block i; \ inverts the cone's product with λ.
  func divide(
    _ i: Int, _ head: Double, _ tail: UnsafePointer<Double>, into t: UnsafeMutablePointer<Double>
  ) -> Double {
    let li = lambda.row(i)
    let share = (lambda[i] * head - dot(d, li, tail)) / max(lambda.determinant(i), 1e-300)
    for k in 0..<d { t[k] = (tail[k] - share * li[k]) / lambda[i] }
    return share
  }
}
