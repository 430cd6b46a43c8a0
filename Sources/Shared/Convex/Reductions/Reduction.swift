import Tensors

/// A program that is solved as another one: the other's data, and the way back (what cvxpy calls a reduction, and
/// MathOptInterface a bridge). Solvers see bundles of the other program only, users those of this one.
package protocol Reduction: Sendable {
  /// The data of the other program that stand for these, which are the training data or further ones. Throws
  /// `Failure.data` if there are none.
  func apply(_ data: Bundle) throws -> Bundle
  /// The solution of this program that a solution of the other one stands for.
  func lift(_ solution: Bundle) -> Bundle
  /// The solution of the other program that stands for one of this, as a start. Throws `Failure.data` if it does not
  /// fit.
  func lower(_ solution: Bundle) throws -> Bundle
}
