import Evaluation
import LinearAlgebra
import Tensors
import Testing

/// The optimum of a program over patterns by the plainest of methods: accelerated proximal gradient
/// steps, restarted where they turn, until nothing moves.
private func solve(_ problem: inout PlantedPatterns, beta: Double, steps: Int) {
  let (d, outputs) = (problem.d, problem.outputs)
  let signs = problem.variant == .relu ? [1.0, -1] : [1.0]
  let count = problem.patterns.count
  problem.index = Array(0..<count)
  // The Lipschitz constant is at most Σ_i ‖D_i X‖² over signs.
  let square = problem.x.reduce(0) { $0 + product($1, $1) }
  let step = 1 / (square * Double(count * signs.count))
  typealias Point = [[[[Double]]]]  // sign, class, pattern, feature
  func store(_ point: Point) {
    problem.positive = point[0]
    problem.negative = signs.count == 2 ? point[1] : []
    problem.predictions = problem.computedPredictions
  }
  let zero: Point = signs.map { _ in
    (0..<outputs).map { _ in (0..<count).map { _ in Array(repeating: 0, count: d) } }
  }
  var (point, ahead, momentum) = (zero, zero, 1.0)
  for _ in 0..<steps {
    store(ahead)
    problem.dual = zip(problem.targets, problem.predictions).map { zip($0, $1).map(-) }
    var next = ahead
    for c in 0..<outputs {
      for i in 0..<count {
        let gradient = problem.sum(i, c)
        for (s, sign) in signs.enumerated() {
          var t = zip(ahead[s][c][i], gradient).map { $0 + step * sign * $1 }
          if signs.count == 2 { t = project(t, problem.cone(i)) }
          let shrink = max(0, 1 - step * beta / max(length(t), 1e-300))
          next[s][c][i] = t.map { shrink * $0 }
        }
      }
    }
    func flat(_ point: Point) -> [Double] { point.joined().joined().flatMap(\.self) }
    let (a, b, c) = (flat(ahead), flat(next), flat(point))
    if product(zip(a, b).map(-), zip(b, c).map(-)) > 0 {
      momentum = 1
      ahead = point
      continue
    }
    let following = 0.5 * (1 + (1 + 4 * momentum * momentum).squareRoot())
    let factor = (momentum - 1) / following
    for s in signs.indices {
      for c in 0..<outputs {
        for i in 0..<count {
          ahead[s][c][i] = zip(next[s][c][i], point[s][c][i]).map { $0 + factor * ($0 - $1) }
        }
      }
    }
    (point, momentum) = (next, following)
  }
  // Only the patterns with weight are written.
  store(point)
  let used = (0..<count).filter { i in
    (problem.positive + problem.negative).contains { length($0[i]) > 0 }
  }
  problem.index = used
  problem.positive = problem.positive.map { all in used.map { all[$0] } }
  problem.negative = problem.negative.map { all in used.map { all[$0] } }
  problem.predictions = problem.computedPredictions
  problem.dual = zip(problem.targets, problem.predictions).map { zip($0, $1).map(-) }
  let loss = 0.5 * problem.dual.joined().reduce(0) { $0 + $1 * $1 }
  let norm = (problem.positive + problem.negative).joined().reduce(0) { $0 + length($1) }
  problem.objective = loss + beta * norm
}

@Test(arguments: [PlantedPatterns.Variant.gated, .relu], [1, 2])
func optimaOfAnotherMethodAreCertified(_ variant: PlantedPatterns.Variant, _ outputs: Int) throws {
  var problem = PlantedPatterns(variant, n: 7, d: 2, outputs: outputs, gates: 12, seed: 60)
  var generator = SeededGenerator(61)
  problem.targets = (0..<7).map { _ in generator.signed(outputs) }
  let beta = 0.1
  solve(&problem, beta: beta, steps: 2000)
  #expect(problem.index.count > 1)
  // Claims are what only the method knows: its dual point and gap are the certificate's to find.
  let solution = problem.solution(["beta": "\(beta)"])
  let evaluation = try NetworkEvaluation(
    TrainedNetwork(problem.network), on: Examples(problem.data, patterns: true), beta: beta,
    certifying: Evaluation.solution(of: solution))
  func number(_ name: String) -> Double {
    guard case .number(let value) = evaluation.report.lines.first(where: { $0.name == name })?.value
    else { return .nan }
    return value
  }
  #expect(abs(number("primal_objective") / problem.objective - 1) < 1e-13)
  #expect(abs(number("objective") / problem.objective - 1) < 1e-13)
  #expect(number("relative_gap") < 1e-8 && number("relative_gap") > -1e-13)
  #expect(number("primal_infeasibility") < 1e-12)
  #expect(number("recovery_error") < 1e-12)
  // The dual point that it stored is off by as much as the steps have left.
  let scale = 1 / (1 + number("dual_infeasibility"))
  let (linear, square) = (
    zip(problem.dual.joined(), problem.targets.joined()).reduce(0) { $0 + $1.0 * $1.1 },
    problem.dual.joined().reduce(0) { $0 + $1 * $1 }
  )
  let value = scale * linear - 0.5 * scale * scale * square
  #expect(abs(number("dual_objective") / value - 1) < 1e-12)
}
