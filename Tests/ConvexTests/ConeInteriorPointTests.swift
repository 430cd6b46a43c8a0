import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct SecondOrderScalingTests {
  /// A point strictly inside the second-order cone.
  private func inside(_ random: inout RandomSource, _ d: Int) -> (Double, [Double]) {
    let u = random.signed(d)
    return (inner(u, u).squareRoot() * (1 + random.uniform()) + 0.01, u)
  }

  /// W or W⁻¹ as a matrix.
  private func dense(_ d: Int, _ apply: (inout Double, inout [Double]) -> Void) -> Matrix {
    let result = Matrix(d + 1, d + 1)
    for k in 0...d {
      var (first, rest) = (k == 0 ? 1.0 : 0, (0..<d).map { $0 == k - 1 ? 1.0 : 0 })
      apply(&first, &rest)
      for (i, value) in ([first] + rest).enumerated() { result[i, k] = value }
    }
    return result
  }

  @Test(arguments: [1, 2, 7])
  func itIsTheScalingOfBothPoints(d: Int) {
    var random = RandomSource(seed: d)
    let storage = Matrix(1, d)
    for _ in 0..<10 {
      let ((tau, v), (beta, g)) = (inside(&random, d), inside(&random, d))
      var scaling = SecondOrderScaling(d, storage: storage.base)
      scaling.update(tau: tau, v, beta: beta, g)
      var (a0, a, b0, b) = (tau, v, beta, g)
      scaling.unscale(&a0, &a)
      scaling.scale(&b0, &b)
      #expect(abs(a0 - b0) < 1e-11 && zip(a, b).allSatisfy { abs($0 - $1) < 1e-11 })
      let w = dense(d) { scaling.scale(&$0, &$1) }
      let inverse = dense(d) { scaling.unscale(&$0, &$1) }
      #expect(relativeDistance(w, w.transposed) < 1e-12)
      #expect(relativeDistance(product(w, .plain, inverse, .plain), .identity(d + 1)) < 1e-9)
      // The Schur complement of W⁻², which is left of it when τ goes.
      let square = product(inverse, .plain, inverse, .plain)
      let reduced = Matrix(d, d)
      for i in 0..<d {
        for k in 0..<d {
          reduced[i, k] =
            square[i + 1, k + 1] - square[i + 1, 0] * square[0, k + 1] / square[0, 0]
        }
      }
      let given = Matrix(d, d)
      for k in 0..<d {
        let unit = (0..<d).map { $0 == k ? 1.0 : 0 }
        var column = [Double](repeating: 0, count: d)
        scaling.apply(1, unit, addingTo: &column)
        for i in 0..<d { given[i, k] = column[i] }
      }
      #expect(relativeDistance(given, reduced) < 1e-9)
      // W⁻² (dτ, dv) = W⁻¹ r is solved by the elimination.
      var (r0, r) = (random.signed(), random.signed(d))
      scaling.unscale(&r0, &r)
      var right = r
      let first = scaling.eliminate(r0, &right)
      #expect(solveGeneral(d, reduced.base, &right))
      let step = Matrix(d + 1, 1, [scaling.tau(first, right)] + right)
      let back = product(square, .plain, step, .plain)
      #expect(relativeDistance(back, Matrix(d + 1, 1, [r0] + r)) < 1e-8)
    }
  }

  @Test func stepsEndOnTheBoundary() {
    var random = RandomSource(seed: 4)
    var (ended, free) = (0, 0)
    for round in 0..<60 {
      let d = 1 + round % 4
      let (x0, x) = inside(&random, d)
      let (y0, y) = (2 * random.signed(), random.signed(d))
      let length = SecondOrderScaling.step(d, x0, x, y0, y, limit: 50)
      func depth(_ t: Double) -> Double {
        let point = zip(x, y).map { $0 + t * $1 }
        return x0 + t * y0 - inner(point, point).squareRoot()
      }
      for share in [0.01, 0.5, 0.999] { #expect(depth(share * length) >= -1e-9) }
      if length < 50 {
        #expect(abs(depth(length)) < 1e-9 * (1 + length))
        #expect(depth(length * (1 + 1e-6) + 1e-9) < 0)
        ended += 1
      } else {
        free += 1
      }
    }
    #expect(ended > 10 && free > 5)
  }
}

/// The interior-point method over some blocks of a problem with one output.
private final class Interior {
  let problem: GatedProblem
  let beta: Double
  let method: ConeInteriorPoint

  init(_ problem: GatedProblem, beta: Double, blocks: [ConeBlock]) {
    self.problem = problem
    self.beta = beta
    let x = Matrix(problem.n, problem.d, problem.x)
    method = ConeInteriorPoint(
      x, cone: ConeRows(x), y: problem.y, beta: beta,
      patterns: Patterns(problem.bundle.tensors["patterns"]!, rows: problem.n), blocks: blocks,
      gates: Interior.gates(problem),
      radius: 10 * (inner(problem.y, problem.y) / inner(problem.x, problem.x)).squareRoot())
  }

  static func gates(
    _ problem: GatedProblem
  ) -> (Int, UnsafeMutablePointer<Double>) -> Void {
    { pattern, target in
      for k in 0..<problem.d { target[k] = problem.gates[pattern * problem.d + k] }
    }
  }

  static func all(_ problem: GatedProblem) -> [ConeBlock] {
    (0..<2 * problem.patterns.count).map(ConePricing.block)
  }

  var gap: (gap: Double, largest: Double) { method.gap(SquaredLoss(), problem.targets) }

  /// Iterates until the gap over the blocks that are in is `gap`.
  func run(to gap: Double = 1e-9) {
    for _ in 0..<150 {
      if self.gap.gap <= gap, method.primalResidual <= 1e-9 * method.largestWeight { return }
      guard method.iterate() else { return }
    }
  }

  /// All that the iterate says of itself, by the definitions.
  func expectSound(sourceLocation: SourceLocation = #_sourceLocation) {
    let (n, d) = (problem.n, problem.d)
    var nu = problem.y
    var norms = 0.0
    for (j, block) in method.blocks.enumerated() {
      let v = copied(method.v.row(j), d)
      norms += inner(v, v).squareRoot()
      for k in 0..<n where problem.patterns[block.pattern][k] {
        nu[k] -= block.sign * inner(problem.row(k), v)
      }
    }
    let size = inner(problem.y, problem.y).squareRoot() + inner(nu, nu).squareRoot()
    for k in 0..<n {
      #expect(abs(nu[k] - method.nu[k]) < 1e-10 * size, sourceLocation: sourceLocation)
    }
    let primal = 0.5 * inner(nu, nu) + beta * norms
    #expect(abs(primal - method.primal) <= 1e-10 * primal, sourceLocation: sourceLocation)
    let exact = problem.projectedNorms(Matrix(n, 1, nu))
    let correlations = problem.correlations(Matrix(n, 1, nu), output: 0)
    for (j, block) in method.blocks.enumerated() {
      let t = correlations[block.pattern]
      let scale = inner(t, t).squareRoot()
      // The multipliers bound the norm of the projection, near the optimum closely.
      #expect(
        method.bounds[j] >= exact[ConePricing.row(block)] - 1e-10 * scale,
        sourceLocation: sourceLocation)
      method.withMultipliers(of: j) { z in
        let z = copied(z, d)
        let rest = referenceProjection(z.map { -$0 }, problem.walls(block.pattern)).point
        let length = inner(z, z).squareRoot()
        #expect(
          inner(rest, rest).squareRoot() <= 1e-9 * (length + scale),
          sourceLocation: sourceLocation)
      }
    }
  }
}

