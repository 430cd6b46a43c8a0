import Convex
import LinearAlgebra

/// Computes the features of all samples in blocks, on all threads, and holds only a few blocks at a time.
final class FeatureStream {
  let features: PooledFeatures
  private let readers: [PooledFeatureReader]
  private let buffers: [Matrix]
  /// The number of samples whose features a thread computes at once.
  private let step: Int

  var workers: Int { readers.count }
  /// Time spent on features so far.
  private(set) var seconds = 0.0

  init(_ features: PooledFeatures) {
    self.features = features
    step = max(4, min(64, 400_000 / max(1, features.order)))
    readers = (0..<Threads.count).map { _ in features.reader() }
    let step = step
    buffers = readers.map { _ in Matrix(step, features.order) }
  }

  /// Calls `use` with the features (a row of Q numbers per sample) of a few samples at a time, on each worker with its
  /// own samples; after every `round` samples calls `next` with these, on the calling thread. Ends early and returns
  /// false if `proceed` does.
  func run(
    _ samples: Range<Int>, round: Int, proceed: () -> Bool,
    use: (_ worker: Int, _ samples: Range<Int>, _ features: UnsafePointer<Double>) -> Void,
    next: (Range<Int>) -> Void = { _ in }
  ) -> Bool {
    for first in stride(from: samples.lowerBound, to: samples.upperBound, by: round) {
      guard proceed() else { return false }
      let count = min(round, samples.upperBound - first)
      let parts = min(workers, count)
      let clock = Budget.now()
      Threads.perform(parts) { worker in
        let (begin, end) = (count * worker / parts, count * (worker + 1) / parts)
        for start in stride(from: first + begin, to: first + end, by: step) {
          let block = start..<min(start + step, first + end)
          readers[worker].read(block, into: buffers[worker].base)
          use(worker, block, buffers[worker].base)
        }
      }
      seconds += Budget.now() - clock
      next(first..<first + count)
    }
    return true
  }
}
