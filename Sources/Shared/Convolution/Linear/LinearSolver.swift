import Convex
import LinearAlgebra
import Schema

/// A program of linear networks.
package struct LinearProgram {
  /// `linear` or `circular`.
  package let activation: Activation
  /// Whether the filters of a circular network are shared by all outputs; others share them.
  package let grouping: WeightGrouping
  package let loss: LossName

  package init(activation: Activation, grouping: WeightGrouping, loss: LossName) {
    precondition(activation.isLinear, "a linear network")
    self.activation = activation
    self.grouping = grouping
    self.loss = loss
  }
}

/// Trains linear networks, min ℓ(ΦZ) + β ‖Z‖, by the alternating direction method of multipliers (Boyd et al.
/// 2011): with the constraint Z = W for squared loss, whose part is a linear system, and for other losses with
/// V = ΦW besides. Both parts are then proximal maps. The certificate is that of the best scaled residual.
package final class LinearSolver: RegularizedSolver {
  package let betaMax: Double
  private let program: LinearProgram
  private let loss: any Loss
  private let targets: Matrix
  /// Φ, n × q, in the coordinates of the norm.
  private let features: Matrix
  /// Coordinates of the norm to those of the data: d × d; `nil` where they are the same.
  private let basis: Matrix?
  private let norm: any Regularizer
  /// ΦᵀΦ, whole; ΦᵀY, C × q.
  private let gram: Matrix
  private let moment: Matrix

  package init(_ data: LinearData, targets: Matrix, program: LinearProgram) {
    self.program = program
    self.targets = targets
    loss = program.loss.loss
    let (q, classes) = (data.features.columns, targets.columns)
    if program.activation == .circular {
      let basis = FourierBasis.matrix(q)
      self.basis = basis
      features = product(data.features, .plain, basis, .plain)
      norm = FourierNorm(
        outputs: classes, dimension: q, isShared: program.grouping == .perPattern)
    } else {
      basis = nil
      features = data.features
      norm = WeightNorm.nuclear.regularizer(
        .perPattern, outputs: classes, regions: data.regions, dimension: data.dimension)
    }
    gram = Matrix(q, q)
    syrkUpper(q, features.rows, features.base, gram.base)
    gram.mirrorUpper()
    moment = product(targets, .transposed, features, .plain)
    let residual = Matrix(targets.rows, classes)
    loss.residual(Matrix(targets.rows, classes), targets, into: residual)
    let correlations = product(residual, .transposed, features, .plain)
    betaMax = withExtendedLifetime(correlations) { [norm] in norm.dualNorm($0.base) }
  }

  package func start(at point: LinearSolution) -> Matrix? { point.weights }

  package func predictions(_ point: LinearSolution, on data: LinearData) -> Matrix {
    product(data.features, .plain, point.weights, .transposed)
  }

  package func point(
    beta: Double, from start: Matrix?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> LinearSolution {
    let offers = LinearIncumbent(
      features: features, targets: targets, loss: loss, norm: norm, beta: beta)
    let best = offers.best
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: best.primal,
          dual: best.dualValue, neurons: norm.neurons(best.weights.base)))
      budget.publish { compose(best, .stalled, iterations: budget.iterations) }
    }
    if let start { offers.offer(toCoordinates(start)) }
    report()
    var status = Status.optimal
    if best.gap > rule.gap {
      status = iterate(offers, beta: beta, rule: rule, budget: budget, report: report)
    }
    return compose(best, best.gap <= rule.gap ? .optimal : status, iterations: budget.iterations)
  }

  /// The best points in memory of their own.
  private func compose(
    _ best: Incumbent<Matrix>, _ status: Status, iterations: Int
  ) -> LinearSolution {
    LinearSolution(
      weights: toData(best.weights), dual: Matrix(copying: best.dual),
      predictions: Matrix(copying: best.predictions), status: status, primal: best.primal,
      dualValue: best.dualValue, neurons: norm.neurons(best.weights.base), iterations: iterations)
  }

  private func toCoordinates(_ weights: Matrix) -> Matrix {
    basis.map { product(weights, .plain, $0, .plain) } ?? Matrix(copying: weights)
  }

  private func toData(_ weights: Matrix) -> Matrix {
    basis.map { product(weights, .plain, $0, .transposed) } ?? Matrix(copying: weights)
  }

  /// Iterations between two checks, and between two changes of the penalties.
  private static let checkInterval = 10
  private static let pause = 20
  private static let relaxation = 1.6

  private func iterate(
    _ offers: LinearIncumbent, beta: Double, rule: StoppingRule, budget: Budget, report: () -> Void
  ) -> Status {
    let best = offers.best
    let (n, q, classes) = (features.rows, features.columns, targets.columns)
    let isSquared = loss is SquaredLoss
    // Z and U of the norm, C × q; V and its multiplier of the loss, n × C.
    let (z, u) = (Matrix(copying: best.weights), Matrix(classes, q))
    let (w, previous) = (Matrix(classes, q), Matrix(classes, q))
    let size = isSquared ? 0 : n
    let (v, uv) = (Matrix(size, classes), Matrix(size, classes))
    let (fit, point) = (Matrix(size, classes), Matrix(size, classes))
    let previousFit = Matrix(size, classes)
    if !isSquared { v.copy(from: best.predictions) }
    var trace = 0.0
    for k in 0..<q { trace += gram[k, k] }
    guard trace > 0, trace.isFinite else { return .stalled }
    // Penalties of the loss' part and of the norm's.
    var lossPenalty = loss.typicalCurvature
    var penalty = lossPenalty * trace / Double(100 * min(n, q))
    let factor = Matrix(q, q)
    func refactor() -> Bool {
      factor.copy(from: gram)
      for k in 0..<q { factor[k, k] += penalty / lossPenalty }
      return choleskyLower(q, factor.base)
    }
    guard refactor() else { return .stalled }
    var lastChange = 0
    var progress = (gap: best.gap, iteration: 0)
    var iteration = 0
    while true {
      if let limit = budget.exhausted { return limit }
      iteration += 1
      budget.count()
      let share = penalty / lossPenalty
      if isSquared {
        for k in 0..<w.count { w.base[k] = moment.base[k] + share * (z.base[k] - u.base[k]) }
      } else {
        for k in 0..<point.count { point.base[k] = v.base[k] - uv.base[k] }
        gemm(classes, q, n, point.base, .transposed, features.base, .plain, w.base)
        for k in 0..<w.count { w.base[k] += share * (z.base[k] - u.base[k]) }
      }
      choleskySolve(q, factor.base, w.base, count: classes)
      previous.copy(from: z)
      let alpha = LinearSolver.relaxation
      for k in 0..<z.count {
        u.base[k] += alpha * w.base[k] + (1 - alpha) * z.base[k]
      }
      _ = norm.prox(u.base, threshold: beta / penalty, into: z.base)
      for k in 0..<z.count { u.base[k] -= z.base[k] }
      if !isSquared {
        gemm(n, classes, q, features.base, .plain, w.base, .transposed, fit.base)
        previousFit.copy(from: v)
        for k in 0..<v.count {
          point.base[k] = alpha * fit.base[k] + (1 - alpha) * v.base[k] + uv.base[k]
        }
        loss.prox(point, targets, penalty: lossPenalty, into: v)
        for k in 0..<v.count { uv.base[k] = point.base[k] - v.base[k] }
      }
      guard iteration % LinearSolver.checkInterval == 0 else { continue }
      offers.offer(z)
      if isSquared {
        offers.offer(dualOf: w)
      } else {
        // −∇ℓ at V: in the conjugate's domain for every loss.
        for k in 0..<point.count { point.base[k] = -lossPenalty * uv.base[k] }
        offers.offer(dual: point)
      }
      report()
      if best.gap <= rule.gap { return .optimal }
      if best.gap < 0.9 * progress.gap { progress = (best.gap, iteration) }
      if iteration - progress.iteration > 3000 { return .stalled }
      // Penalties that never rest keep it from converging; where it does not converge, they are wrong.
      let pause = iteration < 1000 ? LinearSolver.pause : 500
      guard iteration - lastChange >= pause,
        iteration < 1000 || iteration - progress.iteration >= pause
      else { continue }
      let normRatio = LinearSolver.ratio(
        (w, z), (z, previous),
        over: (LinearAlgebra.norm(z.count, z.base), LinearAlgebra.norm(u.count, u.base)))
      let lossRatio =
        isSquared
        ? 1
        : LinearSolver.ratio(
          (fit, v), (v, previousFit),
          over: (LinearAlgebra.norm(v.count, v.base), LinearAlgebra.norm(uv.count, uv.base)))
      var hasChanged = false
      if normRatio > 1.6 || normRatio < 0.62 {
        penalty *= normRatio
        scale(u.count, 1 / normRatio, u.base)
        hasChanged = true
      }
      if lossRatio > 1.6 || lossRatio < 0.62 {
        lossPenalty *= lossRatio
        scale(uv.count, 1 / lossRatio, uv.base)
        hasChanged = true
      }
      if hasChanged {
        lastChange = iteration
        guard refactor() else { return .stalled }
      }
    }
  }

  /// By how much a penalty should grow for the primal and the dual residual to fall alike.
  private static func ratio(
    _ primal: (Matrix, Matrix), _ dual: (Matrix, Matrix), over sizes: (Double, Double)
  ) -> Double {
    func distance(_ pair: (Matrix, Matrix)) -> Double {
      var square = 0.0
      for k in 0..<pair.0.count {
        let difference = pair.0.base[k] - pair.1.base[k]
        square += difference * difference
      }
      return square.squareRoot()
    }
    let a = distance(primal) / max(sizes.0, 1e-300)
    let b = distance(dual) / max(sizes.1, 1e-300)
    return min(5, max(0.2, (a / max(b, 1e-300)).squareRoot()))
  }
}
