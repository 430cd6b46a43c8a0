import Convex
import LinearAlgebra

/// The map from weights to predictions, and its adjoint. Each row of weights belongs to a group and has outputs × R × d
/// numbers; predictions are C × n.
final class ReLUOperator {
  let features: ReLUFeatures
  let groups: ReLUGroups
  /// C.
  let outputs: Int
  private let n: Int
  private let width: Int
  private let parts: [Matrix]
  private let combined: Matrix

  init(_ features: ReLUFeatures, outputs: Int, together: Bool) {
    self.features = features
    self.outputs = outputs
    groups = ReLUGroups(patterns: features.patterns, outputs: outputs, together: together)
    n = features.samples
    width = features.regions * features.dimension
    parts = (0..<Threads.count).map { _ in Matrix(outputs, features.samples) }
    combined = Matrix(features.patterns, outputs * features.regions * features.dimension)
  }

  /// The slots of a group, each of d weights in the pattern's cone; and the number of its weights.
  var slots: Int { groups.width * features.regions }
  var length: Int { groups.width * width }

  /// The number of patterns whose images are computed at once if there is one patch per sample.
  private var chunk: Int { max(1, min(features.patterns, 4_000_000 / (outputs * n))) }
  private lazy var images = Matrix(chunk * outputs, n)

  /// The same with one patch per sample: D_i times the rows of Z Xᵀ.
  private func apply(
    _ z: Matrix, _ list: [Int], _ x: Matrix, _ masks: Matrix, into result: Matrix
  ) {
    result.fill(0)
    for first in Swift.stride(from: 0, to: list.count, by: chunk) {
      let count = min(chunk, list.count - first)
      gemm(
        count * outputs, n, width, z.row(first), .plain, x.base, .transposed, images.base)
      for k in 0..<count {
        let mask = masks.row(list[first + k])
        for c in 0..<outputs {
          let (row, sum) = (images.row(k * outputs + c), result.row(c))
          for i in 0..<n { sum[i] += mask[i] * row[i] }
        }
      }
    }
  }

  /// result ← Σ_i F_i z_i for rows z of the patterns `list`.
  private func apply(_ z: Matrix, _ list: [Int], into result: Matrix) {
    if let (x, masks) = features.single {
      apply(z, list, x, masks, into: result)
      return
    }
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

  /// result ← Σ_j ± F_i z_j over `list`, in which the groups of a pattern stand next to each other.
  func outputs(_ list: [ReLUGroup], _ z: Matrix, into result: Matrix) {
    var patterns: [Int] = []
    for (j, group) in list.enumerated() {
      if patterns.last != group.pattern {
        patterns.append(group.pattern)
        combined.row(patterns.count - 1).update(repeating: 0, count: combined.columns)
      }
      axpy(
        length, group.sign, z.row(j),
        combined.row(patterns.count - 1) + group.outputs.lowerBound * width)
    }
    apply(combined, patterns, into: result)
  }

  /// Row i of `result` ← F_iᵀ ν for all patterns, C × R × d numbers.
  func correlate(_ nu: Matrix, into result: Matrix) {
    if let (x, masks) = features.single {
      for first in Swift.stride(from: 0, to: features.patterns, by: chunk) {
        let count = min(chunk, features.patterns - first)
        for k in 0..<count {
          let mask = masks.row(first + k)
          for c in 0..<outputs {
            let (row, source) = (images.row(k * outputs + c), nu.row(c))
            for i in 0..<n { row[i] = mask[i] * source[i] }
          }
        }
        gemm(
          count * outputs, width, n, images.base, .plain, x.base, .plain, result.row(first))
      }
      return
    }
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

  /// Points to the part of `correlations` that belongs to a group.
  func part(_ group: ReLUGroup, _ correlations: Matrix) -> UnsafeMutablePointer<Double> {
    correlations.row(group.pattern) + group.outputs.lowerBound * width
  }

  /// The rows of the image F_i z of a group's weights that belong to its outputs, without its sign.
  func image(
    _ z: UnsafePointer<Double>, of group: ReLUGroup, into image: UnsafeMutablePointer<Double>
  ) {
    features.image(z, of: group.pattern, outputs: groups.width, into: image)
  }
}
