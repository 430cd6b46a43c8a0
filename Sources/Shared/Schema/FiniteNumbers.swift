import Tensors

extension Bundle {
  /// Metadata that are text, whatever it spells.
  private static let texts = Set(["classes", "command", "producer", "kind"] + TableKey.all)

  /// Fails if a number that stands in a tensor or is a value of the metadata is not finite; no tool writes such a
  /// bundle. `advice` ends the message.
  package func expectFiniteNumbers(_ advice: String? = nil) throws {
    let end = advice.map { "; \($0)" } ?? ""
    for (name, tensor) in tensors.sorted(by: { precedes($0.key, $1.key) }) {
      do { try tensor.expectFinite(name) } catch Failure.data(let message) {
        throw Failure.data("the result cannot be written: \(message)\(end)")
      }
    }
    for (key, text) in metadata.sorted(by: { precedes($0.key, $1.key) })
    where !Bundle.texts.contains(key) && isNonFiniteNumber(text) {
      throw Failure.data(
        "the result cannot be written: metadata \(quoted(key)) is \(quoted(text)), no finite number\(end)"
      )
    }
  }
}
