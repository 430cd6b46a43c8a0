import LinearAlgebra
import Tensors

extension PatternSolution {
  /// How far a gate may be from attaining its pattern, relative to ‖x‖ ‖g‖: samples on the boundary
  /// itself may have been taken for either side.
  private static let tieTolerance = 1e-9

  package func certificate(on examples: Examples, expected: Matrix) throws -> Certificate {
    guard let arrangements = examples.arrangements, case .patches(let patches) = examples.features
    else { preconditionFailure("checked") }
    let features = Matrix(patches.count, patches.dimension)
    guard patches.read(0..<patches.count, into: features.base) else { throw examples.nonFinite() }
    let lengths = (0..<features.rows).map { norm(features.columns, features.row($0)) }

    let primal = PatternPrimal(self, arrangements, features: features, lengths: lengths)
    let constraints = PatternConstraints(self, arrangements, features: features, lengths: lengths)
    let largest = constraints.largest()
    guard largest.isFinite else {
      throw Failure.data("the dual constraints of \(program.name) overflow")
    }

    var objections: [String] = []
    let violation = primal.gateViolation
    if !(violation.value <= PatternSolution.tieTolerance) {
      let pattern = index[violation.place]
      let gate =
        violation.isOfSolution
        ? "gate \(violation.place) of \(program.name)" : "gate \(pattern) of \(arrangements.name)"
      objections.append(
        "\(gate) does not attain pattern \(pattern) of \(arrangements.name): a sample is on the "
          + "wrong side by \(violation.value)")
    }
    return Certificate(
      program, expected: expected,
      primalObjective: squaredLoss(primal.outputs, expected) + program.beta * primal.norm,
      primalInfeasibility: primal.coneViolation,
      predictionError: largestDifference(primal.outputs, program.predictions),
      largestConstraint: largest, rounding: rounding(lengths), objections: objections,
      warnings: [exactnessWarning(arrangements)].compactMap { $0 })
  }

  /// Storing ν in double precision moves Xᵀ D ν by about ε/2 times the root of Σ ν_j² ‖x_j‖²: no solver
  /// can do better.
  private func rounding(_ lengths: [Double]) -> Double {
    let dual = program.dual
    let sums = (0..<dual.columns).map { c in
      (0..<dual.rows).reduce(0) { sum, j in
        let term = dual[j, c] * lengths[j]
        return sum + term * term
      }.squareRoot()
    }
    return 0.5 * Double.ulpOfOne * (sums.max() ?? 0)
  }
}
