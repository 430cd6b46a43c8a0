import Convex
import Convolution
import LinearAlgebra
import Patches
import Schema
import Tensors

extension Training {
  /// Trains a gated network over the gates of several kinds of patches of the same samples, as one program.
  func joint() throws {
    let sources = [source] + others
    let parts = try sources.map { try part($0) }
    let data = ConvolutionalData(joining: parts)
    let targets = try targets(of: source, data.samples)
    for other in others {
      try invocation.blaming("--with", other.name) { try other.expectSamples(of: source) }
    }
    let regularization = try settings.regularization(
      of: ProgramShape(
        patches: data.patches.patchCount, regions: data.regions, outputs: targets.values.columns))
    let program = ArrangementProgram(
      activation: .gatedReLU, norm: .group, grouping: regularization.grouping,
      loss: settings.loss, weighting: targets.weighting)
    let composer = Composer<ArrangementSolution> { [self] solution, beta, betaMax, notes in
      JointBundle.join(
        zip(data.divide(solution), zip(parts, sources)).map { own, origin in
          Solutions.bundle(
            own, data: origin.0, targets: targets, program: program, beta: beta, betaMax: betaMax,
            source: origin.1, notes: notes, metadata: invocation.metadata(after: source.metadata))
        })
    }
    let zero = ArrangementSolution(
      zero: targets, width: data.groupSize, activation: .gatedReLU)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { held in
        let own = try Validation(held, like: source, data.patches, targets)
        let others = try zip(heldOutOthers, zip(parts.dropFirst(), others)).map {
          bundle, training in
          try invocation.blaming("--validation-with", bundle.name) {
            try bundle.expectSamples(of: held)
            _ = try Validation(bundle, like: training.1, training.0.patches, targets)
            return try PatchSource(bundle)
          }
        }
        return Validation(
          data: try PatchSource(held, others: others), targets: own.targets)
      }
      let solver = try program.solver(data, targets: targets.values, budget: budget) {
        [progress] text in progress.update(text)
      }
      return try search(
        solver, validation: validation, from: nil, composer, folds: { _, _, _ in [] })
    }
  }

  private func part(_ bundle: Bundle) throws -> ConvolutionalData {
    try bundle.expect(.arrangements)
    let part = try ConvolutionalData(bundle)
    try Magnitudes.expect(part.patches)
    return part
  }

  private func targets(of bundle: Bundle, _ samples: Int) throws -> Targets {
    let targets = try Targets(
      bundle, samples: samples, targetValues: settings.targets, loss: settings.loss,
      classWeights: settings.classWeights)
    try Magnitudes.expect(targets)
    return targets
  }
}
