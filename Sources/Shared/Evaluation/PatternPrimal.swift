import LinearAlgebra

/// Predictions, cost and violations of the primal point of a program over patterns, from the data alone.
struct PatternPrimal {
  /// Σ_i D_i X w_ic, or Σ_i D_i X (v_ic − w_ic): n × C.
  let outputs: Matrix
  /// How far (2 D_i − I) X v is below zero, relative to ‖x_j‖ ‖v‖; 0 for gated networks.
  let coneViolation: Double
  /// How far the solution's gates are from attaining their patterns, relative to ‖x_j‖ ‖g‖.
  let gateViolation: GateViolation

  /// `features` is X, n × d, with rows of the given lengths.
  init(
    _ solution: PatternSolution, _ arrangements: Arrangements, features: Matrix, lengths: [Double]
  ) {
    let n = features.rows
    let outputs = Matrix(n, solution.program.outputs)
    self.outputs = outputs
    let parts = max(1, min(Threads.count, n / 16))
    var cones = [Double](repeating: 0, count: parts)
    var gates = [GateViolation](repeating: GateViolation(), count: parts)
    cones.withUnsafeMutableBufferPointer { cones in
      gates.withUnsafeMutableBufferPointer { gates in
        nonisolated(unsafe) let (cones, gates) = (cones, gates)
        Threads.perform(parts) { part in
          let pass = PatternPass(solution, arrangements, features, lengths, outputs)
          pass.run(n * part / parts..<n * (part + 1) / parts)
          cones[part] = pass.coneViolation
          gates[part] = pass.gateViolation
        }
      }
    }
    coneViolation = cones.max() ?? 0
    gateViolation = gates.reduce(GateViolation()) { $1.value > $0.value ? $1 : $0 }
  }
}

/// The worst sample on the wrong side of a gate.
struct GateViolation {
  var value = 0.0
  /// The number of the gate among the solution's, or among the data's.
  var place = 0
  var isOfSolution = true
}

/// One thread's pass over samples.
private final class PatternPass {
  private let solution: PatternSolution
  private let arrangements: Arrangements
  private let features: Matrix
  private let lengths: [Double]
  private let outputs: Matrix
  private let attainment: GateAttainment
  private(set) var coneViolation = 0.0
  private(set) var gateViolation = GateViolation()

  init(
    _ solution: PatternSolution, _ arrangements: Arrangements, _ features: Matrix,
    _ lengths: [Double], _ outputs: Matrix
  ) {
    self.solution = solution
    self.arrangements = arrangements
    self.features = features
    self.lengths = lengths
    self.outputs = outputs
    attainment = GateAttainment(solution.gates, decide: solution.gatesDecide)
  }

  /// Fills `outputs` for the samples `range` and looks for violations there.
  func run(_ range: Range<Int>) {
    let (count, d) = (solution.index.count, features.columns)
    guard count > 0 else { return }
    let rows = max(1, min(256, range.count, (1 << 19) / count))
    let active = Matrix(count, rows)
    let products = Matrix(rows, count)
    let weightLengths = [solution.positive, solution.negative ?? []].map { all in
      all.map { weights in (0..<count).map { norm(d, weights.row($0)) } }
    }
    for start in stride(from: range.lowerBound, to: range.upperBound, by: rows) {
      let samples = start..<min(range.upperBound, start + rows)
      for (place, pattern) in solution.index.enumerated() {
        arrangements.expand(pattern, samples, into: active.row(place))
      }
      checkGates(samples, active)
      for c in 0..<solution.program.outputs {
        add(1, solution.positive[c], weightLengths[0][c], c, samples, active, products)
        if let negative = solution.negative {
          add(-1, negative[c], weightLengths[1][c], c, samples, active, products)
        }
      }
    }
  }

  /// Adds ± Σ_i D_i X w_i to the outputs of class c, and, if the weights belong to cones, measures how far they are
  /// outside.
  private func add(
    _ sign: Double, _ weights: Matrix, _ weightLengths: [Double], _ c: Int, _ samples: Range<Int>,
    _ active: Matrix, _ products: Matrix
  ) {
    let (count, d) = (weights.rows, weights.columns)
    // X Wᵀ
    gemm(
      samples.count, count, d, features.row(samples.lowerBound), .plain, weights.base, .transposed,
      ldb: d, products.base)
    for (j, sample) in samples.enumerated() {
      let row = products.row(j)
      var sum = CompensatedSum()
      for i in 0..<count {
        let isActive = active[i, j] == 1
        if isActive { sum.add(row[i]) }
        guard solution.negative != nil else { continue }
        let scale = lengths[sample] * weightLengths[i]
        let excess = isActive ? -row[i] : row[i]
        if excess > coneViolation * scale { coneViolation = excess / scale }
      }
      outputs[sample, c] += sign * sum.value
    }
  }

  private func checkGates(_ samples: Range<Int>, _ active: Matrix) {
    let start = samples.lowerBound
    let worst = attainment.worst(
      features.row(start), count: samples.count, lengths: { lengths[start + $0] },
      mask: { UnsafePointer(active.row($0)) })
    if worst.value > gateViolation.value {
      gateViolation = GateViolation(value: worst.value, place: worst.gate)
    }
  }
}

/// The sum of the singular values of a matrix with few rows, which are rotated against each other until
/// they are orthogonal (one-sided Jacobi): so small singular values keep their digits.
func nuclearNorm(_ matrix: Matrix) -> Double {
  let (m, n) = (matrix.rows, matrix.columns)
  for _ in 0..<60 {
    var isDone = true
    for i in 0..<m {
      for j in i + 1..<max(i + 1, m) {
        let (first, second) = (matrix.row(i), matrix.row(j))
        let (a, b) = (dot(n, first, first), dot(n, second, second))
        let product = dot(n, first, second)
        guard abs(product) > 1e-15 * (a * b).squareRoot(), product != 0 else { continue }
        isDone = false
        let cotangent = (b - a) / (2 * product)
        let tangent =
          (cotangent >= 0 ? 1 : -1) / (abs(cotangent) + (1 + cotangent * cotangent).squareRoot())
        let cosine = 1 / (1 + tangent * tangent).squareRoot()
        let sine = cosine * tangent
        for k in 0..<n {
          (first[k], second[k]) = (
            cosine * first[k] - sine * second[k], sine * first[k] + cosine * second[k]
          )
        }
      }
    }
    if isDone { break }
  }
  return (0..<m).reduce(0) { $0 + norm(n, matrix.row($1)) }
}
