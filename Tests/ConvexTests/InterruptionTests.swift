import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Time that is over after so many looks at it, from whatever thread.
private final class Clock {
  private let lock = Lock()
  private var looks = 0
  private var limit = Int.max
  let interruption = Interruption()

  init() {
    interruption.secondsLeft = { [unowned self] in
      lock.locked {
        looks += 1
        return looks <= limit ? 1 : 0
      }
    }
  }

  /// Looks since the last call; from now on there are `limit`.
  @discardableResult
  func begin(limit: Int = .max) -> Int {
    defer { (looks, self.limit) = (0, limit) }
    return looks
  }
}

@Suite struct InterruptionTests {
  private func products(_ problem: GatedProblem) throws -> PatternProducts {
    let data = try ArrangementData(problem.bundle)
    return PatternProducts(
      data.features, data.patterns, members: Array(0..<data.patterns.count))
  }

  /// What is cut short says so, and is made whole the next time.
  @Test(arguments: 0..<4)
  func systemsGiveUpAndBeginAgain(_ kind: Int) throws {
    let problem = GatedProblem(n: 1100, d: 3, patterns: 6, seed: 2)
    let products = try products(problem)
    let clock = Clock()
    func make() -> any EtaSystem {
      switch kind {
      case 0: KernelSystem(products, isSingle: true, interruption: clock.interruption)
      case 1: KernelSystem(products, isSingle: false, interruption: clock.interruption)
      case 2: PrimalSystem(products, interruption: clock.interruption)
      default: NystromSystem(products, interruption: clock.interruption)
      }
    }
    let (active, eta) = ([1, 4], [0, 0.3, 0, 0, 0.1, 0])
    var random = RandomSource(seed: 3)
    let right = random.signed(1100)
    func solve(_ system: any EtaSystem) -> [Double] {
      var nu = right
      system.solve(&nu)
      return nu
    }
    let whole = make()
    #expect(whole.factor(active, eta))
    let looks = clock.begin()
    #expect(looks > 2)
    let expected = solve(whole)
    for limit in stride(from: 0, to: looks, by: max(1, looks / 10)) {
      let system = make()
      clock.begin(limit: limit)
      #expect(!system.factor(active, eta), "\(limit) of \(looks)")
      clock.begin()
      #expect(system.factor(active, eta))
      #expect(solve(system) == expected, "\(limit) of \(looks)")
    }
  }

  /// Wherever time ends, what is left is a point whose values are true.
  @Test(arguments: [1, 3], [false, true])
  func whereverItEndsThePointHolds(_ outputs: Int, _ isReduced: Bool) throws {
    let problem = GatedProblem(n: 700, d: 12, patterns: 20, outputs: outputs, seed: 5)
    let products = try products(problem)
    let y = Matrix(700, outputs, problem.y).transposed
    let beta = 0.1 * (products.norms(y, Array(0..<20)).max() ?? 0)
    let loss = SquaredLoss()
    let clock = Clock()
    func solve(limit: Int) -> (EtaNewton.End, PatternIncumbent) {
      clock.begin()
      var limits = ReducedLevel.Limits()
      limits.fewestSamples = isReduced ? 100 : .max
      (limits.fewestFeatures, limits.share) = (4, 0.9)
      let level = GatedLevel(
        products, outputs: outputs, form: .automatic, loss: loss,
        interruption: clock.interruption, reduction: limits)
      let point = PatternIncumbent(y, dimension: 12, loss: loss, beta: beta)
      clock.begin(limit: limit)
      let end = level.solve(
        y, beta: beta, from: nil, tolerance: 1e-4, point: point, proceed: { true },
        report: { _ in })
      return (end, point)
    }
    let (end, _) = solve(limit: .max)
    let looks = clock.begin()
    #expect(end == .reached && looks > 20)
    for limit in stride(from: 0, to: looks, by: max(1, looks / 40)) {
      let (end, point) = solve(limit: limit)
      #expect(end != .stalled, "\(limit) of \(looks)")
      let fitted = Matrix(outputs, 700)
      let images = Matrix(max(1, point.active.count), 700)
      var squares = point.active.map { _ in 0.0 }
      for c in 0..<outputs {
        let w = Matrix(point.active.count, 12)
        w.base.update(from: point.weights.rows.row(c * w.rows), count: w.count)
        products.images(w, point.active, into: images)
        for k in 0..<w.rows {
          axpy(700, 1, images.row(k), fitted.row(c))
          squares[k] += dot(12, w.row(k), w.row(k))
        }
      }
      let penalty = squares.reduce(0) { $0 + $1.squareRoot() }
      let primal = loss.value(fitted, y) + beta * penalty
      #expect(abs(primal - point.primal) <= 1e-9 * primal, "\(limit) of \(looks)")
      let largest = products.norms(point.dual, Array(0..<20)).max() ?? 0
      #expect(largest <= beta * (1 + 1e-9), "\(limit) of \(looks)")
      #expect(abs(loss.dualValue(point.dual, y) - point.dualValue) <= 1e-9 * primal)
    }
  }

  /// A budget that is over before the first β leaves bounds in place of norms.
  @Test func withoutTimeBetaMaxIsABound() throws {
    let problem = GatedProblem(n: 40, d: 3, patterns: 5, outputs: 2)
    let data = try ArrangementData(problem.bundle)
    let targets = Matrix(40, 2, problem.y)
    var rule = StoppingRule()
    rule.maximumSeconds = 0
    let over = Budget(rule, startedAt: Budget.now())
    let solvers: [(bounded: any ArrangementSolver, exact: any ArrangementSolver)] = [
      (
        try GatedSolver(data, targets: targets, budget: over),
        try GatedSolver(data, targets: targets)
      ),
      (
        try ReLUSolver(data, targets: targets, budget: over),
        try ReLUSolver(data, targets: targets)
      ),
    ]
    for (bounded, exact) in solvers {
      #expect(bounded.betaMax > exact.betaMax)
      let beta = 0.5 * exact.betaMax
      let point = bounded.point(beta: beta, from: nil, rule: rule, budget: over) { _ in }
      #expect(point.status == .timeLimit)
      #expect(point.primal == SquaredLoss().value(Matrix(40, 2), targets))
      let best = exact.point(
        beta: beta, from: nil, rule: StoppingRule(),
        budget: Budget(StoppingRule(), startedAt: Budget.now())
      ) { _ in }
      #expect(best.status == .optimal)
      #expect(point.dualValue > 0 && point.dualValue < best.primal)
    }
  }
}
