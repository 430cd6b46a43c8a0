import LinearAlgebra

/// The approximate inverse of Fᵀ diag(h) F + β diag((I − u_i u_iᵀ)/‖w_i‖) with u_i = w_i/‖w_i‖, the second derivative of
/// ℓ(F w) + β Σ_i ‖w_i‖ if no w_i is zero (h is 1 for the squared loss): each member's own block exactly, and besides it the weights that all members
/// share, d for each output, which F magnifies most (a two-level additive Schwarz method).
final class GroupPreconditioner {
  private let features: ActiveFeatures
  private let d: Int
  /// Xᵀ D_i diag(h) X of members that are or were active, by member.
  private var grams: [Int: Matrix] = [:]
  /// The factor of Xᵀ D_i diag(h) X + β/‖w_i‖ I of each active member.
  private var factors: [Matrix] = []
  /// The inverse of that block times u_i, A·C × d, and the factors by which −β/‖w_i‖ u_i u_iᵀ corrects a product.
  private var solved = Matrix(0, 0)
  private var corrections: [Double] = []
  /// The factor of the shared weights' block, and C vectors for them.
  private var shared = Matrix(0, 0)
  private let sharedPart: Matrix
  private var sharedMembers: [Int] = []
  private var sharedGram = Matrix(0, 0)

  /// Bytes that the Gram matrices may take.
  static let memory = 1 << 30
  /// Relative to the mean diagonal, for features that are zero or nearly dependent.
  private static let ridge = 1e-12

  init(_ features: ActiveFeatures) {
    self.features = features
    d = features.dimension
    sharedPart = Matrix(features.outputs, d)
  }

  /// Forgets what it knows of features whose second derivatives h have changed.
  func forget() {
    grams = [:]
    sharedMembers = []
  }

  /// Xᵀ D_i diag(h) X.
  func gram(_ member: Int) -> Matrix {
    if let known = grams[member] { return known }
    let gram = features.gram(member)
    grams[member] = gram
    return gram
  }

  /// Takes the active members with their directions `u`, A·C × d, and `curvatures` β/‖w_i‖; false if there are too many
  /// of them, if a block is not positive definite, or if `proceed` ends it.
  func take(_ u: Matrix, curvatures: [Double], proceed: () -> Bool) -> Bool {
    let (active, outputs) = (features.active, features.outputs)
    guard 16 * active.count * d * d <= GroupPreconditioner.memory else { return false }
    if grams.count > 2 * active.count + 64 { grams = grams.filter { active.contains($0.key) } }
    for i in active {
      guard proceed() else { return false }
      _ = gram(i)
    }
    factors = active.map { _ in Matrix(d, d) }
    solved = Matrix(copying: u)
    corrections = active.map { _ in 0 }
    var isDefinite = active.map { _ in false }
    Threads.split(active.count) { range in
      for k in range {
        let (factor, gram) = (self.factors[k], self.grams[active[k]]!)
        factor.copy(from: gram)
        isDefinite[k] = self.factor(factor, curvatures[k])
        let row = self.solved.row(k * outputs)
        choleskySolve(self.d, factor.base, row, count: outputs)
        let size = curvatures[k] * dot(outputs * self.d, u.row(k * outputs), row)
        self.corrections[k] = curvatures[k] / max(1 - size, 1e-10)
      }
    }
    guard isDefinite.allSatisfy({ $0 }) else { return false }
    guard active.count > 1 else { return true }
    if sharedMembers != active {
      sharedGram = features.sharedGram()
      sharedMembers = active
    }
    shared = Matrix(copying: sharedGram)
    return factor(shared, curvatures.reduce(0, +))
  }

  /// Replaces A by the factor of A + `shift` I.
  private func factor(_ a: Matrix, _ shift: Double) -> Bool {
    var trace = 0.0
    for k in 0..<d { trace += a[k, k] }
    let ridge = GroupPreconditioner.ridge * trace / Double(max(1, d))
    for k in 0..<d { a[k, k] += shift + ridge }
    return choleskyLower(d, a.base)
  }

  /// z ← the approximate inverse times r, both A·C × d; `u` is the one that `take` was given.
  func apply(_ r: UnsafePointer<Double>, _ u: Matrix, into z: UnsafeMutablePointer<Double>) {
    let (count, outputs, width) = (factors.count, features.outputs, features.outputs * d)
    Threads.split(count, grain: max(1, 100_000 / (width * d))) { range in
      for k in range {
        let row = z + k * width
        row.update(from: r + k * width, count: width)
        choleskySolve(self.d, self.factors[k].base, row, count: outputs)
        let along = dot(width, u.row(k * outputs), row)
        axpy(width, self.corrections[k] * along, self.solved.row(k * outputs), row)
      }
    }
    guard count > 1 else { return }
    sharedPart.fill(0)
    for k in 0..<count { axpy(width, 1, r + k * width, sharedPart.base) }
    choleskySolve(d, shared.base, sharedPart.base, count: outputs)
    for k in 0..<count { axpy(width, 1, sharedPart.base, z + k * width) }
  }
}
