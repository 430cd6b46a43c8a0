import CBLAS
import Dispatch
import Glibc

/// How many threads a tool uses, for its own loops and inside BLAS.
package enum Threads {
  nonisolated(unsafe) package private(set) static var count = 1

  /// Not `nil` on a thread that works on a part.
  private static let isBusy = {
    var key = pthread_key_t()
    precondition(pthread_key_create(&key, nil) == 0, "no key for a thread's own data")
    return key
  }()

  /// The number of threads that BLAS uses between the parts of `perform`.
  nonisolated(unsafe) private static var countInBLAS = 1

  /// Sets the number for the rest of the process.
  package static func use(_ count: Int) {
    self.count = max(1, count)
    countInBLAS = self.count
    openblas_set_num_threads(Int32(clamping: self.count))
  }

  /// Calls `body` with BLAS on one thread. Its threads wait for work by spinning: if products are small, they take the
  /// processors from the threads of `perform`.
  package static func withSerialBLAS<R>(_ body: () throws -> R) rethrows -> R {
    guard pthread_getspecific(isBusy) == nil else { return try body() }
    let before = countInBLAS
    countInBLAS = 1
    openblas_set_num_threads(1)
    defer {
      countInBLAS = before
      openblas_set_num_threads(Int32(clamping: before))
    }
    return try body()
  }

  /// Calls `body(part)` once for each `part` in `0 ..< parts`, on all threads, with BLAS on one thread each. Parts must
  /// not write to the same memory. A call within a part runs its parts one after the other: if BLAS got its threads
  /// back while other parts still run, its sums would depend on their timing.
  package static func perform(_ parts: Int, _ body: (Int) -> Void) {
    guard parts > 0 else { return }
    if pthread_getspecific(isBusy) != nil {
      for part in 0..<parts { body(part) }
      return
    }
    openblas_set_num_threads(1)
    defer { openblas_set_num_threads(Int32(clamping: countInBLAS)) }
    let workers = min(count, parts)
    // The parts write to different memory, as the caller promises.
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      // Worker w takes the parts w, w + workers, …: the same split on every run.
      @Sendable func work(_ worker: Int) {
        pthread_setspecific(isBusy, UnsafeRawPointer(bitPattern: 1))
        defer { pthread_setspecific(isBusy, nil) }
        for part in stride(from: worker, to: parts, by: workers) { body(part) }
      }
      if workers == 1 {
        work(0)
      } else {
        DispatchQueue.concurrentPerform(iterations: workers, execute: work)
      }
    }
  }

  /// Splits `0 ..< total` into one contiguous range for each thread, none shorter than `grain` if that is possible, and
  /// calls `body` for each at once.
  package static func split(_ total: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
    let parts = max(1, min(count, total / max(1, grain)))
    perform(parts) { part in
      body(total * part / parts..<total * (part + 1) / parts)
    }
  }
}
