import Glibc
import Schema

/// When to stop.
package struct StoppingRule: Sendable {
  /// The certified relative gap that is asked for.
  package var gap = 1e-4
  package var maximumIterations = Int.max
  package var maximumSeconds = Double.infinity
  package init() {}
}

/// (P − D)/P, and 0 if both are 0.
package func relativeGap(primal: Double, dual: Double) -> Double {
  let difference = primal - dual
  if difference == 0 { return 0 }
  return primal == 0 ? .infinity : difference / abs(primal)
}

/// The report of a solver at a check.
package struct TraceRow: Sendable {
  package var iteration: Int
  package var seconds: Double
  package var primal: Double
  package var dual: Double
  package var neurons: Int
  /// Of a search over all patterns: the largest price that was found, over β, and the seconds of the last proof.
  package var violation: Double?
  package var proofSeconds: Double?
  package var gap: Double { relativeGap(primal: primal, dual: dual) }

  package init(iteration: Int, seconds: Double, primal: Double, dual: Double, neurons: Int) {
    self.iteration = iteration
    self.seconds = seconds
    self.primal = primal
    self.dual = dual
    self.neurons = neurons
  }
}

/// The clock and the iteration count of one solve, over everything it tries. The solve publishes here the points that
/// it finds.
package final class Budget {
  private let start: Double
  package private(set) var iterations = 0
  private let rule: StoppingRule
  private let isInterrupted: () -> Bool
  /// Receives improved points: it calls its argument if it wants the point.
  package var listener: ((() -> any CertifiedSolution) -> Void)?

  /// `isInterrupted` says whether the search was asked to end.
  package init(
    _ rule: StoppingRule, startedAt start: Double,
    isInterrupted: @escaping () -> Bool = { false }
  ) {
    self.rule = rule
    self.start = start
    self.isInterrupted = isInterrupted
  }

  /// A budget for a part of the work, which starts now and publishes no points.
  package func part(_ rule: StoppingRule) -> Budget {
    Budget(rule, startedAt: Budget.now(), isInterrupted: isInterrupted)
  }

  package var seconds: Double { Budget.now() - start }
  package func count(_ iterations: Int = 1) { self.iterations += iterations }

  /// Iterations that are left.
  package var remaining: Int { rule.maximumIterations - iterations }

  package var secondsLeft: Double { isInterrupted() ? -.infinity : rule.maximumSeconds - seconds }

  package var isOutOfTime: Bool { secondsLeft <= 0 }

  /// The limit that is reached, if one is.
  package var exhausted: Status? {
    if isInterrupted() { return .interrupted }
    if iterations >= rule.maximumIterations { return .iterationLimit }
    if isOutOfTime { return .timeLimit }
    return nil
  }

  /// Publishes the best point so far. `point` must share no memory with what the solver still writes to, and must leave
  /// the solver as it was: whether it is called depends on the clock.
  package func publish(_ point: () -> any CertifiedSolution) { listener?(point) }

  package static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
