import Convex
import Schema

extension Training {
  /// Trains a network of polynomial activation.
  func polynomial(_ activation: PolynomialActivation) throws {
    let data = try MomentData(source)
    let targets = try Targets(
      source, samples: data.samples, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
    try Magnitudes.expect(targets)
    _ = try settings.regularization(
      of: ProgramShape(regions: data.regions, outputs: targets.values.columns))
    let composer = Composer<PolynomialSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, targets: targets, activation: activation, beta: beta, betaMax: betaMax,
        source: source, notes: notes,
        metadata: invocation.metadata(after: source.metadata))
    }
    let zero = PolynomialSolution(zero: targets, like: data)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation {
        try Validation($0, like: source, data, targets)
      }
      let warm = try warmStart {
        try PolynomialSolver.Start.blocks(
          Solutions.blocks(
            $0, classes: targets.values.columns, regions: data.regions, order: data.features + 1))
      }
      let solver = try PolynomialSolver(
        data, targets: targets.values, activation: activation, loss: settings.loss,
        weighting: targets.weighting
      ) { [progress] text in progress.update(text) }
      solver.method = settings.method
      return try search(solver, validation: validation, from: warm ?? .cold, composer) {
        [self] path, training, heldOut in
        let data = try MomentData(training)
        let targets = try Targets(training, samples: data.samples, like: targets)
        let validation = try Validation(heldOut, like: training, data, targets)
        let solver = try PolynomialSolver(
          data, targets: targets.values, activation: activation, loss: settings.loss,
          weighting: targets.weighting
        ) { _ in }
        solver.method = settings.method
        return scores(solver, validation, from: .cold, along: path)
      }
    }
  }
}
