import Tensors

/// Solutions and networks of a joint program, over several kinds of patches of the same samples: what the parts have in
/// common stands once, and the rest of each part under `part.k.`.
package enum JointBundle {
  /// The metadata that tell of a part's data.
  private static func isOfData(_ key: String) -> Bool {
    key != "classes"
      && (Preparation.inherited.contains(key) || NumberedParts.layers.owns(key) || key == "regions")
  }

  private static let common: [TensorKey] = [.dual, .predictions, .targetShift, .targetDivisor]

  /// Whether `bundle` is one of several parts.
  package static func isJoint(_ bundle: Bundle) -> Bool {
    bundle.tensors.keys.contains(where: NumberedParts.parts.owns)
      || bundle.metadata.keys.contains(where: NumberedParts.parts.owns)
  }

  /// The bundle of `parts`, at least one, which agree in what is not about their data.
  package static func join(_ parts: [Bundle]) -> Bundle {
    let shared = Set(common.map(\.name))
    var result = parts[0]
    result.tensors = result.tensors.filter { shared.contains($0.key) }
    result.metadata = result.metadata.filter { !isOfData($0.key) }
    // All patterns are listed only if they are so for every part.
    if parts.contains(where: { $0.metadata[.exact] != true }), result.metadata[.exact] != nil {
      result.metadata[.exact] = false
    }
    NumberedParts.parts.write(
      parts.map { part in
        Bundle(
          tensors: part.tensors.filter { !shared.contains($0.key) },
          metadata: part.metadata.filter { isOfData($0.key) })
      }, to: &result)
    return result
  }

  /// The parts of a joint bundle, each with what they have in common. Throws `Failure.data` if they are not numbered
  /// from 1 on, or a part has what belongs to all.
  package static func split(_ bundle: Bundle) throws -> [Bundle] {
    let rest = NumberedParts.parts.without(bundle)
    let shared = Set(common.map(\.name))
    if let name = rest.tensors.keys.sorted().first(where: { !shared.contains($0) }) {
      throw Failure.data(
        "\(bundle.name) has a tensor \(quoted(name)), which belongs to none of its parts")
    }
    if let key = rest.metadata.keys.sorted().first(where: isOfData) {
      throw Failure.data(
        "\(bundle.name) has metadata \(quoted(key)), which belong to none of its parts")
    }
    return try NumberedParts.parts.read(bundle).map { part in
      if let name = part.tensors.keys.sorted().first(where: { shared.contains($0) })
        ?? part.metadata.keys.sorted().first(where: { !isOfData($0) })
      {
        throw Failure.data(
          "\(part.name) has \(quoted(name)), which belongs to all parts: expected it without \"part.…\""
        )
      }
      var result = rest
      result.tensors.merge(part.tensors) { $1 }
      result.metadata.merge(part.metadata) { $1 }
      result.name = part.name
      return result
    }
  }
}
