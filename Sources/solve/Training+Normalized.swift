import Convex
import Schema
import Tensors

extension Training {
  /// Trains a network with batch normalisation after the activation, over listed patterns.
  func normalized(_ activation: Activation) throws {
    let arrangement = try ArrangementData(source)
    let targets = try Targets(
      source, samples: arrangement.samples, targetValues: settings.targets, loss: settings.loss)
    try Magnitudes.expect(targets)
    let data = try NormalizedPatterns(arrangement, name: source.name)
    let program = ArrangementProgram(
      activation: activation, norm: .group, grouping: .perClass, loss: settings.loss)
    let composer = Composer<ArrangementSolution> { [self] solution, beta, betaMax, notes in
      var bundle = Solutions.bundle(
        solution, data: data, targets: targets, program: program, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
      data.writeStatistics(of: solution, to: &bundle)
      return bundle
    }
    let zero = ArrangementSolution(zero: targets, width: data.dimension, activation: activation)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { try Validation($0, like: source, arrangement, targets) }
      let warm = try warmStart {
        guard try $0.read(ifPresent: .batchNorm) == .after else {
          throw Failure.data(
            "\($0.name) is no solution with batch normalisation after the activation")
        }
        return try Solutions.start(
          $0, data: data, outputs: targets.values.columns, activation: activation)
      }
      let solver = try normalizedSolver(data, targets, activation, name: source.name)
      return try search(
        solver, validation: validation, from: warm, composer,
        folds: { [self] path, training, heldOut in
          let arrangement = try ArrangementData(training)
          let targets = try Targets(training, samples: arrangement.samples, like: targets)
          let validation = try Validation(heldOut, like: training, arrangement, targets)
          let data = try NormalizedPatterns(arrangement, name: training.name)
          return scores(
            try normalizedSolver(data, targets, activation, name: training.name), validation,
            from: nil, along: path)
        })
    }
  }

  private func normalizedSolver(
    _ data: NormalizedPatterns, _ targets: Targets, _ activation: Activation, name: String
  ) throws -> any ArrangementSolver {
    if activation == .gatedReLU {
      return try NormalizedGatedSolver(data, targets: targets.values, loss: targets.loss)
    }
    guard let solver = NormalizedReLUSolver(data, targets: targets.values) else {
      throw Failure.data(
        "\(name) has more than 4 dimensions, or gates that do not attain their patterns strictly: --batch-norm after is "
          + "for relu on data of at most 4 dimensions with thresholds of 0, and for gated-relu on any"
      )
    }
    return solver
  }
}
