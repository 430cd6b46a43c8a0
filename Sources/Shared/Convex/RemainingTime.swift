import Glibc

/// An estimate of how long a search goes on, from the gaps that it has reached: as if their logarithms fell on a line,
/// through the best gap now and the best one at half of the time.
package struct RemainingTime {
  private var beta = Double.nan
  private var checks: [(seconds: Double, gap: Double)] = []

  package init() {}

  /// The seconds until the gap is `goal`, at the check `seconds` after the start with this `gap` for β; nil if that
  /// cannot be told.
  package mutating func seconds(
    at seconds: Double, gap: Double, goal: Double, of beta: Double
  ) -> Double? {
    if self.beta != beta { (self.beta, checks) = (beta, []) }
    guard gap > 0, gap.isFinite, goal > 0 else { return nil }
    let best = min(gap, checks.last?.gap ?? gap)
    checks.append((seconds, best))
    if best <= goal { return 0 }
    let half = 0.5 * (checks[0].seconds + seconds)
    // Checks that are far from the half are never asked for again.
    guard let earlier = checks.last(where: { $0.seconds <= half }), earlier.gap > best,
      seconds > earlier.seconds
    else { return nil }
    if checks.count > 4000 {
      checks = checks.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    }
    let rate = log(earlier.gap / best) / (seconds - earlier.seconds)
    let left = log(best / goal) / rate
    return left.isFinite && left < 1e7 ? left : nil
  }

  /// A time as people say it: `40 s`, `12 min`, `3 h`.
  package static func text(_ seconds: Double) -> String {
    if seconds < 99.5 { return "\(Int(max(1, seconds.rounded()))) s" }
    let minutes = seconds / 60
    return minutes < 99.5 ? "\(Int(minutes.rounded())) min" : "\(Int((minutes / 60).rounded())) h"
  }
}
