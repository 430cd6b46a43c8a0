import Tensors

/// Smaller bundles that a bundle holds: the names of the tensors and of the metadata of number k begin with `word.k.`, the
/// first being 1.
package struct NumberedParts: Sendable {
  private let start: String
  private let what: String

  /// The hidden layers that data went through before their features were made: `after.1.`, `after.2.`, ….
  package static let layers = NumberedParts(start: "after.", what: "layer")
  /// What a joint program has for each kind of patches: `part.1.`, `part.2.`, ….
  package static let parts = NumberedParts(start: "part.", what: "part")

  /// Whether a tensor of this name, or such metadata, belongs to a part.
  package func owns(_ name: String) -> Bool { name.hasPrefix(start) }

  private func prefix(_ number: Int) -> String { "\(start)\(number)." }

  /// The parts of `bundle`. Throws `Failure.data` if they are not numbered from 1 on.
  package func read(_ bundle: Bundle) throws -> [Bundle] {
    var parts: [Bundle] = []
    var left = bundle.tensors.keys.count(where: owns) + bundle.metadata.keys.count(where: owns)
    while left > 0 {
      let number = parts.count + 1
      let prefix = prefix(number)
      func own<T>(_ all: [String: T]) -> [String: T] {
        Dictionary(
          uniqueKeysWithValues: all.filter { $0.key.hasPrefix(prefix) }
            .map { (String($0.key.dropFirst(prefix.count)), $0.value) })
      }
      let part = Bundle(
        tensors: own(bundle.tensors), metadata: own(bundle.metadata),
        name: "\(what) \(number) of \(bundle.name)")
      let count = part.tensors.count + part.metadata.count
      guard count > 0 else {
        throw Failure.data(
          "\(bundle.name) has tensors or metadata \"\(start)…\", but none of \(what) \(number)")
      }
      left -= count
      parts.append(part)
    }
    return parts
  }

  /// Puts `parts` into `bundle`, in place of those that it has.
  package func write(_ parts: [Bundle], to bundle: inout Bundle) {
    bundle = without(bundle)
    for (k, part) in parts.enumerated() {
      let prefix = prefix(k + 1)
      for (name, tensor) in part.tensors { bundle.tensors[prefix + name] = tensor }
      for (key, value) in part.metadata { bundle.metadata[prefix + key] = value }
    }
  }

  /// The bundle without its parts.
  package func without(_ bundle: Bundle) -> Bundle {
    var result = bundle
    result.tensors = bundle.tensors.filter { !owns($0.key) }
    result.metadata = bundle.metadata.filter { !owns($0.key) }
    return result
  }
}
