import LinearAlgebra
import Tensors

extension GramConstraint {
  /// G = (Z U)₊ A of the least ‖G‖_F², for neurons of random directions u_j, as many as `neurons`.
  ///
  /// L is free in G = L diag(√h) Vᵀ: it is that of the r largest left singular vectors of the neurons' outputs
  /// F = (Z U)₊. Of all A with F A = G the one of the least weight decay ½ Σ ‖u_j‖² + ‖a_j‖² is taken, which is that of
  /// the least Σ ‖a_j‖ for unit u_j: a group lasso with an equality.
  package func relu(_ latent: Matrix, neurons: Int, seed: Int, name: String) throws -> Generated {
    let k = latent.columns
    try expectMemory(
      8 * Double(neurons) * (6 * Double(latent.rows) + Double(k) + 2 * Double(rank)),
      for: "\(neurons) neurons on \(latent.rows) latent samples")
    var source = RandomSource(seed: seed, stream: 1)
    let directions = Matrix(neurons, k)
    for j in 0..<neurons {
      for i in 0..<k { directions[j, i] = source.gaussian() }
      let length = norm(k, directions.row(j))
      if length > 0 { scale(k, 1 / length, directions.row(j)) }
    }
    let features = rectified(latent, directions)
    let (f, rank) = try decomposed(features, name: name)
    try expectFeasible(
      rank: rank, "latent data whose \(neurons) neurons have outputs of rank \(rank)")
    // In the coordinates of the left singular vectors: Σ V_fᵀ B = (diag(√h); 0).
    let system = Matrix(copying: f.right.slice(0..<rank))
    for i in 0..<rank { scale(neurons, f.values[i], system.row(i)) }
    let target = Matrix(rank, self.rank)
    for i in 0..<self.rank { target[i, i] = values[i].squareRoot() }
    guard let found = GroupInterpolation(system, target) else {
      throw Failure.data("the outputs of the neurons of \(name) are too near to linear dependence")
    }
    let lengths = (0..<neurons).map { norm(self.rank, found.weights.row($0)) }
    let least = 1e-14 * (lengths.max() ?? 0)
    let kept = lengths.indices.filter { lengths[$0] > least }
    let hidden = directions.selecting(kept)
    let output = product(found.weights.selecting(kept), .plain, self.directions, .plain)
    for (place, j) in kept.enumerated() {
      scale(k, lengths[j].squareRoot(), hidden.row(place))
      scale(output.columns, 1 / lengths[j].squareRoot(), output.row(place))
    }
    var result = Generated(samples: product(rectified(latent, hidden), .plain, output, .plain))
    (result.latent, result.hidden, result.output) = (latent, hidden, output)
    result.weightNorm = (found.value, found.bound)
    return result
  }

  /// (Z U)₊, N × m.
  private func rectified(_ latent: Matrix, _ directions: Matrix) -> Matrix {
    let result = product(latent, .plain, directions, .transposed)
    for i in 0..<result.count { result.base[i] = max(0, result.base[i]) }
    return result
  }
}

/// min Σ_j ‖b_j‖ over the rows of B with F B = T, by reweighted least squares: B = D Fᵀ (F D Fᵀ)⁻¹ T with D = diag(‖b_j‖),
/// which is the η-trick with an equality. Every Λ with ‖F_jᵀ Λ‖ ≤ 1 for all columns F_j proves the bound tr ΛᵀT.
struct GroupInterpolation {
  /// B, m × r.
  let weights: Matrix
  private(set) var value = Double.infinity
  private(set) var bound = 0.0

  private static let (iterations, gap, refinements) = (500, 1e-4, 4)

  /// `features` are q × m of full row rank, `target` is q × r. Returns nil if the system is singular to rounding.
  init?(_ features: Matrix, _ target: Matrix) {
    let (m, r) = (features.columns, target.columns)
    weights = Matrix(m, r)
    var shares = [Double](repeating: 1, count: m)
    var best: (shares: [Double], factor: Matrix)?
    for _ in 0..<GroupInterpolation.iterations {
      guard let factor = GroupInterpolation.factor(features, shares) else { break }
      let slopes = GroupInterpolation.slopes(features, factor, target)
      let lengths = (0..<m).map { norm(r, slopes.row($0)) }
      let sizes = zip(shares, lengths).map(*)
      let total = sizes.reduce(0, +)
      guard total.isFinite else { break }
      // tr ΛᵀT = tr ΛᵀF B = Σ ‖F_jᵀΛ‖² d_j.
      if let largest = lengths.max(), largest > 0 {
        bound = max(bound, zip(sizes, lengths).reduce(0) { $0 + $1.0 * $1.1 } / largest)
      }
      if total < value { (value, best) = (total, (shares, factor)) }
      if value - bound <= GroupInterpolation.gap * value { break }
      let floor = 1e-10 * (sizes.max() ?? 0)
      shares = sizes.map { max($0, floor) }
    }
    guard let best else { return nil }
    // What is missing is interpolated too: small shares make the system ill-conditioned.
    let rest = Matrix(copying: target)
    for _ in 0..<GroupInterpolation.refinements {
      let slopes = GroupInterpolation.slopes(features, best.factor, rest)
      for j in 0..<m { axpy(r, best.shares[j], slopes.row(j), weights.row(j)) }
      rest.copy(from: target)
      let reached = product(features, .plain, weights, .plain)
      axpy(rest.count, -1, reached.base, rest.base)
      withExtendedLifetime(reached) {}
    }
  }

  /// The Cholesky factor of F D Fᵀ; nil if it is singular to rounding.
  private static func factor(_ features: Matrix, _ shares: [Double]) -> Matrix? {
    let weighted = Matrix(copying: features)
    for i in 0..<features.rows {
      for j in shares.indices { weighted[i, j] *= shares[j] }
    }
    let gram = product(weighted, .plain, features, .transposed)
    return choleskyLower(gram.rows, gram.base) ? gram : nil
  }

  /// Fᵀ (F D Fᵀ)⁻¹ T, m × r.
  private static func slopes(_ features: Matrix, _ factor: Matrix, _ target: Matrix) -> Matrix {
    let dual = target.transposed
    choleskySolve(factor.rows, factor.base, dual.base, count: dual.rows)
    return product(features, .transposed, dual, .transposed)
  }
}
