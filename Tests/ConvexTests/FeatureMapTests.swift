import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

@Suite struct FeatureMapTests {
  @Test(arguments: activations)
  func featuresFollowTheDefinition(_ s: PolynomialActivation) throws {
    let problem = Problem(n: 9, pool: [1, 0, 1], d: 3, seed: 3)
    let map = FeatureMap(try MomentData(problem.dataset()), activation: s)
    #expect(map.order == 4 && map.regions == 2 && map.count == 20)
    let width = 9
    for i in 0..<problem.n {
      let row = Array(problem.moments[i * 2 * width..<(i + 1) * 2 * width])
      var features = [Double](repeating: .nan, count: 20)
      map.features(row, into: &features)
      let expected = (0..<2).flatMap { packed(problem.feature(i, $0, s)) }
      #expect(zip(features, expected).allSatisfy { abs($0 - $1) < 1e-14 })
    }
    let scratch = map.whiten.makeScratch()
    let whitened = Matrix(problem.n, map.count)
    problem.moments.withUnsafeBufferPointer {
      map.whitenedFeatures(
        problem.n, $0.baseAddress!, rowLength: 2 * width, into: whitened.base, scratch: scratch)
    }
    #expect(relativeDistance(whitened, problem.features(map, s)) < 1e-12)
  }

  @Test(arguments: activations)
  func momentWeightsAreTheAdjoint(_ s: PolynomialActivation) throws {
    var random = RandomSource(seed: 4)
    let problem = Problem(n: 5, pool: [0, 1, 2], d: 4, seed: 4)
    let map = FeatureMap(try MomentData(problem.dataset()), activation: s)
    for _ in 0..<20 {
      let row = random.signed(3 * 14)
      let packed = random.signed(map.count)
      var (features, weights) = (
        [Double](repeating: .nan, count: map.count), [Double](repeating: .nan, count: 3 * 14)
      )
      map.features(row, into: &features)
      let constant = map.momentWeights(packed, into: &weights)
      #expect(abs(inner(features, packed) - inner(weights, row) - constant) < 1e-13)
      // Σ ν Φ is linear but for the constant, which comes from Σ ν.
      var sums = [Double](repeating: .nan, count: map.count)
      map.dualMatrices(row, total: 2.5, into: &sums)
      for r in 0..<3 { features[(r + 1) * 15 - 1] = 2.5 * s.c }
      #expect(sums == features)
    }
  }

  @Test(arguments: activations)
  func whiteningHasAnInverseAndMakesTheMeanTheIdentity(_ s: PolynomialActivation) throws {
    var random = RandomSource(seed: 5)
    // A correlated, badly scaled cloud.
    var problem = Problem(n: 300, pool: [0, 0], d: 5, seed: 5)
    for i in 0..<problem.n * 2 {
      for j in 1..<5 { problem.x[i * 5 + j] = problem.x[i * 5 + j] * 1e-2 + problem.x[i * 5] }
    }
    let map = FeatureMap(try MomentData(problem.dataset()), activation: s)
    let identity = Matrix.identity(6)
    #expect(
      relativeDistance(product(map.whitening, .plain, map.inverseWhitening, .plain), identity)
        < 1e-10)
    // The four congruences undo one another, and ⟨Φ, Z⟩ is the same in both forms.
    let (phi, z) = (random.symmetric(6), random.symmetric(6))
    let (white, whiteZ, back, scratch) = (Matrix(6, 6), Matrix(6, 6), Matrix(6, 6), Matrix(6, 6))
    map.whiten.apply(full: phi.base, white.base, scratch: scratch.base)
    map.whitenVariable.apply(full: z.base, whiteZ.base, scratch: scratch.base)
    #expect(abs(inner(white.values, whiteZ.values) - inner(phi.values, z.values)) < 1e-9)
    map.unwhiten.apply(full: white.base, back.base, scratch: scratch.base)
    #expect(relativeDistance(back, phi) < 1e-9)
    map.unwhitenVariable.apply(full: whiteZ.base, back.base, scratch: scratch.base)
    #expect(relativeDistance(back, z) < 1e-9)
    // The mean over the patches of h hᵀ, of which T is the inverse root: identity, but for the last
    // coordinate where it stands apart.
    if s.a != 0, s.b != 0 {
      let mean = Matrix(6, 6)
      for i in 0..<problem.n {
        for k in 0..<2 {
          let root = abs(s.a).squareRoot()
          let h = problem.patch(i, k).map { root * $0 } + [(s.a > 0 ? 1 : -1) * s.b / (2 * root)]
          for j in 0..<6 { for l in 0..<6 { mean[j, l] += h[j] * h[l] / Double(2 * problem.n) } }
        }
      }
      let inside = product(mean, .plain, map.whitening, .plain)
      // T is fitted on a part of the samples.
      #expect(
        relativeDistance(product(map.whitening, .transposed, inside, .plain), identity) < 0.5)
    }
  }

  @Test func constantAndZeroDataStayFinite() throws {
    for s in activations {
      for value in [0.0, 1, -3] {
        var problem = Problem(n: 4, pool: [0, 1], d: 2)
        problem.x = problem.x.map { _ in value }
        let map = FeatureMap(try MomentData(problem.dataset()), activation: s)
        #expect(map.whitening.isFinite && map.inverseWhitening.isFinite)
        let both = product(map.whitening, .plain, map.inverseWhitening, .plain)
        #expect(relativeDistance(both, .identity(3)) < 1e-12)
      }
    }
  }
}
