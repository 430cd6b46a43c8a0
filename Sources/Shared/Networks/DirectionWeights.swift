import Convex
import LinearAlgebra

/// The best lengths of neurons whose directions and patterns stay: min ℓ(Σ α_j h_j) + β Σ α_j over α ≥ 0, by Newton's
/// method, whose steps are non-negative least squares. It removes neurons that others make useless.
struct DirectionWeights {
  let objective: BalancedObjective

  /// With more neurons of an output the least squares would take longer than descent.
  private static let mostNeurons = 400
  /// Damping relative to the curvature of the squared loss.
  private static let (leastDamping, mostDamping) = (1e-12, 1e3)

  /// Whether the loss has the curvature that the method needs.
  var applies: Bool { objective.loss.isSeparable && objective.loss.isDifferentiable }

  /// `neurons` with new lengths, without those of length 0; as they are if nothing is gained.
  func improved(_ neurons: Neurons) -> Neurons {
    guard applies, neurons.count > 0 else { return neurons }
    let classes = objective.targets.columns
    var kept: [Int] = []
    let result = Neurons(
      filters: Matrix(copying: neurons.filters), signs: neurons.signs, outputs: neurons.outputs)
    let hidden = objective.hidden(of: neurons)
    let d = neurons.filters.columns
    for c in 0..<classes {
      let members = (0..<neurons.count).filter { neurons.outputs[$0] == c }
      guard members.count <= DirectionWeights.mostNeurons else { return neurons }
      let lengths = members.map { norm(d, neurons.filters.row($0)) }
      let columns = Matrix(members.count, hidden.columns)
      for (k, j) in members.enumerated() where lengths[k] > 0 {
        axpy(hidden.columns, neurons.signs[j] / lengths[k], hidden.row(j), columns.row(k))
      }
      let best = weights(columns, Matrix(hidden.columns, 1, objective.targets.column(c)), lengths)
      for (k, j) in members.enumerated() where lengths[k] > 0 {
        scale(d, best[k] / lengths[k], result.filters.row(j))
        if best[k] > 0 { kept.append(j) }
      }
    }
    kept.sort()
    return result.selecting(kept)
  }

  /// α from `start`; `columns` are m × n.
  private func weights(_ columns: Matrix, _ y: Matrix, _ start: [Double]) -> [Double] {
    let (m, n) = (columns.rows, columns.columns)
    let loss = objective.loss
    var alpha = start
    let predictions = Matrix(n, 1)
    let (slope, curvature) = (Matrix(n, 1), Matrix(n, 1))
    let weighted = Matrix(m, n)
    let gram = Matrix(m, m)
    let squares = SmallLeastSquares(capacity: max(1, m))
    func predict(_ alpha: [Double]) -> Double {
      gemv(m, n, columns.base, .transposed, alpha, predictions.base)
      return loss.value(predictions, y) + objective.beta * alpha.reduce(0, +)
    }
    var value = predict(alpha)
    let sizes = (0..<m).map { dot(n, columns.row($0), columns.row($0)) }
    // Where the loss is straight its curvature tells nothing: then steps are damped until they gain something.
    var damping = DirectionWeights.leastDamping
    for _ in 0..<100 {
      loss.residual(predictions, y, into: slope)
      loss.curvature(predictions, y, into: curvature)
      for j in 0..<m {
        for i in 0..<n { weighted[j, i] = columns[j, i] * curvature.base[i] }
      }
      gemm(m, m, n, weighted.base, .plain, columns.base, .transposed, gram.base)
      // ½ (α' − α)ᵀ H (α' − α) − (hᵀν − β)ᵀ (α' − α).
      for j in 0..<m {
        squares.setRight(
          j,
          dot(n, columns.row(j), slope.base) - objective.beta + dot(m, gram.row(j), alpha)
            + damping * sizes[j] * alpha[j])
        for k in 0...j { squares.setGram(j, k, gram[j, k]) }
        squares.setGram(j, j, gram[j, j] + damping * sizes[j])
      }
      squares.solve(m, startingWith: alpha.indices.filter { alpha[$0] > 0 })
      let target = (0..<m).map { squares.x[$0] }
      var step = 1.0
      var next = value
      var trial = target
      for _ in 0..<30 {
        trial = (0..<m).map { max(0, alpha[$0] + step * (target[$0] - alpha[$0])) }
        next = predict(trial)
        if next <= value { break }
        step *= 0.5
      }
      guard next < value else {
        damping *= 1000
        if loss.name == .squared || damping > DirectionWeights.mostDamping { break }
        _ = predict(alpha)
        continue
      }
      damping = max(DirectionWeights.leastDamping, 0.01 * damping)
      let gain = value - next
      (alpha, value) = (trial, next)
      if loss.name == .squared && step == 1 || gain <= 1e-13 * abs(value) { break }
    }
    return alpha
  }
}
