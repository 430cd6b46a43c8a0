import Dispatch

/// Mutual exclusion for the short moments in which threads tell how far they are.
package final class Lock {
  private let semaphore = DispatchSemaphore(value: 1)

  package init() {}

  package func locked<R>(_ body: () throws -> R) rethrows -> R {
    semaphore.wait()
    defer { semaphore.signal() }
    return try body()
  }
}
