import LinearAlgebra
import Schema
import Tensors

/// The data of networks with batch normalisation after the ReLU (Ergen, Sahiner, Ozturkler, Pauly, Mardani, Pilanci
/// 2021): for each pattern the compact C D_i X = U_i Σ_i V_iᵀ. A group of weights (q, a) puts out U_i q + a 1/√n; its
/// hidden weight is w = V_i Σ_i⁻¹ q. Solutions have weights (w, a), d + 1 numbers.
package final class NormalizedPatterns: PatternedData {
  /// U_i, r_i × n, and V_i Σ_i⁻¹, r_i × d.
  package struct Basis {
    let columns: Matrix
    let inverse: Matrix
  }

  package let arrangement: ArrangementData
  package let samples: Int
  /// d + 1.
  package let dimension: Int
  package let regions = 1
  package let listed: PatternTensors
  /// Of each pattern; nil if what it lets through does not vary.
  let bases: [Basis?]

  /// Throws `Failure.data` if no pattern lets anything through that varies.
  package init(_ arrangement: ArrangementData, name: String) throws {
    self.arrangement = arrangement
    let (x, patterns) = (arrangement.features, arrangement.patterns)
    (samples, dimension, listed) = (x.rows, x.columns + 1, arrangement.listed)
    let limit = BatchNormalization.negligible * norm(x.count, x.base)
    try expectMemory(
      8 * Double(patterns.count) * Double(min(x.rows, x.columns)) * Double(x.rows + x.columns),
      for: "a basis of \(x.rows) samples for each of \(patterns.count) patterns")
    var bases: [Basis?] = []
    for i in 0..<patterns.count {
      let own = NormalizedPatterns.centered(x, patterns, i)
      guard let values = SingularValues(own) else {
        throw Failure.data("the features of \(name) overflow")
      }
      let rank = values.values.prefix { $0 > limit }.count
      guard rank > 0 else {
        bases.append(nil)
        continue
      }
      let inverse = Matrix(copying: values.right.slice(0..<rank))
      for k in 0..<rank { scale(x.columns, 1 / values.values[k], inverse.row(k)) }
      bases.append(Basis(columns: Matrix(copying: values.left.slice(0..<rank)), inverse: inverse))
    }
    guard bases.contains(where: { $0 != nil }) else {
      throw Failure.data(
        "no pattern of \(name) lets anything through that varies, so that there is nothing to normalise"
      )
    }
    self.bases = bases
  }

  /// C D_i X.
  private static func centered(_ x: Matrix, _ patterns: Patterns, _ i: Int) -> Matrix {
    let result = Matrix(copying: x)
    let (n, d) = (x.rows, x.columns)
    for j in 0..<n where !patterns.isActive(i, row: j) {
      result.row(j).update(repeating: 0, count: d)
    }
    for _ in 0..<2 {
      for k in 0..<d {
        let mean = (0..<n).reduce(0.0) { $0 + result[$1, k] } / Double(n)
        for j in 0..<n { result[j, k] -= mean }
      }
    }
    return result
  }

  /// U_iᵀ C D_i X w, for w of d numbers.
  func coordinates(_ w: UnsafePointer<Double>, of i: Int) -> [Double] {
    guard let basis = bases[i] else { return [] }
    let values = image(w, of: i)
    return (0..<basis.columns.rows).map { dot(samples, basis.columns.row($0), values) }
  }

  /// C D_i X w.
  func image(_ w: UnsafePointer<Double>, of i: Int) -> [Double] {
    let own = hidden(w, of: i)
    let mean = own.reduce(0, +) / Double(samples)
    return own.map { $0 - mean }
  }

  /// D_i X w.
  func hidden(_ w: UnsafePointer<Double>, of i: Int) -> [Double] {
    let x = arrangement.features
    var values = [Double](repeating: 0, count: samples)
    gemv(samples, x.columns, x.base, .plain, w, &values)
    for j in 0..<samples where !arrangement.patterns.isActive(i, row: j) { values[j] = 0 }
    return values
  }

  /// The objective and the predictions of the weights as they are written: ŷ = Σ ± (C D_i X w + a/√n).
  func evaluate(
    _ solution: inout ArrangementSolution, targets: Matrix, loss: any Loss, beta: Double
  ) {
    let root = Double(samples).squareRoot()
    var penalty = 0.0
    solution.predictions.fill(0)
    for (sign, all) in [(1.0, solution.positive), (-1, solution.negative)] {
      for (c, weights) in all.enumerated() {
        for (k, i) in solution.index.enumerated() {
          let row = weights.row(k)
          let (values, a) = (image(row, of: i), row[dimension - 1])
          let gamma = norm(samples, values)
          penalty += (gamma * gamma + a * a).squareRoot()
          for j in 0..<samples { solution.predictions[j, c] += sign * (values[j] + a / root) }
        }
      }
    }
    solution.primal = loss.value(solution.predictions, targets) + beta * penalty
  }

  /// Adds what the networks need of their training data: mean and deviation of what each neuron lets through, output by
  /// output and pattern by pattern, those of negative neurons last.
  package func writeStatistics(of solution: ArrangementSolution, to bundle: inout Bundle) {
    var (means, deviations): ([Double], [Double]) = ([], [])
    for weights in solution.positive + solution.negative {
      for (k, i) in solution.index.enumerated() {
        let own = hidden(weights.row(k), of: i)
        let mean = own.reduce(0, +) / Double(samples)
        means.append(mean)
        let square = own.reduce(0.0) { $0 + ($1 - mean) * ($1 - mean) }
        deviations.append((square / Double(samples)).squareRoot())
      }
    }
    bundle[.normMean] = Tensor(means)
    bundle[.normDeviation] = Tensor(deviations)
    bundle.metadata[.batchNorm] = .after
  }
}
