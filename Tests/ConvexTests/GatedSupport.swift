import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// A gated-ReLU training problem as plain numbers, and what the definitions say of it.
struct GatedProblem: Sendable {
  var n: Int
  var d: Int
  /// n × d.
  var x: [Double]
  /// n × C.
  var y: [Double]
  var outputs: Int
  /// P × d.
  var gates: [Double]
  /// P × n: whether a pattern lets a sample through.
  var patterns: [[Bool]]

  /// Gaussian features with a constant last, Gaussian gates, targets of a small network and noise.
  init(n: Int, d: Int, patterns count: Int, outputs: Int = 1, bias: Bool = true, seed: Int = 1) {
    var random = RandomSource(seed: seed)
    self.n = n
    self.d = d
    self.outputs = outputs
    x = (0..<n * d).map { k in bias && k % d == d - 1 ? 1 : random.gaussian() }
    gates = (0..<count * d).map { _ in random.gaussian() }
    y = []
    patterns = []
    arrange()
    let hidden = (0..<outputs * 3).map { _ in (0..<d).map { _ in random.gaussian() } }
    y = (0..<n * outputs).map { k in
      let (j, c) = (k / outputs, k % outputs)
      return hidden[3 * c..<3 * c + 3].enumerated().reduce(0.3 * random.gaussian()) {
        $0 + ($1.offset == 1 ? -1 : 1) * max(0, inner(row(j), $1.element))
      }
    }
  }

  /// A problem of given patterns, whose gates mean nothing.
  init(n: Int, d: Int, x: [Double], y: [Double], patterns: [[Bool]]) {
    (self.n, self.d, self.x, self.y, self.patterns) = (n, d, x, y, patterns)
    outputs = 1
    var random = RandomSource(seed: 77)
    gates = (0..<patterns.count * d).map { _ in random.gaussian() }
  }

  /// Takes the patterns that the gates make.
  mutating func arrange() {
    patterns = stride(from: 0, to: gates.count, by: d).map { g in
      (0..<n).map { inner(row($0), gates[g..<g + d]) >= 0 }
    }
  }

  func row(_ j: Int) -> ArraySlice<Double> { x[j * d..<(j + 1) * d] }

  var bundle: Bundle {
    let stride = (n + 7) / 8
    var bits = [UInt8](repeating: 0, count: patterns.count * stride)
    for (i, pattern) in patterns.enumerated() {
      for j in 0..<n where pattern[j] { bits[i * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
    return Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor(x, shape: [n, 1, d]), "targets": Tensor(y, shape: [n, outputs]),
        "gates": Tensor(gates, shape: [patterns.count, d]),
        "patterns": Tensor(bits, shape: [patterns.count, stride]),
      ], metadata: ["exact": "false"])
  }

  var targets: Matrix { Matrix(n, outputs, y) }

  func solver(_ form: GatedForm = .automatic) throws -> GatedSolver {
    try GatedSolver(ArrangementData(bundle), targets: targets, form: form)
  }

  func solve(
    beta: Double, gap: Double = 1e-9, form: GatedForm = .automatic
  ) throws -> ArrangementSolution {
    try solver(form).solve(beta: beta, gap: gap)
  }

  /// Xᵀ D_i ν of every pattern for output `c` of ν (n × C).
  func correlations(_ nu: Matrix, output c: Int) -> [[Double]] {
    patterns.map { pattern in
      var sum = [Double](repeating: 0, count: d)
      for j in 0..<n where pattern[j] { for k in 0..<d { sum[k] += nu[j, c] * x[j * d + k] } }
      return sum
    }
  }

  /// The smallest β whose network is zero.
  var betaMax: Double {
    (0..<outputs).reduce(0) { largest, c in
      correlations(targets, output: c).reduce(largest) { max($0, inner($1, $1).squareRoot()) }
    }
  }
}

extension GatedSolver {
  func solve(
    beta: Double, gap: Double = 1e-9, from start: ArrangementSolution? = nil,
    iterations: Int? = nil, seconds: Double? = nil, trace: (TraceRow) -> Void = { _ in }
  ) -> ArrangementSolution {
    var rule = StoppingRule()
    rule.gap = gap
    if let iterations { rule.maximumIterations = iterations }
    if let seconds { rule.maximumSeconds = seconds }
    return point(
      beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      trace: trace)
  }
}

/// Holds a solution against the definitions, with loops that share nothing with the solver: predictions,
/// both objectives, the dual point's feasibility, and the gap.
func expectCertified(
  _ solution: ArrangementSolution, _ problem: GatedProblem, beta: Double, gap: Double = 1e-9,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (n, d) = (problem.n, problem.d)
  #expect(solution.index == Array(Set(solution.index)).sorted(), sourceLocation: sourceLocation)
  #expect(solution.negative.isEmpty, sourceLocation: sourceLocation)
  var primal = 0.0
  var dual = 0.0
  for c in 0..<problem.outputs {
    for j in 0..<n {
      var output = 0.0
      for (row, i) in solution.index.enumerated() where problem.patterns[i][j] {
        output += inner(copied(solution.positive[c].row(row), d), problem.row(j))
      }
      #expect(
        abs(output - solution.predictions[j, c]) <= 1e-9 * (1 + abs(output)),
        sourceLocation: sourceLocation)
      let (y, nu) = (problem.y[j * problem.outputs + c], solution.dual[j, c])
      primal += 0.5 * (output - y) * (output - y)
      dual += nu * y - 0.5 * nu * nu
    }
    for row in solution.index.indices {
      let w = copied(solution.positive[c].row(row), d)
      primal += beta * inner(w, w).squareRoot()
    }
    for t in problem.correlations(solution.dual, output: c) {
      #expect(inner(t, t).squareRoot() <= beta * (1 + 1e-9), sourceLocation: sourceLocation)
    }
  }
  let size = max(abs(primal), 1e-300)
  #expect(abs(primal - solution.primal) <= 1e-9 * size, sourceLocation: sourceLocation)
  #expect(abs(dual - solution.dualValue) <= 1e-9 * size, sourceLocation: sourceLocation)
  #expect(primal - dual >= -1e-12 * size, sourceLocation: sourceLocation)
  #expect(primal - dual <= (gap + 1e-12) * size, sourceLocation: sourceLocation)
}
