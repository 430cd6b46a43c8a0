/// The best result of a search so far, for another thread that may have to end the search.
///
/// To make a result of a point costs time: it has to be copied, or certified on the data, which may take a tenth of
/// the search's set-up. So the first offer is looked at only after some time, and a later one only after thirty times
/// as long as the last one took.
package final class LatestResult<Result>: @unchecked Sendable {
  private let lock = Lock()
  /// Guarded by the lock.
  private var latest: Result?
  /// The time from which on an offer is looked at; only the thread that searches uses it.
  private var due: Double
  /// The time of creation, until the first offer: it ends the set-up, after which half of its time is to pass.
  private var setUp: Double?
  private let clock: () -> Double

  /// Pauses between offers, relative to the time that they take.
  private static var pause: Double { 30 }

  /// Offers in the first `delay` seconds are not looked at; if `afterSetUp`, neither are those that come sooner after
  /// the first one than half of the time up to it.
  package init(
    after delay: Double = 0, afterSetUp: Bool = false, clock: @escaping () -> Double = Budget.now
  ) {
    self.clock = clock
    let start = clock()
    due = start + delay
    setUp = afterSetUp ? start : nil
  }

  /// The result that was taken last.
  package var value: Result? { lock.locked { latest } }

  /// Takes `result` at once.
  package func take(_ result: Result) { lock.locked { latest = result } }

  /// Takes what `make` makes, if it is time for another result. `make` receives the present result and returns nil if
  /// it has nothing better.
  package func offer(_ make: (Result?) -> Result?) {
    let start = clock()
    if let created = setUp {
      due = max(due, start + 0.5 * (start - created))
      setUp = nil
    }
    guard start >= due else { return }
    if let result = make(value) { take(result) }
    let end = clock()
    due = end + LatestResult.pause * (end - start)
  }
}
