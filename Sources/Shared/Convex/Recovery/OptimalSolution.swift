import LinearAlgebra
import Schema
import Tensors

extension OptimalSet {
  /// A gap up to which networks count as optimal whatever that of the solution.
  private static let usualGap = 1e-9

  /// The solution to which the networks of the set belong, with the neurons of `weights`: its outputs and its dual point are those
  /// of an exact optimum, which those of `solution`, up to whose gap they are known, need not be. `metadata` are added.
  package func solution(
    _ weights: [[Double]], like solution: Bundle, metadata: [String: String]
  ) throws -> Bundle {
    let (n, d, outputs) = (data.samples, data.dimension, candidates.count)
    // The gates of all networks of the set are gates of the solution, those without weight too.
    let index = Set(
      candidates.indices.flatMap { c in
        candidates[c].indices.filter { isGated || weights[c][$0] > 0 }
          .map { candidates[c][$0].pattern }
      }
    ).sorted()
    let row = Dictionary(uniqueKeysWithValues: index.enumerated().map { ($1, $0) })
    // v and w of each output, or w alone.
    let parts = (0..<2).map { _ in (0..<outputs).map { _ in Matrix(index.count, d) } }
    let predictions = Matrix(n, outputs)
    for c in candidates.indices {
      for (candidate, weight) in zip(candidates[c], weights[c]) where weight > 0 {
        let part = parts[candidate.sign < 0 ? 1 : 0][c]
        axpy(d, weight, candidate.direction, part.row(row[candidate.pattern]!))
        for j in 0..<n { predictions[j, c] += weight * candidate.image[j] }
      }
    }
    let norm = weights.reduce(0) { $0 + $1.reduce(0, +) }
    let loss = targets.loss.loss
    let primal = loss.value(predictions, targets.values) + beta * norm
    let dual = dual(of: predictions)
    let value = loss.dualValue(dual, targets.values)
    let gap = max(0, relativeGap(primal: primal, dual: value))

    var result = solution
    let shape = PatternVariables.shape(
      outputs: outputs, patterns: index.count, regions: 1, dimension: d)
    func tensor(_ matrices: [Matrix]) -> Tensor { Tensor(matrices.flatMap(\.values), shape: shape) }
    result[.v] = isGated ? nil : tensor(parts[0])
    result[.w] = tensor(parts[isGated ? 0 : 1])
    result[.index] = Tensor(index.map { Int32($0) })
    if try !solution.hasOwnList { data.listed.gates.rows(index).write(to: &result) }
    result[.dual] = dual.tensor
    result[.predictions] = predictions.tensor
    result.metadata.merge(metadata) { $1 }
    result.metadata[.primalObjective] = primal
    result.metadata[.dualObjective] = min(value, primal)
    result.metadata[.relativeGap] = gap
    result.metadata[.minimal] = nil
    result.metadata[.globalDualObjective] = nil
    guard gap <= max(OptimalSet.usualGap, 10 * (try solution.read(.relativeGap))) else {
      throw Failure.data(
        "\(solution.name) is too far from optimal: the networks that were found from it have a relative gap of \(gap); solve it with "
          + "a smaller --gap")
    }
    result.metadata[.status] = gap <= (try solution.read(.gap, default: 1e-4)) ? .optimal : .stalled
    // A proof over all neurons is one of another ν.
    if try solution.hasOwnList && !solution.read(.exact, default: false) {
      result.metadata[.certificate] = .patterns
      for key in ["violation", "violation_bound", "searches"] { result.metadata[key] = nil }
    }
    return result
  }

  /// y − ŷ, scaled until no pattern's constraint exceeds β.
  private func dual(of predictions: Matrix) -> Matrix {
    let dual = Matrix(predictions.rows, predictions.columns)
    for k in 0..<dual.count { dual.base[k] = targets.values.base[k] - predictions.base[k] }
    var largest = 0.0
    for c in 0..<dual.columns {
      let search = OptimalDirections(
        data, isGated: isGated, y: targets.values.column(c), beta: beta)
      largest = max(largest, search.largest(dual.column(c)))
    }
    let size = withRoom(largest)
    if size > beta { scale(dual.count, beta / size, dual.base) }
    return dual
  }

  /// How far the outputs of these networks are from `predictions`, those of a solution (n × C), and how large the latter are.
  package func distance(of weights: [[Double]], from solution: Bundle) throws -> (
    error: Double, size: Double
  ) {
    let predictions = Matrix(try solution.solutionPoints().predictions)
    var (error, size) = (0.0, 0.0)
    for c in candidates.indices {
      var outputs = [Double](repeating: 0, count: data.samples)
      for (candidate, weight) in zip(candidates[c], weights[c]) {
        axpy(outputs.count, weight, candidate.image, &outputs)
      }
      for j in outputs.indices {
        error = max(error, abs(outputs[j] - predictions[j, c]))
        size = max(size, abs(predictions[j, c]))
      }
    }
    return (error, size)
  }
}
