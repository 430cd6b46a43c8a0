import Convex
import LinearAlgebra
import Schema
import Tensors

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
  /// n × C and Φ, n × q, in the coordinates of the norm; without rows if there are only sums.
  private let targets: Matrix
  private let features: Matrix
  private let statistics: StatisticsTensors?
  /// From coordinates of the norm to those of the data, d × d; nil if they are the same.
  private let basis: Matrix?
  private let norm: any Regularizer
  /// ΦᵀΦ, both triangles; ΦᵀY, C × q.
  private let gram: Matrix
  private let moment: Matrix

  package init(_ data: LinearData, targets: Matrix, program: LinearProgram) {
    self.program = program
    self.targets = targets
    statistics = nil
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

  /// From sums over samples, for squared loss. Throws if they are of another design, or the machine lacks the memory.
  package init(_ sums: StatisticsTensors, program: LinearProgram) throws {
    guard case .linear = sums.design, program.activation == .linear else {
      throw Failure.data(
        "\(sums.name) has the design \(sums.design.name.text), expected linear, and linear networks need it"
      )
    }
    let q = sums.order
    try expectMemory(
      8 * 4 * Double(q) * Double(q), for: "a linear network of \(q) features")
    self.program = program
    statistics = sums
    (targets, features, basis) = (Matrix(0, sums.outputs), Matrix(0, q), nil)
    loss = program.loss.loss(nil)
    let norm = WeightNorm.nuclear.regularizer(
      .perPattern, outputs: sums.outputs, regions: sums.regions, dimension: sums.dimension)
    self.norm = norm
    gram = sums.gramTimes(.identity(q))
    moment = sums.right.transposed
    betaMax = withExtendedLifetime(moment) { norm.dualNorm($0.base) }
  }

  package func loss(_ point: LinearSolution, over sums: StatisticsTensors) -> Double {
    sums.loss(of: point.weights.transposed)
  }

  package func start(at point: LinearSolution) -> Matrix? { point.weights }

  package func predictions(_ point: LinearSolution, on data: LinearData) -> Matrix {
    product(data.features, .plain, point.weights, .transposed)
  }

  package func point(
    beta: Double, from start: Matrix?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> LinearSolution {
    let best: any LinearPoints =
      if let statistics {
        SummedLinearPoints(statistics, gram: gram, moment: moment, norm: norm, beta: beta)
      } else {
        LinearIncumbent(
          features: features, targets: targets, loss: loss, norm: norm, beta: beta)
      }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: best.primal,
          dual: best.dualValue, neurons: norm.neurons(best.weights.base)))
      budget.publish { compose(best, .stalled, iterations: budget.iterations) }
    }
    if let start { best.offer(toCoordinates(start)) }
    report()
    var status = Status.optimal
    if best.gap > rule.gap {
      status = iterate(best, beta: beta, rule: rule, budget: budget, report: report)
    }
    return compose(best, best.gap <= rule.gap ? .optimal : status, iterations: budget.iterations)
  }

  /// The solution from the best points, in memory of its own.
  private func compose(
    _ best: any LinearPoints, _ status: Status, iterations: Int
  ) -> LinearSolution {
    var solution = best.solution(
      status, neurons: norm.neurons(best.weights.base), iterations: iterations)
    solution.weights = toData(solution.weights)
    if solution.sums != nil { solution.dual = toData(solution.dual).transposed }
    return solution
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
    _ best: any LinearPoints, beta: Double, rule: StoppingRule, budget: Budget, report: () -> Void
  ) -> Status {
    guard
      let admm = LinearADMM(
        features, gram: gram, moment: moment, norm: norm, loss: loss, targets: targets,
        samples: statistics?.samples ?? features.rows, beta: beta, from: best)
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
      admm.offer(to: best)
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
