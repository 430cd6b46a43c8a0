import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

extension Training {
  /// Trains a ReLU network of several outputs with weight decay on both layers, over listed cells.
  func faces() throws {
    let data = try FaceData(source)
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
      let validation = try validation { try faceValidation($0, like: source, targets) }
      let warm = try warmStart {
        try Solutions.factoredStart($0, data: data, outputs: targets.values.columns)
      }
      let solver = try faceSolver(data, targets, name: source.name)
      return try search(
        solver, validation: validation, from: warm, composer,
        folds: { [self] path, training, heldOut in
          let data = try FaceData(training)
          let targets = try Targets(training, samples: data.samples, like: targets)
          let validation = try faceValidation(heldOut, like: training, targets)
          return scores(
            try faceSolver(data, targets, name: training.name), validation, from: nil, along: path)
        })
    }
  }

  /// Held-out samples with the patches of the training data, as rows.
  private func faceValidation(_ bundle: Bundle, like training: Bundle, _ targets: Targets) throws
    -> Validation<Matrix>
  {
    let held = try Validation<PatchSource>(
      bundle, like: training, PatchSource(training), targets)
    return Validation(
      data: try FaceData.matrix(of: PatchSource(bundle)), targets: held.targets)
  }

  private func faceSolver(_ data: FaceData, _ targets: Targets, name: String) throws
    -> FaceSolver
  {
    guard let solver = FaceSolver(data, targets: targets.values, loss: settings.loss) else {
      throw Failure.data(
        "\(name) has more than 4 dimensions, or gates that do not attain their patterns strictly: --norm nuclear is for relu "
          + "on patches of at most 4 dimensions, or of at most 8 independent rows, with thresholds of 0, and for gated-relu on any"
      )
    }
    return solver
  }

  /// Whether the options ask for weight decay on both layers of a ReLU network with several outputs, or regions.
  func wantsFaces() throws -> Bool {
    guard activation == .relu, settings.chosenNorm == .nuclear else { return false }
    let patches = try PatchSource(source)
    let hasOutputs: Bool
    switch try Answers(source, samples: patches.count) {
    case .targets(_, let columns): hasOutputs = columns > 1
    case .labels(let labels):
      let classes = try source.classNames()?.count ?? (labels.max() ?? 0) + 1
      hasOutputs = classes > 2 || settings.loss == .crossEntropy
    }
    // With one output every group is the same.
    return hasOutputs ? settings.chosenGrouping != .perClass : patches.regions > 1
  }
}
