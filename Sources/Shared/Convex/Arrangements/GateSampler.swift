import Glibc
import LinearAlgebra
import Tensors

/// Where sampled gates come from.
package enum GateSampler: String, CaseIterable, Sendable {
  /// Normal entries: the direction is uniform on the sphere.
  case gaussian
  /// Rows of the data, with repetition.
  case samples

  /// Gates that one stream of the random source draws: the same for any number of threads.
  private static let block = 256

  /// `count` gates as rows.
  package func gates(_ count: Int, for rows: DataRows, seed: Int) -> Matrix {
    let d = rows.dimension
    let gates = Matrix(count, d)
    Threads.perform((count + GateSampler.block - 1) / GateSampler.block) { part in
      var random = RandomSource(seed: seed, stream: part)
      for i in part * GateSampler.block..<min(count, (part + 1) * GateSampler.block) {
        let gate = gates.row(i)
        switch self {
        case .gaussian:
          for k in 0..<d { gate[k] = random.gaussian() }
        case .samples:
          let row = random.below(rows.count)
          rows.copy(row..<row + 1, into: gate)
        }
      }
    }
    return gates
  }
}

/// Patterns with the gates that attain them.
package struct GatedPatterns {
  package let patterns: Patterns
  /// P × d.
  package let gates: Matrix
  /// Where gates cut elsewhere than at 0.
  package let thresholds: [Double]?

  /// The distinct patterns among those of `count` drawn gates, each with the first gate that drew it, in
  /// the order in which they were drawn. With `cut` T a row is active where x·g ≥ T ‖g‖.
  package static func sampled(
    _ rows: DataRows, count: Int, sampler: GateSampler, cut: Double, seed: Int,
    progress: (_ done: Int) -> Void = { _ in }
  ) throws -> GatedPatterns {
    let (n, d, bytes) = (Double(rows.count), Double(rows.dimension), Patterns.stride(rows.count))
    // Drawn and kept gates and patterns, the table of patterns, blocks of products.
    try expectMemory(
      Double(count) * (2 * (8 * d + Double(bytes)) + 32) + 8 * min(n, 2048) * d + 8e6,
      for: "\(count) gates for \(rows.count) rows of \(rows.dimension) features")
    let gates = sampler.gates(count, for: rows, seed: seed)
    var thresholds: [Double]?
    if cut != 0 { thresholds = (0..<count).map { cut * norm(rows.dimension, gates.row($0)) } }
    let all = Patterns.signs(of: rows, gates: gates, thresholds: thresholds, progress: progress)
    let kept = all.firstOccurrences
    return GatedPatterns(
      patterns: kept.count == count ? all : all.selecting(kept),
      gates: kept.count == count ? gates : gates.selecting(kept),
      thresholds: thresholds.map { t in kept.map { t[$0] } })
  }
}

extension Matrix {
  /// The rows `chosen`, in that order.
  package func selecting(_ chosen: [Int]) -> Matrix {
    let result = Matrix(chosen.count, columns)
    for (place, index) in chosen.enumerated() {
      result.row(place).update(from: row(index), count: columns)
    }
    return result
  }
}
