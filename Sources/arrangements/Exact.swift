import Command
import Convex
import Schema
import Tensors

extension Invocation<Settings> {
  /// The bundle with all patterns of the `rows` of `bundle`, or of their truncation.
  func exactPatterns(
    of bundle: Bundle, _ rows: DataRows, _ metadata: [String: String],
    progress: (_ hyperplanes: Int, _ all: Int) -> Void
  ) throws -> Bundle {
    let maximum = settings.maximum ?? 1_000_000
    var metadata = metadata
    metadata["truncation_error"] = nil
    if let rank = settings.rank {
      guard rows.rowsPerSample == 1 else {
        throw Failure.data(
          "\(bundle.name) has \(rows.rowsPerSample) patches a sample, expected 1: --rank is for fully-connected networks"
        )
      }
      if let truncated = try TruncatedPatterns(rows.matrix(), rank: rank, maximum: maximum) {
        note("there can be at most \(PatternCount.text(truncated.bound)) patterns")
        metadata["truncation_error"] = "\(truncated.error)"
        return try truncated.list(progress: progress).bundle(
          source: bundle, isExact: false, bound: truncated.bound, rank: rank, metadata: metadata)
      }
      note("the data have no larger rank than \(rank): nothing is truncated")
    }
    let exact = try ExactPatterns(rows.matrix(), maximum: maximum)
    note("there can be at most \(PatternCount.text(exact.bound)) patterns")
    return try exact.list(progress: progress).bundle(
      source: bundle, isExact: true, bound: exact.bound, metadata: metadata)
  }
}
