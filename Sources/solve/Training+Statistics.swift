import Convex
import Convolution
import Patches
import Schema
import Tensors

extension Bundle {
  /// The activation that a bundle of kind `statistics` was made for; nil for others.
  var activationOfSums: Activation? {
    get throws { kind == .statistics ? try read(.activation) : nil }
  }
}

/// Training from sums over the samples, which are all that programs of squared loss need.
extension Training {
  func statistics() throws {
    let sums = try StatisticsTensors(source)
    try expectSums(sums)
    let targets = try sums.targets()
    // --activation may be left out.
    var choice = settings
    choice.activation = sums.design.activation
    let regularization = try choice.regularization(
      of: ProgramShape(name: source.name, regions: sums.regions, outputs: sums.outputs))
    switch sums.design {
    case .polynomial(let activation, _): try polynomial(sums, activation, targets)
    case .linear: try linear(sums, targets, regularization)
    case .gated(let gates): try gated(sums, gates, targets, regularization)
    }
  }

  private func expectSums(_ sums: StatisticsTensors) throws {
    let own = sums.design.activation
    guard activation == own else {
      throw Failure.data(
        "\(sums.name) holds sums for the activation \(own.text): --activation \(activation.text) needs the samples"
      )
    }
    for (option, isGiven) in [
      ("--loss \(settings.loss.rawValue)", settings.loss != .squared),
      ("--class-weights", settings.classWeights != nil), ("--folds", settings.folds != nil),
      ("--with", !settings.others.isEmpty),
      ("--batch-norm", settings.batchNorm != nil), ("--free-bias", settings.freeBias),
      ("--interpolate or --margin", settings.constraint != nil),
    ] where isGiven {
      throw Failure.data("\(option) needs the samples, but \(sums.name) holds sums over them")
    }
    if let values = settings.targets, try values != sums.targets().targetValues {
      throw Failure.data(
        "--targets \(values.text) needs the samples: those of \(sums.name) are "
          + (try sums.targets().targetValues?.text ?? "no classes"))
    }
  }

  private func expectNoFolds(
    _: RegularizationPath, _: Bundle, _: Bundle
  ) throws -> [ValidationScore] { preconditionFailure("folds were refused") }

  /// Held-out data: sums like the training sums, or samples.
  private func heldOut<Data>(
    _ sums: StatisticsTensors, samples: (Bundle) throws -> Validation<Data>
  ) throws -> Validation<Data>? {
    try validation { bundle in
      bundle.kind == .statistics
        ? try Validation(StatisticsTensors(bundle), like: sums) : try samples(bundle)
    }
  }

  private func polynomial(
    _ sums: StatisticsTensors, _ activation: PolynomialActivation, _ targets: Targets
  ) throws {
    let composer = Composer<PolynomialSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, targets: targets, activation: activation, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = PolynomialSolution(zero: targets, of: sums)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try heldOut(sums) {
        try Validation(
          $0, like: source, regions: sums.regions, features: sums.dimension, targets)
      }
      let warm = try warmStart {
        try PolynomialSolver.Start.blocks(
          Solutions.blocks(
            $0, classes: sums.outputs, regions: sums.regions, order: sums.dimension + 1))
      }
      let solver = try PolynomialSolver(sums)
      solver.method = settings.method
      return try search(
        solver, validation: validation, from: warm ?? .cold, composer, folds: expectNoFolds)
    }
  }

  private func linear(
    _ sums: StatisticsTensors, _ targets: Targets, _ regularization: Regularization
  ) throws {
    let program = LinearProgram(
      activation: .linear, grouping: regularization.grouping, loss: .squared)
    let composer = Composer<LinearSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, regions: sums.regions, targets: targets, program: program, beta: beta,
        betaMax: betaMax, source: source, notes: notes,
        metadata: invocation.metadata(after: source.metadata))
    }
    try run(orElse: composer.outcome(LinearSolution(zero: sums), beta: beta)) {
      let validation = try heldOut(sums) { bundle in
        let data = try LinearData(bundle)
        guard data.regions == sums.regions, data.dimension == sums.dimension else {
          throw Failure.data(
            "the validation data have \(data.regions) regions of \(data.dimension) features, the training data "
              + "\(sums.regions) of \(sums.dimension)")
        }
        try expectSameStatistics(bundle, source)
        return Validation(
          data: data, targets: try Targets(bundle, samples: data.features.rows, like: targets))
      }
      let warm = try warmStart {
        try Solutions.linearStart(
          $0, regions: sums.regions, dimension: sums.dimension, outputs: sums.outputs,
          program: program)
      }
      let solver = try LinearSolver(sums, program: program)
      return try search(
        solver, validation: validation, from: warm, composer, folds: expectNoFolds)
    }
  }

  private func gated(
    _ sums: StatisticsTensors, _ gates: GateTensors, _ targets: Targets,
    _ regularization: Regularization
  ) throws {
    guard regularization.norm == .group else {
      throw Failure.data("--norm nuclear needs the samples, but \(sums.name) holds sums over them")
    }
    let program = ArrangementProgram(
      activation: .gatedReLU, norm: .group, grouping: regularization.grouping, loss: .squared)
    let data = SummedGates(sums, gates)
    let composer = Composer<ArrangementSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, data: data, targets: targets, program: program, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    try run(orElse: composer.outcome(ArrangementSolution(zero: sums), beta: beta)) {
      let validation = try heldOut(sums) { bundle in
        let patches = try PatchSource(bundle)
        guard patches.regions == sums.regions, patches.dimension == sums.dimension else {
          throw Failure.data(
            "the validation data have \(patches.regions) regions of \(patches.dimension) features, the training data "
              + "\(sums.regions) of \(sums.dimension)")
        }
        try expectSameStatistics(bundle, source)
        return Validation(
          data: patches, targets: try Targets(bundle, samples: patches.count, like: targets))
      }
      let warm = try warmStart {
        try Solutions.start(
          $0, data: data, outputs: sums.outputs, activation: .gatedReLU)
      }
      let solver = try ConvolutionalGatedSolver(
        sums, grouping: regularization.grouping, budget: budget
      ) { [progress] text in progress.update(text) }
      return try search(
        solver, validation: validation, from: warm, composer, folds: expectNoFolds)
    }
  }
}
