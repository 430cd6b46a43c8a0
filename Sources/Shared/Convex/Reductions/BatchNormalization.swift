import LinearAlgebra
import Schema
import Tensors

/// Batch normalisation before the ReLU (Ergen, Sahiner, Ozturkler, Pauly, Mardani, Pilanci 2021): with the compact
/// C X = U Σ Vᵀ a neuron is (γ U q/‖q‖ + α 1/√n)₊, so that the program is that of networks without it on
/// U' = [U, 1/√n], whose weight (q, a) has the length that β multiplies.
///
/// Solutions of this program have weights (w, a) of the features C x and 1/√n, d + 1 numbers: w = V Σ⁻¹ q.
package struct BatchNormalization: Reduction {
  /// μ, the mean of each feature.
  private let center: [Double]
  /// Σ Vᵀ, r × d, and V Σ⁻¹, d × r.
  private let factor: Matrix
  private let inverse: Matrix
  private let samples: Int
  /// The gates of the training data, if they list patterns.
  private let gates: GateTensors?

  /// A direction of less than this share of ‖X‖ is a constant: normalised it would be rounding alone.
  package static let negligible = 1e-10

  /// That of the training data, a `dataset` or `arrangements` of one patch a sample. Throws `Failure.data` if no feature
  /// varies.
  package init(_ data: Bundle) throws {
    let x = try ArrangementData.features(of: data)
    let (n, d) = (x.rows, x.columns)
    let size = norm(x.count, x.base)
    let center = (0..<d).map { k in
      (0..<n).reduce(0.0) { $0 + x[$1, k] } / Double(n)
    }
    for j in 0..<n { for k in 0..<d { x[j, k] -= center[k] } }
    // A second pass removes the rounding of the mean.
    let rest = (0..<d).map { k in (0..<n).reduce(0.0) { $0 + x[$1, k] } / Double(n) }
    for j in 0..<n { for k in 0..<d { x[j, k] -= rest[k] } }
    guard let values = SingularValues(x) else {
      throw Failure.data("the features of \(data.name) overflow")
    }
    let rank = values.values.prefix { $0 > BatchNormalization.negligible * size }.count
    guard rank > 0 else {
      throw Failure.data(
        "tensor \"x\" of \(data.name): no feature varies, so that there is nothing to normalise")
    }
    let factor = values.right.slice(0..<rank)
    let own = Matrix(copying: factor)
    for k in 0..<rank { scale(d, values.values[k], own.row(k)) }
    self.init(
      center: zip(center, rest).map { $0 + $1 }, factor: own, samples: n,
      gates: data.kind == .arrangements ? try GateTensors(data, dimension: d) : nil)
  }

  private init(center: [Double], factor: Matrix, samples: Int, gates: GateTensors?) {
    (self.center, self.factor, self.samples, self.gates) = (center, factor, samples, gates)
    inverse = factor.transposed
    for k in 0..<factor.rows {
      let square = dot(factor.columns, factor.row(k), factor.row(k))
      for i in 0..<inverse.rows { inverse[i, k] /= square }
    }
  }

  /// That of a solution, as it says itself. Throws `Failure.data` if its tensors do not fit.
  package init(solution: Bundle) throws {
    let factor = try solution.require(.normFactor)
    let center = try solution.require(.normCenter, shape: [factor.shape[1]])
    try factor.expectFinite("norm.factor", of: solution.name)
    let matrix = Matrix(factor)
    let orthogonal = product(matrix, .plain, matrix, .transposed)
    for i in 0..<matrix.rows {
      for j in 0..<matrix.rows {
        let scale = (orthogonal[i, i] * orthogonal[j, j]).squareRoot()
        guard i == j ? scale > 0 : abs(orthogonal[i, j]) <= 1e-9 * scale else {
          throw Failure.data(
            "tensor \"norm.factor\" of \(solution.name) has rows \(j) and \(i) that are not orthogonal"
          )
        }
      }
    }
    self.init(
      center: center.doubles, factor: matrix, samples: try solution.solutionPoints().dual.shape[0],
      gates: nil)
  }

  private var dimension: Int { center.count }
  private var rank: Int { factor.rows }

  // MARK: To the other program

  package func apply(_ data: Bundle) throws -> Bundle {
    var x = try ArrangementData.features(of: data)
    guard x.columns == dimension else {
      throw Failure.data(
        "tensor \"x\" of \(data.name) has \(x.columns) features, but the training data \(dimension)"
      )
    }
    for j in 0..<x.rows { for k in 0..<dimension { x[j, k] -= center[k] } }
    let own = product(x, .plain, inverse, .plain)
    x = Matrix(x.rows, rank + 1)
    for j in 0..<x.rows {
      x.row(j).update(from: own.row(j), count: rank)
      x[j, rank] = 1 / Double(samples).squareRoot()
    }
    var result = data
    result[.images] = nil
    result[.pool] = nil
    result[.x] = x.tensor
    guard data.kind == .arrangements else { return result }
    guard data[.patterns] != nil else {
      throw Failure.data(
        "\(data.name) has no tensor \"patterns\", which batch normalisation needs: list them for stored features "
          + "(patchify without --defer)")
    }
    let own0 = try GateTensors(data, dimension: dimension)
    result[.gates] = lowered(gates: own0.vectors)
    return result
  }

  /// Gates of the data, x · g = (x − μ) · g + μ · g, or those of a solution's own list, of C x and 1/√n.
  private func lowered(gates: Tensor) -> Tensor {
    let root = Double(samples).squareRoot()
    return gates.mappingRows(width: rank + 1) { gate in
      let last = gate.count > dimension ? gate[dimension] : root * dot(dimension, center, gate)
      return coordinates(gate) + [last]
    }
  }

  /// Σ Vᵀ w.
  private func coordinates(_ w: [Double]) -> [Double] {
    (0..<rank).map { dot(dimension, factor.row($0), w) }
  }

  package func lower(_ solution: Bundle) throws -> Bundle {
    var result = try lowerWeights(of: solution)
    let gates = try solution.require(.gates)
    result[.gates] = lowered(gates: gates)
    result.metadata[.batchNorm] = nil
    return result
  }

  /// The solution with the weights of the other program, and its own gates.
  package func lowerWeights(of solution: Bundle) throws -> Bundle {
    guard try solution.read(ifPresent: .batchNorm) == .before else {
      throw Failure.data("\(solution.name) is no solution with batch normalisation before the ReLU")
    }
    try solution.expectGates(features: dimension)
    var result = solution
    for key in [TensorKey.v, .w] {
      guard let weights = try solution.optional(key) else { continue }
      guard weights.shape.last == dimension + 1 else {
        throw Failure.data(
          "tensor \(quoted(key.name)) of \(solution.name) is \(weights.summary), expected \(dimension + 1) numbers a row: "
            + "a weight for each feature, and one for the constant")
      }
      result[key] = weights.mappingRows(width: rank + 1) { coordinates($0) + [$0[dimension]] }
    }
    return result
  }

  // MARK: The way back

  package func lift(_ solution: Bundle) -> Bundle {
    var result = solution
    for key in [TensorKey.v, .w] {
      result[key] = solution[key]?.mappingRows(width: dimension + 1, lifted)
    }
    if let gates, let index = solution[.index] {
      gates.rows(index.withElements(of: Int32.self) { $0.map(Int.init) }).write(to: &result)
    } else {
      result[.gates] = solution[.gates]?.mappingRows(width: dimension + 1, lifted)
    }
    result[.normCenter] = Tensor(center)
    result[.normFactor] = factor.tensor
    result.metadata[.batchNorm] = .before
    return result
  }

  /// (V Σ⁻¹ q, a).
  private func lifted(_ row: [Double]) -> [Double] {
    (0..<dimension).map { dot(rank, inverse.row($0), row) } + [row[rank]]
  }

  /// The network of this program that `network`, one of the other with gates of this, stands for: each neuron (q, a) of
  /// length c with its output weight becomes γ = ‖q‖, α = a, and w of ‖C X w‖ = √n, a deviation of 1.
  package func lift(network: Bundle) throws -> Bundle {
    var result = network
    let neurons = try network.require(.hiddenWeight).rows(of: rank + 1)
    let root = Double(samples).squareRoot()
    var (weights, scales, shifts, means): ([Double], [Double], [Double], [Double]) = (
      [], [], [], []
    )
    for neuron in neurons {
      let gamma = norm(rank, neuron)
      // A neuron that is constant may have any weight, of features that are constant too.
      let unit =
        gamma > 0
        ? neuron.prefix(rank).map { root * $0 / gamma }
        : (0..<rank).map { $0 == 0 ? root : 0 }
      let w = Array(lifted(unit + [0]).dropLast())
      weights += w
      scales.append(gamma / root)
      shifts.append(neuron[rank] / root)
      means.append(dot(dimension, center, w))
    }
    result[.hiddenWeight] = Tensor(weights, shape: [neurons.count, dimension])
    result[.normWeight] = Tensor(scales)
    result[.normBias] = Tensor(shifts)
    result[.normMean] = Tensor(means)
    result[.normDeviation] = Tensor([Double](repeating: 1, count: neurons.count))
    result.metadata[.batchNorm] = .before
    result.metadata[.batchSamples] = samples
    return result
  }
}

extension Tensor {
  /// The numbers as rows of `width`.
  fileprivate func rows(of width: Int) -> [[Double]] {
    let all = doubles
    return stride(from: 0, to: all.count, by: width).map { Array(all[$0..<$0 + width]) }
  }
}
