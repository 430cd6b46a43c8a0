import LinearAlgebra
import Tensors

/// The dual constraints of a program over patterns, of which none may exceed β:
///
/// - gated, a group a class: ‖Xᵀ D_i ν_c‖;
/// - gated, nuclear norm: the spectral norm of Xᵀ D_i ν, d × C;
/// - ReLU: ‖P_i(Xᵀ D_i ν_c)‖ and ‖P_i(−Xᵀ D_i ν_c)‖, P_i the projection on (2 D_i − I) X u ≥ 0.
struct PatternConstraints {
  private let solution: PatternSolution
  private let arrangements: Arrangements
  private let features: Matrix
  private let lengths: [Double]
  /// Where a pattern's weights are among those of the solution.
  private let places: [Int: Int]
  /// Products of the samples, where cones of them can be projected on by block pivoting.
  private let gram: Matrix?

  /// `features` is X, n × d, with rows of the lengths given.
  init(
    _ solution: PatternSolution, _ arrangements: Arrangements, features: Matrix, lengths: [Double]
  ) {
    self.solution = solution
    self.arrangements = arrangements
    self.features = features
    self.lengths = lengths
    places = Dictionary(uniqueKeysWithValues: zip(solution.index, solution.index.indices))
    // Beyond that many numbers the other method has to do.
    let n = features.rows
    gram =
      solution.negative != nil && n > 16 && n <= features.columns && n <= 6000
      ? BlockPivoting.gram(features, lengths: lengths) : nil
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
        let sums = PatternSums(
          arrangements, features, solution.program.dual,
          limit: min(size, total))
        let judge = judge()
        // Only what exceeds β, and what was found above it, needs to be known exactly.
        var largest = solution.program.beta
        for block in own {
          let patterns = block * size..<min(total, (block + 1) * size)
          sums.update(patterns)
          for (i, pattern) in patterns.enumerated() {
            largest = max(largest, judge(pattern, sums.sums.row(i * outputs), largest))
          }
          found[block] = largest
        }
      }
    }
    return found.max() ?? 0
  }

  /// A function with memory of its own that bounds the constraint of a pattern from its C rows of sums,
  /// exactly where it is above the limit.
  private func judge() -> (_ pattern: Int, _ sums: UnsafePointer<Double>, _ limit: Double) -> Double
  {
    let (d, outputs) = (features.columns, solution.program.outputs)
    if let negative = solution.negative {
      return coneJudge(negative)
    }
    switch solution.weightNorm {
    case .group:
      return { _, sums, _ in
        (0..<outputs).reduce(0) { max($0, lengthRoundedUp(d, sums + $1 * d)) }
      }
    case .nuclear:
      let eigensolver = SymmetricEigensolver(order: outputs)
      let gram = Matrix(outputs, outputs)
      return { _, sums, _ in
        // T Tᵀ for T of C rows: its largest eigenvalue is the square of the spectral norm.
        syrkRowsUpper(outputs, d, sums, gram.base)
        guard gram.isFinite, eigensolver.decompose(gram.base, vectors: false) else {
          return .infinity
        }
        let rounding = Double(d + outputs + 8) * Double.ulpOfOne
        return (max(0, eigensolver.values[outputs - 1]) * (1 + rounding)).squareRoot()
      }
    }
  }

  private func coneJudge(
    _ negative: [Matrix]
  ) -> (_ pattern: Int, _ sums: UnsafePointer<Double>, _ limit: Double) -> Double {
    let (n, d, outputs) = (features.rows, features.columns, solution.program.outputs)
    let projection = ConeProjection(features: features, lengths: lengths, gram: gram)
    let signs = Matrix(1, n)
    let opposite = Matrix(1, d)
    return { pattern, sums, limit in
      var largest = limit
      var isExpanded = false
      for c in 0..<outputs {
        let sum = sums + c * d
        // ‖P t‖ ≤ ‖t‖
        let length = lengthRoundedUp(d, sum)
        if !(length > largest) { continue }
        guard length.isFinite else { return .infinity }
        if !isExpanded {
          arrangements.expand(pattern, 0..<n, on: 1, off: -1, into: signs.base)
          isExpanded = true
        }
        // At the optimum P t is β v/‖v‖ where v is not zero: its facets are those of v.
        let place = places[pattern]
        for k in 0..<d { opposite.base[k] = -sum[k] }
        for (target, weights) in [
          (sum, solution.positive[c]), (UnsafePointer(opposite.base), negative[c]),
        ] {
          let bound = projection.bound(
            target, signs: signs.base, limit: largest,
            guess: place.map { UnsafePointer(weights.row($0)) })
          largest = max(largest, bound)
        }
      }
      return largest
    }
  }
}
