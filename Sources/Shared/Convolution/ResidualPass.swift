import LinearAlgebra

/// What a residual ν = Y − F W sums up to: T = Fᵀν, Q × C, and ‖ν‖² and νᵀy of each output.
struct ResidualSums {
  let directions: Matrix
  let squares: [Double]
  let products: [Double]
}

/// The result of one reading of all samples for weights W, in double precision throughout: ŷ = F W, ν = Y − ŷ and T =
/// Fᵀν.
struct ResidualPass {
  /// ŷ and ν, n × C.
  let predictions: Matrix
  let residual: Matrix
  let sums: ResidualSums

  init(
    _ stream: FeatureStream, weights: Matrix, targets: Matrix, progress: (String) -> Void
  ) {
    let (n, q, columns) = (targets.rows, stream.features.order, targets.columns)
    let (predictions, residual) = (Matrix(n, columns), Matrix(n, columns))
    let parts = (0..<stream.workers).map { _ in Matrix(q, columns) }
    _ = stream.run(
      0..<n, round: 1000, proceed: { true },
      use: { worker, samples, f in
        let (fitted, nu) = (predictions.row(samples.lowerBound), residual.row(samples.lowerBound))
        let y = targets.row(samples.lowerBound)
        gemm(samples.count, columns, q, f, .plain, weights.base, .plain, fitted)
        for k in 0..<samples.count * columns { nu[k] = y[k] - fitted[k] }
        // T += Fᵀν
        gemm(
          q, columns, samples.count, f, .transposed, nu, .plain, beta: 1, parts[worker].base)
      },
      next: { samples in
        progress("certificate: \(100 * samples.upperBound / n) % of \(n) images")
      })
    self.predictions = predictions
    self.residual = residual
    func sums(_ other: Matrix) -> [Double] {
      (0..<columns).map { c in
        var sum = CompensatedSum()
        for i in 0..<n { sum.add(residual[i, c], times: other[i, c]) }
        return sum.value
      }
    }
    self.sums = ResidualSums(
      directions: FeatureMoments.sum(parts), squares: sums(residual), products: sums(targets))
  }
}
