import CBLAS
import Dispatch

/// How many threads a tool uses, for its own loops and inside BLAS.
package enum Threads {
  nonisolated(unsafe) package private(set) static var count = 1

  /// Whether `perform` is at work. Written while no other thread runs.
  nonisolated(unsafe) private static var isPerforming = false

  /// Sets the number for the rest of the process.
  package static func use(_ count: Int) {
    self.count = max(1, count)
    openblas_set_num_threads(Int32(self.count))
  }

  /// Calls `body(part)` once for each `part` in `0 ..< parts`, on all threads, with BLAS on one thread
  /// each. Parts must not write to the same memory. Within a part, `perform` runs on its thread alone.
  package static func perform(_ parts: Int, _ body: (Int) -> Void) {
    guard parts > 0 else { return }
    // The number of BLAS threads is that of the process: if a part raised it again, the roundings of
    // the other parts would depend on when.
    if isPerforming {
      for part in 0..<parts { body(part) }
      return
    }
    isPerforming = true
    openblas_set_num_threads(1)
    defer {
      openblas_set_num_threads(Int32(count))
      isPerforming = false
    }
    let workers = min(count, parts)
    guard workers > 1 else {
      for part in 0..<parts { body(part) }
      return
    }
    // The parts write to different memory, as the caller promises.
    withoutActuallyEscaping(body) { body in
      nonisolated(unsafe) let body = body
      // Worker w takes the parts w, w + workers, …: the same split on every run.
      DispatchQueue.concurrentPerform(iterations: workers) { worker in
        for part in stride(from: worker, to: parts, by: workers) { body(part) }
      }
    }
  }

  /// Splits `0 ..< total` into one contiguous range a thread, none shorter than `grain` where there is
  /// a choice, and calls `body` for each at once.
  package static func split(_ total: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
    let parts = max(1, min(count, total / max(1, grain)))
    perform(parts) { part in
      body(total * part / parts..<total * (part + 1) / parts)
    }
  }
}
