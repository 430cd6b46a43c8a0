import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// All patterns of `rows`, after checks that hold for any data: they are distinct and in order, each is
/// attained by its own gate with a margin, and so is its complement.
private func listed(_ rows: Matrix, maximum: Int = 1_000_000) throws -> GatedPatterns {
  let exact = try ExactPatterns(rows, maximum: maximum)
  let found = try exact.list()
  let (patterns, gates) = (found.patterns, found.gates)
  #expect(Double(patterns.count) <= exact.bound)
  #expect(gates.rows == patterns.count && gates.columns == rows.columns)
  #expect(found.thresholds == nil)
  var words: Set<[Bool]> = []
  var last: [Bool]?
  for i in 0..<patterns.count {
    let word = (0..<rows.rows).map { patterns.isActive(i, row: $0) }
    if let last {
      #expect(last.lexicographicallyPrecedes(word) { !$0 && $1 })
    }
    last = word
    words.insert(word)
    for j in 0..<rows.rows {
      let x = copied(rows.row(j), rows.columns)
      let length = inner(x, x).squareRoot()
      let value = inner(x, copied(gates.row(i), rows.columns))
      if length == 0 { #expect(word[j]) } else { #expect((value > 0) == word[j]) }
      #expect(length == 0 || abs(value) > 1e-9 * length)
    }
  }
  #expect(words.count == patterns.count)
  for word in words {
    let complement = word.indices.map { j in
      (0..<rows.columns).allSatisfy { rows[j, $0] == 0 } ? word[j] : !word[j]
    }
    #expect(words.contains(complement))
  }
  return found
}

/// How many cells the hyperplanes of `rows` make, by Whitney's theorem: Σ (−1)^(|B| − rank B) over all sets B
/// of hyperplanes. Ranks are those of whole numbers, so there is no rounding.
private func whitneyCount(_ rows: [[Int]]) -> Int {
  let rows = rows.filter { $0.contains { $0 != 0 } }
  var sum = 0
  for subset in 0..<1 << rows.count {
    let chosen = rows.indices.filter { subset >> $0 & 1 == 1 }.map { rows[$0] }
    sum += (chosen.count - rank(chosen)) % 2 == 0 ? 1 : -1
  }
  return abs(sum)
}

/// The rank of a matrix of small whole numbers, by elimination without fractions.
private func rank(_ rows: [[Int]]) -> Int {
  var rows = rows
  var rank = 0
  for column in 0..<(rows.first?.count ?? 0) {
    guard let pivot = (rank..<rows.count).first(where: { rows[$0][column] != 0 }) else { continue }
    rows.swapAt(rank, pivot)
    for i in rank + 1..<max(rank + 1, rows.count) where rows[i][column] != 0 {
      let (p, q) = (rows[rank][column], rows[i][column])
      for k in rows[i].indices { rows[i][k] = p * rows[i][k] - q * rows[rank][k] }
    }
    rank += 1
  }
  return rank
}

private func matrix(_ rows: [[Int]]) -> Matrix {
  Matrix(rows.count, rows[0].count, rows.flatMap { $0.map(Double.init) })
}

@Test(arguments: [
  (1, 1), (7, 1), (1, 5), (2, 2), (9, 2), (100, 2), (3, 3), (10, 3), (40, 3), (4, 4), (14, 4),
  (9, 5),
  (8, 8), (9, 7), (6, 12),
])
func rowsInGeneralPositionHaveAsManyPatternsAsTheFormulaSays(n: Int, d: Int) throws {
  var random = RandomSource(seed: n * 31 + d)
  let found = try listed(random.matrix(n, d))
  // C(n − 1, k) by Pascal's rule.
  var binomials = [1]
  for _ in 1..<max(n, 1) {
    binomials = Array(zip([0] + binomials, binomials + [0]).map { $0 + $1 }.prefix(d))
  }
  #expect(found.patterns.count == 2 * binomials.reduce(0, +))
}

@Test func degenerateRowsHaveAsManyPatternsAsWhitneySays() throws {
  for seed in 0..<150 {
    var random = RandomSource(seed: seed)
    let (n, d) = (1 + random.below(9), 1 + random.below(4))
    // Small numbers: zero rows, repeated and antipodal rows, rows on common hyperplanes.
    let rows = (0..<n).map { _ in (0..<d).map { _ in random.below(5) - 2 } }
    let expected = whitneyCount(rows)
    #expect(try listed(matrix(rows)).patterns.count == expected, "\(rows)")
  }
}

@Test func aTurnedGridKeepsItsPatterns() throws {
  // 5 × 5 points with a bias: many lines meet in a point; turned in R^6 nothing is exact any more.
  let grid = (0..<25).map { [$0 % 5, $0 / 5, 1] }
  let expected = try listed(matrix(grid)).patterns
  var random = RandomSource(seed: 3)
  for scale in [1.0, 1e-150, 3e120] {
    let turned = product(matrix(grid), .plain, random.matrix(3, 6), .plain)
    for i in 0..<turned.count { turned.base[i] *= scale }
    let found = try ExactPatterns(turned, maximum: 100_000).list()
    #expect(found.patterns.count == expected.count)
    #expect(found.patterns.tensor.doubles == expected.tensor.doubles)
  }
}

@Test func whitneyAgreesOnAGridOfThreeDimensions() throws {
  // Two layers of 2 × 2 points with a bias, and their midpoint: 9 hyperplanes of rank 4.
  var rows = (0..<8).map { [2 * ($0 & 1), 2 * ($0 >> 1 & 1), 2 * ($0 >> 2), 1] }
  rows.append([1, 1, 1, 1])
  #expect(try listed(matrix(rows)).patterns.count == whitneyCount(rows))
}

@Test func closeRowsAreToldApart() throws {
  // Three lines that miss each other by 1e-7: one more pair of cells than where they meet.
  let meeting = Matrix(3, 3, [1, 0, 0, 0, 1, 0, 1, 1, 0])
  #expect(try listed(meeting).patterns.count == 6)
  let missing = Matrix(3, 3, [1, 0, 0, 0, 1, 0, 1, 1, 1e-7])
  #expect(try listed(missing).patterns.count == 8)
}

@Test func columnsOfVeryDifferentSizeAreNoDegeneracy() throws {
  var random = RandomSource(seed: 8)
  let rows = random.matrix(12, 3)
  let expected = try listed(rows).patterns
  for j in 0..<12 {
    rows[j, 0] *= 1e-40
    rows[j, 2] *= 1e25
  }
  let found = try ExactPatterns(rows, maximum: 1000).list().patterns
  #expect(found.tensor.doubles == expected.tensor.doubles)
}

@Test func zeroRowsAloneHaveOnePattern() throws {
  let found = try ExactPatterns(Matrix(3, 2), maximum: 1).list()
  #expect(found.patterns.count == 1)
  #expect((0..<3).allSatisfy { found.patterns.isActive(0, row: $0) })
}

@Test func rowsOfLowRankInManyDimensions() throws {
  var random = RandomSource(seed: 5)
  let rows = product(random.matrix(20, 3), .plain, random.matrix(3, 40), .plain)
  #expect(try listed(rows).patterns.count == 2 * (1 + 19 + 171))
}

@Test func tooManyPatternsAreRefusedWithTheirNumber() throws {
  var random = RandomSource(seed: 1)
  let rows = random.matrix(50, 3)
  #expect(try ExactPatterns(rows, maximum: 2452).list().patterns.count == 2452)
  #expect {
    try ExactPatterns(rows, maximum: 2451)
  } throws: {
    ($0 as? Failure)?.message.contains("there can be 2452 patterns") == true
  }
  // A rank that is hopeless is refused without being found out.
  #expect {
    try ExactPatterns(random.matrix(2000, 800), maximum: 1_000_000)
  } throws: {
    ($0 as? Failure)?.message.contains("or more") == true
  }
}

