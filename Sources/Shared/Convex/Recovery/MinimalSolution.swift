import LinearAlgebra
import Schema

extension ArrangementSolution {
  /// The solution with the fewest neurons in reach: afterwards the outputs of a class's neurons on the data are
  /// linearly independent, so that a class has at most n of them. Predictions stay as they are to ten digits, the norm
  /// does not grow, and every weight keeps its direction and with it its cone.
  ///
  /// `predictions` and `primal` are left as they were. Returns `nil` if rounding, or the size of a nuclear-norm
  /// program, allows no reduction.
  package func minimal(_ data: ArrangementData, norm: WeightNorm) -> ArrangementSolution? {
    let neurons = neurons(norm)
    let reduced: [HiddenNeuron]?
    if norm == .nuclear && positive.count > 1 {
      reduced = reduceTogether(neurons, data)
    } else {
      reduced = reduceByClass(neurons, data)
    }
    guard let reduced else { return nil }
    if reduced.count == neurons.count { return self }
    var result = self
    result.replaceWeights(by: reduced)
    return result
  }

  /// `minimal` with the predictions and the objective of the weights that remain; `nil` also if that objective is
  /// larger than it was.
  package func minimal(
    _ data: ArrangementData, of program: ArrangementProgram, targets: Matrix, beta: Double
  ) -> ArrangementSolution? {
    // Neurons that share a group cannot be exchanged by themselves.
    guard program.norm == .nuclear || program.grouping == .perClass || positive.count == 1 else {
      return nil
    }
    guard var result = minimal(data, norm: program.norm) else { return nil }
    if result.index == index, zip(result.positive, positive).allSatisfy({ $0 === $1 }) {
      return self
    }
    result.predictions = result.recomputedPredictions(data)
    let weight = result.neurons(program.norm).reduce(0) { $0 + $1.weight(program.norm) }
    let loss = program.loss.loss(program.weighting)
    result.primal = loss.value(result.predictions, targets) + beta * weight
    return result.primal <= primal + 1e-12 * abs(primal) ? result : nil
  }

  /// ŷ of the weights, n × C.
  func recomputedPredictions(_ data: ArrangementData) -> Matrix {
    let result = Matrix(data.samples, positive.count)
    let neurons = neurons(.group)
    for c in positive.indices {
      let mine = neurons.filter { $0.output[c] != 0 }
      let vectors = outputs(of: mine, data)
      var sum = [Double](repeating: 0, count: data.samples)
      gemv(
        mine.count, data.samples, vectors.base, .transposed, mine.map { $0.output[c] }, &sum)
      for i in sum.indices { result[i, c] = sum[i] }
    }
    return result
  }

  /// One group for each class: the classes share no neuron before they are merged.
  private func reduceByClass(
    _ neurons: [HiddenNeuron], _ data: ArrangementData
  ) -> [HiddenNeuron]? {
    var result: [HiddenNeuron] = []
    for c in positive.indices {
      let mine = neurons.filter { $0.output[c] != 0 }
      let vectors = outputs(of: mine, data)
      for (j, neuron) in mine.enumerated() where neuron.output[c] < 0 {
        scale(data.samples, -1, vectors.row(j))
      }
      guard
        let weights = CaratheodoryReduction.reduce(
          vectors, weights: mine.map { abs($0.output[c]) })
      else { return nil }
      for (neuron, weight) in zip(mine, weights) where weight > 0 {
        var kept = neuron
        kept.output[c] = neuron.output[c] < 0 ? -weight : weight
        result.append(kept)
      }
    }
    return result
  }

  /// The output of neurons (u, g) is the n × C matrix (D X u) gᵀ.
  private func reduceTogether(
    _ neurons: [HiddenNeuron], _ data: ArrangementData
  ) -> [HiddenNeuron]? {
    let (m, n, classes) = (neurons.count, data.samples, positive.count)
    let hidden = outputs(of: neurons, data)
    // If the D X u alone are independent, so are the matrices.
    if m <= n {
      guard triangularFactor(m, n, hidden.base) else { return nil }
      if CaratheodoryReduction.hasFullRank(hidden) { return neurons }
      for j in 0..<m { for i in j + 1..<max(j + 1, n) { hidden[j, i] = 0 } }
    }
    let length = min(m, n)
    guard Double(m) * Double(m) * Double(length * classes) < 5e9 else { return nil }
    let weights = neurons.map { $0.weight(.nuclear) }
    let vectors = Matrix(m, length * classes)
    for (j, neuron) in neurons.enumerated() {
      for c in 0..<classes {
        axpy(length, neuron.output[c] / weights[j], hidden.row(j), vectors.row(j) + c * length)
      }
    }
    guard let reduced = CaratheodoryReduction.reduce(vectors, weights: weights) else { return nil }
    return neurons.indices.filter { reduced[$0] > 0 }.map { j in
      var kept = neurons[j]
      kept.output = kept.output.map { $0 * (reduced[j] / weights[j]) }
      return kept
    }
  }

  /// D X u of every neuron, as rows of n.
  private func outputs(of neurons: [HiddenNeuron], _ data: ArrangementData) -> Matrix {
    let (m, n, d) = (neurons.count, data.samples, data.dimension)
    let directions = Matrix(m, d)
    for (j, neuron) in neurons.enumerated() {
      directions.row(j).update(from: neuron.direction, count: d)
    }
    // U Xᵀ, then the pattern of each row.
    let result = product(directions, .plain, data.features, .transposed)
    Threads.split(m, grain: max(1, 100_000 / max(1, n))) { range in
      for j in range {
        data.patterns.mask(index[neurons[j].pattern], result.row(j), into: result.row(j))
      }
    }
    return result
  }
}
