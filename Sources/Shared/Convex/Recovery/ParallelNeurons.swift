import LinearAlgebra
import Tensors

/// Merges neurons that are multiples of one another.
///
/// Two ReLU neurons of the same direction are the same function, whichever patterns they came from: that direction lies
/// in both cones. Gated neurons are linear inside their gate: those of one pattern may also be opposite. Their output
/// weights add up, so that the network's function stays and its norm does not grow. It shrinks if two of them work
/// against each other in one output, as no neurons of an optimal solution do.
enum ParallelNeurons {
  /// The largest angle between neurons that count as parallel, which is rounding: weights and data may be large, and
  /// the outputs change by the product of all three.
  static let angle = 1e-14

  static func merged(_ neurons: [HiddenNeuron], gated: Bool) -> [HiddenNeuron] {
    guard let d = neurons.first?.direction.count else { return [] }
    // Parallel directions have the same product with any vector: sort by that, and compare neighbours.
    var random = RandomSource(seed: 0)
    let probe = (0..<d).map { _ in random.gaussian() }
    let keys = neurons.map { neuron in
      let key = dot(d, neuron.direction, probe)
      return gated ? abs(key) : key
    }
    let reach = angle * norm(d, probe)
    let order = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
    var leader = Array(neurons.indices)
    for (place, j) in order.enumerated() where leader[j] == j {
      for k in order[(place + 1)...] {
        guard keys[k] - keys[j] <= reach else { break }
        let share = !gated || neurons[j].pattern == neurons[k].pattern
        if leader[k] == k, share, sign(neurons[j], neurons[k], gated: gated) != nil {
          leader[k] = j
        }
      }
    }
    var groups = Dictionary(grouping: neurons.indices) { leader[$0] }
    return neurons.indices.compactMap { j in
      groups.removeValue(forKey: leader[j]).flatMap { merge($0.map { neurons[$0] }, gated: gated) }
    }
  }

  /// 1 if the directions agree, −1 if they are opposite and may be, otherwise `nil`.
  private static func sign(_ a: HiddenNeuron, _ b: HiddenNeuron, gated: Bool) -> Double? {
    for sign in gated ? [1.0, -1.0] : [1.0] {
      var difference = a.direction
      axpy(difference.count, -sign, b.direction, &difference)
      if norm(difference.count, difference) <= angle { return sign }
    }
    return nil
  }

  /// `nil` if nothing is left.
  private static func merge(_ group: [HiddenNeuron], gated: Bool) -> HiddenNeuron? {
    guard group.count > 1 else { return group[0] }
    var result = group[0]
    let d = result.direction.count
    var sum = [Double](repeating: 0, count: d)
    var output = [Double](repeating: 0, count: result.output.count)
    var total = output
    for neuron in group {
      let sign = sign(group[0], neuron, gated: gated) ?? 1
      axpy(d, sign * neuron.weight(.group), neuron.direction, &sum)
      for c in output.indices {
        output[c] += sign * neuron.output[c]
        total[c] += abs(neuron.output[c])
      }
    }
    for c in output.indices where abs(output[c]) <= 1e-15 * total[c] { output[c] = 0 }
    guard output.contains(where: { $0 != 0 }) else { return nil }
    let length = norm(d, sum)
    result.direction = sum.map { $0 / length }
    result.output = output
    return result
  }
}
