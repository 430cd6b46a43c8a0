import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Newton's method in the weights, and its products, held against definitions and against the method in η.
@Suite struct WeightNewtonTests {
  private func products(_ problem: GatedProblem) throws -> PatternProducts {
    let data = try ArrangementData(problem.bundle)
    return PatternProducts(
      data.features, data.patterns, members: Array(0..<data.patterns.count))
  }

  @Test(arguments: [(n: 7, d: 2, outputs: 1), (700, 3, 1), (1100, 5, 3)])
  func productsAreThoseOfTheDefinition(_ shape: (n: Int, d: Int, outputs: Int)) throws {
    let (n, d, outputs) = shape
    let problem = GatedProblem(n: n, d: d, patterns: 6, outputs: outputs)
    let features = ActiveFeatures(try products(problem), outputs: outputs)
    features.take([1, 2, 5])
    var random = RandomSource(seed: 4)
    let w = random.matrix(features.rows, d)
    let (fitted, t, normal) = (
      Matrix(outputs, n), Matrix(features.rows, d), Matrix(features.rows, d)
    )
    features.apply(w.base, into: fitted)
    features.adjoint(fitted, into: t.base)
    features.normal(w.base, into: normal.base)
    for c in 0..<outputs {
      for j in 0..<n {
        var sum = 0.0
        for (k, i) in [1, 2, 5].enumerated() where problem.patterns[i][j] {
          sum += inner(copied(w.row(k * outputs + c), d), problem.row(j))
        }
        #expect(abs(fitted[c, j] - sum) <= 1e-12 * (1 + abs(sum)))
      }
      for (k, i) in [1, 2, 5].enumerated() {
        for l in 0..<d {
          let sum = (0..<n).reduce(0.0) {
            problem.patterns[i][$1] ? $0 + problem.x[$1 * d + l] * fitted[c, $1] : $0
          }
          let row = k * outputs + c
          #expect(abs(t[row, l] - sum) <= 1e-10 * (1 + abs(sum)))
          #expect(abs(normal[row, l] - sum) <= 1e-10 * (1 + abs(sum)))
        }
      }
    }
    let (gram, shared) = (features.gram(2), features.sharedGram())
    for a in 0..<d {
      for b in 0..<d {
        var (one, all) = (0.0, 0.0)
        for j in 0..<n {
          let product = problem.x[j * d + a] * problem.x[j * d + b]
          let active = [1, 2, 5].filter { problem.patterns[$0][j] }.count
          if problem.patterns[2][j] { one += product }
          all += Double(active * active) * product
        }
        #expect(abs(gram[a, b] - one) <= 1e-10 * (1 + abs(one)))
        #expect(abs(shared[a, b] - all) <= 1e-10 * (1 + abs(all)))
      }
    }
  }

  /// The gap from the definitions, of weights and of a dual point that the method found.
  private func gap(_ problem: GatedProblem, _ point: PatternIncumbent, beta: Double) -> Double {
    let (n, d, outputs, count) = (problem.n, problem.d, problem.outputs, point.active.count)
    var (primal, dual) = (0.0, 0.0)
    for c in 0..<outputs {
      for j in 0..<n {
        var output = 0.0
        for (k, i) in point.active.enumerated() where problem.patterns[i][j] {
          output += inner(copied(point.weights.rows.row(c * count + k), d), problem.row(j))
        }
        let (y, nu) = (problem.y[j * outputs + c], point.dual[c, j])
        primal += 0.5 * (output - y) * (output - y)
        dual += nu * (y - 0.5 * nu)
      }
    }
    for k in 0..<count {
      let squares = (0..<outputs).map { c in
        let w = copied(point.weights.rows.row(c * count + k), d)
        return inner(w, w)
      }
      primal += beta * squares.reduce(0, +).squareRoot()
    }
    for pattern in problem.patterns {
      var square = 0.0
      for c in 0..<outputs {
        for l in 0..<d {
          let t = (0..<n).reduce(0.0) {
            pattern[$1] ? $0 + problem.x[$1 * d + l] * point.dual[c, $1] : $0
          }
          square += t * t
        }
      }
      #expect(square.squareRoot() <= beta * (1 + 1e-12))
    }
    return (primal - dual) / primal
  }

  @Test(arguments: [1, 3], [0.5, 0.1])
  func itReachesTheOptimum(_ outputs: Int, _ share: Double) throws {
    let problem = GatedProblem(n: 400, d: 5, patterns: 30, outputs: outputs, seed: 6)
    let products = try products(problem)
    let y = problem.targets.transposed
    let beta = share * (products.norms(y, Array(0..<products.count)).max() ?? 0)
    let newton = WeightNewton(
      products, outputs: outputs, loss: SquaredLoss(), interruption: Interruption())
    let point = PatternIncumbent(
      y, dimension: problem.d, loss: SquaredLoss(), beta: beta)
    let end = newton.solve(
      y, beta: beta, tolerance: 1e-9, point: point, proceed: { true }, report: { _ in })
    #expect(end == .reached)
    #expect(abs(gap(problem, point, beta: beta)) <= 1.1e-9)
    // From its own point there is nothing to do.
    var steps = 0
    let again = newton.solve(
      y, beta: beta, tolerance: 1e-8, point: point,
      proceed: {
        steps += 1
        return true
      }, report: { _ in })
    #expect(again == .reached && steps == 0)
  }

  /// Two members that are equal, and features that are zero or that repeat.
  @Test func degenerateFeaturesDoNotStopIt() throws {
    var problem = GatedProblem(n: 300, d: 6, patterns: 10, seed: 9)
    for j in 0..<problem.n {
      problem.x[j * 6] = 0
      problem.x[j * 6 + 1] = problem.x[j * 6 + 2]
    }
    problem.patterns[3] = problem.patterns[2]
    problem.patterns[4] = problem.patterns[4].map { _ in false }
    let products = try products(problem)
    let y = problem.targets.transposed
    let beta = 0.05 * (products.norms(y, Array(0..<products.count)).max() ?? 0)
    let newton = WeightNewton(
      products, outputs: 1, loss: SquaredLoss(), interruption: Interruption())
    let point = PatternIncumbent(
      y, dimension: problem.d, loss: SquaredLoss(), beta: beta)
    let end = newton.solve(
      y, beta: beta, tolerance: 1e-8, point: point, proceed: { true }, report: { _ in })
    #expect(end == .reached)
    #expect(abs(gap(problem, point, beta: beta)) <= 1.1e-8)
  }

  /// What cannot be had within its work is left to another method, with the point as good as it was.
  @Test func itEndsWhereItIsStopped() throws {
    let problem = GatedProblem(n: 400, d: 5, patterns: 30, seed: 6)
    let products = try products(problem)
    let y = problem.targets.transposed
    let newton = WeightNewton(
      products, outputs: 1, loss: SquaredLoss(), interruption: Interruption())
    let point = PatternIncumbent(
      y, dimension: problem.d, loss: SquaredLoss(), beta: 1)
    var steps = 0
    let end = newton.solve(
      y, beta: 1, tolerance: 1e-12, point: point,
      proceed: {
        steps += 1
        return steps < 3
      }, report: { _ in })
    #expect(end == .interrupted && point.primal > point.dualValue)
  }
}
