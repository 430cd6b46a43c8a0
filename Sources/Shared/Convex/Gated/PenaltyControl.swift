import Glibc

/// How ρ of an ADMM changes: first so that primal and dual residuals fall alike (Boyd et al. 2011, section
/// 3.4.1), with the square root of their ratio for a step; later by trial, where the gap falls slowly.
/// Every change costs a factorisation, which is worth a few iterations.
struct PenaltyControl {
  /// Residuals decide up to here, no two changes within `pause` iterations.
  private let early = 60
  private let pause = 10
  /// Later a change is tried where the gap took more than this factor an iteration, over half a window.
  private let slow = 0.94
  private let window = 50
  private var iteration = 0
  private var lastChange = 0
  private var gaps: [Double] = []
  private var trial = 0.3
  /// The rate that the last trial began from.
  private var rate: Double?

  /// What to multiply ρ by after an iteration that left this gap.
  mutating func factor(primalResidual: Double, dualResidual: Double, gap: Double) -> Double? {
    iteration += 1
    gaps.append(gap)
    if iteration <= early {
      let ratio = (primalResidual / max(dualResidual, 1e-300)).squareRoot()
      let factor = min(5, max(0.2, ratio))
      guard iteration - lastChange >= pause, factor > 1.6 || factor < 0.62 else { return nil }
      lastChange = iteration
      return factor
    }
    guard iteration - lastChange >= window else { return nil }
    lastChange = iteration
    let now = exp(log(gap / gaps[iteration - 1 - window / 2]) / Double(window / 2))
    guard now > slow else {
      rate = nil
      return nil
    }
    // Slower than before the last trial: back, and not quite as far.
    if let rate, now > rate { trial = pow(trial, -0.7) }
    rate = now
    return trial
  }
}
