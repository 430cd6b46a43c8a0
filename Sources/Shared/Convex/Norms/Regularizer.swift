import LinearAlgebra
import Schema

/// The term that β multiplies in a program over groups of weights: the sum over groups of a norm of each.
///
/// A group is `size` consecutive numbers: a row of Q numbers for each of its outputs. An instance has memory of
/// its own and serves one thread at a time.
package protocol Regularizer: AnyObject {
  /// Numbers in a group.
  var size: Int { get }
  /// Whether each output has groups of its own, so that the sum is one over outputs too.
  var isSeparable: Bool { get }

  /// ‖w‖.
  func value(_ w: UnsafePointer<Double>) -> Double
  /// The largest inner product of `t` with weights of norm 1; not finite if `t` is not.
  func dualNorm(_ t: UnsafePointer<Double>) -> Double
  /// `z`, which shares no memory with `s`, ← argmin ½‖z − s‖² + threshold ‖z‖. Returns ‖z‖ and how many neurons z
  /// stands for.
  func prox(_ s: UnsafePointer<Double>, threshold: Double, into z: UnsafeMutablePointer<Double>)
    -> (value: Double, neurons: Int)
  /// How many neurons `w` stands for.
  func neurons(_ w: UnsafePointer<Double>) -> Int

  /// The same norm with memory of its own.
  func copy() -> any Regularizer
}

extension WeightNorm {
  /// The norm of one pattern's weights: C outputs of R regions of d numbers each. `grouping` says whether each output
  /// has a group of its own.
  package func regularizer(
    _ grouping: WeightGrouping, outputs: Int, regions: Int, dimension: Int
  ) -> any Regularizer {
    let isSeparable = grouping == .perClass || outputs == 1
    let rows = regions * (isSeparable ? 1 : outputs)
    if self == .group || rows == 1 || dimension == 1 {
      return GroupNorm(size: rows * dimension, isSeparable: isSeparable)
    }
    return NuclearNorm(rows: rows, dimension: dimension, isSeparable: isSeparable)
  }
}
