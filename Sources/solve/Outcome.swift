import Convex
import Schema
import Tensors

/// The result of a search: a certified point, and the bundle that is made from it.
struct Outcome {
  let beta: Double
  let gap: Double
  let status: Status
  /// Whether something that was asked for, besides the gap, is not reached.
  let lacksProof: Bool
  let bundle: () -> Bundle

  /// Whether a limit of time or a signal ended it.
  var isLate: Bool { status == .timeLimit || status == .interrupted }

  init(_ solution: some CertifiedSolution, beta: Double, bundle: @escaping () -> Bundle) {
    self.beta = beta
    gap = max(0, solution.gap)
    status = solution.status
    lacksProof = solution.lacksProof
    self.bundle = bundle
  }

  private init(_ other: Outcome, _ status: Status) {
    (beta, gap, bundle, lacksProof) = (other.beta, other.gap, other.bundle, other.lacksProof)
    self.status = status
  }

  /// Whether a gap and all else that was asked for is reached.
  func reaches(_ goal: Double) -> Bool { gap <= goal && !lacksProof }

  /// The same point, ended by something else.
  func with(_ status: Status) -> Outcome { Outcome(self, status) }
}

/// Makes bundles from a program's solutions.
struct Composer<Solution: CertifiedSolution> {
  /// The bundle of a solution for β; β_max if it is known, and notes for the metadata.
  let bundle:
    (_ solution: Solution, _ beta: Double, _ betaMax: Double?, _ notes: [String: String]) -> Bundle

  func outcome(
    _ solution: Solution, beta: Double, betaMax: Double? = nil, notes: [String: String] = [:]
  ) -> Outcome {
    Outcome(solution, beta: beta) {
      bundle(solution, beta, betaMax.flatMap { $0.isFinite ? $0 : nil }, notes)
    }
  }
}
