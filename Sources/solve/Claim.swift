import Convex
import Evaluation
import Glibc
import Schema
import Tensors

extension Training {
  /// The claim that a solution may make, and the norm that β multiplies in its objective.
  typealias Claim = (status: Status, gap: Double, norm: Double)

  /// If patterns have more bits than this, a search that a limit ended does not count whether its list is complete,
  /// which would take more than a tenth of a second.
  private static let countedLate = 1 << 24

  /// If the numbers of the data times those of its patterns are more than this, a search that a limit ended does not
  /// certify the point it began at, which would take more than half a second.
  private static let certifiedLate = 1 << 28

  /// `bundle` with the point of --warm-start, if that has a smaller gap for this β than the search has reached: a
  /// search that a limit ends early may still be worse than its start.
  func keepingWarmStart(_ bundle: Bundle, _ outcome: Outcome) throws -> Bundle? {
    let gap = outcome.gap
    let work = (source.tensors["x"]?.count ?? 0)
      .multipliedReportingOverflow(by: source.tensors["gates"]?.shape[0] ?? 1)
    if outcome.isLate, work.overflow || work.partialValue > Training.certifiedLate { return nil }
    return try warmStart { earlier in
      // For the same β the earlier claim suffices.
      if try earlier.read(ifPresent: .beta) == outcome.beta,
        let claimed = try earlier.read(ifPresent: .relativeGap), claimed >= gap
      {
        return nil
      }
      var candidate = earlier
      candidate.metadata = bundle.metadata
      candidate.copyStatistics(of: bundle)
      // A bundle that does not fit the data or the program is no candidate.
      guard let assessment = try? Assessment(candidate, on: source, with: others, isDoubted: true),
        assessment.isSound, let found = assessment.certificate, found.relativeGap < gap,
        found.relativeGap >= 0
      else { return nil }
      return candidate
    } ?? nil
  }

  /// Writes into `bundle` the claim of the solution: metadata `certificate`, and, if double precision leaves the
  /// solver's own numbers in doubt, the objectives and the gap that evaluate's code finds. Returns this claim.
  /// `isDoubted` asks for evaluate's numbers in any case, `warns` for a warning if the list of patterns is not what it
  /// says.
  func settle(
    _ bundle: inout Bundle, _ outcome: Outcome, isDoubted: Bool, warns: Bool
  ) throws -> Claim {
    let bytes = source.tensors["patterns"]?.count ?? source.tensors["images"]?.count ?? 0
    var data = source
    if outcome.isLate, bytes > Training.countedLate / 8 {
      data.metadata[.exact] = nil
      bundle.metadata[.exact] = false
      data.metadata[.rank] = nil
    }
    // The bound of every network is evaluate's alone.
    let isDoubted = isDoubted || data.metadata["rank"] != nil
    // A proof over all neurons is not repeated here; the bound over the patterns that were found is no smaller.
    let isGlobal = try bundle.hasOwnList && bundle.metadata[.certificate] == .global
    bundle.metadata[.certificate] = nil
    var assessment = try Assessment(bundle, on: data, with: others, isDoubted: isDoubted)
    if let found = assessment.certificate, try mend(&bundle, found) {
      assessment = try Assessment(bundle, on: data, with: others, isDoubted: true)
    }
    bundle.metadata[.certificate] = isGlobal ? .global : assessment.scope
    // A list is no more complete than its certificate says.
    if assessment.scope == .patterns { bundle.metadata[.exact] = false }
    if warns, assessment.scope == .patterns, !isGlobal, data.metadata[.exact] == true {
      invocation.warn(
        "\(source.name) says that its patterns are all there are, but the data have others, or are too near to "
          + "degenerate to tell: the certificate is over the patterns of the list")
    }
    guard let found = assessment.certificate else {
      return (outcome.status, outcome.gap, assessment.norm)
    }
    let gap = max(0, found.relativeGap)
    bundle.metadata[.primalObjective] = found.primalObjective
    bundle.metadata[.dualObjective] = min(found.dualObjective, found.primalObjective)
    bundle.metadata[.relativeGap] = gap
    bundle.metadata[.globalDualObjective] = found.globalDualObjective.map {
      min($0, found.primalObjective)
    }
    var status = outcome.status
    if gap <= settings.gap, isDoubted, !outcome.lacksProof { status = .optimal }
    if gap > settings.gap, status == .optimal { status = .stalled }
    bundle.metadata[.status] = status
    return (status, gap, assessment.norm)
  }

  /// Scales the dual point of `bundle` until it is feasible to the last digit, or leaves ν = 0 if double precision lost
  /// so much that the bound is above the objective, or that nothing is proved. Returns whether something changed.
  private func mend(_ bundle: inout Bundle, _ found: Certificate) throws -> Bool {
    let isLost = found.relativeGap < -1e-10 || found.isBeyondPrecision
    // Coefficients of sums move the constraints by as much when they are rounded again.
    let room = bundle[.dualCoefficients] == nil ? 0 : found.dualRounding
    guard isLost || found.dualInfeasibility > room else { return false }
    let scale = isLost ? 0 : 1 / (1 + found.dualInfeasibility)
    for key in [
      TensorKey.dual, .dualCoefficients, .dualScale, .layersMultipliers,
      .layersExceptionMultipliers,
    ] {
      guard let dual = try bundle.optional(key) else { continue }
      bundle[key] = Tensor(dual.doubles.map { $0 * scale }, shape: dual.shape)
    }
    return true
  }

  /// Prints the result for users who wait at a terminal.
  func summarize(_ bundle: Bundle) {
    guard isatty(2) == 1 else { return }
    func value(_ key: String) -> String { bundle.metadata[key] ?? "" }
    invocation.note(
      "\(value("status")), objective \(value("primal_objective")), relative gap \(value("relative_gap")), "
        + "certificate \(value("certificate"))")
  }
}
