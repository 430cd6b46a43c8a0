import Convex
import Convolution
import Schema

extension Training {
  /// Trains a linear network.
  func linear(_ activation: Activation) throws {
    let patches = try LinearSource(source)
    try Magnitudes.expect(patches.patches)
    let targets = try Targets(
      source, samples: patches.samples, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
    try Magnitudes.expect(targets)
    let regularization = try settings.regularization(
      of: ProgramShape(
        name: source.name, patches: patches.patches.patchCount, regions: patches.regions,
        outputs: targets.values.columns))
    let program = LinearProgram(
      activation: activation, grouping: regularization.grouping, loss: settings.loss,
      weighting: targets.weighting)
    let composer = Composer<LinearSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, regions: patches.regions, targets: targets, program: program, beta: beta,
        betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = LinearSolution(zero: targets, width: patches.regions * patches.dimension)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation {
        try Validation($0, like: source, patches, targets)
      }
      let data = try LinearData(patches)
      let outputs = targets.values.columns
      let warm = try warmStart {
        try Solutions.linearStart(
          $0, regions: data.regions, dimension: data.dimension, outputs: outputs, program: program)
      }
      let solver = LinearSolver(data, targets: targets.values, program: program)
      return try search(solver, validation: validation, from: warm, composer) {
        [self] path, training, heldOut in
        let source = try LinearSource(training)
        let targets = try Targets(training, samples: source.samples, like: targets)
        let validation = try Validation(heldOut, like: training, source, targets)
        let solver = LinearSolver(
          try LinearData(source), targets: targets.values, program: program)
        return scores(solver, validation, from: nil, along: path)
      }
    }
  }
}
