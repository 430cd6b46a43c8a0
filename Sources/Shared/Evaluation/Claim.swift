import Tensors

/// What a solution's metadata say of it, and whether that is so.
package struct Claim: Sendable {
  /// How the search ended.
  package enum Status: String, CaseIterable, Sendable {
    /// The gap that was asked for is reached.
    case optimal
    case iterationLimit = "iteration-limit"
    case timeLimit = "time-limit"
    case stalled
  }

  package let status: Status
  /// The gap that was asked for.
  package let gapLimit: Double
  package let primalObjective: Double
  package let dualObjective: Double
  package let relativeGap: Double

  init(_ bundle: Bundle) throws {
    status = try bundle.value(
      "status", Status.allCases.map(\.rawValue).joined(separator: ", "), parse: Status.init)
    gapLimit = Claim.gapLimit(of: bundle.metadata["command"] ?? "")
    primalObjective = try bundle.number("primal_objective")
    dualObjective = try bundle.number("dual_objective")
    relativeGap = try bundle.number("relative_gap")
  }

  /// How far a claimed objective may be from the recomputed one, relative to the larger: both are
  /// sums of up to millions of squares, of which a solver in double precision knows some ten digits.
  static let objectiveTolerance = 1e-9
  /// How far beyond the claim the gap may be: the objectives' tolerance, and the claim in six digits.
  static let gapTolerance = (absolute: 1e-9, relative: 1e-6)
  /// How far the primal and the dual point may be from feasible, relative to its size and to β; for the
  /// dual point what storing it in double precision moves comes on top.
  static let feasibilityTolerance = 1e-9
  /// How far outputs may be from predictions, relative to the largest prediction.
  static let predictionTolerance = 1e-8

  /// The `--gap` of the last solve command of a recipe, and solve's default where none is told.
  private static func gapLimit(of recipe: String) -> Double {
    let words = recipe.split(separator: "\n").last { $0.hasPrefix("solve ") }?
      .split { $0 == " " || $0 == "=" }
    let value = words?.lastIndex(of: "--gap").flatMap { words?[($0 + 1)...].first }
    return value.flatMap { Double(decimal: $0) }.flatMap { $0.isFinite ? $0 : nil } ?? 1e-4
  }

  /// Says of the solution `name` that its search ended before the gap was reached, where that is so; `gap` is
  /// the one that was recomputed.
  func shortfall(of name: String, gap: Double) -> String? {
    if status == .optimal { return nil }
    return
      "the status of \(name) is \(quoted(status.rawValue)), with a relative gap of \(gap)"
  }

  /// Each way in which the claim of `solution` does not hold; empty where it does. `recoveryError` is
  /// the largest |network output − prediction|.
  static func violations(
    of solution: any Solution, _ certificate: Certificate, recoveryError: Double
  ) -> [String] {
    let claim = solution.program.claim
    var found = claim.violations(certificate)
    let limit = Claim.predictionTolerance * solution.program.largestPrediction
    if !(certificate.predictionError <= limit) {
      found.append(
        "the predictions are \(certificate.predictionError) from those of \(solution.variables), "
          + "above \(limit)")
    }
    if !(recoveryError <= limit) {
      found.append("recovery_error is \(recoveryError), above \(limit)")
    }
    return found + certificate.objections
  }

  private func violations(_ certificate: Certificate) -> [String] {
    var found: [String] = []
    func close(_ claimed: Double, _ value: Double, slack: Double) -> Bool {
      let scale = max(abs(claimed), abs(value))
      return abs(claimed - value) <= Claim.objectiveTolerance * scale + slack
    }
    let slack = certificate.dualObjectiveRounding
    if status == .optimal, !(relativeGap <= gapLimit) {
      found.append(
        "the status is \"optimal\" with a relative_gap of \(relativeGap), above the \(gapLimit) that was "
          + "asked for")
    }
    if !close(primalObjective, certificate.primalObjective, slack: 0) {
      found.append(
        "primal_objective is \(certificate.primalObjective), not \(primalObjective)")
    }
    if !close(dualObjective, certificate.dualObjective, slack: slack) {
      found.append("dual_objective is \(certificate.dualObjective), not \(dualObjective)")
    }
    let scale = max(abs(certificate.primalObjective), .leastNonzeroMagnitude)
    let limit =
      relativeGap * (1 + Claim.gapTolerance.relative) + Claim.gapTolerance.absolute + slack / scale
    if !(certificate.relativeGap <= limit) {
      found.append("relative_gap is \(certificate.relativeGap), not \(relativeGap)")
    }
    if !(certificate.relativeGap >= -Claim.gapTolerance.absolute) {
      found.append("relative_gap is \(certificate.relativeGap): the points are not feasible")
    }
    let dualLimit = Claim.feasibilityTolerance + certificate.dualRounding
    if !(certificate.dualInfeasibility <= dualLimit) {
      found.append(
        "dual_infeasibility is \(certificate.dualInfeasibility), above \(dualLimit)")
    }
    if !(certificate.primalInfeasibility <= Claim.feasibilityTolerance) {
      found.append(
        "primal_infeasibility is \(certificate.primalInfeasibility), above "
          + "\(Claim.feasibilityTolerance)")
    }
    return found
  }
}
