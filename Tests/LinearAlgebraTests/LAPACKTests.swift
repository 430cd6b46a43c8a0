import LinearAlgebra
import Testing

@Suite struct LAPACKTests {
  @Test func eigenvectorsAreRows() {
    var generator = SeededGenerator(11)
    for n in sizes {
      let solver = SymmetricEigensolver(order: n)
      // The same solver again and again: its workspace must not carry anything over.
      for _ in 0..<3 {
        let a = generator.symmetric(n)
        let v = spoiled(a, lower: true)
        #expect(solver.decompose(v.base))
        let values = (0..<n).map { solver.values[$0] }
        #expect(values == values.sorted())
        #expect(distance(naive(v, v.transposed), .identity(n)) < 1e-12)
        let image = naive(v, a)
        for k in 0..<n {
          for j in 0..<n { #expect(abs(image[k, j] - values[k] * v[k, j]) < 1e-12) }
        }
        let alone = spoiled(a, lower: true)
        #expect(solver.decompose(alone.base, vectors: false))
        for k in 0..<n { #expect(abs(solver.values[k] - values[k]) < 1e-12) }
      }
    }
    let nothing = Matrix(0, 0)
    #expect(SymmetricEigensolver(order: 0).decompose(nothing.base))
  }

  @Test func choleskyInPlace() {
    var generator = SeededGenerator(12)
    for n in sizes {
      let a = generator.positive(n)
      let factor = padded(spoiled(a, lower: false, by: 9), to: n + 3)
      #expect(choleskyLower(n, factor.base, lda: n + 3))
      let l = Matrix(n, n)
      for i in 0..<n {
        for j in 0..<n + 3 {
          if j <= i { l[i, j] = factor[i, j] } else if j < n { #expect(factor[i, j] == 9) }
          if j >= n { #expect(factor[i, j] == 7) }
        }
      }
      #expect(distance(naive(l, l.transposed), a) < 1e-11)
      let x = generator.matrix(4, n)
      let b = naive(x, a)
      choleskySolve(n, factor.base, lda: n + 3, b.base, count: 4)
      #expect(distance(b, x) < 1e-11)
      let inverse = Matrix(copying: l)
      choleskyInverseLower(n, inverse.base)
      for i in 0..<n { for j in i + 1..<max(i + 1, n) { #expect(inverse[i, j] == 0) } }
      inverse.mirrorLower()
      #expect(distance(naive(inverse, a), .identity(n)) < 1e-11)
    }
    for indefinite in [[-1.0, 0, 0, 1], [1, 2, 2, 1], [0, 0, 0, 0], [.nan, 0, 0, 1]] {
      let a = Matrix(2, 2, indefinite)
      #expect(!choleskyLower(2, a.base))
    }
  }

  @Test func generalSystems() {
    var generator = SeededGenerator(13)
    for n in sizes {
      let a = generator.matrix(n, n)
      for i in 0..<n { a[i, (i + 1) % n] += 4 }  // needs pivots
      let x = generator.matrix(n, 1)
      let b = naive(a, x)
      let lu = Matrix(copying: a)
      #expect(solveGeneral(n, lu.base, b.base))
      #expect(distance(b, x) < 1e-10)
    }
    let b = Matrix(2, 1, [1, 1])
    let singular = Matrix(2, 2, [1, 2, 2, 4])
    #expect(!solveGeneral(2, singular.base, b.base))
    #expect(solveGeneral(0, b.base, b.base) && choleskyLower(0, b.base))
  }
}

@Suite struct DecompositionTests {
  @Test(arguments: [(7, 3), (3, 7), (4, 4), (1, 5), (5, 1), (0, 3)])
  func singularValues(m: Int, n: Int) throws {
    var generator = SeededGenerator(UInt64(m * 10 + n + 1))
    let a = generator.matrix(m, n)
    let svd = try #require(SingularValues(a))
    #expect(svd.values == svd.values.sorted(by: >) && svd.values.count == min(m, n))
    for i in 0..<m {
      for j in 0..<n {
        let sum = svd.values.indices.reduce(0.0) {
          $0 + svd.values[$1] * svd.left[$1, i] * svd.right[$1, j]
        }
        #expect(abs(sum - a[i, j]) < 1e-13)
      }
    }
    for k in svd.values.indices {
      for l in svd.values.indices {
        let expected = k == l ? 1.0 : 0
        #expect(abs(dot(m, svd.left.row(k), svd.left.row(l)) - expected) < 1e-13)
        #expect(abs(dot(n, svd.right.row(k), svd.right.row(l)) - expected) < 1e-13)
      }
    }
    #expect(SingularValues(Matrix(2, 2, [1, .nan, 0, 1])) == nil)
  }

  /// RᵀR is the Gram matrix.
  @Test(arguments: [(3, 7), (7, 3), (4, 4)])
  func triangularFactors(m: Int, n: Int) {
    var generator = SeededGenerator(UInt64(m * 10 + n + 1))
    let a = generator.matrix(m, n)
    let r = Matrix(copying: a)
    #expect(triangularFactor(m, n, r.base))
    for j in 0..<m {
      for k in 0...j {
        let shared = min(n, k + 1)
        #expect(abs(dot(shared, r.row(j), r.row(k)) - dot(n, a.row(j), a.row(k))) < 1e-12)
      }
    }
  }
}
