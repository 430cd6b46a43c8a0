import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// Activation × shape: every algorithm on every form of the Gram matrix.
private struct Case: CustomTestStringConvertible, Sendable {
  let activation: PolynomialActivation
  let problem: Problem
  let name: String
  var testDescription: String { "\(activation.text), \(name)" }

  static let all: [Case] = activations.flatMap { activation in
    [
      ([0, 0], 4, 1, 60), ([0, 1, 1], 4, 2, 60), ([0, 1, 2, 0], 3, 3, 60), ([0, 0], 3, 4, 11),
      ([0], 1, 1, 9), ([0, 1], 6, 2, 40),
    ].map { pool, d, classes, n in
      Case(
        activation: activation,
        problem: Problem(n: n, pool: pool, d: d, classes: classes, seed: n + d),
        name: "n = \(n), d = \(d), R = \(pool.max()! + 1), C = \(classes)")
    }
  }
}

@Suite struct PolynomialSolverTests {
  @Test(arguments: Case.all)
  private func theOptimumIsCertifiedByTheDefinitions(_ test: Case) throws {
    let (problem, s) = (test.problem, test.activation)
    let solver = try problem.solver(s)
    var previous = 0.0
    for share in [1e-3, 0.1, 0.6] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-7)
      expectCertified(solution, problem, s, beta: beta, gap: 1e-7)
      // The optimum grows with β.
      #expect(solution.primal >= previous * (1 - 1e-6))
      previous = solution.primal
    }
  }

  @Test(arguments: Case.all)
  private func bothAlgorithmsAgree(_ test: Case) throws {
    let (problem, s) = (test.problem, test.activation)
    let beta = 0.2 * (try problem.solver(s).betaMax)
    let first = try problem.solve(s, beta: beta, gap: 1e-5, method: .interiorPoint)
    let second = try problem.solve(s, beta: beta, gap: 1e-5, method: .admm)
    expectCertified(first, problem, s, beta: beta, gap: 1e-5)
    expectCertified(second, problem, s, beta: beta, gap: 1e-5)
    #expect(abs(first.primal - second.primal) <= 1e-5 * first.primal)
    // The loss is strongly convex: ½ ‖ŷ − ŷ*‖² is at most the distance from the optimum.
    let difference = zip(first.predictions.values, second.predictions.values).map { $0 - $1 }
    let radius = (2e-5 * first.primal).squareRoot()
    #expect(inner(difference, difference).squareRoot() <= 2 * radius)
  }

  @Test(arguments: activations)
  func zeroFromBetaMaxOn(_ s: PolynomialActivation) throws {
    for problem in [
      Problem(n: 50, pool: [0, 1], d: 3, classes: 2, seed: 8), Problem(n: 8, d: 5, seed: 9),
    ] {
      let solver = try problem.solver(s)
      let loss = 0.5 * inner(problem.y, problem.y)
      for factor in [1 + 1e-9, 1.5, 1e6] {
        for method in [PolynomialMethod.auto, .admm, .interiorPoint] {
          let solution = solver.solve(beta: factor * solver.betaMax, gap: 1e-12, method: method)
          #expect(solution.status == .optimal && solution.gap <= 1e-12)
          #expect(solution.blocks.allSatisfy { largestEntry($0) == 0 })
          #expect(largestEntry(solution.predictions) == 0)
          #expect(abs(solution.primal - loss) <= 1e-14 * loss)
        }
      }
      let below = solver.solve(beta: 0.98 * solver.betaMax, gap: 1e-7)
      #expect(below.status == .optimal)
      #expect(below.blocks.contains { largestEntry($0) > 0 } && below.primal < loss)
    }
  }

  /// The optimum does not change where the data are the same but for a form or an order.
  @Test func formsOfTheDataAgree() throws {
    let problem = Problem(n: 70, pool: [0, 1, 0], d: 3, classes: 2, seed: 12)
    let beta = 0.5
    let expected = try problem.solve(beta: beta, gap: 1e-9)
    expectCertified(expected, problem, usual, beta: beta, gap: 1e-9)
    for bundle in [problem.dataset(single: true), problem.momentBundle()] {
      let solution = try problem.solve(beta: beta, gap: 1e-9, bundle: bundle)
      #expect(abs(solution.primal - expected.primal) <= 1e-9 * expected.primal)
    }
    // Moments in single precision differ by their rounding.
    let single = try problem.solve(
      beta: beta, gap: 1e-9, bundle: problem.momentBundle(single: true))
    #expect(single.status == .optimal)
    #expect(abs(single.primal - expected.primal) <= 1e-5 * expected.primal)

    // Samples in another order.
    var random = RandomSource(seed: 13)
    var order = Array(0..<problem.n)
    order.shuffle(using: &random)
    var permuted = problem
    permuted.x = order.flatMap { i in (0..<3).flatMap { problem.patch(i, $0) } }
    permuted.y = order.flatMap { problem.y[$0 * 2..<$0 * 2 + 2] }
    let other = try permuted.solve(beta: beta, gap: 1e-9)
    #expect(abs(other.primal - expected.primal) <= 2e-9 * expected.primal)
    for (i, from) in order.enumerated() {
      #expect(abs(other.predictions[i, 0] - expected.predictions[from, 0]) < 1e-3)
    }

    // A rotation of the patches turns the filters with it.
    var rotated = problem
    let turn = random.symmetric(3)
    _ = SymmetricEigensolver(order: 3).decompose(turn.base)
    rotated.x = (0..<problem.n * 3).flatMap { k in
      (0..<3).map { inner(turn.values[3 * $0..<3 * $0 + 3], problem.x[3 * k..<3 * k + 3]) }
    }
    let turned = try rotated.solve(beta: beta, gap: 1e-9)
    #expect(abs(turned.primal - expected.primal) <= 2e-9 * expected.primal)
  }

  @Test func scalingsOfTheObjective() throws {
    let problem = Problem(n: 50, pool: [0, 1], d: 3, seed: 14)
    let (beta, t) = (0.7, 1e3)
    let expected = try problem.solve(beta: beta, gap: 1e-9)
    // y and β times t: the objective times t².
    var louder = problem
    louder.y = problem.y.map { t * $0 }
    let loud = try louder.solve(beta: t * beta, gap: 1e-9)
    #expect(abs(loud.primal / (t * t) - expected.primal) <= 2e-9 * expected.primal)
    // σ and β times t: the same objective. −σ too.
    for (s, b) in [
      (PolynomialActivation(a: t * usual.a, b: t * usual.b, c: t * usual.c), t * beta),
      (PolynomialActivation(a: -usual.a, b: -usual.b, c: -usual.c), beta),
      (PolynomialActivation(a: usual.a, b: -usual.b, c: usual.c), beta),
    ] {
      let solution = try problem.solve(s, beta: b, gap: 1e-9)
      #expect(abs(solution.primal - expected.primal) <= 2e-9 * expected.primal)
    }
    // x times t with a/t² and b/t: the same objective.
    var wider = problem
    wider.x = problem.x.map { t * $0 }
    let s = PolynomialActivation(a: usual.a / (t * t), b: usual.b / t, c: usual.c)
    let wide = try wider.solve(s, beta: beta, gap: 1e-9)
    #expect(abs(wide.primal - expected.primal) <= 2e-9 * expected.primal)
    // Two classes are solved as each alone.
    var twice = problem
    twice.classes = 2
    twice.y = problem.y.flatMap { [$0, 2 * $0] }
    var second = problem
    second.y = problem.y.map { 2 * $0 }
    let both = try twice.solve(beta: beta, gap: 1e-9)
    let alone = try second.solve(beta: beta, gap: 1e-9)
    #expect(abs(both.primal - expected.primal - alone.primal) <= 3e-9 * both.primal)
  }

  @Test func anyProblemIsSolved() throws {
    var random = RandomSource(seed: 16)
    for round in 0..<60 {
      let regions = 1 + random.below(3)
      var pool = Array(0..<regions)
      for _ in 0..<random.below(4) { pool.append(random.below(regions)) }
      var problem = Problem(
        n: 1 + random.below(round % 2 == 0 ? 20 : 120), pool: pool, d: 1 + random.below(5),
        classes: 1 + random.below(3), seed: round)
      // Units and offsets that nobody normalised, correlated features, classes as targets.
      let scale = [0.05, 1, 20][random.below(3)]
      let offset = [0.0, 0, 1][random.below(3)]
      let correlation = [0.0, 0.9][random.below(2)]
      let d = problem.d
      for k in 0..<problem.n * pool.count {
        for j in 1..<max(1, d) {
          problem.x[k * d + j] =
            correlation * problem.x[k * d] + (1 - correlation) * problem.x[k * d + j]
        }
      }
      problem.x = problem.x.map { scale * ($0 + offset) }
      if round % 4 == 0 { problem.y = problem.y.map { $0 > 0 ? 1 : -1 } }
      let s =
        round % 3 == 0
        ? PolynomialActivation(a: random.signed(), b: random.signed(), c: random.signed())
        : activations[random.below(activations.count)]
      let solver = try problem.solver(s)
      let beta = solver.betaMax * [1e-5, 1e-3, 0.05, 0.5][random.below(4)]
      let solution = solver.solve(beta: beta, gap: 1e-5)
      expectCertified(solution, problem, s, beta: beta, gap: 1e-5)
      if solution.status != .optimal { Issue.record("round \(round): \(s.text)") }
    }
  }

  @Test func aPlantedNetworkIsFound() throws {
    var random = RandomSource(seed: 15)
    var problem = Problem(n: 400, pool: [0, 0, 1], d: 4, seed: 15)
    let filters = (0..<3).map { _ in random.unit(4) }
    problem.y = (0..<problem.n).map { i in
      1.5 * problem.neuron(i, 0, filters[0], usual) - 2 * problem.neuron(i, 1, filters[1], usual)
        + problem.neuron(i, 1, filters[2], usual) + 1e-6 * random.gaussian()
    }
    let beta = 1e-4
    let solution = try problem.solve(beta: beta, gap: 1e-6)
    expectCertified(solution, problem, usual, beta: beta, gap: 1e-6)
    let residual = zip(solution.predictions.values, problem.y).reduce(0) {
      $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
    }
    #expect((residual / inner(problem.y, problem.y)).squareRoot() < 1e-3)
    // No more than the planted network costs.
    #expect(solution.primal <= beta * 4.5 * (1 + 1e-6) + 400e-12)
  }
}

