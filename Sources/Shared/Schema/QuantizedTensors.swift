import Tensors

extension TensorKey {
  /// u and v of each neuron (x · u)(x · v) of a quantised network, ±1.
  package static let hiddenLeft = TensorKey("hidden.left", .i8, shapes: "[m, d]")
  package static let hiddenRight = TensorKey("hidden.right", .i8, shapes: "[m, d]")
  /// Of the semidefinite programs that bound a quantised network: ν and λ of the one below, P and N of the one above.
  package static let relaxationDual = TensorKey("relaxation.dual", .f64, shapes: "[n, C]")
  package static let relaxationLambda = TensorKey("relaxation.lambda", .f64, shapes: "[C, d]")
  package static let relaxationPositive = TensorKey(
    "relaxation.positive", .f64, shapes: "[C, d, d]")
  package static let relaxationNegative = TensorKey(
    "relaxation.negative", .f64, shapes: "[C, d, d]")
}

/// The semidefinite bounds of a quantised network's optimum.
package enum RelaxationKey {
  /// Metadata: the values of both programs.
  package static let (lower, upper) = ("relaxation_lower", "relaxation_upper")
  package static let tensors: [TensorKey] = [
    .relaxationDual, .relaxationLambda, .relaxationPositive, .relaxationNegative,
  ]
}

/// The neurons of a quantised network, f_c(x) = Σ_j a_cj (x · u_j)(x · v_j) with u_j and v_j of ±1. A solution and its network have the
/// same tensors.
package struct QuantizedNeurons: Sendable {
  package let count, dimension, outputs: Int
  /// m · d numbers ±1 each.
  package let left, right: [Double]
  /// a, C × m, row-major.
  package let weights: [Double]

  /// Throws `Failure.data` if the tensors do not fit each other, or hold other numbers.
  package init(_ bundle: Bundle) throws {
    let shape = try bundle.require(.hiddenLeft).shape
    (count, dimension) = (shape[0], shape[1])
    func signs(_ key: TensorKey) throws -> [Double] {
      let tensor = try bundle.require(key)
      guard tensor.shape == shape else {
        throw Failure.data(
          "tensor \(quoted(key.name)) of \(bundle.name) is \(tensor.summary), but \"hidden.left\" has shape \(shape)"
        )
      }
      let values = tensor.doubles
      if let bad = values.first(where: { abs($0) != 1 }) {
        throw Failure.data(
          "tensor \(quoted(key.name)) of \(bundle.name) holds \(bad), expected -1 or 1")
      }
      return values
    }
    (left, right) = (try signs(.hiddenLeft), try signs(.hiddenRight))
    let output = try bundle.require(.outputWeight)
    guard output.shape[0] > 0, output.shape[1] == count else {
      throw Failure.data(
        "tensor \"output.weight\" of \(bundle.name) is \(output.summary), expected a column for each of \(count) neurons"
      )
    }
    try output.expectFinite("output.weight", of: bundle.name)
    (outputs, weights) = (output.shape[0], output.doubles)
  }

  package init(
    count: Int, dimension: Int, outputs: Int, left: [Double], right: [Double], weights: [Double]
  ) {
    (self.count, self.dimension, self.outputs) = (count, dimension, outputs)
    (self.left, self.right, self.weights) = (left, right, weights)
  }

  /// Puts them into `bundle`.
  package func write(to bundle: inout Bundle) {
    bundle[.hiddenLeft] = Tensor(left.map { Int8($0) }, shape: [count, dimension])
    bundle[.hiddenRight] = Tensor(right.map { Int8($0) }, shape: [count, dimension])
    bundle[.outputWeight] = Tensor(weights, shape: [outputs, count])
  }

  /// The bundle of kind `network` of a solution of these neurons.
  package func network(of solution: Bundle, metadata: [String: String]) -> Bundle {
    var bundle = Bundle(kind: .network, tensors: [:])
    bundle.inherit(from: solution)
    write(to: &bundle)
    bundle.metadata.merge(NetworkTensors.program(of: solution)) { $1 }
    bundle.metadata.merge(metadata) { $1 }
    return bundle
  }
}
