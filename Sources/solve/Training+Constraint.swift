import Convex
import Convolution
import Schema
import Tensors

extension Training {
  /// Finds the network of the smallest norm that satisfies a constraint, over listed patterns.
  func smallestNorm(_ activation: Activation, _ goal: NormConstraint) throws {
    let data = try ArrangementData(source)
    let targets = try Targets(
      source, samples: data.samples, targetValues: settings.targets, loss: goal.name)
    try Magnitudes.expect(targets)
    try goal.expectFeasible(data.features, targets.values, name: source.name)
    let program = ArrangementProgram(
      activation: activation, norm: .group, grouping: .perClass, loss: goal.name)
    let composer = Composer<ArrangementSolution> { [self] solution, beta, _, notes in
      Solutions.bundle(
        solution, data: data, targets: targets, program: program, beta: beta, betaMax: nil,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = ArrangementSolution(zero: targets, width: data.dimension, activation: activation)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let penalised = ArrangementProgram(
        activation: activation, norm: .group, grouping: .perClass, loss: goal.penalty)
      if penalised.hasOnePatchSolver {
        let inner = try penalised.solver(data, targets: targets.values, budget: budget)
        return try smallestNorm(inner, data, targets, goal, composer)
      }
      let inner = try penalised.solver(
        ConvolutionalData(source), targets: targets.values, budget: budget)
      return try smallestNorm(inner, data, targets, goal, composer)
    }
  }

  private func smallestNorm<Inner: RegularizedSolver>(
    _ inner: Inner, _ data: ArrangementData, _ targets: Targets, _ goal: NormConstraint,
    _ composer: Composer<ArrangementSolution>
  ) throws -> Outcome
  where Inner.Start == ArrangementSolution?, Inner.Point == ArrangementSolution {
    let solver = MinimumNormSolver(
      inner, data: data, targets: targets.values, goal: goal, activation: activation)
    let outcome = try search(
      solver, validation: nil, from: nil, composer, folds: { _, _, _ in [] })
    guard solver.isFeasible else {
      guard budget.exhausted == nil else {
        throw Failure.data("a limit came before a network was found that satisfies the constraint")
      }
      throw Failure.data(
        "no network with the patterns of \(source.name) "
          + (goal == .interpolation ? "interpolates its targets" : "tells its classes apart")
          + ": row \(solver.farthest) is farthest from it")
    }
    return outcome
  }
}
