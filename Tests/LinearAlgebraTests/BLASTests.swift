import LinearAlgebra
import Testing

@Suite struct BLASTests {
  @Test func generalProducts() {
    var generator = SeededGenerator(1)
    for (m, n, k) in [(1, 1, 1), (2, 3, 5), (7, 1, 4), (1, 9, 33), (17, 33, 8), (70, 5, 3)] {
      for (opA, opB) in [
        (Operation.plain, Operation.plain), (.plain, .transposed), (.transposed, .plain),
        (.transposed, .transposed),
      ] {
        let a = opA == .plain ? generator.matrix(m, k) : generator.matrix(k, m)
        let b = opB == .plain ? generator.matrix(k, n) : generator.matrix(n, k)
        let expected = naive(
          opA == .plain ? a : a.transposed, opB == .plain ? b : b.transposed)
        #expect(distance(product(a, opA, b, opB), expected) < 1e-12)

        // Leading dimensions, α and β; what lies beyond the columns stays.
        let c = generator.matrix(m, n)
        let (wideA, wideB) = (padded(a, to: a.columns + 3), padded(b, to: b.columns + 1))
        let wideC = padded(c, to: n + 2)
        gemm(
          m, n, k, alpha: -0.5, wideA.base, opA, lda: wideA.columns, wideB.base, opB,
          ldb: wideB.columns, beta: 2, wideC.base, ldc: wideC.columns)
        for i in 0..<c.count { c.base[i] = 2 * c.base[i] - 0.5 * expected.base[i] }
        #expect(distance(wideC, padded(c, to: n + 2)) < 1e-12)
      }
    }
  }

  @Test func productsWithNothing() {
    let c = Matrix(2, 2, [1, 2, 3, 4])
    let empty = Matrix(2, 0)
    gemm(2, 2, 0, empty.base, .plain, empty.base, .transposed, beta: 1, c.base)
    #expect(c.values == [1, 2, 3, 4])
    gemm(2, 2, 0, empty.base, .plain, empty.base, .transposed, c.base)
    #expect(c.values == [0, 0, 0, 0])
    let y = Matrix(1, 3, [1, 2, .nan])
    gemv(0, 2, empty.base, .transposed, empty.base, beta: 2, y.base)
    #expect(y.values[0] == 2 && y.values[1] == 4)
    gemv(0, 3, empty.base, .transposed, empty.base, y.base)
    #expect(y.values == [0, 0, 0])
    y.fill(5)
    gemv(3, 0, empty.base, .plain, empty.base, y.base)
    #expect(y.values == [0, 0, 0])
  }

  @Test func matrixVectorProducts() {
    var generator = SeededGenerator(2)
    for m in sizes {
      for n in [1, 4, 19] {
        for op in [Operation.plain, .transposed] {
          let a = generator.matrix(m, n)
          let (length, outputs) = op == .plain ? (n, m) : (m, n)
          let (x, y) = (generator.matrix(length, 1), generator.matrix(outputs, 1))
          let expected = naive(op == .plain ? a : a.transposed, x)
          for i in 0..<outputs { expected[i, 0] = 3 * expected[i, 0] - y[i, 0] }
          let wide = padded(a, to: n + 2)
          gemv(m, n, alpha: 3, wide.base, op, lda: n + 2, x.base, beta: -1, y.base)
          #expect(distance(y, expected) < 1e-12)
        }
      }
    }
  }

