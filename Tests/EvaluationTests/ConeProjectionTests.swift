import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Evaluation

private func bound(
  _ t: [Double], _ rows: [[Double]], signs: [Double], limit: Double = 0, guess: [Double]? = nil
) -> Double {
  let x = Matrix(rows.count, t.count, rows.flatMap(\.self))
  let projection = ConeProjection(features: x, lengths: rows.map { length($0) })
  return projection.bound(t, signs: signs, limit: limit, guess: guess)
}

private func signed(_ rows: [[Double]], _ signs: [Double]) -> [[Double]] {
  zip(rows, signs).map { row, sign in row.map { sign * $0 } }
}

@Test(arguments: [(1, 1), (1, 4), (5, 1), (6, 2), (12, 3), (4, 5), (9, 4)])
func projectionsFindTheNearestFace(_ n: Int, _ d: Int) {
  var generator = SeededGenerator(UInt64(100 * n + d))
  for round in 0..<60 {
    var rows = (0..<n).map { _ in generator.signed(d) }
    // Every third cone is degenerate: repeated, opposite, zero and dependent rows.
    if round % 3 == 0, n >= 4 {
      rows[1] = rows[0]
      rows[2] = rows[0].map { -3 * $0 }
      rows[3] = round % 2 == 0 ? rows[3].map { _ in 0 } : zip(rows[0], rows[n - 1]).map { $0 + $1 }
    }
    let gate = generator.signed(d)
    // Every fourth cone is that of no pattern, so that it may be a point.
    let signs =
      round % 4 == 0
      ? rows.map { _ in generator.signed() > 0 ? 1.0 : -1 }
      : rows.map { product($0, gate) >= 0 ? 1.0 : -1 }
    let t = generator.signed(d)
    let expected = length(project(t, signed(rows, signs)))
    let found = bound(t, rows, signs: signs)
    #expect(found >= expected * (1 - 1e-15) - 1e-15)
    #expect(abs(found - expected) < 1e-13, "round \(round): \(found), not \(expected)")
    // Whatever is guessed, the answer is the same.
    for guess in [project(t, signed(rows, signs)), gate, t.map { _ in 0 }] {
      #expect(abs(bound(t, rows, signs: signs, guess: guess) - expected) < 1e-13)
    }
    // With a limit only whether it is exceeded has to be known.
    let below = bound(t, rows, signs: signs, limit: expected * 1.1 + 1e-6)
    #expect(below <= expected * 1.1 + 1e-6 && below >= expected * (1 - 1e-15) - 1e-15)
    #expect(abs(bound(t, rows, signs: signs, limit: expected * 0.9) - expected) < 1e-13)
  }
}

@Test func largerProjectionsSatisfyTheirOptimalityConditions() {
  // u = P t has B u ≥ 0 and is orthogonal to t − u; here from Hildreth's sweeps, run until they
  // converge, independent of any factorisation.
  var generator = SeededGenerator(7)
  for (n, d) in [(150, 12), (40, 30), (20, 60)] {
    let rows = (0..<n).map { _ in generator.signed(d) }
    let gate = generator.signed(d)
    let signs = rows.map { product($0, gate) >= 0 ? 1.0 : -1 }
    let b = signed(rows, signs)
    let t = zip(generator.signed(d), gate).map { $0 + 0.3 * $1 }
    var multipliers = [Double](repeating: 0, count: n)
    var u = t
    for _ in 0..<4000 {
      for j in 0..<n {
        let step = max(-multipliers[j], -product(b[j], u) / product(b[j], b[j]))
        multipliers[j] += step
        u = zip(u, b[j]).map { $0 + step * $1 }
      }
    }
    let found = bound(t, rows, signs: signs)
    #expect(found <= length(u) * (1 + 1e-12))
    #expect(abs(found / length(u) - 1) < 1e-6)
  }
}