@Suite struct DegenerateDataTests {
  private func expectSolved(
    _ problem: Problem, _ s: PolynomialActivation = usual, shares: [Double] = [1e-2, 0.3],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let solver = try problem.solver(s)
    for method in [PolynomialMethod.interiorPoint, .admm] {
      for share in shares {
        let beta = share * (solver.betaMax > 0 ? solver.betaMax : 1)
        let gap = method == .admm ? 1e-4 : 1e-6
        let solution = solver.solve(beta: beta, gap: gap, method: method)
        expectCertified(
          solution, problem, s, beta: beta, gap: gap, sourceLocation: sourceLocation)
      }
    }
  }

  /// A bias feature repeats the constant of the activation: the Gram matrix is singular in a direction
  /// that no coordinate shows.
  @Test(arguments: activations) func aBiasFeature(_ s: PolynomialActivation) throws {
    for (pool, n) in [([0], 80), ([0, 1], 80), ([0, 1], 12)] {
      var problem = Problem(n: n, pool: pool, d: 4, classes: 2, seed: 51)
      for k in 0..<n * pool.count { problem.x[4 * k + 3] = 1 }
      try expectSolved(problem, s)
    }
  }

  @Test func constantAndZeroFeatures() throws {
    for s in activations {
      for value in [0.0, -0.25] {
        var problem = Problem(n: 70, pool: [0, 1], d: 4, seed: 52)
        for k in 0..<140 { problem.x[4 * k + 1] = value }
        try expectSolved(problem, s, shares: [0.1])
      }
      // Two features that are equal, and one that is zero in one region only.
      var problem = Problem(n: 70, pool: [0, 1], d: 4, seed: 53)
      for k in 0..<140 { problem.x[4 * k + 1] = problem.x[4 * k] }
      for k in stride(from: 0, to: 140, by: 2) { problem.x[4 * k + 3] = 0 }
      try expectSolved(problem, s, shares: [0.1])
    }
  }

