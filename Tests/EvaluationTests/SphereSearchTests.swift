import Glibc
import LinearAlgebra
import Tensors
import Testing

@testable import Evaluation

/// Σ_i w_i (x_i·u)₊ for rows of a few numbers.
private func value(_ x: [[Double]], _ w: [Double], _ u: [Double]) -> Double {
  x.indices.reduce(0) { $0 + w[$1] * max(0, product(x[$1], u)) }
}

private func unit(_ u: [Double]) -> [Double]? {
  let length = product(u, u).squareRoot()
  return length > 1e-300 ? u.map { $0 / length } : nil
}

/// The gradient of the function at `u`, rows on whose hyperplane u lies counting by their sign at `side`.
private func gradient(_ x: [[Double]], _ w: [Double], _ u: [Double], _ side: [Double]) -> [Double] {
  var result = [Double](repeating: 0, count: u.count)
  for i in x.indices {
    let z = product(x[i], u)
    let isOn = abs(z) > 1e-11 * product(x[i], x[i]).squareRoot() ? z > 0 : product(x[i], side) > 0
    if isOn { for k in u.indices { result[k] += w[i] * x[i][k] } }
  }
  return result
}

/// The directions where hyperplanes cross or between them, in the plane that `basis` spans.
private func corners(_ x: [[Double]], _ basis: [[Double]]) -> [[Double]] {
  var angles: [Double] = [0]
  for row in x {
    let p = basis.map { product(row, $0) }
    guard hypot(p[0], p[1]) > 1e-11 else { continue }
    for quarter in [0.5, 1.5] {
      let angle = atan2(p[1], p[0]) + quarter * .pi
      angles.append(angle < 0 ? angle + 2 * .pi : angle.truncatingRemainder(dividingBy: 2 * .pi))
    }
  }
  angles.sort()
  return angles.indices.flatMap { k -> [[Double]] in
    let next = k + 1 < angles.count ? angles[k + 1] : angles[0] + 2 * .pi
    return [angles[k], 0.5 * (angles[k] + next)].map { t in
      basis[0].indices.map { cos(t) * basis[0][$0] + sin(t) * basis[1][$0] }
    }
  }
}

/// The maximum over the unit ball of space by trying every cell's gradient and every hyperplane.
private func maximum(_ x: [[Double]], _ w: [Double]) -> Double {
  var best = 0.0
  func look(_ u: [Double]?) { if let u { best = max(best, value(x, w, u)) } }
  if x[0].count == 2 {
    for u in corners(x, [[1, 0], [0, 1]]) {
      look(u)
      look(unit(gradient(x, w, u, u)))
    }
    return best
  }
  for row in x {
    guard let normal = unit(row) else { continue }
    let k = (0..<3).min { abs(normal[$0]) < abs(normal[$1]) }!
    let first = unit((0..<3).map { ($0 == k ? 1 : 0) - normal[k] * normal[$0] })!
    let second = [
      normal[1] * first[2] - normal[2] * first[1], normal[2] * first[0] - normal[0] * first[2],
      normal[0] * first[1] - normal[1] * first[0],
    ]
    for u in corners(x, [first, second]) {
      look(u)
      for side in [1.0, -1] {
        let ascent = gradient(x, w, u, normal.map { side * $0 })
        look(unit(ascent))
        // Within the hyperplane.
        let along = product(ascent, normal)
        look(unit((0..<3).map { ascent[$0] - along * normal[$0] }))
      }
    }
  }
  return best
}

private func search(
  _ x: [[Double]], _ w: [Double], below tau: Double, nodes: Int = 1_000_000
) -> SphereSearch.Verdict {
  x.flatMap(\.self).withUnsafeBufferPointer {
    SphereSearch(rows: $0, count: x.count, rank: x.first?.count ?? 1)
      .bound(weights: w, tau: tau, maximumNodes: nodes, proceed: { true }).verdict
  }
}

@Suite struct SphereSearchTests {
  /// Every bound holds, a little above the maximum everything is proved, and a little below it is refuted.
  @Test(arguments: [2, 3])
  func verdictsAreThoseOfAllCells(_ rank: Int) {
    var random = RandomSource(seed: 11)
    for trial in 0..<400 {
      let whole = trial % 2 == 0
      let n = 1 + random.below(10)
      func number() -> Double { whole ? Double(random.below(5)) - 2 : random.gaussian() }
      let x = (0..<n).map { _ in (0..<rank).map { _ in number() } }
      let w = (0..<n).map { _ in number() }
      let largest = maximum(x, w)
      guard largest > 1e-6 else { continue }
      guard case .proved(let bound) = search(x, w, below: 1.0001 * largest) else {
        Issue.record("rank \(rank), trial \(trial): not proved")
        continue
      }
      #expect(bound >= largest * (1 - 1e-12))
      guard case .refuted(let u, let found) = search(x, w, below: 0.9999 * largest) else {
        Issue.record("rank \(rank), trial \(trial): not refuted")
        continue
      }
      #expect(product(u, u) <= 1 + 1e-12 && found > 0.9999 * largest)
      #expect(abs(value(x, w, u) - found) <= 1e-9 * largest)
    }
  }

  @Test func limitsLeaveABound() {
    var random = RandomSource(seed: 12)
    let x = (0..<40).map { _ in (0..<5).map { _ in random.gaussian() } }
    let w = (0..<40).map { _ in random.gaussian() }
    guard case .refuted(_, let found) = search(x, w, below: 1e-3) else {
      Issue.record("a bound of almost nothing")
      return
    }
    for nodes in [0, 1, 20] {
      switch search(x, w, below: found, nodes: nodes) {
      case .proved(let bound): #expect(bound >= found)
      case .refuted(_, let value): #expect(value > found)
      case .unfinished(let bound, let best, _): #expect(bound >= found && best <= bound)
      }
    }
  }

  @Test func numbersThatAreNoneProveNothing() {
    for bad in [Double.nan, .infinity] {
      if case .proved = search([[1, bad]], [1], below: 1) { Issue.record("\(bad)") }
      if case .proved = search([[1, 0]], [bad], below: 1) { Issue.record("\(bad)") }
    }
    guard case .proved(let bound) = search([[0, 0]], [3], below: 0) else {
      Issue.record("a row of zeros has no price")
      return
    }
    #expect(bound == 0)
  }

  /// Rows in the coordinates of their space have their lengths, and what is left out is told.
  @Test func coordinatesAndRests() throws {
    var random = RandomSource(seed: 13)
    let x = Matrix(9, 4)
    for i in 0..<9 {
      let (a, b) = (random.gaussian(), random.gaussian())
      for (k, v) in [a, b, a + b, a - 2 * b].enumerated() { x[i, k] = v }
    }
    let rows = try #require(RowCoordinates(x, limit: 3))
    #expect(rows.rank == 2)
    for i in 0..<9 {
      #expect(abs(norm(2, rows.coordinates.row(i)) - norm(4, x.row(i))) < 1e-13)
      #expect(rows.rests[i] > 0 && rows.rests[i] < 1e-13)
    }
    #expect(RowCoordinates(x, limit: 1) == nil)
    // A direction that is left out is no smaller than its share.
    x[0, 0] += 1e-14
    let moved = try #require(RowCoordinates(x, limit: 3))
    #expect(moved.rank == 2 && moved.rests[0] > 1e-15)
  }
}
