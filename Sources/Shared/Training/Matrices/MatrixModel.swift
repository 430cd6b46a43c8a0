import Convex
import LinearAlgebra
import Schema
import Tensors

/// The matrices of the convex program of a polynomial activation as parameters of stochastic gradients:
/// ŷ_ic = Σ_r ⟨Φ_ir, Z*_rc − Z*'_rc⟩, objective ℓ + β Σ (z*₄ + z*'₄), all in the numbers of `MatrixForm` (Hegde,
/// Karthik, Shubhangi and Bartan, "A convex approach to two-layer convolutional neural networks", section 2.6).
package final class MatrixModel: StochasticModel {
  package let activation: PolynomialActivation
  package let form: MatrixForm
  package let beta: Double
  package let regions: Int
  package let outputs: Int
  package var samples: Int { data.data.samples }
  /// A row for each matrix: for each output and region the positive one, then the negative one.
  let parameters: SingleMatrix

  private let block: MatrixBlock
  private let data: MomentBatches
  private let validation: MomentBatches?
  private let state: OptimizerState
  private let gradient: SingleMatrix
  private let loss: LossPass
  /// For a batch: moments, and outputs or their derivatives.
  private let moments: SingleMatrix
  private let results: SingleMatrix
  /// Z* − Z*' as weights on moments, C × R·width, the derivative by them, and the constants of outputs.
  private let functional: SingleMatrix
  private let slopes: SingleMatrix
  private var constants: [Float]
  /// Four matrices for each matrix pair.
  private let scratch: SingleMatrix
  private var stepCount = 0

  /// Throws `Failure.data` if there is not enough memory.
  package init(
    _ data: MomentData, _ targets: Targets, activation: PolynomialActivation, form: MatrixForm,
    beta: Double, optimizer: OptimizerSettings, batch: Int, validation: MomentData? = nil
  ) throws {
    self.activation = activation
    self.form = form
    self.beta = beta
    (regions, outputs) = (data.regions, targets.values.columns)
    block = MatrixBlock(features: data.features, form: form)
    let pairs = regions * outputs
    let batch = min(batch, data.samples)
    try expectMemory(
      4 * Double(pairs) * Double(block.count) * 14 + 8 * Double(batch) * Double(data.rowLength),
      for: "\(2 * pairs) matrices of order \(block.order)")
    self.data = try MomentBatches(data)
    self.validation = try validation.map { try MomentBatches($0) }
    parameters = SingleMatrix(2 * pairs, block.count)
    gradient = SingleMatrix(2 * pairs, block.count)
    state = OptimizerState(parameters.count, optimizer)
    loss = LossPass(targets, capacity: batch)
    moments = SingleMatrix(batch, data.rowLength)
    results = SingleMatrix(batch, outputs)
    functional = SingleMatrix(outputs, data.rowLength)
    slopes = SingleMatrix(outputs, data.rowLength)
    constants = Array(repeating: 0, count: outputs)
    scratch = SingleMatrix(pairs, 4 * block.order * block.order)
  }

  /// Xavier's uniform distribution for each of Z₁, z₂ and z₄.
  package func initialize(_ random: inout RandomSource) {
    let d = block.features
    for row in 0..<parameters.rows {
      let p = parameters.row(row)
      for (range, fan) in [
        (0..<d * d, 2 * d), (d * d..<d * d + d, d + 1), (d * d + d..<d * d + d + 1, 2),
      ] {
        let bound = (6 / Double(fan)).squareRoot()
        for k in range { p[k] = Float(random.uniform(in: -bound..<bound)) }
      }
    }
    state.reset()
    stepCount = 0
  }

  package func step(_ samples: UnsafePointer<Int32>, _ count: Int, rate: Double) {
    differentiate(samples, count)
    stepCount += 1
    state.update(
      0..<parameters.count, parameters.base, gradient.base, rate: rate, step: stepCount)
  }

  /// The gradient of the mean loss of the samples and of β/n times the penalty: a row for each matrix.
  func gradient(_ samples: [Int]) -> SingleMatrix {
    precondition(samples.count <= moments.rows, "more samples than a batch has")
    samples.map { Int32($0) }.withUnsafeBufferPointer { buffer in
      if let base = buffer.baseAddress { differentiate(base, buffer.count) }
    }
    return gradient
  }

  private func differentiate(_ samples: UnsafePointer<Int32>, _ count: Int) {
    let length = data.rows.columns
    data.gather(samples, count, into: moments.base)
    takeFunctional()
    apply(moments.base, count, into: results.base)
    loss.differentiate(results.base, samples, count, scale: 1 / Double(count))
    // ∂H = Eᵀ F
    gemm(
      outputs, length, count, results.base, .transposed, moments.base, .plain, slopes.base)
    let weight = Float(beta / Double(self.samples))
    forEachPair { c, r, pair in
      var total: Float = 0
      for i in 0..<count { total += self.results.base[i * self.outputs + c] }
      let m = self.block.order
      let slope = self.scratch.row(pair)
      let (first, second) = (slope + m * m, slope + 2 * m * m)
      for sign: Float in [1, -1] {
        self.unpack(
          self.slopes.row(c) + r * (length / self.regions), constant: total, sign, into: slope)
        slope[m * m - 1] += weight
        let row = 2 * pair + (sign > 0 ? 0 : 1)
        self.block.differentiate(
          self.parameters.row(row), slope, into: self.gradient.row(row), scratch: (first, second))
      }
    }
  }

  /// `sign` times the Φ-weighted derivatives as a symmetric matrix: the adjoint of `takeFunctional`.
  private func unpack(
    _ packed: UnsafePointer<Float>, constant: Float, _ sign: Float,
    into z: UnsafeMutablePointer<Float>
  ) {
    let (d, m) = (block.features, block.order)
    let (a, b, c) = (
      sign * Float(activation.a), sign * Float(activation.b / 2), sign * Float(activation.c)
    )
    let off = a * Float(0.5.squareRoot())
    var from = packed
    let mean = packed + d * (d + 1) / 2
    for i in 0..<d {
      z[i * m + i] = a * from[0]
      for j in i + 1..<max(i + 1, d) {
        z[i * m + j] = off * from[j - i]
        z[j * m + i] = z[i * m + j]
      }
      from += d - i
      z[i * m + d] = b * mean[i]
      z[d * m + i] = z[i * m + d]
    }
    z[d * m + d] = c * constant
  }

  // MARK: From matrices to outputs

  /// Calls `body` for every output and region, on all threads if that is worth it.
  private func forEachPair(_ body: (_ output: Int, _ region: Int, _ pair: Int) -> Void) {
    let pairs = regions * outputs
    let size = block.order * block.order * (form == .psd ? block.order : 1)
    let parts = pairs * size < 50_000 ? 1 : min(pairs, Threads.count)
    Threads.perform(parts) { part in
      for pair in pairs * part / parts..<pairs * (part + 1) / parts {
        body(pair / self.regions, pair % self.regions, pair)
      }
    }
  }

  /// Z* − Z*' of every output and region as weights on moments, and constants.
  private func takeFunctional() {
    let (d, m) = (block.features, block.order)
    let width = data.data.width
    let (a, b) = (Float(activation.a), Float(activation.b / 2))
    let off = a * Float(0.5.squareRoot())
    forEachPair { c, r, pair in
      let z = self.scratch.row(pair)
      let (other, scratch) = (z + m * m, z + 2 * m * m)
      self.block.matrix(self.parameters.row(2 * pair), into: z, scratch: scratch)
      self.block.matrix(self.parameters.row(2 * pair + 1), into: other, scratch: scratch)
      for k in 0..<m * m { z[k] -= other[k] }
      var to = self.functional.row(c) + r * width
      let mean = to + d * (d + 1) / 2
      for i in 0..<d {
        to[0] = a * z[i * m + i]
        for j in i + 1..<max(i + 1, d) { to[j - i] = off * (z[i * m + j] + z[j * m + i]) }
        to += d - i
        mean[i] = b * (z[i * m + d] + z[d * m + i])
      }
    }
    for c in 0..<outputs {
      constants[c] = 0
      for r in 0..<regions {
        constants[c] += Float(activation.c) * scratch.row(c * regions + r)[m * m - 1]
      }
    }
  }

  /// Outputs of `count` rows of moments.
  private func apply(
    _ rows: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let length = data.rows.columns
    gemm(count, outputs, length, rows, .plain, functional.base, .transposed, target)
    for i in 0..<count { for c in 0..<outputs { target[i * outputs + c] += constants[c] } }
  }

  package func predictions() -> Matrix { predictions(of: data) }

  package func validationPredictions() -> Matrix? { validation.map { predictions(of: $0) } }

  private func predictions(of data: MomentBatches) -> Matrix {
    takeFunctional()
    let n = data.rows.rows
    let outputs = SingleMatrix(n, outputs)
    Threads.split(n, grain: 500) { range in
      self.apply(
        data.rows.row(range.lowerBound), range.count, into: outputs.row(range.lowerBound))
    }
    let result = Matrix(n, self.outputs)
    for k in 0..<result.count { result.base[k] = Double(outputs.base[k]) }
    return result
  }

  /// Σ (z*₄ + z*'₄).
  package var penalty: Double {
    let m = block.order
    var sum = 0.0
    for z in matrices() { sum += z[m * m - 1] }
    return sum
  }

  /// Z* of every row of `parameters`, m × m in double precision.
  func matrices() -> [[Double]] {
    let m = block.order
    return (0..<parameters.rows).map { row in
      let z = scratch.row(row / 2)
      block.matrix(parameters.row(row), into: z, scratch: z + m * m)
      // A product in single precision is symmetric but for rounding.
      return (0..<m * m).map { k in
        form == .psd ? 0.5 * (Double(z[k]) + Double(z[k % m * m + k / m])) : Double(z[k])
      }
    }
  }

  package var isFinite: Bool { parameters.isFinite }

  package func weights() -> [[Float]] {
    [Array(UnsafeBufferPointer(start: parameters.base, count: parameters.count))]
  }

  package func restore(_ weights: [[Float]]) {
    precondition(weights.first?.count == parameters.count, "weights of another program")
    for (k, value) in (weights.first ?? []).enumerated() { parameters.base[k] = value }
  }

  // MARK: The solution

  /// The bundle of kind `solution` with the matrices as they are. Only ν = 0 bounds their objective from below, with
  /// the value 0 for every loss: the gap is 1.
  package func bundle(
    _ targets: Targets, from source: Bundle, objective: Double, iterations: Int, isTimeUp: Bool,
    metadata: [String: String]
  ) -> Bundle {
    let (n, m) = (samples, block.order)
    var bundle = Bundle(
      solutionFrom: source, metadata: metadata,
      dual: .samples(
        dual: Tensor(type: .f64, shape: [n, outputs]), predictions: predictions().tensor),
      loss: targets.loss, targets: targets.targetValues, beta: beta, objectives: (objective, 0),
      gap: relativeGap(primal: objective, dual: 0),
      status: isTimeUp ? .timeLimit : .iterationLimit, iterations: iterations)
    bundle[.z] = Tensor(matrices().flatMap { $0 }, shape: [outputs, regions, 2, m, m])
    bundle.metadata[.activation] = .polynomial(activation)
    bundle.metadata["program"] = form.rawValue
    bundle.metadata[.classWeights] = targets.weighting?.weights
    return bundle
  }
}