  @Test func duplicatedSamples() throws {
    for n in [20, 200] {
      var problem = Problem(n: n, d: 4, seed: 54)
      for i in 10..<n {
        for j in 0..<8 { problem.x[i * 8 + j] = problem.x[(i % 10) * 8 + j] }
      }
      try expectSolved(problem)
    }
  }

  @Test func fewSamples() throws {
    try expectSolved(Problem(n: 2, d: 3, seed: 55))
    try expectSolved(Problem(n: 1, pool: [0], d: 2, seed: 56))
    // ADMM is slow on the smaller β here, and says so.
    let tiny = Problem(n: 2, pool: [0, 1, 2], d: 1, classes: 2, seed: 57)
    try expectSolved(tiny, shares: [0.3])
    let small = 1e-2 * (try tiny.solver().betaMax)
    expectCertified(try tiny.solve(beta: small), tiny, usual, beta: small, gap: 1e-7)
    let slow = try tiny.solve(beta: small, gap: 1e-4, method: .admm)
    #expect((slow.status == .optimal) == (slow.gap <= 1e-4) && slow.dualValue <= slow.primal)
    // Fully connected, fewer samples than features.
    let wide = Problem(n: 40, pool: [0], d: 30, seed: 58)
    let beta = 0.1 * (try wide.solver().betaMax)
    expectCertified(try wide.solve(beta: beta), wide, usual, beta: beta, gap: 1e-7)
  }

