import LinearAlgebra
import Schema
import Tensors

/// A solver's solution of a polynomial network's convex program.
package struct PolynomialSolution: Solution {
  package let program: SolvedProgram
  package let activation: PolynomialActivation
  /// R and d.
  package let regionCount: Int
  package let dimension: Int
  /// Z and Z′ of each class and region, (d+1) × (d+1): [C, R, 2, d+1, d+1].
  package let z: [Double]

  package var variables: String { "\"z\"" }
  package var needsPatterns: Bool { false }

  /// Takes over a bundle of kind `solution`.
  package init(_ bundle: Bundle) throws {
    program = try SolvedProgram(bundle)
    guard case .polynomial(let activation) = program.kind else {
      throw Failure.data(
        "metadata \"activation\" is \(quoted(program.kind.text)), expected a polynomial")
    }
    self.activation = activation
    let z = try bundle.solutionMatrices()
    try bundle.expectOnly([.z])
    let shape = z.shape
    guard program.outputs == shape[0] else {
      throw Failure.data(
        "tensor \"z\" is \(z.summary), but the dual point has \(program.outputs) columns: "
          + "they differ in classes or samples")
    }
    (regionCount, dimension) = (shape[1], shape[3] - 1)
    self.z = z.doubles
  }

  package func check(against examples: Examples) throws {
    guard examples.dimension == dimension, examples.regionCount == regionCount else {
      throw Failure.data(
        "\(examples.summary), \(examples.dimension) features and \(examples.regionCount) "
          + "region(s), but \(program.name) is for \(dimension) and \(regionCount)")
    }
  }

  /// Σ (z₄ + z₄′).
  package var penalty: Double {
    let size = (dimension + 1) * (dimension + 1)
    var sum = CompensatedSum()
    for corner in stride(from: size - 1, to: z.count, by: size) { sum.add(z[corner]) }
    return sum.value
  }

  /// The matrix Z (`sign` 0) or Z′ (1) of a class and region, as it is stored.
  func matrix(class c: Int, region: Int, sign: Int) -> Matrix {
    let order = dimension + 1
    let start = ((c * regionCount + region) * 2 + sign) * order * order
    return Matrix(order, order, Array(z[start..<start + order * order]))
  }

  /// Z − Z′ as a function of the moments: ⟨Φ, Z⟩ = a⟨M, Z₁⟩ + b μᵀz₂ + c z₄.
  func functional() -> MomentFunctional {
    let d = dimension
    let width = momentCount(dimension: d)
    let outputs = program.outputs
    let weights = Matrix(regionCount * width, outputs)
    var constants = [Double](repeating: 0, count: outputs)
    for c in 0..<outputs {
      var constant = CompensatedSum()
      for region in 0..<regionCount {
        let difference = matrix(class: c, region: region, sign: 0)
        let negative = matrix(class: c, region: region, sign: 1)
        for k in 0..<difference.count { difference.base[k] -= negative.base[k] }
        difference.symmetrize()
        var row = region * width
        for j in 0..<d {
          weights[row, c] = activation.a * difference[j, j]
          for k in j + 1..<max(j + 1, d) {
            weights[row + k - j, c] = activation.a * difference[j, k] * 2.0.squareRoot()
          }
          row += d - j
        }
        for k in 0..<d { weights[row + k, c] = activation.b * difference[k, d] }
        constant.add(difference[d, d])
      }
      constants[c] = activation.c * constant.value
    }
    return MomentFunctional(weights: weights, constants: constants)
  }
}
