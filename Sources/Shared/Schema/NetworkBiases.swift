import Tensors

extension Bundle {
  /// This network with its biases, `hidden.bias` [m] and `output.bias` [C], as weights of the constant 1, the last
  /// feature: of each neuron, and of one more neuron whose product with every sample is 1. Of other networks than ReLU
  /// and gated ones, and of a bundle without biases, nothing changes. Throws `Failure.data` if they do not fit.
  package func foldingBiases() throws -> Bundle {
    let activation = try read(.activation)
    guard [.relu, .gatedReLU].contains(activation),
      self[.hiddenBias] != nil || self[.outputBias] != nil
    else { return self }
    guard !hasProductGates(.neurons) else {
      throw Failure.data(
        "\(name) has biases and product gates, which do not go together: append a constant feature instead"
      )
    }
    let (hidden, output) = (try require(.hiddenWeight), try require(.outputWeight))
    let (m, d, outputs) = (hidden.shape[0], hidden.shape[1], output.shape[0])
    let hasConstant = try read(.bias, default: false)
    guard d > 0, output.shape[1] == m else { return self }
    let bias = try self[.hiddenBias].map { _ in try require(.hiddenBias, shape: [m]).doubles }
    let offset = try self[.outputBias].map { _ in try require(.outputBias, shape: [outputs]).doubles
    }
    let width = hasConstant ? d : d + 1
    let unit = (0..<width).map { $0 == width - 1 ? 1.0 : 0 }

    /// Rows of d numbers with a constant's weight, and with one row for the neuron that is 1.
    func widened(_ tensor: Tensor, adding weights: [Double]?) -> Tensor {
      let old = tensor.doubles
      var values: [Double] = []
      for j in 0..<m {
        var row = Array(old[j * d..<(j + 1) * d]) + (hasConstant ? [] : [0])
        row[width - 1] += weights?[j] ?? 0
        values += row
      }
      if offset != nil { values += unit }
      return Tensor(values, shape: [values.count / width, width])
    }
    var result = self
    (result[.hiddenBias], result[.outputBias]) = (nil, nil)
    result.metadata[.bias] = true
    result[.hiddenWeight] = widened(hidden, adding: bias)
    if let gates = self[.hiddenGate], gates.shape == [m, d], gates.type == .f64 {
      result[.hiddenGate] = widened(gates, adding: nil)
    }
    guard let offset else { return result }
    let old = output.doubles
    var weights: [Double] = []
    for c in 0..<outputs {
      weights += old[c * m..<(c + 1) * m]
      weights.append(offset[c])
    }
    result[.outputWeight] = Tensor(weights, shape: [outputs, m + 1])
    if let thresholds = self[.hiddenThreshold] {
      result[.hiddenThreshold] = Tensor(thresholds.doubles + [0])
    }
    if let regions = self[.hiddenRegion] { result[.hiddenRegion] = regions.appending(0) }
    if let groups = self[.hiddenGroup] {
      result[.hiddenGroup] = groups.appending(Int32(clamping: Int(groups.doubles.last ?? -1) + 1))
    }
    return result
  }
}

extension Tensor {
  /// I32 [m + 1].
  fileprivate func appending(_ value: Int32) -> Tensor {
    guard type == .i32 else { return self }
    return Tensor(withElements(of: Int32.self) { Array($0) } + [value])
  }
}
