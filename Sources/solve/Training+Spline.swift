import Convex
import LinearAlgebra
import Schema
import Tensors

extension Training {
  /// Trains a ReLU network of one feature with free biases.
  func spline() throws {
    let x = try feature(of: source)
    let targets = try Targets(
      source, samples: x.count, targetValues: settings.targets, loss: settings.loss)
    try Magnitudes.expect(targets)
    let composer = Composer<SplineSolution> { [self] solution, beta, betaMax, notes in
      Solutions.bundle(
        solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
        metadata: invocation.metadata(after: source.metadata))
    }
    let zero = SplineSolution(constant: targets)
    try run(orElse: composer.outcome(zero, beta: beta)) {
      let validation = try validation { try splineValidation($0, like: targets) }
      let warm = try warmStart { try Solutions.splineStart($0, targets: targets) }
      return try search(
        SplineSolver(x, targets: targets), validation: validation, from: warm, composer,
        folds: { [self] path, training, heldOut in
          let x = try feature(of: training)
          let targets = try Targets(training, samples: x.count, like: targets)
          return scores(
            SplineSolver(x, targets: targets), try splineValidation(heldOut, like: targets),
            from: nil, along: path)
        })
    }
  }

  private func splineValidation(_ bundle: Bundle, like targets: Targets) throws -> Validation<
    Matrix
  > {
    let x = try feature(of: bundle)
    try expectSameStatistics(bundle, source)
    return Validation(
      data: Matrix(x.count, 1, x), targets: try Targets(bundle, samples: x.count, like: targets))
  }

  /// The values of the one feature of a `dataset`.
  private func feature(of bundle: Bundle) throws -> [Double] {
    let x = try ArrangementData.features(of: bundle)
    guard x.columns == 1 else {
      throw Failure.data(
        "tensor \"x\" of \(bundle.name) has \(x.columns) features, expected 1 for --free-bias: biases need no constant feature"
      )
    }
    return x.column(0)
  }
}
