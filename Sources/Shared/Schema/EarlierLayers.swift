import Tensors

/// The hidden layers that data went through before their features were made, as a bundle holds them: the tensors and
/// metadata of layer k, those of a small network, have names that begin with `after.k.`, the first layer being 1.
package enum EarlierLayers {
  private static let start = "after."

  /// Whether a tensor of this name, or such metadata, belongs to an earlier layer.
  package static func owns(_ name: String) -> Bool { name.hasPrefix(start) }

  private static func prefix(_ number: Int) -> String { "\(start)\(number)." }

  /// The layers of `bundle`, the first that is applied first. Throws `Failure.data` if they are not numbered from 1 on.
  package static func read(_ bundle: Bundle) throws -> [Bundle] {
    var layers: [Bundle] = []
    var left = bundle.tensors.keys.count(where: owns) + bundle.metadata.keys.count(where: owns)
    while left > 0 {
      let number = layers.count + 1
      let prefix = prefix(number)
      func own<T>(_ all: [String: T]) -> [String: T] {
        Dictionary(
          uniqueKeysWithValues: all.filter { $0.key.hasPrefix(prefix) }
            .map { (String($0.key.dropFirst(prefix.count)), $0.value) })
      }
      let layer = Bundle(
        tensors: own(bundle.tensors), metadata: own(bundle.metadata),
        name: "layer \(number) of \(bundle.name)")
      let count = layer.tensors.count + layer.metadata.count
      guard count > 0 else {
        throw Failure.data(
          "\(bundle.name) has tensors or metadata of earlier layers, \"after.…\", but none of layer \(number)"
        )
      }
      left -= count
      layers.append(layer)
    }
    return layers
  }

  /// Puts `layers` into `bundle`, in place of those that it has.
  package static func write(_ layers: [Bundle], to bundle: inout Bundle) {
    bundle.tensors = bundle.tensors.filter { !owns($0.key) }
    bundle.metadata = bundle.metadata.filter { !owns($0.key) }
    for (k, layer) in layers.enumerated() {
      let prefix = prefix(k + 1)
      for (name, tensor) in layer.tensors { bundle.tensors[prefix + name] = tensor }
      for (key, value) in layer.metadata { bundle.metadata[prefix + key] = value }
    }
  }
}
