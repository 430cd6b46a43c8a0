import LinearAlgebra
import Tensors
import Testing

@testable import Networks

/// Rows and weights of a random problem; whole numbers make ties, equal and opposite rows.
private func problem(_ n: Int, _ r: Int, seed: Int, whole: Bool) -> (Matrix, [Double]) {
  var random = RandomSource(seed: seed)
  let rows = Matrix(n, r)
  for i in 0..<rows.count {
    rows.base[i] = whole ? Double(random.below(5)) - 2 : random.gaussian()
  }
  return (rows, (0..<n).map { _ in whole ? Double(random.below(5)) - 2 : random.gaussian() })
}

private func value(_ rows: Matrix, _ weights: [Double], _ u: [Double]) -> Double {
  (0..<rows.rows).reduce(0) { $0 + weights[$1] * max(0, dot(rows.columns, rows.row($1), u)) }
}

/// The maximum over the unit ball of the plane: within a sector f is linear, so that it is attained at the sectors' ends
/// or along the gradient within one.
private func planeMaximum(_ rows: Matrix, _ weights: [Double]) -> Double {
  var angles: [Double] = [0]
  for i in 0..<rows.rows where rows[i, 0] != 0 || rows[i, 1] != 0 {
    let normal = atan2Positive(rows[i, 1], rows[i, 0])
    angles += [normal + .pi / 2, normal + 1.5 * .pi].map {
      $0.truncatingRemainder(dividingBy: 2 * .pi)
    }
  }
  angles.sort()
  var largest = 0.0
  for (k, a) in angles.enumerated() {
    let b = k + 1 < angles.count ? angles[k + 1] : angles[0] + 2 * .pi
    largest = max(largest, value(rows, weights, direction(a)))
    let middle = direction(0.5 * (a + b))
    var gradient = [0.0, 0]
    for i in 0..<rows.rows where dot(2, rows.row(i), middle) > 0 {
      axpy(2, weights[i], rows.row(i), &gradient)
    }
    let length = norm(2, gradient)
    if length > 0 { largest = max(largest, value(rows, weights, gradient.map { $0 / length })) }
  }
  return largest
}

/// The end of a search of one proof.
private func search(_ proof: SphereProof, below tau: Double, limit: Int) -> ProofSearch.End {
  ProofSearch([proof], below: tau).run(limit: limit) { true }
}

@Suite struct SphereProofTests {
  @Test(arguments: [false, true])
  func provesAndRefutesInThePlane(_ whole: Bool) throws {
    for seed in 0..<300 {
      let (rows, weights) = problem(1 + seed % 12, 2, seed: seed, whole: whole)
      let largest = planeMaximum(rows, weights)
      guard largest > 1e-9 else { continue }
      let proof = SphereProof(rows, weights: weights)
      let above = search(proof, below: 1.0001 * largest, limit: 10_000)
      guard case .proved(let bound) = above else {
        Issue.record("seed \(seed): \(above)")
        continue
      }
      #expect(bound >= largest * (1 - 1e-12) && bound <= 1.0001 * largest, "seed \(seed)")
      let below = search(proof, below: 0.9999 * largest, limit: 10_000)
      guard case .violated(let points) = below, let first = points.first else {
        Issue.record("seed \(seed): \(below)")
        continue
      }
      #expect(norm(2, first.u) <= 1 + 1e-12)
      #expect(abs(value(rows, weights, first.u) - proof.value(first.u)) <= 1e-9 * largest)
      #expect(proof.value(first.u) > 0.9999 * largest)
    }
  }

  /// No random direction exceeds a bound that was proved, and what is refuted is so by a direction.
  @Test(arguments: [1, 3, 4, 5])
  func boundsHoldForRandomDirections(_ rank: Int) throws {
    var random = RandomSource(seed: 5)
    for seed in 0..<20 {
      let (rows, weights) = problem(30, rank, seed: 1000 + seed, whole: seed % 2 == 0)
      var best = 0.0
      for _ in 0..<3000 {
        let u = (0..<rank).map { _ in random.gaussian() }
        let length = norm(rank, u)
        if length > 0 { best = max(best, value(rows, weights, u) / length) }
      }
      guard best > 0 else { continue }
      let proof = SphereProof(rows, weights: weights)
      switch search(proof, below: 1.05 * best, limit: 200_000) {
      case .proved(let bound): #expect(bound >= best * (1 - 1e-12))
      case .violated(let points): #expect(points.allSatisfy { proof.value($0.u) > 1.05 * best })
      case .stopped: Issue.record("rank \(rank), seed \(seed): stopped")
      }
    }
  }

  @Test func aStoppedSearchHasABoundThatHolds() throws {
    let (rows, weights) = problem(40, 4, seed: 9, whole: false)
    let proof = SphereProof(rows, weights: weights)
    var (low, high) = (0.0, Double.infinity)
    for nodes in [1, 10, 100, 100_000] {
      switch search(proof, below: 1e-3, limit: nodes) {
      case .proved: Issue.record("a bound of almost nothing was proved")
      case .violated(let points): low = max(low, points.map { proof.value($0.u) }.max() ?? 0)
      case .stopped(let bound): high = min(high, bound)
      }
    }
    #expect(low > 0 && low <= high)
  }

  @Test func nothingIsProvedOfNothing() {
    let proof = SphereProof(Matrix(3, 2), weights: [1, -1, 2])
    guard case .proved(let bound) = search(proof, below: 1, limit: 100) else {
      Issue.record("rows of zeros have a price of 0")
      return
    }
    #expect(bound == 0)
  }
}

private func direction(_ angle: Double) -> [Double] { [cosine(angle), cosine(angle - .pi / 2)] }
