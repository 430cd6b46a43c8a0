import LinearAlgebra
import Tensors

/// What a Wasserstein GAN with quadratic discriminators asks of generated samples G (N × d) beside data X (n × d):
/// ‖XᵀX − GᵀG‖₂ ≤ β (Sahiner et al. 2021). Where N is not n, each Gram matrix is divided by its number of rows.
///
/// Of all GᵀG the least is V diag(h) Vᵀ, h_k = (σ_k² − β)₊ and V the right singular vectors of X, in every eigenvalue.
package struct GramConstraint {
  /// The h_k above 0, descending, on the scale of GᵀG.
  package let values: [Double]
  /// Rows of Vᵀ that belong to them, r × d.
  let directions: Matrix
  /// σ_k² on the scale of β, descending.
  package let spectrum: [Double]
  package let beta: Double
  /// N.
  package let rows: Int
  private let singular: SingularValues
  /// What Gram matrices of G and of X are divided by.
  private let counts: (ours: Double, theirs: Double)

  /// r.
  package var rank: Int { values.count }

  /// `data` are n × d, `rows` is N. Returns nil if LAPACK does not converge.
  package init?(_ data: Matrix, rows: Int, beta: Double) {
    guard let singular = SingularValues(data) else { return nil }
    let counts = rows == data.rows ? (1.0, 1.0) : (Double(rows), Double(data.rows))
    self.init(singular, counts, rows: rows, beta: beta)
  }

  private init(
    _ singular: SingularValues, _ counts: (ours: Double, theirs: Double), rows: Int, beta: Double
  ) {
    (self.singular, self.counts, self.rows, self.beta) = (singular, counts, rows, beta)
    spectrum = singular.values.map { $0 * $0 / counts.theirs }
    values = spectrum.map { counts.ours * ($0 - beta) }.filter { $0 > 0 }
    directions = Matrix(copying: singular.right.slice(0..<values.count))
  }

  /// The constraint of the same data for another β, at most this one, that leaves `rank` directions, if the data have as many.
  package func allowing(rank: Int) -> GramConstraint {
    guard self.rank < rank, let least = spectrum.prefix(rank).last, least > 0 else { return self }
    // Half way to the next one: no more directions than that, but for equal ones.
    let below = spectrum.dropFirst(rank).first { $0 < least } ?? 0
    return GramConstraint(singular, counts, rows: rows, beta: min(beta, 0.5 * (least + below)))
  }

  /// Throws unless samples of rank `limit`, which `what` allow, can satisfy the constraint.
  package func expectFeasible(rank limit: Int, _ what: String) throws {
    guard rank > limit else { return }
    throw Failure.data(
      "\(what) allow \(limit) direction\(limit == 1 ? "" : "s"), but the data exceed --beta \(beta) in \(rank): no generator "
        + "satisfies the constraint below --beta \(spectrum[limit])")
  }

  /// diag(√h) Vᵀ, r × d.
  var root: Matrix {
    let result = Matrix(copying: directions)
    for k in 0..<rank { scale(result.columns, values[k].squareRoot(), result.row(k)) }
    return result
  }
}

/// Generated samples and the network that makes them.
package struct Generated {
  /// G, N × d.
  package let samples: Matrix
  /// Z and W, of linear generators.
  package var latent: Matrix?
  package var weight: Matrix?
  /// Uᵀ, m × k, and A, m × d, of ReLU generators.
  package var hidden: Matrix?
  package var output: Matrix?
  /// Σ ‖u_j‖ ‖a_j‖ of a ReLU generator, and a lower bound of it for neurons of these directions.
  package var weightNorm: (value: Double, bound: Double)?

  init(samples: Matrix) { self.samples = samples }
}

extension GramConstraint {
  /// G = L diag(√h) Vᵀ of the least ‖G‖_F², with orthonormal columns L (N × r) drawn at random.
  package func free(seed: Int) throws -> Generated {
    try expectFeasible(rank: rows, "\(rows) samples")
    var source = RandomSource(seed: seed)
    let vectors = Matrix(rank, rows)
    for i in 0..<vectors.count { vectors.base[i] = source.gaussian() }
    let factor = OrthogonalFactor(rows)
    guard factor.factor(vectors.base, count: rank) else {
      throw Failure.data("LAPACK found no orthonormal directions")
    }
    factor.basis(into: vectors.base)
    return Generated(samples: product(vectors, .transposed, root, .plain))
  }

  /// G = Z W of the least ‖W‖_F², W = V_z Σ_z⁻¹ diag(√h) Vᵀ: the largest singular values of Z bear the largest h.
  package func linear(_ latent: Matrix, name: String) throws -> Generated {
    let (z, rank) = try decomposed(latent, name: name)
    try expectFeasible(rank: rank, "latent data of rank \(rank)")
    let root = root
    for k in 0..<self.rank { scale(root.columns, 1 / z.values[k], root.row(k)) }
    let weight = product(Matrix(copying: z.right.slice(0..<self.rank)), .transposed, root, .plain)
    var result = Generated(samples: product(latent, .plain, weight, .plain))
    (result.latent, result.weight) = (latent, weight)
    return result
  }

  /// The singular values of `matrix`, and how many of them are more than rounding.
  func decomposed(_ matrix: Matrix, name: String) throws -> (SingularValues, rank: Int) {
    guard let decomposition = SingularValues(matrix) else {
      throw Failure.data("LAPACK found no singular values of \(name)")
    }
    let limit = 1e-12 * (decomposition.values.first ?? 0)
    return (decomposition, decomposition.values.count { $0 > limit })
  }
}
