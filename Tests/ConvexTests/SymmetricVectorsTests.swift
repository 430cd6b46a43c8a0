import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct SymmetricVectorsTests {
  @Test func isometry() {
    var random = RandomSource(seed: 1)
    for order in [1, 2, 3, 7, 20] {
      let packing = SymmetricVectors(order: order)
      #expect(packing.count == order * (order + 1) / 2)
      let (a, b) = (random.symmetric(order), random.symmetric(order))
      let (p, q) = (packed(a), packed(b))
      #expect(abs(inner(p, q) - inner(a.values, b.values)) < 1e-13)
      #expect(relativeDistance(unpacked(p, order: order), a) < 1e-15)
      for i in 0..<order {
        #expect(p[packing.diagonal(i)] == a[i, i])
        for j in i + 1..<max(i + 1, order) {
          #expect(abs(p[packing.diagonal(i) + j - i] - 2.0.squareRoot() * a[i, j]) < 1e-15)
        }
      }
    }
  }

  @Test func onlyTheUpperTriangleIsRead() {
    let a = Matrix(2, 2, [1, 2, .nan, 3])
    #expect(packed(a) == [1, 2 * 2.0.squareRoot(), 3])
  }
}

@Suite struct CongruenceTests {
  @Test func agreesWithDirectProducts() {
    var random = RandomSource(seed: 2)
    for order in [1, 2, 5, 13] {
      let t = random.matrix(order, order)
      let congruence = Congruence(t)
      let q = SymmetricVectors(order: order).count
      // More than one chunk, and a last one that is not full.
      for count in [1, 7, 8, 9, 35] {
        let matrices = (0..<count).map { _ in random.symmetric(order) }
        let source = Matrix(count, q, matrices.flatMap(packed))
        let expected = Matrix(
          count, q,
          matrices.flatMap {
            packed(product(t, .transposed, product($0, .plain, t, .plain), .plain))
          })
        let target = Matrix(count, q)
        congruence.apply(count, source.base, target.base, scratch: congruence.makeScratch())
        #expect(relativeDistance(target, expected) < 1e-13)
        let inPlace = Matrix(copying: source)
        congruence.apply(count, inPlace.base, inPlace.base, scratch: congruence.makeScratch())
        #expect(relativeDistance(inPlace, expected) < 1e-13)
        congruence.applyInParallel(count, source.base)
        #expect(relativeDistance(source, expected) < 1e-13)
      }
      // Full matrices, which need not be symmetric.
      let x = random.matrix(order, order)
      let (target, scratch) = (Matrix(order, order), Matrix(order, order))
      congruence.apply(full: x.base, target.base, scratch: scratch.base)
      let direct = product(t, .transposed, product(x, .plain, t, .plain), .plain)
      #expect(relativeDistance(target, direct) < 1e-13)
    }
  }
}

@Suite struct SemidefiniteProjectionTests {
  /// A − A₊ is negative semidefinite and orthogonal to A₊, which makes A₊ the projection.
  @Test(arguments: [1, 2, 5, 17])
  func whatIsCutOffIsOrthogonal(order: Int) {
    var random = RandomSource(seed: order)
    let packing = SymmetricVectors(order: order)
    let projection = SemidefiniteProjection(order: order)
    // Mostly negative, mixed, mostly positive: both sides are summed.
    for shift in [-3.0, 0, 3] {
      let full = Matrix(order, order)
      for i in 0..<order { for j in 0..<order { full[i, j] = random.gaussian() } }
      full.symmetrize()
      for i in 0..<order { full[i, i] += shift }
      let packed = Matrix(1, packing.count)
      let part = Matrix(1, packing.count)
      packing.pack(full.base, into: packed.base)
      projection.apply(packed.base, into: part.base)
      var product = 0.0
      for p in 0..<packing.count { product += part[0, p] * (packed[0, p] - part[0, p]) }
      #expect(abs(product) < 1e-12 * Double(order * order))
      for sign in [1.0, -1] {
        // Eigenvalues of A₊, and of A₊ − A: none is negative.
        let eigen = SymmetricEigensolver(order: order)
        let matrix = Matrix(order, order)
        let vector = Matrix(1, packing.count)
        for p in 0..<packing.count {
          vector[0, p] = sign > 0 ? part[0, p] : part[0, p] - packed[0, p]
        }
        packing.unpack(vector.base, into: matrix.base)
        #expect(eigen.decompose(matrix.base, vectors: false))
        #expect(eigen.values[0] > -1e-12 * Double(order))
      }
    }
  }
}
