import Schema
import Tensors

/// The claim in a solution's metadata, and whether it holds.
package struct Claim: Sendable {
  package let status: Status
  /// The gap that was asked for: metadata `gap`, or solve's default if it is not there.
  package let gapLimit: Double
  package let primalObjective: Double
  package let dualObjective: Double
  package let relativeGap: Double
  /// The claimed bound of every network's objective, if there is one.
  package let globalDualObjective: Double?
  /// The certificate that the solution claims; `nil` if it does not say.
  package let scope: Scope?

  init(_ bundle: Bundle) throws {
    status = try bundle.read(.status)
    gapLimit = try bundle.read(.gap, default: 1e-4)
    primalObjective = try bundle.read(.primalObjective)
    dualObjective = try bundle.read(.dualObjective)
    relativeGap = try bundle.read(.relativeGap)
    globalDualObjective = try bundle.read(ifPresent: .globalDualObjective)
    scope = bundle.metadata["certificate"] == nil ? nil : try bundle.read(.certificate)
  }

  /// How far a claimed objective may be from the recomputed one, and the network's from the bounds, relative to the
  /// primal (a dual value relative to itself, if that is larger): both are sums of up to millions of squares, of which
  /// a solver in double precision knows some ten digits.
  static let objectiveTolerance = 1e-9
  /// How far beyond the claim the gap may be: the objectives' tolerance, and the claim in six digits.
  static let gapTolerance = (absolute: 1e-9, relative: 1e-6)
  /// How far the primal and the dual point may be from feasible, relative to its size and to β; for the dual point the
  /// error of storing it in double precision is added.
  static let feasibilityTolerance = 1e-9
  /// How far outputs may be from predictions, relative to the largest prediction.
  static let predictionTolerance = 1e-8

  /// Says of the solution `name` that its search ended before the gap was reached, if that is so; `gap` is the
  /// recomputed one.
  func shortfall(of name: String, gap: Double) -> String? {
    if status == .optimal { return nil }
    return
      "the status of \(name) is \(quoted(status.rawValue)), with a relative gap of \(gap)"
  }

  /// Each way in which the claim of `solution` does not hold; empty if it does. `recoveryError` is
  /// the largest |network output − prediction|, `objective` the network's own. `outputSize` is the size of outputs that
  /// the error is compared with, the largest prediction unless it is given.
  static func violations(
    of solution: any Solution, _ certificate: Certificate, recoveryError: Double,
    outputSize: Double? = nil, objective: Double
  ) -> [String] {
    let claim = solution.program.claim
    var found = claim.contradictions + claim.violations(certificate)
    let limit =
      Claim.predictionTolerance * (outputSize ?? solution.program.largestPrediction)
    if !(certificate.predictionError <= limit) {
      found.append(
        "the predictions are \(certificate.predictionError) from those of \(solution.variables), "
          + "above \(limit)")
    }
    if !(recoveryError <= limit) {
      found.append("recovery_error is \(recoveryError), above \(limit)")
    }
    return found + claim.violations(certificate, objective: objective) + certificate.objections
  }

  /// Contradictions within the claim.
  private var contradictions: [String] {
    var found: [String] = []
    if status == .optimal, !(relativeGap <= gapLimit) {
      found.append(
        "the status is \"optimal\" with a relative_gap of \(relativeGap), above the \(gapLimit) that was "
          + "asked for")
    }
    if !(gapLimit > 0) { found.append("the gap asked for is \(gapLimit)") }
    if !(relativeGap >= 0) { found.append("the claimed relative_gap is \(relativeGap), below 0") }
    let gap = max(0, Certificate.gap(primal: primalObjective, dual: dualObjective))
    let slack = Claim.gapTolerance.absolute + Claim.gapTolerance.relative * abs(gap)
    if !(abs(gap - relativeGap) <= slack) {
      found.append(
        "the claimed relative_gap is \(relativeGap), but the claimed objectives have \(gap)")
    }
    return found
  }

  /// Claimed and recomputed numbers that differ.
  private func violations(_ certificate: Certificate) -> [String] {
    var found: [String] = []
    let (primal, dual) = (certificate.primalObjective, certificate.dualObjective)
    // Numbers that are not finite fail every comparison. A dual value may be very negative: it widens only its own
    // tolerance.
    if !(abs(primalObjective - primal) <= Claim.objectiveTolerance * abs(primal)) {
      found.append("primal_objective is \(primal), not \(primalObjective)")
    }
    if !(abs(dualObjective - dual) <= Claim.objectiveTolerance * max(abs(primal), abs(dual))) {
      found.append("dual_objective is \(dual), not \(dualObjective)")
    }
    if let claimed = globalDualObjective {
      let bound = certificate.globalDualObjective
      let size = max(abs(primal), abs(bound ?? 0))
      if !(abs(claimed - (bound ?? .infinity)) <= Claim.objectiveTolerance * size) {
        found.append(
          bound.map { "global_dual_objective is \($0), not \(claimed)" }
            ?? "global_dual_objective is \(claimed), but the patterns are not all those of a truncation of the data: they bound no other networks"
        )
      }
    }
    let limit = relativeGap * (1 + Claim.gapTolerance.relative) + Claim.gapTolerance.absolute
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
    if let scope, !certificate.scope.covers(scope) {
      found.append(
        "certificate is \(quoted(certificate.scope.rawValue)), not \(quoted(scope.rawValue))")
    }
    return found
  }

  /// The network's own objective lies between the bound and the solution's objective.
  private func violations(_ certificate: Certificate, objective: Double) -> [String] {
    let (primal, dual) = (certificate.primalObjective, certificate.dualObjective)
    let slack = Claim.objectiveTolerance * abs(primal)
    if !(objective <= primal + slack) {
      return ["the network's objective is \(objective), above the solution's \(primal)"]
    }
    if !(objective >= dual - slack) {
      return ["the network's objective is \(objective), below the bound \(dual) of every network's"]
    }
    return []
  }
}
