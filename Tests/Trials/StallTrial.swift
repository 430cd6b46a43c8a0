import Convex
import LinearAlgebra
import Schema
import Tensors

/// Solves small random problems to a gap of 10⁻⁶ and tells which are not: nearly all must be.
struct StallTrial {
  var seed = 0
  /// Problems first ..< first + count.
  var first = 0
  var count = 400
  /// Seeds of the arrangements whose cells are all listed, and points in the plane at most.
  var cells = 0
  var points = 200
  /// Where the data of a problem go, if it is the only one.
  let folder: String

  private let gap = 1e-6

  init(folder: String) { self.folder = folder }

  /// Whether at most one problem in two hundred has stalled, and no arrangement.
  func run() throws -> Bool {
    var stalled = 0
    for number in first..<first + count {
      let problem = try GeneratedProblem(seed: seed, number: number)
      let start = Budget.now()
      let end = try problem.solve(gap: gap)
      let seconds = Budget.now() - start
      let isReached = end.gap <= gap
      if !isReached { stalled += 1 }
      if !isReached || seconds > 2 || count == 1 {
        say(
          "\(isReached ? "gap" : "stalled at") \(end.gap), \(Int(1000 * seconds)) ms, beta \(end.beta):"
        )
        say("  \(problem)")
      }
      if count == 1 {
        try makeFolder(folder)
        let output = try Output(path: "\(folder)/problem")
        try problem.bundle.write(to: output)
        try output.finish()
        say("  the data are in \(folder)/problem")
      }
    }
    say("\(stalled) of \(count) problems of seed \(seed) stalled")
    let open = try stalledArrangements()
    return 200 * stalled <= count && open == 0
  }

  /// How many of the ReLU programs over all cells of points on a line and in the plane, with random signs, stalled.
  private func stalledArrangements() throws -> Int {
    guard cells > 0 else { return 0 }
    var (stalled, count) = (0, 0)
    for (dimension, n) in [(1, 100), (2, 50), (2, 200)] where n <= points || dimension == 1 {
      for seed in 1...cells {
        let (data, targets) = try arrangement(n, dimension, seed: seed)
        let program = ArrangementProgram(activation: .relu, norm: .group, loss: .squared)
        for beta in [1e-3, 1e-4] {
          let gap = try gap(program.solver(data, targets: targets), beta: beta)
          count += 1
          guard !(gap <= self.gap) else { continue }
          stalled += 1
          say(
            "stalled at \(gap): \(n) points in \(dimension) dimensions, seed \(seed), beta \(beta)")
        }
      }
    }
    say("\(stalled) of \(count) programs over all cells stalled")
    return stalled
  }

  private func arrangement(
    _ n: Int, _ dimension: Int, seed: Int
  ) throws -> (ArrangementData, Matrix) {
    var random = RandomSource(seed: seed, stream: dimension)
    let x = Matrix(n, dimension + 1)
    for i in 0..<n {
      for k in 0..<dimension { x[i, k] = random.gaussian() }
      x[i, dimension] = 1
    }
    let signs = (0..<n).map { _ in random.below(2) == 0 ? -1.0 : 1 }
    let exact = try ExactPatterns(x, maximum: 100_000)
    let source = Bundle(kind: .dataset, tensors: ["x": x.tensor], metadata: [:])
    let bundle = try exact.list().bundle(
      source: source, isExact: true, bound: exact.bound, metadata: [:])
    return (try ArrangementData(bundle), Matrix(n, 1, signs))
  }

  private func gap(_ solver: some ArrangementSolver, beta: Double) -> Double {
    var rule = StoppingRule()
    rule.gap = gap
    let budget = Budget(rule, startedAt: Budget.now())
    return solver.solution(beta: beta, from: nil, rule: rule, budget: budget, trace: { _ in }).gap
  }
}
