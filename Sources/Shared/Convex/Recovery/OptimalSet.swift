import LinearAlgebra
import Schema
import Tensors

/// All optimal networks of a program over patterns with squared loss and a group a class (Wang, Lacotte and Pilanci 2021;
/// Mishkin and Pilanci 2023). ŷ and ν = y − ŷ are the same for all of them. A neuron is one of some of them only if its
/// direction is T = P_i(s Xᵀ D_i ν) for a pattern i and a sign s with ‖T‖ = β: these are the candidates e, duplicates merged.
/// With h_e = s (X T)₊/‖T‖ the optimal weights are the polytope {γ ≥ 0 : Σ γ_e h_e = ŷ}, for each output.
package struct OptimalSet {
  /// A direction that neurons of an optimal network may have.
  package struct Candidate {
    /// The first pattern that has it.
    let pattern: Int
    let sign: Double
    /// T/‖T‖, d numbers.
    package let direction: [Double]
    /// s (X T)₊/‖T‖, n numbers.
    let image: [Double]
  }

  /// Of each output.
  package let candidates: [[Candidate]]
  package let polytopes: [NeuronPolytope]
  let data: ArrangementData
  let isGated: Bool
  let targets: Targets
  let beta: Double
  private var outputs: Int { candidates.count }

  /// Directions with a larger cosine are one.
  private static let cosine = 1 - 1e-9

  /// That of the program whose solution `solution` is, on the arrangements `data` that it was trained on. Throws
  /// `Failure.data` if it is of another kind, or too far from optimal to tell.
  package init(_ solution: Bundle, on bundle: Bundle) throws {
    let activation = try solution.read(.activation)
    guard activation == .relu || activation == .gatedReLU,
      try solution.read(.loss) == .squared, try solution.read(.norm) == .group,
      try solution.read(ifPresent: .batchNorm) == nil,
      try solution.read(ifPresent: .classWeights) == nil,
      try !solution.read(.freeBias, default: false)
    else {
      throw Failure.data(
        "\(solution.name) is not of relu or gated-relu, norm group and the squared loss without class weights: the optimal networks of others are "
          + "not known here")
    }
    let data = try ArrangementData(bundle)
    self.data = data
    isGated = activation == .gatedReLU
    let written = try WrittenSolution(solution)
    guard !written.hasGroups || written.weights.positive.count == 1 else {
      throw Failure.data(
        "\(solution.name) has groups that outputs share: its neurons do not go one by one")
    }
    let predictions = written.weights.predictions
    guard predictions.rows == data.samples, written.features == data.dimension else {
      throw Failure.data(
        "\(bundle.name) has \(data.samples) samples of \(data.dimension) features, but \(solution.name) was trained on "
          + "\(predictions.rows) of \(written.features)")
    }
    let loss = try solution.read(.loss)
    let targets = try Targets(
      bundle, samples: data.samples, targetValues: try solution.read(ifPresent: .targets),
      loss: loss)
    guard targets.values.columns == predictions.columns else {
      throw Failure.data(
        "\(bundle.name) has \(targets.values.columns) outputs, but \(solution.name) \(predictions.columns)"
      )
    }
    let beta = try solution.read(.beta)
    (self.targets, self.beta) = (targets, beta)
    try OptimalSet.expect(written, targets, solution, bundle)
    var candidates: [[Candidate]] = []
    var polytopes: [NeuronPolytope] = []
    for c in 0..<targets.values.columns {
      let search = OptimalDirections(
        data, isGated: isGated, y: targets.values.column(c), beta: beta)
      let own = search.candidates(from: predictions.column(c), gap: try solution.read(.relativeGap))
      let merged = OptimalSet.merged(own)
      guard let polytope = NeuronPolytope(columns: merged.map(\.image), image: search.predictions)
      else {
        throw Failure.data(
          "\(solution.name) is too far from optimal to tell which neurons may be in an optimal network: solve it with a "
            + "smaller --gap")
      }
      candidates.append(merged)
      polytopes.append(polytope)
    }
    (self.candidates, self.polytopes) = (candidates, polytopes)
  }

  /// Throws unless the solution has the objective that it claims: on other targets or samples it has another.
  private static func expect(
    _ written: WrittenSolution, _ targets: Targets, _ solution: Bundle, _ bundle: Bundle
  ) throws {
    let claimed = try solution.read(.primalObjective)
    var penalty = 0.0
    for matrix in written.weights.positive + written.weights.negative {
      for k in 0..<matrix.rows { penalty += norm(matrix.columns, matrix.row(k)) }
    }
    let objective =
      try targets.loss.loss.value(written.weights.predictions, targets.values)
      + solution.read(.beta) * penalty
    guard abs(objective - claimed) <= 1e-6 * claimed else {
      throw Failure.data(
        "the objective of \(solution.name) on \(bundle.name) is \(objective), but it claims \(claimed): it was trained on other "
          + "data")
    }
  }

  private static func merged(_ all: [Candidate]) -> [Candidate] {
    var result: [Candidate] = []
    for candidate in all {
      let isKnown = result.contains { other in
        other.sign == candidate.sign
          && dot(candidate.direction.count, other.direction, candidate.direction) > cosine
          && zip(other.image, candidate.image).allSatisfy { abs($0 - $1) <= 1e-7 * (1 + abs($0)) }
      }
      if !isKnown { result.append(candidate) }
    }
    return result
  }

  /// Whether there is one optimal network, up to the order and the splitting of neurons.
  package var isUnique: Bool {
    polytopes.allSatisfy { polytope in
      let ranges = polytope.ranges
      let size = ranges.reduce(0) { max($0, $1.upperBound) }
      return ranges.allSatisfy { $0.upperBound - $0.lowerBound <= 1e-7 * size }
    }
  }

  /// Up to `count` vertices of the set: the weights of each output's candidates. They are the networks from which no neuron
  /// can be taken.
  package func vertices(_ count: Int) -> [[[Double]]] {
    let own = polytopes.map { $0.vertices(count) }
    var result: [[[Double]]] = []
    // All combinations of the outputs' vertices, the last output's first.
    var places = [Int](repeating: 0, count: own.count)
    while result.count < count {
      result.append(zip(own, places).map { $0[$1] })
      guard let k = places.indices.last(where: { places[$0] + 1 < own[$0].count }) else { break }
      places[k] += 1
      for later in places.indices where later > k { places[later] = 0 }
    }
    return result
  }

  /// The weights of an optimal network's neurons. Throws `Failure.data` if `network` is not optimal.
  package func weights(of network: Bundle) throws -> [[Double]] {
    try network.expect(.network)
    let (hidden, output) = (try network.require(.hiddenWeight), try network.require(.outputWeight))
    let (m, d) = (hidden.shape[0], hidden.shape[1])
    guard d == data.dimension, output.shape == [outputs, m] else {
      throw Failure.data(
        "tensor \"hidden.weight\" of \(network.name) is \(hidden.summary), expected \(data.dimension) features and "
          + "\(outputs) outputs")
    }
    let (u, a) = (hidden.doubles, output.doubles)
    let gates =
      isGated
      ? Patterns.signs(
        of: DataRows(data.features),
        gates: try GateTensors(network, .neurons, count: m, dimension: d)) : nil
    var result = candidates.map { $0.map { _ in 0.0 } }
    for j in 0..<m {
      let own = Array(u[j * d..<(j + 1) * d])
      let length = norm(d, own)
      for c in 0..<outputs where a[c * m + j] != 0 && length > 0 {
        // A gated neuron of negative output weight is one of the opposite direction.
        let sign = a[c * m + j] < 0 ? -1.0 : 1
        // Of several that are nearly parallel the nearest.
        func cosine(_ k: Int) -> Double {
          let candidate = candidates[c][k]
          let value = dot(d, candidate.direction, own) / length
          if let gates {
            return gates.isPattern(j, candidate.pattern, of: data.patterns) ? sign * value : -1
          }
          return candidate.sign == sign ? value : -1
        }
        let cosines = candidates[c].indices.map(cosine)
        guard let k = cosines.indices.max(by: { cosines[$0] < cosines[$1] }),
          cosines[k] > 1 - 1e-6
        else {
          throw Failure.data(
            "\(network.name) is not optimal: neuron \(j) is none of those that an optimal network may have"
          )
        }
        result[c][k] += length * abs(a[c * m + j])
      }
    }
    for c in 0..<outputs {
      var difference = polytopes[c].vertex
      for k in difference.indices { difference[k] -= result[c][k] }
      var image = [Double](repeating: 0, count: data.samples)
      for (candidate, value) in zip(candidates[c], difference) {
        axpy(image.count, value, candidate.image, &image)
      }
      let size =
        result[c].reduce(0, +) * (candidates[c].map { norm($0.image.count, $0.image) }.max() ?? 0)
      guard norm(image.count, image) <= 1e-6 * size else {
        throw Failure.data(
          "\(network.name) is not optimal: its outputs are not those of optimal networks")
      }
    }
    return result
  }

  /// Weights that are exactly optimal, next to `weights`: those of the neurons with weight by least squares.
  package func polished(_ weights: [[Double]]) -> [[Double]] {
    zip(zip(candidates, polytopes), weights).map { own, weights in
      let (candidates, polytope) = own
      // γ − (H_S)⁺ (H γ − ŷ), twice.
      let size = weights.reduce(0, max)
      let support = weights.indices.filter { weights[$0] > 1e-12 * size }
      let n = data.samples
      let columns = Matrix(support.count, n, support.flatMap { candidates[$0].image })
      guard let values = SingularValues(columns), let first = values.values.first else {
        return weights
      }
      var image = [Double](repeating: 0, count: n)
      for (candidate, value) in zip(candidates, polytope.vertex) {
        axpy(n, value, candidate.image, &image)
      }
      var result = weights.map { $0 > 1e-12 * size ? $0 : 0 }
      for _ in 0..<2 {
        var rest = image
        for k in support { axpy(n, -result[k], candidates[k].image, &rest) }
        for (r, value) in values.values.enumerated() where value > 1e-10 * first {
          let share = dot(n, values.right.row(r), rest) / value
          for (place, k) in support.enumerated() { result[k] += share * values.left[r, place] }
        }
      }
      return result.map { max(0, $0) }
    }
  }

  /// The bundle of the network with these weights: neurons √γ T/‖T‖ with the output weight s √γ, the first candidates
  /// first. `keeping` says which candidates have a neuron though their weight is 0.
  package func network(
    _ weights: [[Double]], keeping: [[Bool]]? = nil, from source: Bundle, metadata: [String: String]
  ) -> Bundle {
    var neurons: [NetworkNeuron] = []
    for c in candidates.indices {
      for (k, candidate) in candidates[c].enumerated()
      where weights[c][k] > 0 || keeping?[c][k] == true {
        let root = weights[c][k].squareRoot()
        neurons.append(
          NetworkNeuron(
            filter: candidate.direction.map { root * $0 },
            output: candidates.indices.map { $0 == c ? candidate.sign * root : 0 },
            gate: candidate.pattern))
      }
    }
    var network = NetworkTensors(neurons, features: data.dimension, outputs: outputs)
    if isGated { network.gates = data.listed.gates }
    return network.bundle(
      program: NetworkTensors.program(of: source), from: source, metadata: metadata)
  }
}

extension Patterns {
  /// Whether pattern `i` is pattern `j` of `other`, on as many rows.
  fileprivate func isPattern(_ i: Int, _ j: Int, of other: Patterns) -> Bool {
    let (own, theirs) = (bits(i), other.bits(j))
    return (0..<stride).allSatisfy { own[$0] == theirs[$0] }
  }
}
