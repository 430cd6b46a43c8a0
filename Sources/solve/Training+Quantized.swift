import Convex
import Schema
import Tensors

extension Training {
  /// Trains a quantised network.
  func quantized() throws {
    try source.expect(.dataset, .arrangements)
    let x = try ArrangementData.features(of: source)
    let targets = try Targets(
      source, samples: x.rows, targetValues: settings.targets, loss: settings.loss)
    try Magnitudes.expect(targets)
    _ = try settings.regularization(of: ProgramShape(outputs: targets.values.columns))
    let composer = Composer<QuantizedSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, targets: targets, dimension: x.columns, beta: beta, betaMax: betaMax,
        source: source, notes: notes, metadata: invocation.metadata(after: source.metadata))
    }
    let zero = QuantizedSolution(
      zero: targets, dimension: x.columns, bounded: settings.bounds)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let solver = try QuantizedSolver(x, targets: targets.values, bounded: settings.bounds)
      let validation = try validation { bundle in
        let own = try ArrangementData.features(of: bundle)
        guard own.columns == x.columns else {
          throw Failure.data(
            "the validation data have \(own.columns) features, the training data \(x.columns)")
        }
        try expectSameStatistics(bundle, source)
        return Validation(
          data: own, targets: try Targets(bundle, samples: own.rows, like: targets))
      }
      let warm = try warmStart {
        try Solutions.quantizedStart($0, targets: targets, dimension: x.columns)
      }
      return try search(
        solver, validation: validation, from: warm, composer,
        folds: { [self] path, training, heldOut in
          let own = try ArrangementData.features(of: training)
          let targets = try Targets(training, samples: own.rows, like: targets)
          let rest = try ArrangementData.features(of: heldOut)
          let validation = Validation(
            data: rest, targets: try Targets(heldOut, samples: rest.rows, like: targets))
          return scores(
            try QuantizedSolver(own, targets: targets.values), validation,
            from: nil, along: path)
        })
    }
  }
}