  @Test func rankUpdatesTouchOneTriangle() {
    var generator = SeededGenerator(3)
    for n in sizes {
      for k in [1, 6, 40] {
        let a = generator.matrix(k, n)
        let expected = naive(a.transposed, a)
        let c = Matrix(n, n)
        c.fill(9)
        let wider = padded(a, to: n + 4)
        syrkUpper(n, k, alpha: 0.5, wider.base, lda: n + 4, beta: 2, c.base)
        let rows = Matrix(n, n)
        rows.fill(9)
        let transposed = a.transposed
        syrkRowsUpper(n, k, transposed.base, rows.base)
        for i in 0..<n {
          for j in 0..<n {
            let value = expected[i, j]
            #expect(abs(c[i, j] - (j >= i ? 0.5 * value + 18 : 9)) < 1e-12)
            #expect(abs(rows[i, j] - (j >= i ? value : 9)) < 1e-12)
          }
        }
        let wide = Matrix(n, n + 3)
        syrkUpper(n, k, a.base, wide.base, ldc: n + 3)
        for i in 0..<n {
          for j in 0..<n + 3 {
            #expect(abs(wide[i, j] - (j >= i && j < n ? expected[i, j] : 0)) < 1e-12)
          }
        }
      }
      // A + α (x yᵀ + y xᵀ) below the diagonal.
      let a = generator.symmetric(n)
      let (x, y) = (generator.signed(n), generator.signed(n))
      let updated = Matrix(copying: a)
      syr2Lower(n, -2, x, y, updated.base)
      for i in 0..<n {
        for j in 0..<n {
          let change = j <= i ? -2 * (x[i] * y[j] + y[i] * x[j]) : 0
          #expect(abs(updated[i, j] - a[i, j] - change) < 1e-13)
        }
      }
    }
  }

  @Test func symmetricProductsReadOneTriangle() {
    var generator = SeededGenerator(4)
    for n in sizes {
      let a = generator.symmetric(n)
      let x = generator.matrix(3, n)
      let expected = naive(x, a)
      let wideUpper = padded(spoiled(a, lower: true), to: n + 2, filler: .nan)
      let wideLower = padded(spoiled(a, lower: false), to: n + 2, filler: .nan)
      let y = Matrix(3, n)
      symmUpper(n, wideUpper.base, lda: n + 2, x.base, count: 3, y.base)
      #expect(distance(y, expected) < 1e-12)
      for row in 0..<3 { symvUpper(n, wideUpper.base, lda: n + 2, x.row(row), y.row(row)) }
      #expect(distance(y, expected) < 1e-12)
      y.fill(.nan)
      for row in 0..<3 { symvLower(n, wideLower.base, lda: n + 2, x.row(row), y.row(row)) }
      #expect(distance(y, expected) < 1e-12)
    }
  }

  @Test func trianglesOfRows() {
    var generator = SeededGenerator(6)
    for n in sizes {
      // L⁻¹ of every row: multiplied by L it comes back, and the upper triangle is not read.
      let l = generator.matrix(n, n)
      for i in 0..<n { for j in 0..<n { l[i, j] = j < i ? l[i, j] : j == i ? 3 : 0 } }
      let factor = Matrix(copying: l)
      for i in 0..<n { for j in i + 1..<max(i + 1, n) { factor[i, j] = .nan } }
      let wide = padded(factor, to: n + 2, filler: .nan)
      let b = generator.matrix(5, n)
      let z = Matrix(copying: b)
      triangularSolveRows(n, wide.base, lda: n + 2, z.base, count: 5)
      #expect(distance(naive(z, l.transposed), b) < 1e-12)
    }
    triangularSolveRows(3, Matrix.identity(3).base, Matrix(0, 3).base, count: 0)
  }

  @Test func vectors() {
    var generator = SeededGenerator(5)
    for n in [0] + sizes {
      let (x, y) = (generator.signed(n), generator.signed(n))
      let products = zip(x, y).map { $0 * $1 }
      #expect(abs(dot(n, x, y) - products.reduce(0, +)) < 1e-13)
      #expect(abs(norm(n, x) - x.reduce(0) { $0 + $1 * $1 }.squareRoot()) < 1e-13)
      let target = Matrix(1, n, y)
      axpy(n, 2, x, target.base)
      scale(n, -3, target.base)
      #expect(zip(target.values, zip(x, y)).allSatisfy { abs($0 + 3 * (2 * $1.0 + $1.1)) < 1e-13 })
    }
    // The norm neither overflows nor underflows.
    #expect(abs(norm(2, [3e200, 4e200]) / 5e200 - 1) < 1e-14)
    #expect(abs(norm(2, [3e-200, 4e-200]) / 5e-200 - 1) < 1e-14)
  }
}
