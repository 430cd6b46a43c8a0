import LinearAlgebra
import Tensors
import Testing

@testable import Generators

/// min Σ ‖b_j‖ subject to F B = T.
@Suite struct GroupInterpolationTests {
  /// One column costs 1 a unit and serves both rows; the other two cost as much and serve one each.
  @Test func theCheapestColumnIsTaken() throws {
    let features = Matrix(2, 3, [1, 1, 0, 1, 0, 1])
    let found = try #require(GroupInterpolation(features, Matrix(2, 1, [2, 2])))
    #expect(abs(found.value - 2) < 1e-3)
    #expect(found.bound <= 2 + 1e-12 && found.value - found.bound <= 1e-4 * found.value)
    let reached = product(features, .plain, found.weights, .plain)
    #expect(abs(reached[0, 0] - 2) < 1e-12 && abs(reached[1, 0] - 2) < 1e-12)
  }

  /// A planted optimum: B on three columns and Λ with ‖F_jᵀ Λ‖ = 1 there, in the direction of b_j, and less elsewhere.
  @Test(arguments: 0..<5) func plantedOptimaAreFound(_ seed: Int) throws {
    var source = RandomSource(seed: seed)
    let (q, m, r) = (6, 20, 2)
    let dual = Matrix(q, r)
    for i in 0..<dual.count { dual.base[i] = source.gaussian() }
    let features = Matrix(q, m)
    let weights = Matrix(m, r)
    var value = 0.0
    for j in 0..<m {
      let column = (0..<q).map { _ in source.gaussian() }
      let slope = (0..<r).map { c in (0..<q).reduce(0) { $0 + column[$1] * dual[$1, c] } }
      let length = norm(r, slope)
      // Lengths of slopes: 1 of the columns in use, 0.8 of others.
      let factor = (j < 3 ? 1 : 0.8) / length
      for i in 0..<q { features[i, j] = column[i] * factor }
      guard j < 3 else { continue }
      let size = 1 + source.uniform()
      value += size
      for c in 0..<r { weights[j, c] = size * slope[c] / length }
    }
    let target = product(features, .plain, weights, .plain)
    let found = try #require(GroupInterpolation(features, target))
    #expect(abs(found.value - value) <= 2e-4 * value, "\(found.value) \(value)")
    #expect(found.bound <= value * (1 + 1e-9) && found.bound >= value * (1 - 2e-4))
    let reached = product(features, .plain, found.weights, .plain)
    for i in 0..<q { for c in 0..<r { #expect(abs(reached[i, c] - target[i, c]) < 1e-9) } }
  }
}

/// ‖XᵀX − GᵀG‖₂ ≤ β.
@Suite struct GramConstraintTests {
  private static func random(_ rows: Int, _ columns: Int, seed: Int) -> Matrix {
    var source = RandomSource(seed: seed)
    let result = Matrix(rows, columns)
    for i in 0..<result.count { result.base[i] = source.gaussian() }
    return result
  }

  private static func squares(_ matrix: Matrix) -> Double {
    matrix.values.reduce(0) { $0 + $1 * $1 }
  }

  /// ‖XᵀX/a − GᵀG/b‖₂.
  private static func distance(_ x: Matrix, _ a: Double, _ g: Matrix, _ b: Double) throws -> Double
  {
    let (left, right) = (product(x, .transposed, x, .plain), product(g, .transposed, g, .plain))
    let difference = Matrix(x.columns, x.columns)
    for i in 0..<difference.count { difference.base[i] = left.base[i] / a - right.base[i] / b }
    return try #require(SingularValues(difference)).values[0]
  }

  /// Whatever satisfies the constraint has no smaller objective: X itself, rotated and shrunk as far as it may be.
  @Test(arguments: [9, 14]) func freeSamplesAreTheSmallest(_ rows: Int) throws {
    let x = Self.random(9, 5, seed: 1)
    let (a, b) = rows == 9 ? (1.0, 1.0) : (9, Double(rows))
    let beta = 0.4 * (rows == 9 ? 9 : 1)
    let constraint = try #require(GramConstraint(x, rows: rows, beta: beta))
    let found = try constraint.free(seed: 3)
    #expect(abs(try Self.distance(x, a, found.samples, b) - beta) < 1e-9)
    let best = Self.squares(found.samples)
    #expect(abs(best - constraint.values.reduce(0, +)) < 1e-9 * best)
    // Of other samples Q X s the smallest s that is allowed.
    let other = try constraint.free(seed: 4).samples
    for blend in [0.1, 0.5] {
      let mixed = Matrix(rows, 5)
      for i in 0..<mixed.count {
        mixed.base[i] = found.samples.base[i] + blend * (other.base[i] - found.samples.base[i])
      }
      let size = Self.squares(mixed)
      #expect(try size >= best * (1 - 1e-12) || Self.distance(x, a, mixed, b) > beta)
    }
  }

  /// Another W with the same constraint, of latent directions in another order, costs more.
  @Test func linearGeneratorsTakeTheLargestDirectionsFirst() throws {
    let x = Matrix(3, 3, [3, 0, 0, 0, 2, 0, 0, 0, 1])
    let z = Matrix(3, 3, [1, 0, 0, 0, 2, 0, 0, 0, 4])
    let constraint = try #require(GramConstraint(x, rows: 3, beta: 2))
    let found = try constraint.linear(z, name: "Z")
    #expect(abs(Self.squares(try #require(found.weight)) - 0.9375) < 1e-12)
    // The first direction from the second latent feature: 7/4 + 2/16.
    #expect(7.0 / 4 + 2.0 / 16 > 0.9375)
    #expect(abs(try Self.distance(x, 1, found.samples, 1) - 2) < 1e-12)
  }

  @Test func smallRanksAreRefusedWithTheLeastBeta() throws {
    let x = Matrix(3, 3, [3, 0, 0, 0, 2, 0, 0, 0, 1])
    let constraint = try #require(GramConstraint(x, rows: 3, beta: 0.5))
    do {
      _ = try constraint.linear(Matrix(3, 1, [1, 1, 1]), name: "Z")
      Issue.record("nothing was refused")
    } catch let failure as Failure {
      #expect(failure.message.contains("below --beta 4.0"), "\(failure.message)")
    }
    let allowed = constraint.allowing(rank: 2)
    #expect(allowed.rank == 3)
    #expect(constraint.allowing(rank: 5).rank == 3)
    let few = try #require(GramConstraint(x, rows: 3, beta: 5))
    #expect(few.rank == 1 && few.allowing(rank: 3).rank == 3)
  }
}
