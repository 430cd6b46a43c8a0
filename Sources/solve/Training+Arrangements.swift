import Convex
import Convolution
import LinearAlgebra
import Patches
import Schema

extension Training {
  /// Trains a network over patterns, fully connected or convolutional.
  func arrangement(_ activation: Activation) throws {
    let data = try layout()
    try Magnitudes.expect(data.patches)
    let targets = try Targets(
      source, samples: data.samples, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
    try Magnitudes.expect(targets)
    let regularization = try settings.regularization(
      of: ProgramShape(
        patches: data.patches.patchCount, regions: data.regions, outputs: targets.values.columns))
    let program = ArrangementProgram(
      activation: activation, norm: regularization.norm, grouping: regularization.grouping,
      loss: settings.loss, weighting: targets.weighting)
    let composer = Composer<ArrangementSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, data: data, targets: targets, program: program, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata)
      ).lifted(by: reduction)
    }
    let zero = ArrangementSolution(
      zero: targets, width: data.regions * data.dimension, activation: activation)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      data.patches.patchCount > 1 || !program.hasOnePatchSolver
        ? try convolutional(program, data, targets, composer)
        : try fullyConnected(program, targets, composer)
    }
  }

  /// The shapes of the data. They are read before the search; with one patch per sample the search itself takes the
  /// features and patterns from them.
  private func layout() throws -> ConvolutionalData {
    let isSingle = try data.kind != .arrangements || PatchSource(data).patchCount == 1
    do { return try ConvolutionalData(data) } catch {
      // Errors are reported in the terms of fully-connected networks.
      if isSingle { _ = try ArrangementData(data) }
      throw error
    }
  }

  private func fullyConnected(
    _ program: ArrangementProgram, _ targets: Targets, _ composer: Composer<ArrangementSolution>
  ) throws -> Outcome {
    let data = try ArrangementData(data)
    let validation = try validation {
      try Validation($0, like: source, data, targets)
    }
    let warm = try warmStart(of: program, data, targets)
    let solver = try program.solver(data, targets: targets.values, budget: budget) {
      [progress] text in progress.update(text)
    }
    return try search(
      solver, validation: validation, from: warm, composer,
      folds: { [self] path, training, heldOut in
        let data = try ArrangementData(training)
        let targets = try Targets(training, samples: data.samples, like: targets)
        let validation = try Validation(heldOut, like: training, data, targets)
        let solver = try program.solver(data, targets: targets.values, budget: budget) { _ in }
        return scores(solver, validation, from: nil, along: path)
      },
      reduce: { solution, beta in
        let better = solution.withoutOpposedNeurons(program, beta: beta)
        // An optimum can have more neurons than it needs, which are of no use.
        let minimal = (better ?? solution).minimal(
          data, of: program, targets: targets.values, beta: beta)
        return minimal.map { ($0, ["minimal": "true"]) } ?? better.map { ($0, [:]) }
      })
  }

  private func convolutional(
    _ program: ArrangementProgram, _ data: ConvolutionalData, _ targets: Targets,
    _ composer: Composer<ArrangementSolution>
  ) throws -> Outcome {
    let validation = try validation {
      try Validation($0, like: source, data.patches, targets)
    }
    let warm = try warmStart(of: program, data, targets)
    let solver = try program.solver(data, targets: targets.values, budget: budget) {
      [progress] text in progress.update(text)
    }
    return try search(
      solver, validation: validation, from: warm, composer,
      folds: { [self] path, training, heldOut in
        let data = try ConvolutionalData(training)
        let targets = try Targets(training, samples: data.samples, like: targets)
        let validation = try Validation(heldOut, like: training, data.patches, targets)
        let solver = try program.solver(data, targets: targets.values, budget: budget) { _ in }
        return scores(solver, validation, from: nil, along: path)
      },
      reduce: { solution, beta in
        guard data.regions == 1 else { return nil }
        return solution.withoutOpposedNeurons(program, beta: beta).map { ($0, [:]) }
      })
  }

  private func warmStart(
    of program: ArrangementProgram, _ data: any PatternedData, _ targets: Targets
  ) throws -> ArrangementSolution? {
    try warmStart {
      try Solutions.start(
        $0.lowered(by: reduction), data: data, outputs: targets.values.columns,
        activation: program.activation)
    }
  }
}
