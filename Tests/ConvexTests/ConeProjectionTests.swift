import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Cones over the rows of a matrix, and projections onto them.
private final class Cones {
  let x: Matrix
  let cone: ConeRows
  let projector: ConeProjector

  init(_ x: Matrix) {
    self.x = x
    cone = ConeRows(x)
    projector = ConeProjector(cone)
  }

  /// The side of every kept row on which `u` is.
  func signs(of u: [Double]) -> [Double] {
    (0..<cone.rows.rows).map { inner(copied(cone.rows.row($0), u.count), u) >= 0 ? 1 : -1 }
  }

  func walls(_ signs: [Double]) -> [[Double]] {
    signs.enumerated().map { c, sign in
      copied(cone.rows.row(c), cone.rows.columns).map { sign * $0 }
    }
  }

  func project(
    _ t: [Double], _ signs: [Double], from warm: [Int] = [], ceiling: Double = 0
  ) -> (norm: Double, point: [Double]) {
    // As unsafe pointers of at least one number.
    let value = projector.project(t + [0], signs: signs + [0], from: warm, ceiling: ceiling)
    return (value, copied(projector.point, t.count))
  }

  /// What makes the point the projection: it is in the cone; t less the point is −Σ λ b with λ ≥ 0 over rows
  /// of the support; and both are orthogonal.
  func expectOptimal(
    _ t: [Double], _ signs: [Double], _ answer: (norm: Double, point: [Double]),
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let walls = walls(signs)
    let size = max(inner(t, t).squareRoot(), 1e-300)
    let point = answer.point
    let length = inner(point, point).squareRoot()
    #expect(abs(length - answer.norm) <= 1e-15 * size, sourceLocation: sourceLocation)
    for wall in walls {
      #expect(inner(wall, point) >= -2e-12 * size, sourceLocation: sourceLocation)
    }
    let support = projector.support
    #expect(
      Set(support).count == support.count && support.count <= t.count,
      sourceLocation: sourceLocation)
    let active = support.map { walls[$0] }
    let rest = zip(t, point).map { $0 - $1 }
    let lambda = leastSquares(rest, active)
    var missing = rest
    for (k, wall) in active.enumerated() {
      #expect(lambda[k] >= -1e-8 * size, "\(lambda)", sourceLocation: sourceLocation)
      #expect(abs(inner(wall, point)) <= 1e-11 * size, sourceLocation: sourceLocation)
      for i in missing.indices { missing[i] += lambda[k] * wall[i] }
    }
    #expect(
      inner(missing, missing).squareRoot() <= 1e-9 * size, sourceLocation: sourceLocation)
    #expect(abs(inner(point, rest)) <= 1e-11 * size * size, sourceLocation: sourceLocation)
  }
}

private func grid(_ width: Int) -> Matrix {
  Matrix(
    width * width, 3,
    (0..<width * width).flatMap {
      [Double($0 % width) - 1, Double($0 / width) - 1, 1]
    })
}

/// A row, others, the first turned over and multiplied, again the others times 3, and zeros.
private func repeated(_ random: inout RandomSource, _ d: Int) -> Matrix {
  let rows = random.matrix(6, d).values
  let zeros = [Double](repeating: 0, count: d)
  return Matrix(20, d, rows + zeros + rows.map { -$0 } + rows.map { 3 * $0 } + zeros)
}

