import Convex
import Tensors

/// The table that `--trace` writes. Any thread may write, and any may finish it.
final class Trace {
  /// The file, which appears with the solution.
  let output: Output?
  private let lock = Lock()
  private var failure: (any Error)?
  private var isFinished = false
  private var hasHeader = false
  /// Whether the table has the columns of a search over all patterns: violation and proof_seconds. To be set before the
  /// first row.
  var hasSearch = false

  init(path: String?) throws { output = try path.map { try Output(path: $0) } }

  func write(_ row: TraceRow, beta: Double) {
    put(
      "\(row.iteration)\t\(row.seconds)\t\(row.primal)\t\(row.dual)\t\(row.gap)\t\(row.neurons)\t"
        + "\(beta)" + (hasSearch ? "\t\(text(row.violation))\t\(text(row.proofSeconds))\n" : "\n"))
  }

  private func text(_ number: Double?) -> String { number.map { "\($0)" } ?? "" }

  /// The table of a path, as comments.
  func write<Point>(_ choice: RegularizationPath.Choice<Point>) {
    let score = choice.steps[choice.best].score
    let names = score.map { $0.accuracy == nil ? [$0.measure] : ["loss", $0.measure] } ?? []
    put("# path: beta\tprimal\tdual\trelative_gap\(names.map { "\tvalidation_\($0)" }.joined())\n")
    for step in choice.steps {
      let gap = relativeGap(primal: step.primal, dual: step.dual)
      let scores = [step.score?.loss, step.score?.accuracy].compactMap { $0.map { "\t\($0)" } }
      put("# \(step.beta)\t\(step.primal)\t\(step.dual)\t\(gap)\(scores.joined())\n")
    }
  }

  /// Ends the table: later rows are left out. Throws if it cannot be written.
  func finish() throws {
    try lock.locked {
      putHeader()
      isFinished = true
      if let failure { throw failure }
      try output?.flush()
    }
  }

  /// An error is kept until the end: it must not interrupt a solve.
  private func put(_ text: String) {
    lock.locked {
      guard failure == nil, !isFinished else { return }
      putHeader()
      do { try output?.write(text) } catch { failure = error }
    }
  }

  /// The caller holds the lock.
  private func putHeader() {
    guard !hasHeader, failure == nil else { return }
    hasHeader = true
    let more = hasSearch ? "\tviolation\tproof_seconds" : ""
    do {
      try output?.write("iteration\tseconds\tprimal\tdual\trelative_gap\tneurons\tbeta\(more)\n")
    } catch { failure = error }
  }
}
