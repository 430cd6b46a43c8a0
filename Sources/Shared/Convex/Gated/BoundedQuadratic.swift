import Glibc
import LinearAlgebra

/// Minimises ½ pᵀHp − rᵀp over p ≥ ℓ for a positive semidefinite H, by block principal pivoting: all wrong signs change
/// at once; if this does not reduce their number, they change one at a time until it falls (Júdice and Pires 1994).
package final class BoundedQuadratic {
  package init() {}

  private var capacity = 0
  private var scaled = Matrix(0, 0)
  private var system = Matrix(0, 0)
  private var vectors = Matrix(0, 0)
  private var free: [Bool] = []
  private var places: [Int] = []
  private var wrong: [Int] = []

  /// Relative to the unit diagonal that H is scaled to: patterns that nearly coincide make it singular.
  private static let ridge = 1e-11
  /// How often all signs may change without a fall in the number of wrong ones.
  private static let patience = 5

  /// `h` (order × order, both triangles) and `lower` ≤ 0; `p` ← the minimiser. `damping` times its
  /// diagonal is added to H.
  package func minimize(
    _ order: Int, _ h: UnsafePointer<Double>, _ r: UnsafePointer<Double>,
    lower: UnsafePointer<Double>, damping: Double = 0, into p: UnsafeMutablePointer<Double>
  ) {
    reserve(order)
    let (scale, right, bound, x, gradient) = (
      vectors.row(0), vectors.row(1), vectors.row(2), vectors.row(3), vectors.row(4)
    )
    var largest = 0.0
    for i in 0..<order {
      let diagonal = h[i * order + i]
      scale[i] = diagonal > 0 ? 1 / diagonal.squareRoot() : 1
      right[i] = scale[i] * r[i]
      bound[i] = lower[i] / scale[i]
      largest = max(largest, abs(right[i]))
    }
    let s = scaled.base
    for i in 0..<order {
      for j in 0..<order { s[i * order + j] = h[i * order + j] * scale[i] * scale[j] }
      s[i * order + i] = 1 + max(damping, BoundedQuadratic.ridge)
    }
    for i in 0..<order { free[i] = true }
    var (fewest, patience) = (order + 1, BoundedQuadratic.patience)
    for _ in 0..<max(200, 5 * order) {
      for i in 0..<order { x[i] = bound[i] }
      solveFree(order, right, x)
      // s x − right is the gradient, and for a variable at its bound the multiplier.
      gemv(order, order, s, .plain, x, gradient)
      wrong.removeAll(keepingCapacity: true)
      for i in 0..<order {
        let isWrong =
          free[i]
          ? x[i] < bound[i] - 1e-15 * abs(bound[i])
          : gradient[i] - right[i] < -1e-12 * largest
        if isWrong { wrong.append(i) }
      }
      guard let last = wrong.last else { break }
      if wrong.count < fewest {
        (fewest, patience) = (wrong.count, BoundedQuadratic.patience)
      } else {
        patience -= 1
      }
      if patience > 0 {
        for i in wrong { free[i].toggle() }
      } else {
        free[last].toggle()
      }
    }
    for i in 0..<order { p[i] = max(lower[i], x[i] * scale[i]) }
  }

  /// x_F ← the solution of H_FF x_F = r_F − H_FB x_B over the free variables F.
  private func solveFree(
    _ order: Int, _ right: UnsafePointer<Double>, _ x: UnsafeMutablePointer<Double>
  ) {
    places.removeAll(keepingCapacity: true)
    for i in 0..<order where free[i] { places.append(i) }
    let count = places.count
    guard count > 0 else { return }
    let solution = vectors.row(5)
    let s = scaled.base
    for (a, i) in places.enumerated() {
      var value = right[i]
      for j in 0..<order where !free[j] { value -= s[i * order + j] * x[j] }
      solution[a] = value
    }
    var ridge = 0.0
    repeat {
      for (a, i) in places.enumerated() {
        for b in 0...a { system.base[a * count + b] = s[i * order + places[b]] }
        system.base[a * count + a] += ridge
      }
      ridge = max(1000 * BoundedQuadratic.ridge, 1000 * ridge)
    } while !choleskyLower(count, system.base) && ridge < 1
    choleskySolve(count, system.base, solution, count: 1)
    for (a, i) in places.enumerated() { x[i] = solution[a] }
  }

  private func reserve(_ order: Int) {
    guard order > capacity else { return }
    capacity = max(order, 2 * capacity)
    scaled = Matrix(capacity, capacity)
    system = Matrix(capacity, capacity)
    vectors = Matrix(6, capacity)
    free = Array(repeating: true, count: capacity)
    places.reserveCapacity(capacity)
    wrong.reserveCapacity(capacity)
  }
}
