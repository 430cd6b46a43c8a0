import LinearAlgebra
import Schema
import Tensors

/// The claim that a solution may make, for a solver that is about to write it.
///
/// A solver knows its objectives to some ten digits, to fewer if β is tiny beside the data or the loss is tiny beside
/// the targets. It then takes evaluate's numbers in place of its own, so that a claim never says more than evaluate
/// finds.
package struct Assessment: Sendable {
  /// The networks that the bound is about.
  package let scope: Scope
  /// The objectives and the gap as evaluate finds them; `nil` if the solver's own are good enough.
  package let certificate: Certificate?
  /// The norm that β multiplies in the primal objective.
  package let norm: Double
  /// Whether the primal point is feasible and the predictions are its own, as far as that was looked at.
  package let isSound: Bool

  /// The share of the objective that plain double precision may get wrong before the solver's numbers are replaced:
  /// half the tolerance of a claim. The estimate adds up worst cases; the errors themselves are thousands of times
  /// smaller if there are many features.
  private static let limit = 0.5 * Claim.objectiveTolerance

  /// Up to this many features times patterns evaluate's numbers cost some milliseconds, and are taken always.
  private static let smallSize = 1 << 20

  /// Judges the bundle `solution` on the training data `source`, from which it came, and on `others`, the same samples
  /// with other patches; `isDoubted` asks for evaluate's numbers in any case.
  package init(
    _ solution: Bundle, on source: Bundle, with others: [Bundle] = [], isDoubted: Bool = false
  ) throws {
    let solution = try Evaluation.solution(of: solution)
    if source.kind == .statistics {
      let proof = try Assessment.proof(of: solution, on: JudgedSums(source))
      (scope, certificate, norm) = (proof.scope, proof, solution.penalty)
      isSound =
        proof.primalInfeasibility <= Claim.feasibilityTolerance && proof.objections.isEmpty
      return
    }
    let program = solution.program
    let examples = try Examples(
      source, patterns: solution.needsPatterns, list: solution.ownList
    ).joined(with: others.map { try Examples($0, patterns: solution.needsPatterns) })
    try solution.check(against: examples)
    norm = solution.penalty
    let expected = try ExpectedOutputs(
      examples, targets: program.targets, outputs: program.outputs, classes: program.classes,
      loss: program.loss
    ).values
    let isSmall = examples.size * (examples.arrangements?.count ?? 1) <= Assessment.smallSize
    guard !isSmall, !isDoubted,
      solution.uncertainty(on: examples, expected: expected) <= Assessment.limit
    else {
      let proof = try solution.certificate(on: examples, expected: expected, with: nil).proof
      (scope, certificate) = (proof.scope, proof)
      isSound =
        proof.primalInfeasibility <= Claim.feasibilityTolerance && proof.objections.isEmpty
        && proof.predictionError <= Claim.predictionTolerance * program.largestPrediction
      return
    }
    (scope, certificate, isSound) = (try solution.scope(on: examples), nil, true)
  }
}

extension Assessment {
  /// The proof of a solution of sums.
  private static func proof(
    of solution: any Solution, on data: JudgedSums
  ) throws -> Certificate {
    let sums = data.sums
    try data.check(solution)
    let space = try FeatureSpace(
      sums.design, order: sums.order, regions: sums.regions, dimension: sums.dimension,
      name: sums.name)
    let products = SummedProducts(sums)
    let (weights, points) = try products.points(of: solution, in: space)
    return try SummedCertificate(
      solution, products, space, weights: weights, dual: points(0)
    ).certificate
  }
}

extension Solution {
  /// Roughly how far, relative to the objective, a solver in plain double precision may be wrong about either
  /// objective: the amount by which rounding moves the dual constraints, in the dual value and of the norm, and the
  /// amount by which it moves the outputs, times ν.
  fileprivate func uncertainty(on examples: Examples, expected: Matrix) -> Double {
    let primal = program.claim.primalObjective
    guard primal > 0 else { return 0 }
    // A loss of almost nothing is the difference of far larger numbers.
    let zero = program.judgedLoss.value(Matrix(expected.rows, expected.columns), expected)
    if primal < 1e-6 * zero { return .infinity }
    let dual = LinearAlgebra.norm(program.dual.count, program.dual.base)
    let outputs = LinearAlgebra.norm(program.predictions.count, program.predictions.base)
    let rounding = 8 * Double.ulpOfOne * dual
    let share = rounding * featureScale(on: examples) / program.beta
    // How much of its value ν loses if it is scaled by as much.
    let point = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let loss = point.value(scaledBy: 1) - point.value(scaledBy: 1 / (1 + share))
    let result =
      (abs(loss) + share * program.beta * penalty + rounding * outputs) / primal + share * share
    return result.isFinite ? result : .infinity
  }
}