@Test func theBoundIsExactWhereItIsSmall() {
  #expect(PatternCount.bound(hyperplanes: 0, rank: 0) == 1)
  #expect(PatternCount.bound(hyperplanes: 1, rank: 1) == 2)
  #expect(PatternCount.bound(hyperplanes: 200, rank: 3) == 39802)
  #expect(PatternCount.bound(hyperplanes: 60, rank: 4) == 68560)
  #expect(PatternCount.bound(hyperplanes: 40, rank: 100) == 0x1p40)
  #expect(PatternCount.bound(hyperplanes: 10_000, rank: 3000) == .infinity)
  #expect(PatternCount.text(39802) == "39802")
}

@Test(arguments: [0.0, 0.7, -0.3], GateSampler.allCases.filter { $0 != .window })
func sampledPatternsAreThoseOfTheirGates(cut: Double, sampler: GateSampler) throws {
  var random = RandomSource(seed: 4)
  // More rows than a block, and no multiple of 8.
  let rows = random.matrix(2051, 3)
  let found = try sampled(
    DataRows(rows), count: 300, sampler: sampler, cut: cut, seed: 9)
  #expect(found.patterns.rows == 2051 && found.gates.rows == found.patterns.count)
  #expect((found.thresholds != nil) == (cut != 0))
  for i in 0..<found.patterns.count {
    let gate = copied(found.gates.row(i), 3)
    let threshold = cut * inner(gate, gate).squareRoot()
    if let thresholds = found.thresholds {
      #expect(abs(thresholds[i] - threshold) <= 1e-15 * abs(threshold))
    }
    for j in 0..<2051 {
      let value = inner(gate, copied(rows.row(j), 3)) - threshold
      if abs(value) > 1e-12 { #expect((value > 0) == found.patterns.isActive(i, row: j)) }
    }
  }
}

@Test func aPatternKeepsTheGateThatDrewItFirst() throws {
  var random = RandomSource(seed: 4)
  let rows = random.matrix(3, 2)
  let drawn = GateSampler.gaussian.gates(1000, for: DataRows(rows), seed: 2)
  let found = try sampled(
    DataRows(rows), count: 1000, sampler: .gaussian, cut: 0, seed: 2)
  #expect(found.patterns.count == 6)
  var seen: [[Bool]] = []
  var firsts: [[Double]] = []
  for i in 0..<1000 {
    let gate = copied(drawn.row(i), 2)
    let word = (0..<3).map { inner(gate, copied(rows.row($0), 2)) >= 0 }
    guard !seen.contains(word) else { continue }
    seen.append(word)
    firsts.append(gate)
  }
  #expect(firsts.flatMap { $0 } == found.gates.values)
  for (i, word) in seen.enumerated() {
    #expect(word == (0..<3).map { found.patterns.isActive(i, row: $0) })
  }
}

@Test func gatesThatAreSamplesAreRowsOfTheData() throws {
  var random = RandomSource(seed: 4)
  let rows = random.matrix(5, 3)
  let gates = GateSampler.samples.gates(600, for: DataRows(rows), seed: 0)
  let known = Set((0..<5).map { copied(rows.row($0), 3) })
  let drawn = Set((0..<600).map { copied(gates.row($0), 3) })
  #expect(drawn == known)
}

@Test func moreGatesThanMemoryAreRefused() throws {
  #expect {
    try sampled(
      DataRows(Matrix(1, 1)), count: 1 << 40, sampler: .gaussian, cut: 0, seed: 0)
  } throws: {
    ($0 as? Failure)?.message.contains("GB of memory") == true
  }
}
