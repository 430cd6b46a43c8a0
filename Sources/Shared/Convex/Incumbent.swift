/// The best result of a search so far, for another thread that may have to end the search.
///
/// To make a result of a point costs time: it has to be copied, or certified on the data. So an offer is looked
/// at only after thirty times as long as the last one took.
package final class Incumbent<Result>: @unchecked Sendable {
  private let lock = Lock()
  /// Guarded by the lock.
  private var latest: Result?
  /// When the next offer is looked at; for the thread that searches.
  private var due = -Double.infinity
  private let clock: () -> Double

  /// Pauses between offers, relative to the time that they take.
  private static var pause: Double { 30 }

  package init(clock: @escaping () -> Double = Budget.now) { self.clock = clock }

  /// What was taken last.
  package var value: Result? { lock.locked { latest } }

  /// Takes `result` at once.
  package func take(_ result: Result) { lock.locked { latest = result } }

  /// Takes what `make` makes, if it is time for another result. `make` is told what is there, and returns `nil` if
  /// it has nothing better.
  package func offer(_ make: (Result?) -> Result?) {
    let start = clock()
    guard start >= due else { return }
    if let result = make(value) { take(result) }
    let end = clock()
    due = end + Incumbent.pause * (end - start)
  }
}
