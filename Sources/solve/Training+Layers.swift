import Convex
import LinearAlgebra
import Schema
import Tensors

extension Training {
  /// Whether the data list the patterns of the first layer of networks of three layers.
  func hasThreeLayers() throws -> Bool {
    guard source.kind == .arrangements, let depth = try source.read(ifPresent: .depth) else {
      return false
    }
    guard depth == 2 else {
      throw Failure.data("metadata \"depth\" of \(source.name) is \(depth), expected 2")
    }
    return true
  }

  /// Trains a ReLU network of three layers over all patterns.
  func threeLayers() throws {
    try expectThreeLayers()
    let data = try ArrangementData(source)
    let targets = try targets(source, data.samples)
    let width = try source.read(ifPresent: .unitWidth) ?? max(1, data.samples)
    guard width > 0 else {
      throw Failure.data("metadata \"unit_width\" of \(source.name) is \(width), expected above 0")
    }
    let composer = Composer<UnitSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, data: data, targets: targets, width: width, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = UnitSolution(zero: targets.values)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { try Validation($0, like: source, data, targets) }
      return try search(
        unitSolver(data, targets, width, name: source.name), validation: validation, from: nil,
        composer,
        folds: { [self] path, training, heldOut in
          let data = try ArrangementData(training)
          let targets = try Targets(training, samples: data.samples, like: targets)
          let validation = try Validation(heldOut, like: training, data, targets)
          return scores(
            try unitSolver(data, targets, width, name: training.name), validation, from: nil,
            along: path)
        })
    }
  }

  /// Throws if an option asks for another program.
  private func expectThreeLayers() throws {
    let others = [
      ("--activation gated-relu", activation != .relu), ("--loss", settings.loss != .squared),
      ("--norm nuclear", settings.chosenNorm == .nuclear),
      ("--batch-norm", settings.batchNorm != nil), ("--free-bias", settings.freeBias),
      ("--interpolate or --margin", settings.constraint != nil), ("--with", !others.isEmpty),
      ("--class-weights", settings.classWeights != nil),
      ("--warm-start", settings.warmStart != nil),
    ]
    if let other = others.first(where: { $0.1 }) {
      throw Failure.data(
        "\(source.name) lists patterns for relu networks of three layers (arrangements --exact --depth 2), which have the "
          + "squared loss and no \(other.0)")
    }
  }

  private func targets(_ source: Bundle, _ samples: Int) throws -> Targets {
    let targets = try Targets(
      source, samples: samples, targetValues: settings.targets, loss: settings.loss)
    try Magnitudes.expect(targets)
    guard samples <= SampleSet.mostSamples, targets.values.columns == 1 else {
      throw Failure.data(
        "\(source.name) has \(samples) samples and \(targets.values.columns) output(s), expected at most "
          + "\(SampleSet.mostSamples) samples and one output for three layers")
    }
    return targets
  }

  private func unitSolver(
    _ data: ArrangementData, _ targets: Targets, _ width: Int, name: String
  ) throws -> UnitSolver {
    guard let solver = UnitSolver(data, targets: targets.values, width: width) else {
      throw Failure.data(
        "\(name) has \(data.samples) samples and \(data.patterns.count) patterns, which are too many for units of \(width) "
          + "neurons: of every set of samples each choice of so many patterns is looked at")
    }
    return solver
  }
}
