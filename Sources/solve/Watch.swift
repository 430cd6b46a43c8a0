import Convex
import Glibc
import Schema
import Synchronization
import Tensors

/// Ends the process when a search does not end by itself.
///
/// A solver looks at its budget between its steps. A step can last for many seconds, within LAPACK too, and the work
/// before the first one for minutes. Therefore another thread waits for the limit, or for a signal and some time for
/// the solver to notice it. The one that claims the end first, the search or the watch, writes the solution.
final class Watch: Sendable {
  /// How many seconds a search has to end by itself: after a signal, and after a limit of so many seconds.
  private static let grace = 0.5
  private static func grace(after limit: Double) -> Double { 0.2 + 0.05 * limit }

  private let isClaimed = Atomic<Bool>(false)
  /// A time of the monotonic clock.
  private let deadline: Double
  private let expire: @Sendable (Status) -> Never

  /// A search that began at `start` of the monotonic clock and has `limit` seconds. `expire` is called on a
  /// thread of its own, while the search goes on.
  init(from start: Double, limit: Double, expire: @escaping @Sendable (Status) -> Never) {
    deadline = start + limit + Watch.grace(after: limit)
    self.expire = expire
  }

  /// Begins to watch, and to take signals as requests.
  func begin() throws {
    try Signals.catchRequests()
    var thread = pthread_t()
    let error = pthread_create(
      &thread, nil,
      { watch in
        if let watch { Unmanaged<Watch>.fromOpaque(watch).takeRetainedValue().run() }
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard error == 0 else { throw Failure.data("cannot start a thread: error \(error)") }
    pthread_detach(thread)
  }

  /// Ends the watch: the caller goes on alone. Does not return if the watch is ending the process.
  func end() {
    if isClaimed.exchange(true, ordering: .acquiringAndReleasing) { while true { pause() } }
    Signals.wake()
    Signals.release()
  }

  private func run() {
    var end = deadline
    var isRequested = false
    while Budget.now() < end {
      Signals.wait(until: end)
      if isClaimed.load(ordering: .acquiring) { return }
      if !isRequested, Signals.isRequested {
        isRequested = true
        end = min(end, Budget.now() + Watch.grace)
      }
    }
    guard !isClaimed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    Signals.release()
    expire(isRequested ? .interrupted : .timeLimit)
  }
}