@Suite struct ConeRowsTests {
  @Test func everyDirectionOnceAndOfUnitLength() {
    var random = RandomSource(seed: 1)
    let x = Matrix(
      7, 2, [3, 4, 0, 0, -3, -4, 6, 8, 1, 0, 0, 0, -2, 0])
    let cone = ConeRows(x)
    #expect(cone.source == [0, 4])
    #expect(cone.rows.values == [0.6, 0.8, 1, 0])
    let many = repeated(&random, 4)
    let rows = ConeRows(many)
    for (c, i) in rows.source.enumerated() {
      let unit = copied(rows.rows.row(c), 4)
      let row = copied(many.row(i), 4)
      #expect(abs(inner(unit, unit) - 1) < 1e-15)
      #expect(abs(inner(unit, row) - inner(row, row).squareRoot()) < 1e-15)
    }
    // Each row's hyperplane is among them.
    for i in 0..<20 where i != 6 && i != 19 {
      let row = copied(many.row(i), 4)
      #expect(
        (0..<rows.rows.rows).contains { c in
          abs(abs(inner(copied(rows.rows.row(c), 4), row)) - inner(row, row).squareRoot()) < 1e-12
        })
    }
    #expect(ConeRows(Matrix(3, 2)).rows.rows == 0)
  }

  /// x, −x, 2x and −3x of the patterns 1010, 0101, and with them one that has x off but 2x on, or both of
  /// x and −x.
  @Test func rowsOnSidesThatDifferStay() {
    let x = Matrix(4, 2, [1, 2, -1, -2, 2, 4, -3, -6])
    func kept(_ patterns: [UInt8]) -> [Int] {
      ConeRows(x, patterns: Patterns(Tensor(patterns, shape: [patterns.count, 1]), rows: 4)).source
    }
    #expect(kept([0b0101, 0b1010]) == [0])
    #expect(kept([0b0101, 0b1010, 0b1110]) == [0, 2])
    #expect(kept([0b0101, 0b0111, 0b1010]) == [0, 1])
    #expect(kept([0b0000]) == [0, 1])
  }
}

@Suite struct ConeProjectionTests {
  @Test(arguments: [
    (n: 1, d: 1), (5, 1), (3, 5), (10, 10), (40, 6), (200, 5), (300, 2), (30, 60), (400, 25),
  ])
  func optimalityHolds(_ shape: (n: Int, d: Int)) {
    var random = RandomSource(seed: 100 * shape.n + shape.d)
    let cones = Cones(random.matrix(shape.n, shape.d))
    for _ in 0..<6 {
      // The cell of a vector, and signs that leave but 0 as a rule.
      for signs in [
        cones.signs(of: random.signed(shape.d)),
        (0..<cones.cone.rows.rows).map { _ in random.uniform() < 0.5 ? 1 : -1 },
      ] {
        let t = random.signed(shape.d)
        let answer = cones.project(t, signs)
        cones.expectOptimal(t, signs, answer)
        let reference = referenceProjection(t, cones.walls(signs)).point
        #expect(zip(answer.point, reference).allSatisfy { abs($0 - $1) < 1e-9 })
      }
    }
  }

  @Test(arguments: [(n: 2, d: 2), (5, 3), (7, 2), (6, 4), (8, 3), (3, 6)])
  func theNearestOfAllFaces(_ shape: (n: Int, d: Int)) {
    var random = RandomSource(seed: 7 * shape.n + shape.d)
    for _ in 0..<8 {
      let cones = Cones(random.matrix(shape.n, shape.d))
      let signs = cones.signs(of: random.signed(shape.d))
      let t = random.signed(shape.d)
      let (_, point) = cones.project(t, signs)
      let expected = bruteForceProjection(t, cones.walls(signs))
      #expect(zip(point, expected).allSatisfy { abs($0 - $1) < 1e-11 })
    }
  }

  /// Whole numbers: many rows through one ray, and projections that end on it exactly.
  @Test func degenerateFaces() {
    var random = RandomSource(seed: 3)
    let cones = Cones(grid(4))
    for round in 0..<60 {
      let u = (0..<3).map { _ in Double(random.below(5) - 2) }
      let t = (0..<3).map { _ in Double(random.below(7) - 3) }
      let signs = round % 2 == 0 ? cones.signs(of: random.signed(3)) : cones.signs(of: u)
      cones.expectOptimal(t, signs, cones.project(t, signs))
      let reference = referenceProjection(t, cones.walls(signs)).point
      let point = copied(cones.projector.point, 3)
      #expect(zip(point, reference).allSatisfy { abs($0 - $1) < 1e-9 })
    }
  }