@Test func blocksOfRowsPivotToTheSameBound() {
  var generator = SeededGenerator(10)
  for (n, d) in [(20, 20), (30, 45), (17, 60)] {
    for round in 0..<20 {
      var rows = (0..<n).map { _ in generator.signed(d) }
      if round % 2 == 0 {
        rows[1] = rows[0]
        rows[2] = rows[0].map { -2 * $0 }
        rows[3] = rows[3].map { _ in 0 }
      }
      let gate = generator.signed(d)
      let signs = rows.map { product($0, gate) >= 0 ? 1.0 : -1 }
      let t = zip(generator.signed(d), gate).map { $0 + 0.3 * $1 }
      let x = Matrix(n, d, rows.flatMap(\.self))
      let lengths = rows.map { length($0) }
      let single = bound(t, rows, signs: signs)
      let pivoting = ConeProjection(
        features: x, lengths: lengths, gram: BlockPivoting.gram(x, lengths: lengths))
      let found = pivoting.bound(t, signs: signs, limit: 0)
      #expect(found >= single * (1 - 1e-14))
      #expect(found <= single * (1 + 1e-11) + 1e-12, "\(n) × \(d), round \(round)")
      let limited = pivoting.bound(t, signs: signs, limit: 1.05 * single + 1e-6)
      #expect(limited >= single * (1 - 1e-14) && limited <= 1.05 * single + 1e-6)
    }
  }
}

@Test func nearlyParallelRowsKeepTheBoundTight() {
  // Facets that differ in the ninth digit.
  var generator = SeededGenerator(8)
  for _ in 0..<40 {
    let base = (0..<3).map { _ in generator.signed(3) }
    let rows = base + base.map { row in zip(row, generator.signed(3)).map { $0 + 1e-9 * $1 } }
    let gate = generator.signed(3)
    let signs = rows.map { product($0, gate) >= 0 ? 1.0 : -1 }
    let t = generator.signed(3)
    let expected = length(project(t, signed(rows, signs)))
    let found = bound(t, rows, signs: signs)
    #expect(found >= expected - 1e-12)
    #expect(found <= expected + 1e-8)
  }
}

@Test func sumsOverPatternsAreExactToTheLastPlace() throws {
  // ν ∘ x of which most cancels: what is left comes from the last bits.
  let n = 1500
  var x = [Double](repeating: 0, count: n * 2)
  var dual = [Double](repeating: 1, count: n)
  var generator = SeededGenerator(9)
  for i in 0..<n / 2 {
    let value = generator.signed() * 1e8
    x[4 * i] = value
    x[4 * i + 2] = -value
    x[4 * i + 1] = 0.1
    x[4 * i + 3] = 0.1
    dual[2 * i] = 1 / 3.0
    dual[2 * i + 1] = 1 / 3.0
  }
  x[0] += 1e-7
  let data = Bundle(
    kind: .arrangements,
    tensors: [
      "x": Tensor(x, shape: [n, 2]), "targets": Tensor(dual),
      "gates": Tensor([0.0, 1], shape: [1, 2]),
      "patterns": Tensor([UInt8](repeating: 255, count: 188), shape: [1, 188]),
    ])
  let examples = try Examples(data, patterns: true)
  let arrangements = try #require(examples.arrangements)
  let sums = PatternSums(arrangements, Matrix(n, 2, x), Matrix(n, 1, dual), limit: 1)
  sums.update(0..<1) { _, _ in }
  let expected = (x[0] + x[2]) * (1 / 3.0)
  #expect(abs(sums.sums[0, 0] / expected - 1) < 1e-13)
  #expect(abs(sums.sums[0, 1] / (Double(n) * 0.1 / 3) - 1) < 1e-15)
}

@Test func nuclearNormsKeepSmallSingularValues() {
  // U diag(s) Vᵀ with rotations for U and V.
  let (c, s) = (0.6, 0.8)
  let values = [3.0, 1e-9]
  let matrix = Matrix(
    2, 3,
    [
      c * values[0] * 0.6, c * values[0] * 0.8, s * values[1],
      -s * values[0] * 0.6, -s * values[0] * 0.8, c * values[1],
    ])
  #expect(abs(nuclearNorm(matrix) - 3 - 1e-9) < 1e-15)
  #expect(nuclearNorm(Matrix(3, 2)) == 0)
  #expect(nuclearNorm(Matrix(1, 2, [3, 4])) == 5)
  #expect(abs(nuclearNorm(Matrix(2, 2, [1, 2, 2, 4])) - 5) < 1e-14)
}
