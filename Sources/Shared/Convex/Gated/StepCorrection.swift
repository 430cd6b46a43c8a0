import LinearAlgebra

/// Brings the step of an approximate Hessian nearer to that of H itself, of which there are only products.
enum StepCorrection {
  /// Products with H that a step is worth.
  private static let maximumProducts = 6

  /// Improves `p` (`count` numbers) as a minimiser of ½ pᵀHp − rᵀp over the members that it leaves above
  /// their `lower` bounds, by conjugate gradients preconditioned by the approximation `h`. `multiply` is
  /// given v and where H v goes.
  static func improve(
    _ p: UnsafeMutablePointer<Double>, _ count: Int, _ right: UnsafePointer<Double>,
    lower: UnsafePointer<Double>, hessian h: UnsafePointer<Double>,
    multiply: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) {
    let free = (0..<count).filter { p[$0] > lower[$0] }
    let block = Matrix(free.count, free.count)
    for (a, i) in free.enumerated() {
      for (b, j) in free.enumerated() { block[a, b] = h[i * count + j] }
      block[a, a] *= 1 + 1e-9
    }
    guard !free.isEmpty, choleskyLower(free.count, block.base) else { return }
    let vectors = Matrix(4, count)
    let (residual, z) = (vectors.row(0), vectors.row(1))
    let (direction, image) = (vectors.row(2), vectors.row(3))
    let part = Matrix(1, free.count)
    /// z ← h⁻¹ residual over the free members; returns residualᵀ z.
    func condition() -> Double {
      for (a, i) in free.enumerated() { part.base[a] = residual[i] }
      choleskySolve(free.count, block.base, part.base, count: 1)
      for (a, i) in free.enumerated() { z[i] = part.base[a] }
      return dot(count, residual, z)
    }
    multiply(p, image)
    for k in 0..<count { residual[k] = right[k] - image[k] }
    var size = condition()
    let goal = 1e-2 * size
    direction.update(from: z, count: count)
    for _ in 1..<maximumProducts where size > goal && size.isFinite {
      multiply(direction, image)
      let curvature = dot(count, direction, image)
      guard curvature > 0 else { break }
      axpy(count, size / curvature, direction, p)
      axpy(count, -size / curvature, image, residual)
      let next = condition()
      scale(count, next / size, direction)
      axpy(count, 1, z, direction)
      size = next
    }
    for k in 0..<count { p[k] = max(p[k], lower[k]) }
  }
}
