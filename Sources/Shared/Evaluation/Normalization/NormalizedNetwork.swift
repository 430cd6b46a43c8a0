import LinearAlgebra
import Schema
import Tensors

/// A network with batch normalisation, by the means and deviations of its training data:
///
/// - before the ReLU: Σ_j a_cj (γ_j (x · w_j − m_j)/s_j + α_j)₊, or gated 1[x · g_j ≥ t_j] in place of (·)₊;
/// - after it: Σ_j a_cj (γ_j ((x · w_j)₊ − m_j)/s_j + α_j).
///
/// `norm.weight` and `norm.bias` are γ/√n and α/√n of the program, whose penalty is ½ Σ (γ² + α² + ‖a‖₁²).
package struct NormalizedNetwork: NetworkFunction {
  package let kind: Activation
  let place: BatchNorm
  let layers: NetworkLayers
  let gates: NeuronGates?
  /// Of each neuron: γ/√n, α/√n, m and s.
  let weight, bias, mean, deviation: [Double]
  /// n of the training data.
  let samples: Int

  package var outputs: Int { layers.outputs }
  package var neurons: Int { layers.neurons }
  package var filters: Matrix { layers.filters }
  package var outputWeight: Matrix { layers.outputWeight }

  package var penalty: Double {
    var sum = CompensatedSum()
    let n = Double(samples)
    for j in 0..<neurons {
      sum.add(0.5 * n * weight[j], times: weight[j])
      sum.add(0.5 * n * bias[j], times: bias[j])
      let output = WeightNorm.group.ofOutputs(outputWeight.column(j))
      sum.add(0.5 * output, times: output)
    }
    return sum.value
  }

  /// Takes over a bundle of kind `network` with metadata `batch_norm`.
  package init(_ bundle: Bundle) throws {
    kind = try bundle.read(.activation)
    place = try bundle.read(.batchNorm)
    guard [.relu, .gatedReLU].contains(kind) else {
      throw Failure.data(
        "metadata \"activation\" of \(bundle.name) is \(kind.text), but \"batch_norm\" is for relu and gated-relu"
      )
    }
    guard try bundle.read(.norm, default: .group) == .group,
      try bundle.read(.group, default: .perClass) == .perClass, bundle.metadata["scaling"] != "unit"
    else {
      throw Failure.data(
        "metadata of \(bundle.name): with \"batch_norm\" the norm is that of the length of each neuron's weights: norm group, "
          + "group class, and no scaling unit")
    }
    layers = try NetworkLayers(
      bundle,
      others: [.normWeight, .normBias, .normMean, .normDeviation]
        + (kind == .gatedReLU ? [.hiddenGate, .hiddenThreshold] : []),
      metadata: ["norm", "group", "scaling", "batch_norm", "batch_samples"])
    samples = try bundle.read(.batchSamples)
    guard samples > 0 else {
      throw Failure.data(
        "metadata \"batch_samples\" of \(bundle.name) is \(samples), expected above 0")
    }
    let m = layers.neurons
    func numbers(_ key: TensorKey) throws -> [Double] {
      try bundle.require(key, shape: [m]).doubles
    }
    (weight, bias) = (try numbers(.normWeight), try numbers(.normBias))
    (mean, deviation) = (try numbers(.normMean), try numbers(.normDeviation))
    if let bad = deviation.first(where: { $0 <= 0 }) {
      throw Failure.data(
        "tensor \"norm.deviation\" of \(bundle.name) holds \(bad), expected numbers above 0")
    }
    gates =
      kind == .gatedReLU
      ? NeuronGates(
        try GateTensors(
          bundle, .neurons, count: m, dimension: layers.filters.columns
        ).all) : nil
  }

  package func check(against examples: Examples) throws {
    guard case .patches(let patches) = examples.features, patches.patchCount == 1 else {
      throw Failure.data(
        "\(examples.summary), expected samples of one patch: \(layers.name) has batch normalisation"
      )
    }
    try layers.check(against: examples)
  }

  package func values(on examples: Examples) throws -> Matrix {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let (d, m) = (layers.filters.columns, neurons)
    let result = Matrix(patches.count, outputs)
    guard m > 0 else { return result }
    let block = 1024
    let reader = patches.reader()
    let (x, hidden) = (Matrix(block, d), Matrix(block, m))
    let masks = gates.map { Matrix($0.distinct.vectors.rows, block) }
    for start in stride(from: 0, to: patches.count, by: block) {
      let rows = start..<min(patches.count, start + block)
      guard reader.read(rows, into: x.base) else { throw examples.nonFinite() }
      // X Wᵀ
      gemm(
        rows.count, m, d, x.base, .plain, filters.base, .transposed, ldb: d, hidden.base)
      if let gates, let masks { gates.distinct.masks(x.base, rows: rows.count, into: masks) }
      for i in 0..<rows.count {
        let row = hidden.row(i)
        for j in 0..<m {
          let isOpen = gates.map { masks![$0.index[j], i] == 1 }
          row[j] = value(j, row[j], isOpen)
        }
      }
      gemm(
        rows.count, outputs, m, hidden.base, .plain, outputWeight.base, .transposed, ldb: m,
        result.row(start))
    }
    return result
  }

  /// What neuron j puts out for x · w_j; `isOpen` is its gate's, if it has one.
  private func value(_ j: Int, _ product: Double, _ isOpen: Bool?) -> Double {
    let inner = place == .after ? (isOpen.map { $0 ? product : 0 } ?? max(0, product)) : product
    let value = weight[j] * (inner - mean[j]) / deviation[j] + bias[j]
    guard place == .before else { return value }
    return isOpen.map { $0 ? value : 0 } ?? max(0, value)
  }

  // MARK: The network of a solution

  /// How far a mean or a deviation may be from that of the data, relative to the largest value that it is taken of.
  private static let tolerance = 1e-9

  package func objections(to solution: any Solution, on examples: Examples) throws -> [String] {
    guard let solution = solution as? NormalizedSolution else {
      return ["\(layers.name) has batch normalisation, but \(solution.program.name) has none"]
    }
    guard solution.place == place else {
      return ["metadata \"batch_norm\" of \(layers.name) is not that of \(solution.program.name)"]
    }
    guard samples == examples.count else {
      return [
        "metadata \"batch_samples\" of \(layers.name) is \(samples), but \(examples.name) has \(examples.count) samples"
      ]
    }
    if let gates, solution.gates.all.places(of: gates.distinct) == nil {
      return [
        "tensor \"hidden.gate\" of \(layers.name) has gates that \(solution.program.name) does not have"
      ]
    }
    return try statisticsObjections(on: examples)
  }

  /// The means and deviations that are not those of the samples.
  private func statisticsObjections(on examples: Examples) throws -> [String] {
    guard case .patches(let patches) = examples.features else { preconditionFailure("checked") }
    let x = try examples.matrix(of: patches)
    let values = product(x, .plain, filters, .transposed)
    let masks = gates.map { gates in
      let masks = Matrix(gates.distinct.vectors.rows, x.rows)
      gates.distinct.masks(x.base, rows: x.rows, into: masks)
      return masks
    }
    for j in 0..<neurons {
      var own = values.column(j)
      if place == .after {
        for i in own.indices {
          let isOpen = gates.map { masks![$0.index[j], i] == 1 } ?? (own[i] > 0)
          if !isOpen { own[i] = 0 }
        }
      }
      let size = own.reduce(0) { max($0, abs($1)) }
      var sum = CompensatedSum()
      for value in own { sum.add(value) }
      let center = sum.value / Double(own.count)
      var square = CompensatedSum()
      for value in own { square.add(value - center, times: value - center) }
      let spread = (square.value / Double(own.count)).squareRoot()
      for (key, claimed, found) in [
        (TensorKey.normMean, mean[j], center), (.normDeviation, deviation[j], spread),
      ] where !(abs(claimed - found) <= NormalizedNetwork.tolerance * size) {
        // A neuron of weight 0 is normalised by anything.
        if key.name == TensorKey.normDeviation.name, weight[j] == 0 { continue }
        return [
          "tensor \(quoted(key.name)) of \(layers.name) holds \(claimed) for neuron \(j), but that of \(examples.name) is "
            + "\(found)"
        ]
      }
    }
    return []
  }
}