  @Test(arguments: [1, 2, 4, 8])
  func repeatedRows(d: Int) {
    var random = RandomSource(seed: 30 + d)
    let cones = Cones(repeated(&random, d))
    for _ in 0..<20 {
      let signs = cones.signs(of: random.signed(d))
      let t = random.signed(d)
      cones.expectOptimal(t, signs, cones.project(t, signs))
    }
  }

  /// Rows that differ in the tenth digit: supports that hold two of them are all but dependent.
  @Test func rowsThatNearlyCoincide() {
    var random = RandomSource(seed: 5)
    for size in [1e-4, 1e-7, 1e-10, 1e-13] {
      let base = random.matrix(8, 5).values
      let x = Matrix(24, 5, (0..<3).flatMap { _ in base.map { $0 + size * random.signed() } })
      let cones = Cones(x)
      for _ in 0..<10 {
        let signs = cones.signs(of: random.signed(5))
        let t = random.signed(5)
        let (norm, point) = cones.project(t, signs)
        let walls = cones.walls(signs)
        let reference = referenceProjection(t, walls).point
        #expect(abs(norm - inner(reference, reference).squareRoot()) < 1e-7, "\(size)")
        for wall in walls { #expect(inner(wall, point) >= -1e-7, "\(size)") }
      }
    }
  }

  @Test func nothingToProject() {
    var random = RandomSource(seed: 6)
    let free = Cones(Matrix(4, 3))
    let t = random.signed(3)
    let answer = free.project(t, [])
    #expect(answer.point == t && abs(answer.norm - inner(t, t).squareRoot()) < 1e-15)
    #expect(free.projector.support.isEmpty)
    let cones = Cones(random.matrix(6, 3))
    let zero = cones.project([0, 0, 0], cones.signs(of: t))
    #expect(zero.norm == 0 && zero.point == [0, 0, 0])
    // What is inside stays as it is.
    let inside = cones.project(t, cones.signs(of: t))
    #expect(inside.point == t && cones.projector.support.isEmpty)
    // From within the polar cone only 0 is left.
    let polar = cones.walls(cones.signs(of: t)).reduce([0, 0, 0]) { zip($0, $1).map { $0 - $1 } }
    let none = cones.project(polar, cones.signs(of: t))
    #expect(none.norm <= 1e-13)
  }

  @Test func unitsDoNotMatter() {
    var random = RandomSource(seed: 8)
    let rows = random.matrix(30, 6)
    let t = random.signed(6)
    let plain = Cones(rows)
    let u = random.signed(6)
    let expected = plain.project(t, plain.signs(of: u)).point
    for (a, b) in [(1e-9, 1.0), (1e9, 1), (1, 1e-9), (1, 1e9), (1e150, 1e-150)] {
      let cones = Cones(Matrix(30, 6, rows.values.map { a * $0 }))
      let point = cones.project(t.map { b * $0 }, cones.signs(of: u)).point
      #expect(zip(point, expected).allSatisfy { abs($0 / b - $1) < 1e-12 })
    }
  }

  /// Without the Gram matrix of all rows.
  @Test func manyRows() {
    var random = RandomSource(seed: 9)
    let cones = Cones(random.matrix(4200, 6))
    #expect(cones.cone.gram == nil)
    for _ in 0..<5 {
      let signs = cones.signs(of: random.signed(6))
      let t = random.signed(6)
      cones.expectOptimal(t, signs, cones.project(t, signs))
    }
  }

  @Test(arguments: [(n: 40, d: 8), (12, 20), (200, 4)])
  func anyWarmSupportLeadsThere(_ shape: (n: Int, d: Int)) {
    var random = RandomSource(seed: shape.n)
    let cones = Cones(random.matrix(shape.n, shape.d))
    for _ in 0..<5 {
      let signs = cones.signs(of: random.signed(shape.d))
      let t = random.signed(shape.d)
      let cold = cones.project(t, signs)
      let support = cones.projector.support
      let near = t.map { $0 + 1e-3 * random.signed() }
      for warm in [
        support, support.reversed(), Array(support.prefix(1)), Array(0..<shape.n),
        support + support, [shape.n, shape.n + 7, 10_000],
        (0..<shape.d).map { _ in random.below(shape.n) },
      ] {
        let answer = cones.project(t, signs, from: warm)
        cones.expectOptimal(t, signs, answer)
        #expect(zip(answer.point, cold.point).allSatisfy { abs($0 - $1) < 1e-10 }, "\(warm)")
        cones.expectOptimal(near, signs, cones.project(near, signs, from: warm))
      }
    }
  }

  /// A bound that is found early holds, is no more than was asked, and is that of multipliers λ ≥ 0; what is
  /// above the ceiling is exact.
  @Test(arguments: [(n: 40, d: 8), (12, 20), (200, 4), (100, 30)])
  func ceilingsBoundFromAbove(_ shape: (n: Int, d: Int)) {
    var random = RandomSource(seed: 50 + shape.n)
    let cones = Cones(random.matrix(shape.n, shape.d))
    var early = 0
    for _ in 0..<8 {
      let signs = cones.signs(of: random.signed(shape.d))
      let t = random.signed(shape.d)
      let exact = cones.project(t, signs).norm
      let support = cones.projector.support
      let size = inner(t, t).squareRoot()
      for share in [-0.5, 0, 0.1, 0.5, 0.9, 1] {
        let ceiling = share < 0 ? 0.7 * exact : exact + share * (size - exact)
        for warm in [[], support, Array(0..<shape.n)] {
          let (bound, point) = cones.project(t, signs, from: warm, ceiling: ceiling)
          #expect(bound >= exact - 1e-12 * size)
          #expect(abs(bound - inner(point, point).squareRoot()) < 1e-14 * size)
          if share < 0 {
            #expect(abs(bound - exact) <= 1e-11 * size)
          } else if share > 0 {
            #expect(bound <= ceiling * (1 + 1e-14))
            early += bound > exact + 1e-6 * size ? 1 : 0
          }
          // t − z for z of the polar cone's opposite, Σ λ b: the projection of −z is 0.
          let z = zip(point, t).map { $1 - $0 }
          let rest = referenceProjection(z, cones.walls(signs)).point
          #expect(inner(rest, rest).squareRoot() <= 1e-9 * size)
        }
      }
    }
    #expect(early > 20, "the test would show nothing: \(early)")
  }
}

@Suite struct ConePricingTests {
  private func pricing(_ problem: GatedProblem) -> ConePricing {
    let x = Matrix(problem.n, problem.d, problem.x)
    let packed = problem.bundle.tensors["patterns"]!
    return ConePricing(
      x, patterns: Patterns(packed, rows: problem.n), cone: ConeRows(x))
  }

