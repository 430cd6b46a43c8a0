import Glibc
import LinearAlgebra
import Schema
import Tensors

/// How far a ReLU network, however it was trained, is from the global optimum of its objective ℓ(ŷ) + β Σ ‖u‖ |a|, at
/// most: the bound that ν = −∇ℓ(ŷ) gives once it is scaled by the largest price of any neuron, which is proved.
/// If the loss has kinks, its gradient at ŷ says little: the ν of a solution, if there is one, may give more.
package struct GlobalDistance: Sendable {
  /// The network's objective, and a lower bound of that of every network.
  package let objective: Double
  package let bound: Double
  package var distance: Double { max(0, objective - bound) }
  package var relativeGap: Double {
    Certificate.gap(primal: objective, dual: min(bound, objective))
  }

  /// `outputs` are those of `network` on `examples`, `expected` what they should be, n × C; the largest price is found
  /// up to the share `tolerance`. `others` is another ν that is tried, that of a solution. Throws if the network is of another kind, or if there are too many dimensions.
  package init(
    _ network: TrainedNetwork, on examples: Examples, outputs: Matrix, expected: Matrix,
    objective: Double, beta: Double, tolerance: Double, or others: Matrix? = nil
  ) throws {
    self.objective = objective
    guard let function = network.function as? ReLUNetwork, function.kind == .relu,
      function.weightNorm == .group, function.grouping == .perClass,
      case .patches(let patches) = examples.features, patches.pooling.sizes.count == 1
    else {
      throw Failure.data(
        "\(network.name) is no ReLU network of one pooling region with a group a class: for others --global proves nothing"
      )
    }
    let features = try examples.matrix(of: patches)
    let residual = GlobalDistance.residual(outputs, expected, network.judgedLoss)
    var best = -Double.infinity
    for nu in [residual] + (others.map { [$0] } ?? []) {
      let dual = DualPoint(nu, network.judgedLoss, expected: expected)
      do {
        let largest = try AllNeurons(features: features, dual: dual.values)
          .largestPrice(above: beta, tolerance: tolerance)
        best = max(best, GlobalDistance.best(dual, upTo: beta / largest))
      } catch { throw Failure.data("\(examples.name): \(error.text)") }
    }
    bound = best
  }

  /// The largest dual value of a multiple of ν from 0 to `limit`; the value is concave.
  private static func best(_ dual: DualPoint, upTo limit: Double) -> Double {
    var (low, high) = (0.0, limit)
    for _ in 0..<200 {
      let (a, b) = (low + (high - low) / 3, high - (high - low) / 3)
      if dual.value(scaledBy: a) < dual.value(scaledBy: b) { low = a } else { high = b }
    }
    return [low, high, limit, 0].reduce(-.infinity) { max($0, dual.value(scaledBy: $1)) }
  }

  /// −∇ℓ(ŷ), a subgradient at kinks.
  private static func residual(_ outputs: Matrix, _ expected: Matrix, _ loss: JudgedLoss) -> Matrix
  {
    let weights = loss.rows(expected)
    let result = Matrix(outputs.rows, outputs.columns)
    for i in 0..<outputs.rows {
      let largest = (0..<outputs.columns).reduce(-Double.infinity) { max($0, outputs[i, $1]) }
      let sum = (0..<outputs.columns).reduce(0) { $0 + exp(outputs[i, $1] - largest) }
      for c in 0..<outputs.columns {
        let (y, output) = (expected[i, c], outputs[i, c])
        let slope =
          switch loss.name {
          case .squared: y - output
          case .huber: max(-1, min(1, y - output))
          case .logistic: y / (1 + exp(y * output))
          case .hinge: y * output < 1 ? y : 0
          case .quantile(let level): y > output ? level : y < output ? level - 1 : 0
          case .interpolation, .margin: y - output
          case .crossEntropy: y - exp(output - largest) / sum
          }
        result[i, c] = (weights?[i] ?? 1) * slope
      }
    }
    return result
  }
}
