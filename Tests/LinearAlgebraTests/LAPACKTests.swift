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

@Suite struct SinglePrecisionTests {
  @Test func agreesWithDoublePrecision() {
    var generator = SeededGenerator(21)
    for n in sizes {
      let a = generator.positive(n)
      let b = generator.matrix(3, n)
      let lead = n + 2
      var factor = [Float](repeating: .nan, count: n * lead)
      for i in 0..<n { for j in 0...i { factor[i * lead + j] = Float(a[i, j]) } }
      #expect(choleskyLower(n, &factor, lda: lead))
      let exact = Matrix(copying: a)
      #expect(choleskyLower(n, exact.base))
      var x = b.values.map { Float($0) }
      choleskySolve(n, factor, lda: lead, &x, count: 3)
      let expected = Matrix(copying: b)
      choleskySolve(n, exact.base, expected.base, count: 3)
      for k in 0..<3 * n { #expect(abs(Double(x[k]) - expected.base[k]) < 1e-4) }
      var z = b.values.map { Float($0) }
      triangularSolveRows(n, factor, lda: lead, &z, count: 3)
      let half = Matrix(copying: b)
      triangularSolveRows(n, exact.base, half.base, count: 3)
      for k in 0..<3 * n { #expect(abs(Double(z[k]) - half.base[k]) < 1e-4) }
      var c = [Float](repeating: 2, count: 9)
      let rows = b.values.map { Float($0) }
      gemm(3, 3, n, alpha: 2, rows, .plain, rows, .transposed, beta: -1, &c)
      let product = naive(b, b.transposed)
      for k in 0..<9 { #expect(abs(Double(c[k]) - 2 * product.base[k] + 2) < 1e-4) }
    }
    var singular: [Float] = [1, 0, 1, 1]
    #expect(!choleskyLower(2, &singular))
    var broken: [Float] = [.nan, 0, 1, 1]
    #expect(!choleskyLower(2, &broken))
  }
}
