import LinearAlgebra
import Schema
import Tensors

/// A ReLU network whose biases are not penalised: f_c(x) = Σ_j a_cj (x · u_j + b_j)₊ + c_c, with the penalty
/// ½ Σ (‖u_j‖² + ‖a_j‖₁²).
package struct FreeBiasNetwork: NetworkFunction {
  package let kind = Activation.relu
  private let layers: NetworkLayers
  private let bias, intercept: [Double]

  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }

  package var penalty: Double {
    var sum = CompensatedSum()
    for j in 0..<neurons {
      let hidden = norm(filters.columns, filters.row(j))
      let output = WeightNorm.group.ofOutputs(outputWeight.column(j))
      sum.add(0.5 * hidden, times: hidden)
      sum.add(0.5 * output, times: output)
    }
    return sum.value
  }

  /// Takes over a bundle of kind `network` with metadata `free_bias`.
  package init(_ bundle: Bundle) throws {
    guard try bundle.read(.activation) == .relu else {
      throw Failure.data("metadata \"free_bias\" of \(bundle.name) is for activation relu")
    }
    guard try bundle.read(.norm, default: .group) == .group,
      try bundle.read(.group, default: .perClass) == .perClass
    else {
      throw Failure.data(
        "metadata of \(bundle.name): with \"free_bias\" the norm is that of each neuron's weights: norm group, group class"
      )
    }
    layers = try NetworkLayers(
      bundle, others: [.hiddenBias, .outputBias], metadata: ["norm", "group", "free_bias"])
    bias = try bundle.require(.hiddenBias, shape: [layers.neurons]).doubles
    intercept = try bundle.require(.outputBias, shape: [layers.outputs]).doubles
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1 else {
      throw Failure.data("\(examples.summary), expected samples of one patch for \(layers.name)")
    }
    try layers.check(against: examples)
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let hidden = product(x, .plain, filters, .transposed)
    let result = Matrix(x.rows, outputs)
    for i in 0..<x.rows {
      for c in 0..<outputs {
        var sum = CompensatedSum()
        sum.add(intercept[c])
        for j in 0..<neurons {
          let value = hidden[i, j] + bias[j]
          if value > 0 { sum.add(outputWeight[c, j], times: value) }
        }
        result[i, c] = sum.value
      }
    }
    return result
  }

  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    solution is FreeBiasSolution
      ? []
      : [
        "metadata \"free_bias\" of \(layers.name) is \"true\", but the biases of \(solution.program.name) are penalised"
      ]
  }
}
