import LinearAlgebra
import Testing

@testable import Evaluation

private func count(_ rows: [[Double]], limit: Int = 1 << 20) -> Int? {
  CellCount.count(
    Matrix(rows.count, rows.first?.count ?? 1, rows.flatMap(\.self)), limit: limit)
}

/// 2 Σ_{k<r} C(n−1, k): the cells of n hyperplanes in general position.
private func general(_ n: Int, _ r: Int) -> Int {
  var (binomial, sum) = (1, 0)
  for k in 0..<r {
    sum += binomial
    binomial = binomial * (n - 1 - k) / (k + 1)
  }
  return 2 * sum
}

/// Sign vectors that very many random points meet, and their opposites: all cells of few hyperplanes.
private func sampled(_ rows: [[Double]], _ generator: inout SeededGenerator) -> Int {
  let used = rows.filter { $0.contains { $0 != 0 } }
  var found: Set<[Bool]> = []
  for _ in 0..<200_000 {
    let u = generator.unit(rows[0].count)
    let signs = used.map { product($0, u) > 0 }
    found.insert(signs)
    found.insert(signs.map { !$0 })
  }
  return found.count
}

@Test func hyperplanesInGeneralPosition() {
  var generator = SeededGenerator(70)
  for (n, d) in [
    (1, 1), (5, 1), (2, 3), (9, 2), (40, 2), (12, 3), (60, 3), (14, 4), (9, 6), (4, 9),
  ] {
    let rows = (0..<n).map { _ in generator.signed(d) }
    #expect(count(rows) == general(n, min(n, d)), "\(n) × \(d)")
  }
}

@Test func degenerateHyperplanes() {
  var generator = SeededGenerator(71)
  // Whole numbers have many rows on one line, plane, …; some are 0, equal or opposite.
  for (n, d) in [(8, 2), (6, 3), (7, 3), (6, 4)] {
    for _ in 0..<4 {
      let rows = (0..<n).map { _ in generator.signed(d).map { (2 * $0).rounded() } }
      #expect(count(rows) == max(1, sampled(rows, &generator)), "\(rows)")
    }
  }
  #expect(count([[0, 0]]) == 1)
  #expect(count([[1, 2], [2, 4], [-3, -6], [0, 0]]) == 2)
  // A grid with a constant: parallel lines of the plane meet nowhere.
  let grid: [[Double]] = (0..<16).map { [Double($0 / 4), Double($0 % 4), 1] }
  #expect(count(grid) == sampled(grid, &generator))
}

@Test func theRankIsThatOfTheData() {
  var generator = SeededGenerator(72)
  // Rows of a plane in seven dimensions, with columns of very different size.
  let basis = [generator.signed(7), generator.signed(7)]
  let scales = [1e8, 1, 1e-8, 3, 1e4, 1e-3, 1.0]
  let rows = (0..<30).map { _ in
    let (a, b) = (generator.signed(), generator.signed())
    return (0..<7).map { scales[$0] * (a * basis[0][$0] + b * basis[1][$0]) }
  }
  #expect(count(rows) == 60)
}

@Test func moreCellsThanTheLimitAreNotCounted() {
  var generator = SeededGenerator(73)
  let rows = (0..<50).map { _ in generator.signed(40) }
  #expect(count(rows, limit: 1000) == nil)
  let plane = (0..<50).map { _ in generator.signed(3) }
  #expect(count(plane, limit: general(50, 3)) == general(50, 3))
  #expect(count(plane, limit: general(50, 3) - 1) == nil)
}

@Test func aDirectionThatCountsAsNoneIsReported() throws {
  let t = (0..<12).map { -1 + 2 * Double($0) / 11 }
  let thin = Matrix(12, 2, t.flatMap { [1 + 1e-13 * $0, 1 - 1e-13 * $0] })
  let count = try #require(CellCount(thin, limit: 100))
  #expect(count.cells == 2)
  #expect(count.neglected > 5e-14 && count.neglected < 5e-13)
  let wide = try #require(CellCount(Matrix(12, 2, t.flatMap { [1, $0] }), limit: 100))
  #expect(wide.neglected == 0)
}
