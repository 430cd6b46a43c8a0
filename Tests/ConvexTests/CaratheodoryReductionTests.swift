import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Σ t_j a_j.
private func sum(_ vectors: Matrix, _ weights: [Double]) -> [Double] {
  (0..<vectors.columns).map { i in inner(vectors.column(i), weights) }
}

private func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
  zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}

@Suite struct CaratheodoryReductionTests {
  /// The rank bounds what remains; the sum stays, and so does its cost where all vectors cost what a
  /// dual vector says, as at an optimum.
  @Test(arguments: 0..<40)
  func keepsTheSumWithAtMostRankTerms(seed: Int) throws {
    var random = RandomSource(seed: seed, stream: 3)
    let (m, n) = (2 + random.below(40), 1 + random.below(60))
    let rank = 1 + random.below(min(m, n))
    let vectors = product(random.matrix(m, rank), .plain, random.matrix(rank, n), .plain)
    let isOptimal = seed % 2 == 0
    if isOptimal {
      // νᵀa_j = 1 for a ν in the row space.
      let nu = random.signed(n)
      for j in 0..<m {
        let value = inner(copied(vectors.row(j), n), nu)
        guard abs(value) > 1e-3 else { continue }
        scale(n, 1 / value, vectors.row(j))
      }
    }
    let weights = (0..<m).map { _ in random.uniform(in: 0.01..<1) }
    let reduced = try #require(
      CaratheodoryReduction.reduce(Matrix(copying: vectors), weights: weights))
    #expect(reduced.allSatisfy { $0 >= 0 })
    #expect(reduced.count { $0 > 0 } <= rank)
    let (before, after) = (sum(vectors, weights), sum(vectors, reduced))
    let size = before.reduce(0) { max($0, abs($1)) }
    #expect(largestDifference(before, after) <= 1e-11 * size * Double(n).squareRoot())
    let cost = weights.reduce(0, +)
    #expect(reduced.reduce(0, +) <= cost * (1 + 1e-12))
  }

  @Test func costStaysAtAnOptimum() throws {
    var random = RandomSource(seed: 1)
    let (m, n) = (30, 7)
    let vectors = random.matrix(m, n)
    let nu = random.signed(n)
    for j in 0..<m { scale(n, 1 / inner(copied(vectors.row(j), n), nu), vectors.row(j)) }
    let weights = (0..<m).map { _ in random.uniform(in: 0.1..<1) }
    let reduced = try #require(CaratheodoryReduction.reduce(vectors, weights: weights))
    #expect(reduced.count { $0 > 0 } <= n)
    let cost = weights.reduce(0, +)
    #expect(abs(reduced.reduce(0, +) - cost) <= 1e-10 * cost)
  }

  @Test func independentVectorsStay() throws {
    var random = RandomSource(seed: 2)
    let vectors = random.matrix(6, 9)
    let weights = (0..<6).map { _ in random.uniform(in: 0.1..<1) }
    let reduced = try #require(CaratheodoryReduction.reduce(vectors, weights: weights))
    #expect(largestDifference(reduced, weights) < 1e-13)
  }

  @Test func zerosAndCopiesAndOppositesGo() throws {
    // a, 2a, 0, b, −b/2: what is left is the cheapest way to the same sum.
    let vectors = Matrix(5, 3, [1, 2, 3, 2, 4, 6, 0, 0, 0, 0, 1, 0, 0, -0.5, 0])
    let reduced = try #require(
      CaratheodoryReduction.reduce(vectors, weights: [1, 1, 5, 3, 2]))
    let expected = [0, 1.5, 0, 2, 0]
    #expect(largestDifference(reduced, expected) < 1e-14)
  }

  @Test func nothingAndNaN() throws {
    #expect(CaratheodoryReduction.reduce(Matrix(0, 3), weights: []) == [])
    #expect(CaratheodoryReduction.reduce(Matrix(2, 1, [.nan, 1]), weights: [1, 1]) == nil)
  }

  @Test func aBasisForgetsWhatIsRemoved() {
    var random = RandomSource(seed: 4)
    let vectors = random.matrix(8, 8)
    let basis = OrthogonalBasis(length: 8)
    for j in 0..<7 { #expect(basis.append(vectors.row(j), name: j, tolerance: 1e-9)) }
    for position in [6, 0, 2] { basis.remove(position) }
    #expect(basis.members == [1, 2, 4, 5])
    let target = [0.5, -1, 2, 0.25]
    var vector = [Double](repeating: 0, count: 8)
    for (k, j) in basis.members.enumerated() { axpy(8, target[k], vectors.row(j), &vector) }
    #expect(largestDifference(basis.solve(vector), target) < 1e-12)
    #expect(!basis.append(vector, name: 9, tolerance: 1e-9))
    #expect(largestDifference(basis.coefficients, target) < 1e-12)
    #expect(basis.append(vectors.row(0), name: 0, tolerance: 1e-9))
  }
}
