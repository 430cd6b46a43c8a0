import Convex
import LinearAlgebra

/// The map from weights to predictions, and its adjoint. A row of weights is that of a group (pattern and
/// sign): C × R × d numbers; predictions are C × n.
final class ReLUOperator {
  let features: ReLUFeatures
  let outputs: Int
  private let n: Int
  private let width: Int
  private let parts: [Matrix]
  private let combined: Matrix

  init(_ features: ReLUFeatures, outputs: Int) {
    self.features = features
    self.outputs = outputs
    n = features.samples
    width = features.regions * features.dimension
    parts = (0..<Threads.count).map { _ in Matrix(outputs, features.samples) }
    combined = Matrix(features.patterns, outputs * features.regions * features.dimension)
  }

  /// result ← Σ_i F_i z_i for rows z of the patterns `list`.
  private func apply(_ z: Matrix, _ list: [Int], into result: Matrix) {
    let workers = max(1, min(parts.count, list.count))
    Threads.perform(workers) { worker in
      let part = self.parts[worker]
      part.fill(0)
      for k in Swift.stride(from: worker, to: list.count, by: workers) {
        let f = self.features.features[list[k]]
        if self.outputs == 1 {
          gemv(self.n, self.width, f.base, .plain, z.row(k), beta: 1, part.base)
        } else {
          gemm(
            self.outputs, self.n, self.width, z.row(k), .plain, f.base, .transposed, beta: 1,
            part.base)
        }
      }
    }
    result.copy(from: parts[0])
    for worker in 1..<max(1, workers) { axpy(result.count, 1, parts[worker].base, result.base) }
  }

  /// result ← Σ_j ± F_i z_j over groups j = (i, ±); `groups` come in pairs.
  func outputs(_ groups: [ConeBlock], _ z: Matrix, into result: Matrix) {
    let length = z.columns
    var list: [Int] = []
    for (j, group) in groups.enumerated() {
      if list.last != group.pattern {
        list.append(group.pattern)
        combined.row(list.count - 1).update(repeating: 0, count: length)
      }
      axpy(length, group.sign, z.row(j), combined.row(list.count - 1))
    }
    apply(combined, list, into: result)
  }

  /// Row i of `result` ← F_iᵀ ν for all patterns.
  func correlate(_ nu: Matrix, into result: Matrix) {
    Threads.split(features.patterns) { range in
      for i in range {
        let f = self.features.features[i]
        if self.outputs == 1 {
          gemv(self.n, self.width, f.base, .transposed, nu.base, result.row(i))
        } else {
          gemm(
            self.outputs, self.width, self.n, nu.base, .plain, f.base, .plain, result.row(i))
        }
      }
    }
  }

  /// image ← F_i z of one group's weights, C × n.
  func image(
    _ z: UnsafePointer<Double>, of pattern: Int, into image: UnsafeMutablePointer<Double>
  ) {
    let f = features.features[pattern]
    gemm(outputs, n, width, z, .plain, f.base, .transposed, image)
  }
}
