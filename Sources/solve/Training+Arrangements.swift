import Convex
import Convolution
import LinearAlgebra
import Patches
import Tensors

extension Training {
  /// Trains a network over patterns, fully connected or convolutional, and returns its solution's bundle.
  func arrangement(_ activation: ArrangementActivation) throws -> Bundle {
    let program = ArrangementProgram(
      activation: activation, norm: settings.norm, grouping: settings.grouping,
      loss: settings.loss)
    // ReLU networks of one patch have a solver of their own for the program of the first paper only.
    let isGeneral =
      activation == .relu && (settings.loss != .squared || settings.grouping == .perPattern)
    let isConvolutional =
      try source.kind == .arrangements && (isGeneral || PatchSource(source).patchCount > 1)
    return try isConvolutional ? convolutional(program) : fullyConnected(program)
  }

  private func fullyConnected(_ program: ArrangementProgram) throws -> Bundle {
    let data = try ArrangementData(source)
    let targets = try Targets(
      source, samples: data.samples, levels: settings.targets, loss: settings.loss)
    let validation = try validation {
      try Validation($0, like: source, data, targets)
    }
    let warm = try warmStart(of: program, data, targets)
    let solver = try program.solver(data, targets: targets.values, budget: budget) {
      [progress] text in progress.update(text)
    }
    let (beta, start, choice) = begin(solver, validation: validation, from: warm)
    var notes = choice
    var solution = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    // An optimum can have more neurons than it needs, which no user has a use for.
    if let minimal = solution.minimal(data, of: program, targets: targets.values, beta: beta) {
      solution = minimal
      notes["minimal"] = "true"
    }
    return try bundle(
      solution, of: program, data, targets, beta: beta, betaMax: solver.betaMax, notes: notes)
  }

  private func convolutional(_ program: ArrangementProgram) throws -> Bundle {
    let data = try ConvolutionalData(source)
    let targets = try Targets(
      source, samples: data.samples, levels: settings.targets, loss: settings.loss)
    let validation = try validation {
      try Validation($0, like: source, data.patches, targets)
    }
    let warm = try warmStart(of: program, data, targets)
    let solver = try program.solver(data, targets: targets.values, budget: budget) {
      [progress] text in progress.update(text)
    }
    return try train(
      solver, of: program, data, targets, validation: validation, from: warm)
  }

  private func train<Solver: ConvolutionalSolver>(
    _ solver: Solver, of program: ArrangementProgram, _ data: ConvolutionalData,
    _ targets: Targets, validation: Validation<PatchSource>?, from warm: ArrangementSolution?
  ) throws -> Bundle {
    let (beta, start, notes) = begin(solver, validation: validation, from: warm)
    let solution = solver.point(beta: beta, from: start, rule: rule, budget: budget) {
      observe($0, beta: beta)
    }
    return try bundle(
      solution, of: program, data, targets, beta: beta, betaMax: solver.betaMax, notes: notes)
  }

  private func warmStart(
    of program: ArrangementProgram, _ data: any PatternedData, _ targets: Targets
  ) throws -> ArrangementSolution? {
    try warmStart {
      try Solutions.start(
        $0, data: data, outputs: targets.values.columns, activation: program.activation)
    }
  }

  private func bundle(
    _ solution: ArrangementSolution, of program: ArrangementProgram, _ data: some PatternedData,
    _ targets: Targets, beta: Double, betaMax: Double, notes: [String: String]
  ) throws -> Bundle {
    try conclude(solution.status, gap: solution.gap)
    return Solutions.bundle(
      solution, data: data, targets: targets, program: program, beta: beta, betaMax: betaMax,
      source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
  }
}