@Suite struct ConeInteriorPointTests {
  @Test(arguments: [(n: 12, d: 3, patterns: 10), (40, 6, 15), (8, 12, 6), (60, 2, 40), (1, 1, 2)])
  func theGapCloses(_ shape: (n: Int, d: Int, patterns: Int)) throws {
    let problem = GatedProblem(
      n: shape.n, d: shape.d, patterns: shape.patterns, bias: shape.d > 1, seed: shape.n)
    for share in [0.5, 0.05, 1e-3] {
      let beta = share * problem.reluBetaMax
      let interior = Interior(problem, beta: beta, blocks: Interior.all(problem))
      interior.expectSound()
      for _ in 0..<3 { _ = interior.method.iterate() }
      interior.expectSound()
      interior.run()
      interior.expectSound()
      let (gap, largest) = interior.gap
      #expect(gap <= 1e-9, "\(shape), \(share): \(gap)")
      #expect(largest <= beta * (1 + 1e-6))
      let method = interior.method
      for (j, block) in method.blocks.enumerated() {
        let v = copied(method.v.row(j), shape.d)
        for wall in problem.walls(block.pattern) {
          #expect(
            inner(wall, v) >= -1e-8 * inner(wall, wall).squareRoot() * method.largestWeight)
        }
      }
    }
  }

  /// One sample, x = (3, 4), y = 2: v = (2 − β/5)/5 · x/5 of the pattern that lets it through.
  @Test func oneSampleByHand() {
    var problem = GatedProblem(n: 1, d: 2, x: [3, 4], y: [2], patterns: [[true], [false]])
    problem.gates = [3, 4, -3, -4]
    let interior = Interior(problem, beta: 5, blocks: Interior.all(problem))
    interior.run(to: 1e-11)
    #expect(abs(interior.method.primal - 1.5) < 1e-10)
    #expect(abs(interior.method.nu[0] - 1) < 1e-4)
    let v = copied(interior.method.v.row(0), 2)
    #expect(abs(v[0] - 0.12) < 1e-4 && abs(v[1] - 0.16) < 1e-4)
  }

  @Test func blocksThatCarryNothingCanGo() throws {
    let problem = GatedProblem(n: 30, d: 4, patterns: 40, seed: 3)
    let beta = 0.1 * problem.reluBetaMax
    let full = Interior(problem, beta: beta, blocks: Interior.all(problem))
    full.run()
    let interior = Interior(problem, beta: beta, blocks: Interior.all(problem))
    var dropped = 0
    for _ in 0..<150 where interior.gap.gap > 1e-9 {
      if let kept = interior.method.carrying(gap: interior.gap.gap) {
        dropped += interior.method.blocks.count - kept.count
        let blocks = kept.map { interior.method.blocks[$0] }
        interior.method.keep(kept)
        #expect(interior.method.blocks == blocks)
        interior.expectSound()
      }
      guard interior.method.iterate() else { break }
    }
    #expect(dropped > 20, "the test would show nothing")
    #expect(abs(interior.method.primal - full.method.primal) <= 1e-8 * full.method.primal)
  }

  @Test func blocksCanJoin() throws {
    let problem = GatedProblem(n: 30, d: 4, patterns: 24, seed: 5)
    let beta = 0.05 * problem.reluBetaMax
    let all = Interior.all(problem)
    let full = Interior(problem, beta: beta, blocks: all)
    full.run()
    let interior = Interior(problem, beta: beta, blocks: Array(all.prefix(9)))
    interior.run(to: 1e-7)
    let before = interior.method.primal
    #expect(before > full.method.primal * (1 + 1e-6), "the test would show nothing")
    interior.method.restart(
      adding: Array(all.suffix(all.count - 9)), gates: Interior.gates(problem))
    #expect(interior.method.blocks == all)
    interior.expectSound()
    interior.run()
    interior.expectSound()
    #expect(interior.gap.gap <= 1e-9)
    #expect(abs(interior.method.primal - full.method.primal) <= 1e-8 * full.method.primal)
  }
}
