import Convex
import LinearAlgebra
import Schema

/// A program of linear networks.
package struct LinearProgram {
  /// `linear` or `circular`.
  package let activation: Activation
  /// Whether the filters of a circular network are shared by all outputs; other networks always share them.
  package let grouping: WeightGrouping
  package let loss: LossName
  /// The weights of classes, if they have some.
  package let weighting: ClassWeighting?

  package init(
    activation: Activation, grouping: WeightGrouping, loss: LossName,
    weighting: ClassWeighting? = nil
  ) {
    precondition(activation.isLinear, "a linear network")
    self.activation = activation
    self.grouping = grouping
    self.loss = loss
    self.weighting = weighting
  }
}

/// Trains linear networks, min ℓ(ΦZ) + β ‖Z‖, by the alternating direction method of multipliers (Boyd et al. 2011):
/// with the constraint Z = W for squared loss, whose part is a linear system, and also with V = ΦW for other losses.
/// Both parts are then proximal maps. The certificate is the best scaled residual.
package final class LinearSolver: RegularizedSolver {
  package let betaMax: Double
  private let program: LinearProgram
  private let loss: any Loss
  private let targets: Matrix
  /// Φ, n × q, in the coordinates of the norm.
  private let features: Matrix
  /// From coordinates of the norm to those of the data, d × d; nil if they are the same.
  private let basis: Matrix?
  private let norm: any Regularizer
  /// ΦᵀΦ, both triangles; ΦᵀY, C × q.
  private let gram: Matrix
  private let moment: Matrix

  package init(_ data: LinearData, targets: Matrix, program: LinearProgram) {
    self.program = program
    self.targets = targets
    loss = program.loss.loss(program.weighting)
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

  /// The solution from the best points, in memory of its own.
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

  /// The iterations between two checks, and between two changes of the penalties.
  private static let checkInterval = 10
  private static let pause = 20

  private func iterate(
    _ offers: LinearIncumbent, beta: Double, rule: StoppingRule, budget: Budget, report: () -> Void
  ) -> Status {
    let best = offers.best
    guard
      let admm = LinearADMM(
        features, gram: gram, moment: moment, norm: norm, from: best)
    else { return .stalled }
    var lastChange = 0
    var progress = (gap: best.gap, iteration: 0)
    var iteration = 0
    while true {
      if let limit = budget.exhausted { return limit }
      iteration += 1
      budget.count()
      admm.iterate()
      guard iteration % LinearSolver.checkInterval == 0 else { continue }
      admm.offer(to: offers)
      report()
      if best.gap <= rule.gap { return .optimal }
      if best.gap < 0.9 * progress.gap { progress = (best.gap, iteration) }
      if iteration - progress.iteration > 3000 { return .stalled }
      // Penalties that never rest prevent convergence; but if it does not converge, the penalties are wrong.
      let pause = iteration < 1000 ? LinearSolver.pause : 500
      guard iteration - lastChange >= pause,
        iteration < 1000 || iteration - progress.iteration >= pause
      else { continue }
      let (hasChanged, isSound) = admm.adaptPenalties()
      guard isSound else { return .stalled }
      if hasChanged { lastChange = iteration }
    }
  }
}
