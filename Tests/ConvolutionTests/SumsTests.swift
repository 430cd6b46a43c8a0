import Convex
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convolution

/// What sums over samples are made of.
@Suite struct SumsTests {
  private static func random(_ rows: Int, _ columns: Int, seed: Int) -> Matrix {
    var source = RandomSource(seed: seed)
    return Matrix(rows, columns, (0..<rows * columns).map { _ in source.gaussian() })
  }

  @Test(arguments: [1, 5, 256, 300]) func aTriangleIsItsMatrix(_ q: Int) {
    let a = SumsTests.random(q, q, seed: 7)
    a.symmetrize()
    let triangle = SymmetricTriangle(upperOf: a)
    let x = SumsTests.random(q, 3, seed: 8)
    let (expected, found) = (product(a, .plain, x, .plain), triangle.times(x))
    let rows = q / 3..<q
    let panel = Matrix(rows.count, q)
    triangle.fillWhole(rows, into: panel.base)
    #expect(triangle.full().values == a.values)
    #expect(zip(expected.values, found.values).allSatisfy { abs($0 - $1) < 1e-11 })
    #expect(panel.values == a.slice(rows).values)
  }

  /// T of entries up to 10³ multiplies the rounding of plain features.
  @Test func accurateFeaturesAreThoseOfTheMoments() throws {
    let (n, d) = (6, 5)
    let m = d + 1
    let moments = Tensor(
      SumsTests.random(n * 2, d * (d + 3) / 2, seed: 3).values, shape: [n, 2, d * (d + 3) / 2])
    let data = try MomentData(Bundle(kind: .moments, tensors: ["moments": moments]))
    let t = SumsTests.random(m, m, seed: 4)
    for i in 0..<m { t[i, 0] *= 1e3 }
    let activation = PolynomialActivation(a: 0.09, b: 0.5, c: 0.47)
    let map = try #require(FeatureMap(whitening: t, regions: 2, activation: activation))
    let (plain, accurate) = (Matrix(n, map.count), Matrix(n, map.count))
    data.forEachBlock { range, rows in
      map.whitenedFeatures(
        range.count, rows, rowLength: data.rowLength, into: plain.base,
        scratch: map.whiten.makeScratch())
      AccurateFeatures(map).fill(
        range.count, rows, rowLength: data.rowLength, into: accurate.base)
    }
    let size = plain.values.reduce(0) { max($0, abs($1)) }
    #expect(
      zip(plain.values, accurate.values).allSatisfy { abs($0 - $1) <= 1e-13 * size })
    let other = map.divided(by: 0.25)
    #expect(other.activation.a == 0.36 && other.whitening[1, 1] == 0.5 * t[1, 1])
  }

  @Test func recipesOfShardsAreOne() {
    let recipes = (0..<3).map { "cifar-extract --range \($0):\($0 + 1) x\npatchify --moments" }
    #expect(mergedRecipe(recipes) == recipes[0])
    #expect(mergedRecipe([recipes[0], "other\n" + recipes[1]]) == recipes[0] + "\nother")
    #expect(mergedRecipe([]) == nil)
  }
}
