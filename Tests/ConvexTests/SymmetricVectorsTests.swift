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
