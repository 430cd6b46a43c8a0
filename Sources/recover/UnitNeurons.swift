import LinearAlgebra
import Schema
import Tensors

extension Bundle {
  /// This network with filters of unit length, and what that takes away multiplied onto the output weights (metadata
  /// `scaling` `unit`). Those of polynomials are of unit length as they are. Throws `Failure.usage` if its neurons are
  /// of another kind.
  func scalingFiltersToUnit() throws -> Bundle {
    let activation = try read(.activation)
    if case .polynomial = activation { return self }
    guard [.relu, .gatedReLU, .linear].contains(activation), self[.hiddenBias] == nil,
      try read(ifPresent: .batchNorm) == nil
    else {
      throw Failure.usage(
        "--unit is for relu, gated-relu, linear and polynomial networks without batch normalisation or free biases"
      )
    }
    var result = self
    let (hidden, output) = (try require(.hiddenWeight), try require(.outputWeight))
    let (m, d, outputs) = (hidden.shape[0], hidden.shape[1], output.shape[0])
    var (filters, weights) = (hidden.doubles, output.doubles)
    for j in 0..<m {
      let length = filters.withUnsafeBufferPointer { norm(d, $0.baseAddress! + j * d) }
      guard length > 0 else { continue }
      for k in 0..<d { filters[j * d + k] /= length }
      for c in 0..<outputs { weights[c * m + j] *= length }
    }
    result[.hiddenWeight] = Tensor(filters, shape: [m, d])
    result[.outputWeight] = Tensor(weights, shape: [outputs, m])
    result.metadata["scaling"] = "unit"
    return result
  }
}
