import Convex
import Convolution
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The convex program of a gated-ReLU network over P gates, on its way to small values of ℓ(ŷ) + β Σ ‖w‖ by stochastic
/// steps: ŷ_c = Σ_i Σ_r (1/P_r) Σ_{k in r} 1[x_k·g_i ≥ t_i] x_k·w_icr. A group of the norm has the weights of a gate and a
/// class, or of a gate.
///
/// Stochastic gradient descent takes proximal steps, after which groups may be exactly 0; Adam takes subgradients.
package final class GatedProgramModel: StochasticModel {
  package let grouping: WeightGrouping
  package let beta: Double
  package var samples: Int { data.source.count }
  /// The row (r P + i) C + c has the d weights w_icr.
  let parameters: SingleMatrix

  private let data: PatchBatches
  private let validation: PatchBatches?
  private let program: ConvolutionalData
  private let optimizer: OptimizerSettings
  private let state: OptimizerState
  private let gradient: SingleMatrix
  private let loss: LossPass
  /// P × d, and P thresholds.
  private let gates: SingleMatrix
  private let thresholds: [Float]
  private let outputs: Int
  private let batch: Int
  /// Samples that are worked on at a time.
  private let chunk: Int
  /// The region of each patch, and one over the patches of it.
  private let regions: [Int]
  private let shares: [Float]
  /// Of a chunk: patches (chunk × K·d), masks of each patch (K · chunk × P), products (chunk × P·C), outputs (chunk × C).
  private let patches: SingleMatrix
  private let masks: SingleMatrix
  private let products: SingleMatrix
  private let results: SingleMatrix
  private var stepCount = 0

  private var gateCount: Int { gates.rows }
  private var width: Int { gateCount * outputs }

  /// Numbers of masks, and of products, of a chunk.
  private static let chunkNumbers = 1 << 22

  /// `data` are arrangements, on whose patches the gates decide. Throws `Failure.data` if there is not enough memory.
  package init(
    _ data: ConvolutionalData, _ targets: Targets, grouping: WeightGrouping, beta: Double,
    optimizer: OptimizerSettings, batch: Int, validation: PatchSource? = nil
  ) throws {
    let source = data.patches
    (program, self.grouping, self.beta, self.optimizer) = (data, grouping, beta, optimizer)
    let (count, d, k) = (data.listed.gates.count, source.dimension, source.patchCount)
    outputs = targets.values.columns
    self.batch = min(batch, source.count)
    let wide = count * outputs
    let fit = min(
      GatedProgramModel.chunkNumbers / max(1, k * max(count, source.dimension)),
      GatedProgramModel.chunkNumbers / max(1, wide))
    chunk = max(1, min(self.batch, fit))
    let rows = Double(source.regions) * Double(wide)
    try expectMemory(
      4 * rows * Double(d) * 5 + 4 * Double(chunk) * (Double(k) * Double(d + count) + Double(wide)),
      for: "a program of \(count) gates, \(source.regions) regions and \(outputs) outputs")
    self.data = PatchBatches(source)
    self.validation = validation.map { PatchBatches($0) }
    parameters = SingleMatrix(source.regions * wide, d)
    gradient = SingleMatrix(source.regions * wide, d)
    state = OptimizerState(parameters.count, optimizer)
    loss = LossPass(targets, capacity: self.batch)
    gates = SingleMatrix(count, d)
    let vectors = data.listed.gates.vectors.doubles
    for j in 0..<gates.count { gates.base[j] = Float(vectors[j]) }
    thresholds =
      data.listed.gates.thresholds.map { $0.doubles.map { Float($0) } }
      ?? Array(repeating: 0, count: count)
    regions = source.regionSizes.enumerated().flatMap { Array(repeating: $0, count: $1) }
    shares = source.regionSizes.flatMap { Array(repeating: 1 / Float($0), count: $0) }
    patches = SingleMatrix(chunk, k * d)
    masks = SingleMatrix(k * chunk, count)
    products = SingleMatrix(chunk, wide)
    results = SingleMatrix(max(chunk, self.batch), outputs)
  }

  /// Zero weights: the program is convex, and there is nothing to break.
  package func initialize(_ random: inout RandomSource) {
    parameters.clear()
    state.reset()
    stepCount = 0
  }

  // MARK: A step

  package func step(_ samples: UnsafePointer<Int32>, _ count: Int, rate: Double) {
    differentiate(samples, count)
    stepCount += 1
    let weight = beta / Double(self.samples)
    if optimizer.name != .sgd, weight > 0 { addSubgradient(Float(weight)) }
    let number = stepCount
    let d = parameters.columns
    Threads.split(parameters.rows, grain: 1 + 20_000 / d) { own in
      self.state.update(
        own.lowerBound * d..<own.upperBound * d, self.parameters.base, self.gradient.base,
        rate: rate, step: number)
    }
    // A momentum μ makes of a constant gradient 1/(1 − μ) times as much.
    if optimizer.name == .sgd, weight > 0 {
      shrink(Float(weight * rate / (1 - optimizer.momentum)))
    }
  }

  /// The gradient of the mean loss of the samples, like `parameters`.
  func gradient(_ samples: [Int]) -> SingleMatrix {
    precondition(samples.count <= batch, "more samples than a batch has")
    samples.map { Int32($0) }.withUnsafeBufferPointer { buffer in
      if let base = buffer.baseAddress { differentiate(base, buffer.count) }
    }
    return gradient
  }

  private func differentiate(_ samples: UnsafePointer<Int32>, _ count: Int) {
    gradient.clear()
    let (d, k) = (parameters.columns, regions.count)
    for first in stride(from: 0, to: count, by: chunk) {
      let size = min(chunk, count - first)
      forward(data, samples + first, size)
      loss.differentiate(results.base, samples + first, size, scale: 1 / Double(count))
      for patch in 0..<k {
        spread(patch, size)
        // ∂W_r += Sᵀ X_k
        gemm(
          width, d, size, products.base, .transposed, patches.base + patch * d, .plain,
          ldb: k * d, beta: 1, gradient.row(regions[patch] * width))
      }
    }
  }

  /// Outputs of `count` samples, whose patches and masks stay.
  private func forward(
    _ source: PatchBatches, _ samples: UnsafePointer<Int32>, _ count: Int
  ) {
    let (d, k) = (parameters.columns, regions.count)
    source.gather(samples, count, into: patches.base, worker: 0)
    results.base.update(repeating: 0, count: count * outputs)
    for patch in 0..<k {
      let (x, mask) = (patches.base + patch * d, masks.row(patch * chunk))
      gemm(
        count, gateCount, d, x, .plain, lda: k * d, gates.base, .transposed, mask)
      gemm(
        count, width, d, x, .plain, lda: k * d, parameters.row(regions[patch] * width),
        .transposed, products.base)
      collect(patch, count)
    }
  }

  /// Makes ones and zeros of the products with the gates, and adds what open gates let through to the outputs.
  private func collect(_ patch: Int, _ count: Int) {
    let (gateCount, outputs, share) = (gateCount, outputs, shares[patch])
    Threads.split(count, grain: 8) { own in
      for s in own {
        let mask = self.masks.row(patch * self.chunk + s)
        let (t, y) = (self.products.row(s), self.results.row(s))
        for i in 0..<gateCount {
          guard mask[i] >= self.thresholds[i] else {
            mask[i] = 0
            continue
          }
          mask[i] = 1
          for c in 0..<outputs { y[c] += share * t[i * outputs + c] }
        }
      }
    }
  }

  /// The derivatives of the products: those of the outputs where gates are open.
  private func spread(_ patch: Int, _ count: Int) {
    let (gateCount, outputs, share) = (gateCount, outputs, shares[patch])
    Threads.split(count, grain: 8) { own in
      for s in own {
        let mask = self.masks.row(patch * self.chunk + s)
        let (t, e) = (self.products.row(s), self.results.row(s))
        for i in 0..<gateCount {
          let factor = share * mask[i]
          for c in 0..<outputs { t[i * outputs + c] = factor * e[c] }
        }
      }
    }
  }

  // MARK: The norm

  /// The rows of `parameters` of each group.
  private func rows(ofGroup group: Int) -> [Int] {
    let regions = parameters.rows / width
    return (0..<regions).flatMap { r in
      grouping == .perClass
        ? [r * width + group]
        : (0..<outputs).map { r * width + group * outputs + $0 }
    }
  }

  private var groupCount: Int { grouping == .perClass ? width : gateCount }

  private func length(_ rows: [Int]) -> Double {
    var square = 0.0
    for row in rows {
      let w = parameters.row(row)
      for k in 0..<parameters.columns { square += Double(w[k]) * Double(w[k]) }
    }
    return square.squareRoot()
  }

  /// Adds `weight` times w/‖w‖ to the gradient of each group that is not 0.
  private func addSubgradient(_ weight: Float) {
    Threads.split(groupCount, grain: 8) { own in
      for group in own {
        let rows = self.rows(ofGroup: group)
        let length = Float(self.length(rows))
        guard length > 0 else { continue }
        let factor = weight / length
        for row in rows {
          let (g, w) = (self.gradient.row(row), self.parameters.row(row))
          for k in 0..<self.parameters.columns { g[k] += factor * w[k] }
        }
      }
    }
  }

  /// w ← (1 − t/‖w‖)₊ w for each group.
  private func shrink(_ t: Float) {
    Threads.split(groupCount, grain: 8) { own in
      for group in own {
        let rows = self.rows(ofGroup: group)
        let length = Float(self.length(rows))
        let factor = length > t ? 1 - t / length : 0
        for row in rows {
          let w = self.parameters.row(row)
          for k in 0..<self.parameters.columns { w[k] *= factor }
        }
      }
    }
  }

  /// Σ ‖w‖ over the groups.
  package var penalty: Double { (0..<groupCount).reduce(0) { $0 + length(rows(ofGroup: $1)) } }

  // MARK: The present weights

  package func predictions() -> Matrix { predictions(of: data) }

  package func validationPredictions() -> Matrix? { validation.map { predictions(of: $0) } }

  private func predictions(of source: PatchBatches) -> Matrix {
    let n = source.source.count
    let result = Matrix(n, outputs)
    for first in stride(from: 0, to: n, by: chunk) {
      let size = min(chunk, n - first)
      let numbers = (first..<first + size).map { Int32($0) }
      numbers.withUnsafeBufferPointer { forward(source, $0.baseAddress!, size) }
      let row = result.row(first)
      for k in 0..<size * outputs { row[k] = Double(results.base[k]) }
    }
    return result
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

  /// The bundle of kind `solution`, whose predictions and objective are computed in double precision from the patterns of the
  /// data. Only ν = 0 bounds the objective from below, with the value 0 for every loss: the gap is 1.
  package func bundle(
    _ targets: Targets, from source: Bundle, iterations: Int, isTimeUp: Bool,
    metadata: [String: String]
  ) -> Bundle {
    let open = (0..<gateCount).filter { i in
      (0..<outputs).contains { c in
        (0..<parameters.rows / width).contains { r in
          let w = parameters.row(r * width + i * outputs + c)
          return (0..<parameters.columns).contains { w[$0] != 0 }
        }
      }
    }
    let d = parameters.columns
    let positive = (0..<outputs).map { c in
      let matrix = Matrix(open.count, parameters.rows / width * d)
      for (place, i) in open.enumerated() {
        for r in 0..<parameters.rows / width {
          let w = parameters.row(r * width + i * outputs + c)
          for k in 0..<d { matrix[place, r * d + k] = Double(w[k]) }
        }
      }
      return matrix
    }
    let zero = Matrix(samples, outputs)
    var solution = ArrangementSolution(
      index: open, positive: positive, dual: zero, predictions: zero,
      status: isTimeUp ? .timeLimit : .iterationLimit, primal: 0, dualValue: 0,
      iterations: iterations)
    solution.predictions = solution.pooledPredictions(on: program)
    solution.primal =
      targets.lossValue(solution.predictions) + (beta == 0 ? 0 : beta * penalty)
    return Solutions.bundle(
      solution, data: program, targets: targets,
      program: ArrangementProgram(
        activation: .gatedReLU, norm: .group, grouping: grouping, loss: targets.loss,
        weighting: targets.weighting),
      beta: beta, betaMax: nil, source: source, notes: [:], metadata: metadata)
  }
}
