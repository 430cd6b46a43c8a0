import LinearAlgebra
import Tensors

/// A model that stochastic gradients train: a network, or the matrices of the convex program.
package protocol StochasticModel: AnyObject {
  /// n.
  var samples: Int { get }

  /// Draws the first weights, and forgets all steps.
  func initialize(_ random: inout RandomSource)

  /// One step of the optimiser against the mean loss of `count` of the samples and β/n times the penalty.
  func step(_ samples: UnsafePointer<Int32>, _ count: Int, rate: Double)

  /// ŷ, n × C, of the training data.
  func predictions() -> Matrix

  /// ŷ of the validation data, if there are any.
  func validationPredictions() -> Matrix?

  /// The penalty that β multiplies.
  var penalty: Double { get }

  /// Whether all weights are finite numbers.
  var isFinite: Bool { get }

  /// A copy of the weights, for `restore`.
  func weights() -> [[Float]]

  func restore(_ weights: [[Float]])
}
