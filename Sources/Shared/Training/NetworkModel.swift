import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// A two-layer network, fully connected or convolutional, on its way to small values of
/// ℓ(Σ_j Σ_r a_jr (1/P_r) Σ_{k in r} σ(X_k u_j)) + β penalty: filters u_j are shared by all patches, and each
/// neuron has a weight a_jr for every output and pooling region.
package final class NetworkModel: StochasticModel {
  package let shape: NetworkShape
  package let activation: Activation
  package let penaltyName: WeightPenalty
  package let beta: Double
  package let parameters: NetworkParameters
  /// The gates of gated neurons: m × d in double precision, and m thresholds.
  package let gates: Matrix?
  package let thresholds: [Double]

  package var samples: Int { data.source.count }

  private let data: PatchBatches
  private let validation: PatchBatches?
  private let targets: Targets
  private let optimizer: OptimizerSettings
  private let hiddenState: OptimizerState
  private let outputState: OptimizerState
  private let pooling: PooledActivation
  private let singleGates: SingleMatrix?
  private let batch: Int
  private let initialScale: Double
  private let plan: StepPlan
  private let workspaces: [NetworkWorkspace]
  /// Patches of the whole batch, if the plan keeps them.
  private let patches: SingleMatrix
  private let products: SingleMatrix
  private var stepCount = 0

  /// The choices for a network and its training.
  package struct Settings: Sendable {
    package var activation = Activation.relu
    package var neurons = 100
    package var penalty: WeightPenalty?
    package var beta = 0.0
    package var optimizer = OptimizerSettings()
    package var batch = 128
    /// The factor of the weights to begin with; nil for 1.
    package var initialScale: Double?
    package init() {}
  }

  /// Throws `Failure.data` if there is not enough memory. `gates` belong to gated neurons.
  package convenience init(
    _ source: PatchSource, _ targets: Targets, _ settings: Settings, gates: NeuronGates? = nil,
    validation: PatchSource? = nil
  ) throws {
    try self.init(source, targets, settings, gates: gates, validation: validation, plan: nil)
  }

  init(
    _ source: PatchSource, _ targets: Targets, _ settings: Settings, gates: NeuronGates?,
    validation: PatchSource?, plan given: StepPlan?
  ) throws {
    shape = NetworkShape(
      features: source.dimension, neurons: settings.neurons, regions: source.regions,
      outputs: targets.values.columns)
    activation = settings.activation
    penaltyName = settings.penalty ?? settings.activation.usualPenalty
    beta = settings.beta
    optimizer = settings.optimizer
    batch = min(settings.batch, source.count)
    initialScale = settings.initialScale ?? 1
    self.targets = targets
    self.gates = gates?.vectors
    thresholds = gates?.thresholds ?? []
    // Weights, their gradients and the memory of optimisers.
    let copies = 5 + Double(Threads.count)
    try expectMemory(
      4 * copies * shape.count, for: "a network of \(shape.neurons) neurons")
    let plan = given ?? StepPlan(shape, patches: source.patchCount, batch: batch)
    let rows = Double(plan.sums ? plan.chunk * plan.parts : batch) * Double(source.patchCount)
    try expectMemory(
      4 * rows * 3 * (Double(shape.features) + Double(shape.neurons)),
      for: "a batch of \(batch) samples")
    self.plan = plan
    data = PatchBatches(source)
    self.validation = validation.map { PatchBatches($0) }
    parameters = NetworkParameters(shape)
    hiddenState = OptimizerState(parameters.hidden.count, optimizer)
    outputState = OptimizerState(parameters.output.count, optimizer)
    pooling = PooledActivation(
      activation: activation, neurons: shape.neurons, regionSizes: source.regionSizes,
      thresholds: thresholds.map { Float($0) })
    singleGates = gates.map {
      let copy = SingleMatrix($0.vectors.rows, $0.vectors.columns)
      for k in 0..<copy.count { copy.base[k] = Float($0.vectors.base[k]) }
      return copy
    }
    let (shape, isGated) = (shape, activation == .gatedReLU)
    workspaces = (0..<max(plan.parts, Threads.count)).map { _ in
      NetworkWorkspace(
        shape, patches: source.patchCount, chunk: plan.chunk, isGated: isGated, targets)
    }
    patches = SingleMatrix(plan.sums ? 0 : batch * source.patchCount, shape.features)
    products = SingleMatrix(plan.sums ? 0 : batch * source.patchCount, shape.neurons)
  }

  package func initialize(_ random: inout RandomSource) {
    parameters.initialize(shape, unit: penaltyName == .l1, scale: initialScale, &random)
    hiddenState.reset()
    outputState.reset()
    stepCount = 0
  }

  // MARK: A step

  package func step(_ samples: UnsafePointer<Int32>, _ count: Int, rate: Double) {
    differentiate(samples, count)
    stepCount += 1
    let (m, number) = (shape.neurons, stepCount)
    let width = shape.outputs
    Threads.perform(plan.parts) { part in
      let range = self.plan.share(part, of: m)
      guard !range.isEmpty else { return }
      self.finishGradient(range, patches: count * self.data.source.patchCount)
      let gradient = self.workspaces[0].gradient
      let d = self.shape.features
      self.hiddenState.update(
        range.lowerBound * d..<range.upperBound * d, self.parameters.hidden.base,
        gradient.hidden.base, rate: rate, step: number)
      for r in 0..<self.shape.regions {
        self.outputState.update(
          (r * m + range.lowerBound) * width..<(r * m + range.upperBound) * width,
          self.parameters.output.base, gradient.output.base, rate: rate, step: number)
      }
      if self.penaltyName == .l1 { self.parameters.normalize(range) }
    }
  }

  /// The gradient of the mean loss of `count` samples, and of β/n times the penalty.
  func gradient(_ samples: [Int]) -> NetworkParameters {
    precondition(samples.count <= batch, "more samples than a batch has")
    samples.map { Int32($0) }.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      differentiate(base, buffer.count)
    }
    finishGradient(0..<shape.neurons, patches: samples.count * data.source.patchCount)
    return workspaces[0].gradient
  }

  /// Runs forward and back through the samples. Each thread then has its share of the gradient, except for the work of
  /// `finishGradient`.
  private func differentiate(_ samples: UnsafePointer<Int32>, _ count: Int) {
    nonisolated(unsafe) let samples = samples
    let (m, d, outputs) = (shape.neurons, shape.features, shape.outputs)
    let wide = shape.regions * m
    let patchCount = data.source.patchCount
    Threads.perform(plan.parts) { part in
      let own = self.workspaces[part]
      let share = self.plan.share(part, of: count)
      // If no sample is left for a thread, its gradient is zero.
      if share.isEmpty {
        if self.plan.sums { own.gradient.hidden.clear() }
        own.gradient.output.clear()
      }
      var first = share.lowerBound
      while first < share.upperBound {
        let size = min(self.plan.chunk, share.upperBound - first)
        let rows = size * patchCount
        let x = self.plan.sums ? own.patches.base : self.patches.row(first * patchCount)
        let t = self.plan.sums ? own.products.base : self.products.row(first * patchCount)
        self.data.gather(samples + first, size, into: x, worker: part)
        self.forward(own, x, t, size)
        // E = ∂ℓ/∂Ŷ, chunk × C.
        let e = own.outputs.base
        own.loss.differentiate(e, samples + first, size, scale: 1 / Double(count))
        let keep: Float = first == share.lowerBound ? 0 : 1
        // ∂A = Hᵀ E
        gemm(
          wide, outputs, size, own.pooled.base, .transposed, e, .plain, beta: keep,
          own.gradient.output.base)
        // ∂H = E Aᵀ
        gemm(
          size, wide, outputs, e, .plain, self.parameters.output.base, .transposed,
          own.slopes.base)
        self.pooling.differentiate(
          t, gates: self.singleGates == nil ? nil : UnsafePointer(own.gates.base), samples: size,
          by: own.slopes.base)
        if self.plan.sums {
          // ∂U = ∂Tᵀ X
          gemm(
            m, d, rows, t, .transposed, x, .plain, beta: keep, own.gradient.hidden.base)
        }
        first += size
      }
    }
  }

  /// Completes the rows `range` of the gradient, in the first workspace.
  private func finishGradient(_ range: Range<Int>, patches rows: Int) {
    let (m, d, outputs) = (shape.neurons, shape.features, shape.outputs)
    let sum = workspaces[0].gradient
    if plan.sums {
      for part in 1..<max(1, plan.parts) {
        sum.hidden.add(
          workspaces[part].gradient.hidden, range.lowerBound * d..<range.upperBound * d)
      }
    } else {
      // ∂U = ∂Tᵀ X
      gemm(
        range.count, d, rows, products.base + range.lowerBound, .transposed, lda: m, patches.base,
        .plain, sum.hidden.row(range.lowerBound))
    }
    for r in 0..<shape.regions {
      let own = (r * m + range.lowerBound) * outputs..<(r * m + range.upperBound) * outputs
      for part in 1..<max(1, plan.parts) {
        sum.output.add(workspaces[part].gradient.output, own)
      }
    }
    penaltyName.addGradient(Float(beta / Double(samples)), shape, parameters, sum, range)
  }

  /// Computes from the patches x of `count` samples their products t, the pooled activations, and the outputs.
  private func forward(
    _ own: NetworkWorkspace, _ x: UnsafePointer<Float>, _ t: UnsafeMutablePointer<Float>,
    _ count: Int
  ) {
    let rows = count * data.source.patchCount
    // T = X Uᵀ
    gemm(
      rows, shape.neurons, shape.features, x, .plain, parameters.hidden.base, .transposed, t)
    if let gates = singleGates {
      gemm(
        rows, shape.neurons, shape.features, x, .plain, gates.base, .transposed, own.gates.base)
    }
    pooling.pool(
      t, gates: singleGates == nil ? nil : UnsafePointer(own.gates.base), samples: count,
      into: own.pooled.base)
    // Ŷ = H A
    gemm(
      count, shape.outputs, shape.regions * shape.neurons, own.pooled.base, .plain,
      parameters.output.base, .plain, own.outputs.base)
  }

  // MARK: The present network

  package func predictions() -> Matrix { predictions(of: data) }

  package func validationPredictions() -> Matrix? { validation.map { predictions(of: $0) } }

  private func predictions(of data: PatchBatches) -> Matrix {
    let n = data.source.count
    let result = Matrix(n, shape.outputs)
    let small = Double(n * data.source.patchCount) * shape.count < 100_000
    let parts = small ? 1 : workspaces.count
    Threads.perform(parts) { part in
      let own = self.workspaces[part]
      let share = n * part / parts..<n * (part + 1) / parts
      let numbers = share.map { Int32($0) }
      var first = 0
      while first < share.count {
        let size = min(self.plan.chunk, share.count - first)
        numbers.withUnsafeBufferPointer {
          data.gather($0.baseAddress! + first, size, into: own.patches.base, worker: part)
        }
        self.forward(own, own.patches.base, own.products.base, size)
        let row = result.row(share.lowerBound + first)
        for k in 0..<size * self.shape.outputs { row[k] = Double(own.outputs.base[k]) }
        first += size
      }
    }
    return result
  }

  package var penalty: Double { penaltyName.value(shape, parameters) }

  package var isFinite: Bool { parameters.hidden.isFinite && parameters.output.isFinite }

  package func weights() -> [[Float]] {
    [parameters.hidden, parameters.output].map {
      Array(UnsafeBufferPointer(start: $0.base, count: $0.count))
    }
  }

  package func restore(_ weights: [[Float]]) {
    for (matrix, values) in zip([parameters.hidden, parameters.output], weights) {
      precondition(values.count == matrix.count, "weights of another network")
      for k in 0..<values.count { matrix.base[k] = values[k] }
    }
  }
}

extension SingleMatrix {
  func clear() { base.update(repeating: 0, count: count) }

  /// Adds the elements `range` of another.
  func add(_ other: SingleMatrix, _ range: Range<Int>) {
    let (to, from) = (base + range.lowerBound, other.base + range.lowerBound)
    for k in 0..<range.count { to[k] += from[k] }
  }
}
