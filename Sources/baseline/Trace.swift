import Tensors
import Training

/// The table that `--trace` writes.
final class Trace {
  /// The file, which appears with the network.
  let output: Output?
  private var failure: (any Error)?

  init(path: String?) throws {
    output = try path.map { try Output(path: $0) }
    put(
      "trial\titeration\tepoch\tseconds\tobjective\tloss\taccuracy\tvalidation_loss\t"
        + "validation_accuracy\n")
  }

  /// Missing numbers become `nan`, which plotting programs pass over.
  func write(_ row: TrainingRow) {
    // Swift would write the sign of NaN too.
    func text(_ value: Double?) -> String {
      guard let value, !value.isNaN else { return "nan" }
      return "\(value)"
    }
    put(
      "\(row.trial)\t\(row.iteration)\t\(row.epoch)\t\(row.seconds)\t\(text(row.objective))\t\(text(row.loss))\t"
        + "\(text(row.accuracy))\t\(text(row.validationLoss))\t\(text(row.validationAccuracy))\n")
  }

  /// Writes which trial was chosen, as a comment.
  func note(_ best: TrainingRow) { put("# best: trial \(best.trial)\n") }

  /// Throws if the table cannot be written.
  func finish() throws {
    if let failure { throw failure }
    try output?.flush()
  }

  /// An error is kept until the end: it must not interrupt training.
  private func put(_ text: String) {
    guard failure == nil else { return }
    do { try output?.write(text) } catch { failure = error }
  }
}
