import LinearAlgebra
import Patches
import Schema
import Tensors

extension SampledGates {
  /// The streams of the random source that weights of units are drawn from; gates take those from 0 on.
  private static let (hiddenStream, outputStream) = (1 << 40, 1 << 41)

  /// Product gates of these: each `width` of them, in turn, share a second-layer unit of as many neurons, as the gates that
  /// lead to a neuron of the second layer do in a network of three layers. The neurons' filters are drawn as gates are, or
  /// from the centroids, the output weights from a normal distribution. Throws if there is no memory for them.
  package func withUnits(
    width: Int, of rows: DataRows, sampler: GateSampler, seed: Int,
    window: (size: Int, shape: PatchShape)? = nil
  ) throws -> SampledGates {
    let (d, count) = (gates.columns, (gates.rows + width - 1) / width)
    try expectMemory(
      16 * Double(count) * Double(width) * Double(d),
      for: "\(count) units of \(width) neurons with \(d) features")
    let drawn: Matrix
    if sampler == .kMeans {
      var random = RandomSource(seed: seed, stream: SampledGates.hiddenStream)
      drawn = gates.selecting((0..<count * width).map { _ in random.below(gates.rows) })
    } else {
      drawn = sampler.gates(
        count * width, for: rows, seed: seed, window: window, stream: SampledGates.hiddenStream)
    }
    var random = RandomSource(seed: seed, stream: SampledGates.outputStream)
    let output = (0..<count * width).map { _ in random.gaussian() }
    let index = (0..<gates.rows).map { $0 / width }
    return SampledGates(
      gates: gates, thresholds: thresholds,
      units: GateUnits(
        index: index, hidden: Tensor(drawn.values, shape: [count, width, d]),
        output: Tensor(output, shape: [count, width])))
  }
}

extension GateUnits {
  /// These after a gate of zeros: its unit, the last, has zeros, so that it puts out 0 and takes every row.
  func withOpenUnit() -> GateUnits {
    let size = width * hidden.shape[2]
    return GateUnits(
      index: [count] + index,
      hidden: Tensor(
        hidden.doubles + [Double](repeating: 0, count: size),
        shape: [count + 1, width, hidden.shape[2]]),
      output: Tensor(
        output.doubles + [Double](repeating: 0, count: width), shape: [count + 1, width]))
  }
}
