import LinearAlgebra

/// The dual constraints of a fully-connected program over patterns: see `PatternJudge`.
struct PatternConstraints {
  private let solution: PatternSolution
  private let arrangements: Arrangements
  private let features: Matrix
  private let lengths: [Double]
  private let dual: Matrix
  /// The rows that make the cones, for ReLU.
  private let rows: ConeRows?

  /// `features` is X, n × d, with rows of the lengths given; `dual` is ν, n × C.
  init(
    _ solution: PatternSolution, _ arrangements: Arrangements, features: Matrix, lengths: [Double],
    dual: Matrix
  ) {
    self.solution = solution
    self.arrangements = arrangements
    self.features = features
    self.lengths = lengths
    self.dual = dual
    rows =
      solution.negative == nil ? nil : ConeRows(features, lengths: lengths, arrangements)
  }

  /// An upper bound of the largest constraint over all patterns of the data, attained up to rounding if it exceeds
  /// β, and infinite if a sum overflows; and the worst of the data's gates that do not attain their pattern.
  func largest() -> (constraint: Double, gate: GateViolation) {
    let total = arrangements.count
    let (d, outputs) = (features.columns, solution.program.outputs)
    // Enough blocks to occupy all threads, of some 32 MB, none so small that splitting ν x costs much beside the rest.
    let size = max(1, min(1 << 21 / (d * outputs), max(16, min(1024, total / 16))))
    let blocks = (total + size - 1) / size
    var found = [(constraint: Double, gate: GateViolation)](
      repeating: (0, GateViolation()), count: blocks)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      Threads.split(blocks) { own in
        let sums = PatternSums(arrangements, features, dual, limit: min(size, total))
        let judge = PatternJudge(solution, rows)
        // Only constraints above β, and above what was found so far, need to be known exactly.
        var largest = solution.program.beta
        for block in own {
          let patterns = block * size..<min(total, (block + 1) * size)
          let check = GateCheck(
            arrangements, patterns, features, lengths, decide: solution.gatesDecide)
          sums.update(patterns) { check.update($0, $1) }
          for (i, pattern) in patterns.enumerated() {
            largest = max(
              largest, judge.bound(pattern, sums.sums.row(i * outputs), limit: largest))
          }
          found[block] = (largest, check.violation)
        }
      }
    }
    return found.reduce((0, GateViolation())) {
      (max($0.0, $1.constraint), $1.gate.value > $0.1.value ? $1.gate : $0.1)
    }
  }
}

/// Checks for one thread whether the gates of some patterns attain them.
private final class GateCheck {
  private let attainment: GateAttainment
  private let first: Int
  private let features: Matrix
  private let lengths: [Double]
  private(set) var violation = GateViolation(isOfSolution: false)

  init(
    _ arrangements: Arrangements, _ patterns: Range<Int>, _ features: Matrix, _ lengths: [Double],
    decide: Bool
  ) {
    attainment = GateAttainment(arrangements.gates.selecting(Array(patterns)), decide: decide)
    first = patterns.lowerBound
    self.features = features
    self.lengths = lengths
  }

  /// Judges the rows `samples` by their masks, a row for each pattern.
  func update(_ samples: Range<Int>, _ masks: UnsafePointer<Double>) {
    let start = samples.lowerBound
    let worst = attainment.worst(
      features.row(start), count: samples.count, lengths: { lengths[start + $0] },
      mask: { masks + $0 * samples.count })
    if worst.value > violation.value {
      violation = GateViolation(
        value: worst.value, place: first + worst.gate, isOfSolution: false)
    }
  }
}
