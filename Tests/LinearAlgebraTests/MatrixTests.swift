import LinearAlgebra
import Testing

@Suite struct MatrixTests {
  @Test func layout() {
    let a = Matrix(2, 3, [1, 2, 3, 4, 5, 6])
    #expect(a[1, 0] == 4 && a.row(1)[2] == 6 && a.count == 6)
    #expect(a.transposed.values == [1, 4, 2, 5, 3, 6])
    let copy = Matrix(copying: a)
    copy[0, 0] = 9
    #expect(a[0, 0] == 1 && copy.values[1...] == a.values[1...])
    #expect(Matrix(3, 4).values == [Double](repeating: 0, count: 12))
    #expect(Matrix.identity(2).values == [1, 0, 0, 1])
    #expect(Matrix(0, 5).values.isEmpty && Matrix(5, 0, []).count == 0)
    copy.fill(2)
    #expect(copy.values.allSatisfy { $0 == 2 })
    copy.copy(from: a)
    #expect(copy.values == a.values)
  }

  @Test func triangles() {
    var generator = SeededGenerator(21)
    for n in [0, 1, 2, 31, 32, 33, 65, 100] {
      let a = generator.matrix(n, n)
      let (upper, lower, mean) = (Matrix(copying: a), Matrix(copying: a), Matrix(copying: a))
      upper.mirrorUpper()
      lower.mirrorLower()
      mean.symmetrize()
      var holds = true
      for i in 0..<n {
        for j in 0..<n {
          holds = holds && upper[i, j] == a[min(i, j), max(i, j)]
          holds = holds && lower[i, j] == a[max(i, j), min(i, j)]
          holds = holds && abs(mean[i, j] - 0.5 * (a[i, j] + a[j, i])) < 1e-15
          holds = holds && mean[i, j] == mean[j, i]
        }
      }
      #expect(holds, "order \(n)")
    }
  }

  @Test func whatIsNotFiniteIsSeen() {
    for bad in [Double.nan, .infinity, -.infinity] {
      let a = Matrix(2, 2, [1, 2, 3, bad])
      #expect(!a.isFinite)
      a[1, 1] = 1e308
      #expect(a.isFinite)
    }
  }
}
