import Convex
import LinearAlgebra

/// Outputs of some samples and the derivatives of the loss by them: the loss works in double precision, everything
/// around it in single.
final class LossPass {
  private let loss: any Loss
  private let targets: Matrix
  private let outputs: Matrix
  private let wanted: Matrix
  private let residual: Matrix
  /// The first rows of these three, by their number.
  private var views: [Int: (outputs: Matrix, wanted: Matrix, residual: Matrix)] = [:]

  init(_ targets: Targets, capacity: Int) {
    loss = targets.function
    self.targets = targets.values
    let width = targets.values.columns
    outputs = Matrix(capacity, width)
    wanted = Matrix(capacity, width)
    residual = Matrix(capacity, width)
  }

  /// z ← `scale` · ∂ℓ/∂ŷ for the outputs z of `count` samples, `count` × C.
  func differentiate(
    _ z: UnsafeMutablePointer<Float>, _ samples: UnsafePointer<Int32>, _ count: Int, scale: Double
  ) {
    if views[count] == nil {
      views[count] = (
        outputs.slice(0..<count), wanted.slice(0..<count), residual.slice(0..<count)
      )
    }
    guard let view = views[count] else { return }
    let width = targets.columns
    for i in 0..<count {
      let row = targets.row(Int(samples[i]))
      for c in 0..<width {
        wanted.base[i * width + c] = row[c]
        outputs.base[i * width + c] = Double(z[i * width + c])
      }
    }
    loss.residual(view.outputs, view.wanted, into: view.residual)
    for k in 0..<count * width { z[k] = Float(-scale * residual.base[k]) }
  }
}