  @Test func oneFeature() throws {
    for s in activations { try expectSolved(Problem(n: 50, pool: [0, 1], d: 1, seed: 59), s) }
  }

  @Test func nothingToFit() throws {
    for s in activations {
      for n in [5, 60] {
        var problem = Problem(n: n, pool: [0, 1], d: 3, classes: 2, seed: 60)
        let y = problem.y
        problem.y = y.map { _ in 0 }
        let solver = try problem.solver(s)
        #expect(solver.betaMax == 0)
        for method in PolynomialMethod.allCases {
          let solution = solver.solve(beta: 0.1, method: method)
          #expect(solution.primal == 0 && solution.dualValue == 0 && solution.gap == 0)
          #expect(solution.status == .optimal)
        }
        // One class alone has something to fit.
        problem.y = y.indices.map { $0 % 2 == 0 ? y[$0] : 0 }
        try expectSolved(problem, s, shares: [0.1])
        // Nothing to fit with.
        problem.y = y
        problem.x = problem.x.map { _ in 0 }
        let constant = try problem.solver(s)
        #expect((constant.betaMax == 0) == (s.c == 0))
        if s.c != 0 { try expectSolved(problem, s) }
        let zero = constant.solve(beta: 2 * constant.betaMax + 0.1)
        #expect(zero.status == .optimal && largestEntry(zero.predictions) == 0)
      }
    }
  }

  @Test func anyBeta() throws {
    let problem = Problem(n: 200, pool: [0, 0], d: 4, seed: 61)
    let interpolated = Problem(n: 10, pool: [0, 0], d: 4, seed: 62)
    for beta in [1e-8, 1e-6, 1e-4, 1e-2, 1, 1e2, 1e4] {
      let solution = try problem.solve(beta: beta, gap: 1e-6)
      expectCertified(solution, problem, usual, beta: beta, gap: 1e-6)
      if beta >= 1e-6 {
        let other = try interpolated.solve(beta: beta, gap: 1e-5)
        expectCertified(other, interpolated, usual, beta: beta, gap: 1e-5)
      }
    }
  }
}
