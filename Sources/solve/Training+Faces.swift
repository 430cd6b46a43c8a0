import Convex
import Patches
import Schema
import Tensors

extension Training {
  /// Trains a ReLU network of several outputs with weight decay on both layers, over listed cells.
  func faces() throws {
    let data = try ArrangementData(source)
    let targets = try Targets(
      source, samples: data.samples, targetValues: settings.targets, loss: settings.loss)
    try Magnitudes.expect(targets)
    let composer = Composer<FactoredSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, data: data, targets: targets, beta: beta, betaMax: betaMax, source: source,
        notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = FactoredSolution(zero: targets)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { try Validation($0, like: source, data, targets) }
      let warm = try warmStart {
        try Solutions.factoredStart($0, data: data, outputs: targets.values.columns)
      }
      let solver = try faceSolver(data, targets, name: source.name)
      return try search(
        solver, validation: validation, from: warm, composer,
        folds: { [self] path, training, heldOut in
          let data = try ArrangementData(training)
          let targets = try Targets(training, samples: data.samples, like: targets)
          let validation = try Validation(heldOut, like: training, data, targets)
          return scores(
            try faceSolver(data, targets, name: training.name), validation, from: nil, along: path)
        })
    }
  }

  private func faceSolver(_ data: ArrangementData, _ targets: Targets, name: String) throws
    -> FaceSolver
  {
    guard let solver = FaceSolver(data, targets: targets.values, loss: settings.loss) else {
      throw Failure.data(
        "\(name) has more than 4 dimensions, or gates that do not attain their patterns strictly: --norm nuclear is for relu "
          + "on data of at most 4 dimensions, or of at most 8 independent rows, with thresholds of 0, and for gated-relu on any"
      )
    }
    return solver
  }

  /// Whether the options ask for weight decay on both layers of a ReLU network with several outputs.
  func wantsFaces() throws -> Bool {
    guard activation == .relu, settings.chosenNorm == .nuclear, settings.chosenGrouping != .perClass
    else { return false }
    let patches = try PatchSource(source)
    guard patches.patchCount == 1 else { return false }
    switch try Answers(source, samples: patches.count) {
    case .targets(_, let columns): return columns > 1
    case .labels(let labels):
      let classes = try source.classNames()?.count ?? (labels.max() ?? 0) + 1
      return classes > 2 || settings.loss == .crossEntropy
    }
  }
}
