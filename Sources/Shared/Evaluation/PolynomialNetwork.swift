import LinearAlgebra
import Schema
import Tensors

/// A convolutional network with polynomial activation and pooling by region:
/// f_c(x) = Σ_j α_cj (1/P_r) Σ_k σ(x_k · u_j) over the patches k of the neuron's region r.
package struct PolynomialNetwork: NetworkFunction {
  /// How far the length of a filter may be from 1.
  static let unitTolerance = 1e-9

  package let activation: PolynomialActivation
  let layers: NetworkLayers

  package var kind: Activation { .polynomial(activation) }
  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }

  /// Σ |α|: over filters of length 1 this is the norm of the convex program.
  package var penalty: Double {
    var sum = CompensatedSum()
    for k in 0..<outputWeight.count { sum.add(abs(outputWeight.base[k])) }
    return sum.value
  }

  package init(_ bundle: Bundle, _ activation: PolynomialActivation) throws {
    self.activation = activation
    layers = try NetworkLayers(
      bundle, others: [.hiddenRegion], metadata: ["scaling"])
    for j in 0..<neurons {
      let length = norm(filters.columns, filters.row(j))
      guard abs(length - 1) <= PolynomialNetwork.unitTolerance else {
        throw Failure.data(
          "tensor \"hidden.weight\": filter \(j) has length \(length), expected 1")
      }
    }
  }

  package func check(against examples: Examples) throws { try layers.check(against: examples) }

  package func values(on examples: Examples) throws -> Matrix {
    switch examples.features {
    case .patches(let patches):
      let groups = layers.groups(regionCount: examples.regionCount)
      guard let values = forwardPass(patches, groups, activation, outputs: outputs) else {
        throw examples.nonFinite()
      }
      return values
    case .moments:
      return try functional(regionCount: examples.regionCount).values(on: examples)
    }
  }

  /// The network as a function of the moments: Σ_j α_j [a u uᵀ; b u] and c Σ_j α_j.
  func functional(regionCount: Int) -> MomentFunctional {
    let d = filters.columns
    let width = momentCount(dimension: d)
    let weights = Matrix(regionCount * width, outputs)
    var constants = [Double](repeating: 0, count: outputs)
    let square = Matrix(d, d)
    for region in 0..<regionCount {
      let members = layers.members(of: region)
      let group = NeuronGroup(layers, members)
      for c in 0..<outputs {
        let scaled = Matrix(members.count, d)
        for (j, member) in members.enumerated() {
          axpy(d, outputWeight[c, member], group.filters.row(j), scaled.row(j))
        }
        // Σ_j α_j u_j u_jᵀ
        gemm(d, d, members.count, scaled.base, .transposed, group.filters.base, .plain, square.base)
        var row = region * width
        for j in 0..<d {
          weights[row, c] = activation.a * square[j, j]
          for k in j + 1..<max(j + 1, d) {
            weights[row + k - j, c] = activation.a * square[j, k] * 2.0.squareRoot()
          }
          row += d - j
        }
        for k in 0..<d {
          var sum = CompensatedSum()
          for j in members.indices { sum.add(scaled[j, k]) }
          weights[row + k, c] = activation.b * sum.value
        }
      }
    }
    for c in 0..<outputs {
      var sum = CompensatedSum()
      for j in 0..<neurons { sum.add(outputWeight[c, j]) }
      constants[c] = activation.c * sum.value
    }
    return MomentFunctional(weights: weights, constants: constants)
  }
}
