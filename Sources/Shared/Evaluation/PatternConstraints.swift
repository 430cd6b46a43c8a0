import LinearAlgebra
import Tensors

/// The dual constraints of a fully-connected program over patterns: see `PatternJudge`.
struct PatternConstraints {
  private let solution: PatternSolution
  private let arrangements: Arrangements
  private let features: Matrix
  private let dual: Matrix
  /// What cones are made of, for ReLU.
  private let rows: ConeRows?

  /// `features` is X, n × d, with rows of the lengths given; `dual` is ν, n × C.
  init(
    _ solution: PatternSolution, _ arrangements: Arrangements, features: Matrix, lengths: [Double],
    dual: Matrix
  ) {
    self.solution = solution
    self.arrangements = arrangements
    self.features = features
    self.dual = dual
    rows =
      solution.negative == nil ? nil : ConeRows(features, lengths: lengths, arrangements)
  }

  /// An upper bound of the largest constraint over all patterns of the data, where it exceeds β attained
  /// up to rounding. Infinite where a sum overflows.
  func largest() -> Double {
    let total = arrangements.count
    let (d, outputs) = (features.columns, solution.program.outputs)
    // Enough blocks to occupy all threads, none so small that splitting ν x counts, of some 32 MB.
    let size = max(1, min(1 << 21 / (d * outputs), max(16, min(1024, total / 16))))
    let blocks = (total + size - 1) / size
    var found = [Double](repeating: 0, count: blocks)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      Threads.split(blocks) { own in
        let sums = PatternSums(arrangements, features, dual, limit: min(size, total))
        let judge = PatternJudge(solution, rows)
        // Only what exceeds β, and what was found above it, needs to be known exactly.
        var largest = solution.program.beta
        for block in own {
          let patterns = block * size..<min(total, (block + 1) * size)
          sums.update(patterns)
          for (i, pattern) in patterns.enumerated() {
            largest = max(
              largest, judge.bound(pattern, sums.sums.row(i * outputs), limit: largest))
          }
          found[block] = largest
        }
      }
    }
    return found.max() ?? 0
  }
}
