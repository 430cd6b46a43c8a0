import LinearAlgebra
import Schema

/// A neuron of a solution before its weight is shared between the layers.
package struct HiddenNeuron {
  /// The solution's pattern that it has: a row of `index`.
  package var pattern: Int
  /// u with ‖u‖ = 1, d numbers.
  package var direction: [Double]
  /// Its weight for each of the C outputs.
  package var output: [Double]

  package init(pattern: Int, direction: [Double], output: [Double]) {
    self.pattern = pattern
    self.direction = direction
    self.output = output
  }

  /// The neuron's share of the norm: ‖output‖₁, or ‖output‖₂ for the nuclear norm.
  package func weight(_ norm: WeightNorm) -> Double {
    switch norm {
    case .group: output.reduce(0) { $0 + abs($1) }
    case .nuclear: output.withUnsafeBufferPointer { euclidean($0) }
    }
  }
}

/// ‖x‖₂, without overflow.
func euclidean(_ x: UnsafeBufferPointer<Double>) -> Double {
  x.baseAddress.map { LinearAlgebra.norm(x.count, $0) } ?? 0
}

extension ArrangementSolution {
  /// Whether the network is gated: ReLU networks have v and w, gated ones w alone.
  package var isGated: Bool { negative.isEmpty }

  /// The neurons that the weights stand for, class by class: for the group norm one for each pattern, class and sign
  /// that has weight, for the nuclear norm the singular vectors of each W_i. Together they have the predictions and the
  /// norm of the solution.
  package func neurons(_ norm: WeightNorm) -> [HiddenNeuron] {
    norm == .nuclear && positive.count > 1 ? singularNeurons : groupNeurons
  }

  private var groupNeurons: [HiddenNeuron] {
    let classes = positive.count
    var result: [HiddenNeuron] = []
    for c in 0..<classes {
      for (sign, weights) in [(1.0, positive)] + (isGated ? [] : [(-1.0, negative)]) {
        for i in index.indices {
          let row = UnsafeBufferPointer(start: weights[c].row(i), count: weights[c].columns)
          let length = euclidean(row)
          guard length > 0 else { continue }
          var output = [Double](repeating: 0, count: classes)
          output[c] = sign * length
          result.append(
            HiddenNeuron(pattern: i, direction: row.map { $0 / length }, output: output))
        }
      }
    }
    return result
  }

  private var singularNeurons: [HiddenNeuron] {
    let (classes, d) = (positive.count, positive[0].columns)
    let weights = Matrix(classes, d)
    var result: [HiddenNeuron] = []
    for i in index.indices {
      for c in 0..<classes { weights.row(c).update(from: positive[c].row(i), count: d) }
      // W_iᵀ = Σ_k s_k g_k u_kᵀ. Its entries are finite, as those of a solution are.
      guard let decomposition = SingularValues(weights) else { continue }
      let cutoff = 1e-16 * (decomposition.values.first ?? 0)
      for (k, value) in decomposition.values.enumerated() where value > cutoff {
        result.append(
          HiddenNeuron(
            pattern: i,
            direction: Array(
              UnsafeBufferPointer(start: decomposition.right.row(k), count: d)),
            output: (0..<classes).map { value * decomposition.left[k, $0] }))
      }
    }
    return result
  }

  /// Takes weights that add up to those of `neurons`, and drops the patterns that have none.
  mutating func replaceWeights(by neurons: [HiddenNeuron]) {
    let (classes, d) = (positive.count, positive.first?.columns ?? 0)
    let used = Set(neurons.map(\.pattern)).sorted()
    let place = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
    let wasGated = isGated
    positive = (0..<classes).map { _ in Matrix(used.count, d) }
    negative = wasGated ? [] : (0..<classes).map { _ in Matrix(used.count, d) }
    for neuron in neurons {
      for (c, weight) in neuron.output.enumerated() where weight != 0 {
        let (side, size) = wasGated || weight > 0 ? (positive, weight) : (negative, -weight)
        axpy(d, size, neuron.direction, side[c].row(place[neuron.pattern]!))
      }
    }
    index = used.map { index[$0] }
  }
}
