import LinearAlgebra
import Patches
import Tensors

/// The range of numbers in which objectives can be computed.
///
/// A solver multiplies features with features and with targets, and squares the products: nothing overflows for numbers
/// up to 10⁷⁵.
package enum Magnitudes {
  /// The largest root of a sum of squares.
  package static let largest = 1e75

  /// Refuses features that are too large. Features in single precision, and of images, cannot be.
  package static func expect(_ patches: PatchSource) throws {
    guard let x = patches.stored, x.type == .f64 else { return }
    try expect(x.withElements(of: Double.self) { norm($0.count, $0.baseAddress!) }, "the features")
  }

  /// Refuses targets that are too large.
  package static func expect(_ targets: Targets) throws {
    try expect(norm(targets.values.count, targets.values.base), "the targets")
  }

  /// Refuses `norm`, the root of the sum of squares of what messages call `name`, if it is too large.
  package static func expect(_ norm: Double, _ name: String) throws {
    guard norm <= largest else {
      throw Failure.data(
        "\(name) are too large: the root of the sum of their squares is \(norm), and objectives overflow above "
          + "\(largest): divide them by a constant")
    }
  }
}
