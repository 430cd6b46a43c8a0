import LinearAlgebra
import Testing

@Suite struct OrthogonalFactorTests {
  /// Rows of Qᵀ applied to the unit vectors: row i is column i of Qᵀ, so the matrix is Q.
  private func dense(_ factor: OrthogonalFactor, _ n: Int) -> Matrix {
    let q = Matrix.identity(n)
    factor.apply(q.base, count: n)
    return q
  }

  @Test func firstColumnsSpanTheVectors() {
    var generator = SeededGenerator(21)
    for n in sizes {
      let factor = OrthogonalFactor(n)
      // The same object for many vectors and few: nothing may remain of what came before.
      for count in [n, max(1, n / 2), 1, n] {
        let vectors = generator.matrix(count, n)
        #expect(factor.factor(vectors.base, count: count))
        let q = dense(factor, n)
        #expect(distance(naive(q.transposed, q), .identity(n)) < 1e-13)
        let basis = Matrix(count, n)
        factor.basis(into: basis.base)
        #expect(distance(naive(basis, basis.transposed), .identity(count)) < 1e-13)
        for k in 0..<count { for i in 0..<n { #expect(abs(basis[k, i] - q[i, k]) < 1e-13) } }
        // Every vector is what its products with the basis make of it.
        let back = naive(naive(vectors, basis.transposed), basis)
        #expect(distance(back, vectors) < 1e-12)
        // Of Qᵀ b_k nothing but the first k + 1 entries is left.
        let turned = Matrix(copying: vectors)
        factor.apply(turned.base, count: count)
        for k in 0..<count { for i in k + 1..<max(k + 1, n) { #expect(abs(turned[k, i]) < 1e-12) } }
      }
    }
  }

  @Test func manyRowsAreTurned() {
    var generator = SeededGenerator(22)
    let (n, count, m) = (6, 4, 700)
    let factor = OrthogonalFactor(n)
    let vectors = generator.matrix(count, n)
    #expect(factor.factor(vectors.base, count: count))
    let q = dense(factor, n)
    let rows = generator.matrix(m, n)
    let expected = naive(rows, q)
    factor.apply(rows.base, count: m)
    #expect(distance(rows, expected) < 1e-12)
  }

  @Test func noVectorsAreTheIdentity() {
    var generator = SeededGenerator(23)
    let factor = OrthogonalFactor(5)
    let vectors = generator.matrix(3, 5)
    #expect(factor.factor(vectors.base, count: 3) && factor.factor(vectors.base, count: 0))
    #expect(distance(dense(factor, 5), .identity(5)) == 0)
    var untouched = [7.0]
    factor.basis(into: &untouched)
    #expect(untouched == [7])
    factor.apply(&untouched, count: 0)
    #expect(untouched == [7])
  }

  /// Vectors that depend on one another leave Q orthogonal and their span within its first columns.
  @Test func dependentVectors() {
    let factor = OrthogonalFactor(4)
    let vectors = Matrix(3, 4, [1, 2, 0, -1, 2, 4, 0, -2, 0, 0, 0, 0])
    #expect(factor.factor(vectors.base, count: 3))
    let q = dense(factor, 4)
    #expect(distance(naive(q.transposed, q), .identity(4)) < 1e-14)
    let basis = Matrix(3, 4)
    factor.basis(into: basis.base)
    #expect(distance(naive(naive(vectors, basis.transposed), basis), vectors) < 1e-14)
  }
}
