import LinearAlgebra
import Testing

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
