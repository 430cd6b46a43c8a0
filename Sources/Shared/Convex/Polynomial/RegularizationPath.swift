import Glibc
import LinearAlgebra
import Tensors

/// Held-out data to choose β by.
package struct Validation {
  let data: MomentData
  let targets: Targets

  /// `bundle` must have the shape and the classes of the training data.
  package init(
    _ bundle: Bundle, like training: Bundle, _ data: MomentData, _ targets: Targets
  ) throws {
    self.data = try MomentData(bundle)
    guard self.data.features == data.features, self.data.regions == data.regions else {
      throw Failure.data(
        "the validation data have \(self.data.regions) regions of \(self.data.features) features, "
          + "the training data \(data.regions) of \(data.features)")
    }
    for name in ["mean", "whiten"] {
      let (mine, theirs) = (bundle.tensors[name], training.tensors[name])
      guard mine?.shape == theirs?.shape, mine?.doubles == theirs?.doubles else {
        throw Failure.data(
          "tensor \"\(name)\" of the validation data differs from that of the training data: "
            + "make them with patchify --like")
      }
    }
    try self.data.expectFinite()
    self.targets = try Targets(
      bundle, samples: self.data.samples,
      levels: targets.levels.isEmpty || targets.values.columns > 1 ? nil : targets.levels)
    guard self.targets.classes == targets.classes,
      self.targets.values.columns == targets.values.columns
    else {
      throw Failure.data(
        "the validation data have the classes \(self.targets.classes.joined(separator: ",")), "
          + "the training data \(targets.classes.joined(separator: ","))")
    }
  }

  /// Accuracy, or minus the loss where there are no labels: more is better.
  func score(_ predictions: Matrix) -> Double {
    targets.accuracy(predictions) ?? -targets.squaredLoss(predictions)
  }
}

/// Values of β from one that makes the network zero down to the one asked for.
package struct RegularizationPath {
  package let betas: [Double]

  package struct Step {
    package let beta: Double
    package let primal: Double
    package let dual: Double
    package let score: Double
  }

  package struct Choice {
    package let beta: Double
    /// What was found for it.
    package let point: PolynomialSolver.Point
    package let steps: [Step]
    /// "accuracy" or "loss".
    package let measure: String
    /// What the solution's metadata tell of the choice.
    package var metadata: [String: String] {
      let best = steps.first { $0.beta == beta }!
      return [
        "validation_\(measure)": "\(best.score)",
        "path": steps.map { "\($0.beta):\($0.score)" }.joined(separator: ","),
      ]
    }
  }

  /// `count` values, evenly spaced by ratio, below `largest` (left out) and down to `smallest`. Where
  /// `smallest` is not below `largest`, it is the only one.
  package init(from largest: Double, to smallest: Double, count: Int) {
    guard smallest < largest else {
      betas = [smallest]
      return
    }
    betas = (1...count).map { step in
      step == count ? smallest : largest * pow(smallest / largest, Double(step) / Double(count))
    }
  }

  /// Solves along the path, each β from the solution before, and chooses by the validation data.
  package func choose(
    _ solver: PolynomialSolver, rule: StoppingRule, method: PolynomialMethod, budget: Budget,
    validation: Validation, from start: PolynomialSolver.Start, trace: (TraceRow, Double) -> Void
  ) -> Choice {
    var best: (beta: Double, point: PolynomialSolver.Point, score: Double)?
    var steps: [Step] = []
    var start = start
    for beta in betas {
      let point = solver.point(
        beta: beta, from: start, rule: rule, method: method, budget: budget
      ) { trace($0, beta) }
      start = .point(point)
      let score = validation.score(solver.predictions(point.blocks, on: validation.data))
      steps.append(Step(beta: beta, primal: point.primal, dual: point.dual, score: score))
      if best == nil || score > best!.score { best = (beta, point, score) }
      if budget.exhausted != nil { break }
    }
    let isClassification = validation.targets.labels != nil
    return Choice(
      beta: best!.beta, point: best!.point,
      steps: isClassification
        ? steps
        : steps.map { Step(beta: $0.beta, primal: $0.primal, dual: $0.dual, score: -$0.score) },
      measure: isClassification ? "accuracy" : "loss")
  }
}