  @Test(arguments: [
    (n: 20, d: 3, patterns: 15), (50, 8, 40), (9, 12, 10), (30, 4, 300),
  ])
  func pricesAreThoseOfTheProjections(_ shape: (n: Int, d: Int, patterns: Int)) {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: shape.patterns, seed: shape.n)
    let pricing = pricing(problem)
    var random = RandomSource(seed: 4)
    var nu = random.signed(shape.n)
    // Directions of the ν before bound the norms of the next.
    for round in 0..<4 {
      for j in nu.indices { nu[j] += (round == 1 ? 1e-3 : 0.5) * random.signed() }
      pricing.correlate(nu)
      let exact = problem.projectedNorms(Matrix(shape.n, 1, nu))
      let size = inner(nu, nu).squareRoot() * Double(shape.n)
      func expectBounds() {
        for row in exact.indices { #expect(pricing.bound(row) >= exact[row] - 1e-12 * size) }
      }
      expectBounds()
      let loose = pricing.looseBound(besides: [])
      #expect(loose >= exact.max()! - 1e-12 * size)
      let sorted = exact.sorted(by: >)
      let level = sorted[sorted.count / 3]
      let few = pricing.price(above: level * (1 + 1e-9), limit: 3)
      #expect(few.bound >= sorted[0] - 1e-12 * size)
      for (row, norm) in few.found { #expect(abs(norm - exact[row]) < 1e-10 * size) }
      expectBounds()
      let inside: Set<Int> = [0, 3, exact.firstIndex(of: sorted[0])!]
      let others = pricing.price(above: level * (1 + 1e-9), besides: inside)
      #expect(others.found.allSatisfy { !inside.contains($0.row) })
      let outside = exact.indices.filter { !inside.contains($0) }.map { exact[$0] }.max()!
      #expect(others.bound >= outside - 1e-12 * size)
      let all = pricing.price(above: level * (1 + 1e-9))
      #expect(
        Set(all.found.map(\.row)) == Set(exact.indices.filter { exact[$0] > level * (1 + 1e-9) }))
      #expect(all.found.map(\.norm) == all.found.map(\.norm).sorted(by: >))
      for (row, norm) in all.found { #expect(abs(norm - exact[row]) < 1e-10 * size) }
      #expect(abs(all.bound - sorted[0]) < 1e-10 * size)
      // Nothing is above a level that is high enough, which then is the bound.
      let none = pricing.price(above: 1.01 * sorted[0])
      #expect(none.found.isEmpty && none.bound == 1.01 * sorted[0])
      var told: [Double] = []
      let largest = pricing.largest { told.append($0) }
      #expect(abs(largest - sorted[0]) < 1e-10 * size)
      #expect(told.last == largest && told == told.sorted())
      expectBounds()
      let rows = Array(exact.indices.prefix(20))
      let points = Matrix(rows.count, shape.d)
      let norms = pricing.project(rows, into: points)
      for (k, row) in rows.enumerated() {
        #expect(abs(norms[k] - exact[row]) < 1e-10 * size)
        #expect(abs(norm(shape.d, points.row(k)) - norms[k]) < 1e-14 * size)
      }
    }
  }

  @Test func rowsAreBlocks() {
    for row in 0..<6 { #expect(ConePricing.row(ConePricing.block(row)) == row) }
    #expect(ConePricing.block(5) == ConeBlock(pattern: 2, sign: -1))
    #expect(ConePricing.block(4) == ConeBlock(pattern: 2, sign: 1))
  }

  @Test func correlationsAndImagesAreThoseOfTheDefinition() {
    let problem = GatedProblem(n: 21, d: 4, patterns: 300, seed: 2)
    let pricing = pricing(problem)
    var random = RandomSource(seed: 5)
    let nu = random.signed(21)
    pricing.correlate(nu)
    let expected = problem.correlations(Matrix(21, 1, nu), output: 0)
    for (i, t) in expected.enumerated() {
      for k in 0..<4 { #expect(abs(pricing.features[i, k] - t[k]) < 1e-12) }
    }
    // Of some patterns only; the others stay.
    let other = random.signed(21)
    let chosen = [299, 0, 17, 258]
    pricing.correlate(other, chosen)
    let changed = problem.correlations(Matrix(21, 1, other), output: 0)
    for i in 0..<300 {
      for k in 0..<4 {
        let value = chosen.contains(i) ? changed[i][k] : expected[i][k]
        #expect(abs(pricing.features[i, k] - value) < 1e-12)
      }
    }
    let blocks = [
      ConeBlock(pattern: 7, sign: 1), ConeBlock(pattern: 7, sign: -1),
      ConeBlock(pattern: 280, sign: -1),
    ]
    let points = random.matrix(3, 4)
    let images = Matrix(3, 21)
    pricing.images(of: points, blocks, into: images)
    for (k, block) in blocks.enumerated() {
      for j in 0..<21 {
        let value =
          problem.patterns[block.pattern][j]
          ? block.sign * inner(problem.row(j), copied(points.row(k), 4)) : 0
        #expect(abs(images[k, j] - value) < 1e-13)
      }
    }
    // Vectors themselves, whatever their block's sign.
    let projected = Matrix(3, 4)
    pricing.projectVectors(points, blocks.map(ConePricing.row), into: projected)
    for (k, block) in blocks.enumerated() {
      let point = referenceProjection(
        copied(points.row(k), 4), problem.walls(block.pattern)
      ).point
      for i in 0..<4 { #expect(abs(projected[k, i] - point[i]) < 1e-10) }
    }
  }

  /// A remembered direction serves whatever ν comes: any multiple of λ ≥ 0 is one too.
  @Test func whatIsRememberedBounds() {
    let problem = GatedProblem(n: 15, d: 3, patterns: 8, seed: 6)
    let pricing = pricing(problem)
    var random = RandomSource(seed: 7)
    for _ in 0..<10 {
      let nu = random.signed(15)
      pricing.correlate(nu)
      let exact = problem.projectedNorms(Matrix(15, 1, nu))
      for row in 0..<16 {
        var z = [Double](repeating: 0, count: 3)
        for wall in problem.walls(row / 2) {
          let lambda = random.uniform()
          for k in 0..<3 { z[k] += lambda * wall[k] }
        }
        pricing.remember(row, z)
        #expect(pricing.bound(row) >= exact[row] - 1e-12)
        let t = copied(pricing.features.row(row / 2), 3)
        #expect(pricing.bound(row) <= inner(t, t).squareRoot() * (1 + 1e-14))
      }
    }
  }
}

@Suite struct ActiveRowsSumTests {
  @Test(arguments: [(n: 1, d: 1), (17, 3), (40, 60), (130, 5)])
  func sumsTheActiveRows(_ shape: (n: Int, d: Int)) throws {
    let (n, d) = shape
    let problem = GatedProblem(n: n, d: d, patterns: 7, seed: n)
    let patterns = Patterns(problem.bundle.tensors["patterns"]!, rows: n)
    let x = Matrix(n, d, problem.x)
    let sum = ActiveRowsSum(n, width: 2 * d)
    var random = RandomSource(seed: 8)
    // Twice the same object: nothing of the first sum may remain.
    for count in [7, 3, 0] {
      let weights = (0..<2 * count).map { _ in random.uniform() }
      let dense = Matrix.identity(n)
      for i in 0..<count {
        for j in 0..<n where problem.patterns[i][j] {
          for k in 0..<n where problem.patterns[i][k] {
            let value = inner(problem.row(j), problem.row(k))
            dense[j, k] += (weights[2 * i] * weights[2 * i] + weights[2 * i + 1]) * value
          }
        }
      }
      let isFactored = sum.build(count) { i, worker, _ in
        worker.take(rows: patterns, i)
        #expect(worker.rows == (0..<n).filter { problem.patterns[i][$0] })
        worker.gather(x, times: weights[2 * i])
        worker.multiply(columns: 0..<d, stride: d)
        worker.gather(x, times: weights[2 * i + 1].squareRoot())
        worker.multiply(columns: 0..<d, stride: d, adding: true)
        worker.spread()
        return true
      }
      #expect(isFactored && sum.isFactored)
      let l = Matrix(n, n)
      for i in 0..<n { for j in 0...i { l[i, j] = sum.factor[i * n + j] } }
      #expect(relativeDistance(product(l, .plain, l, .transposed), dense) < 1e-13)
      let expected = random.signed(n)
      var b = (0..<n).map { i in (0..<n).reduce(0) { $0 + dense[i, $1] * expected[$1] } }
      sum.solve(&b)
      #expect(zip(b, expected).allSatisfy { abs($0 - $1) < 1e-9 })
    }
  }

  @Test func aTermThatFailsIsNoFactor() {
    let sum = ActiveRowsSum(3, width: 2)
    #expect(sum.build(0) { _, _, _ in true } && sum.isFactored)
    #expect(!sum.build(2) { k, _, _ in k == 0 } && !sum.isFactored)
    #expect(sum.build(0) { _, _, _ in true } && sum.isFactored)
  }
}
