import Evaluation
import LinearAlgebra
import Testing

@Test func productsKeepWhatCancels() {
  // Columns of B that are nearly orthogonal to the rows of A, which are multiples of one another:
  // all but the last digits cancel.
  let (m, n, k) = (3, 11, 512)
  var generator = SeededGenerator(3)
  let first = generator.signed(k)
  let a = Matrix(m, k, (0..<m).flatMap { i in first.map { $0 * 1e6 * Double(i + 1) } })
  let b = Matrix(k, n, generator.signed(k * n))
  let square = first.reduce(0) { $0 + $1 * $1 }
  for j in 0..<n {
    let share = (0..<k).reduce(0) { $0 + first[$1] * b[$1, j] } / square
    for l in 0..<k { b[l, j] -= share * first[l] }
  }
  let high = Matrix(m, n)
  let low = Matrix(m, n)
  AccurateProduct(m: m, n: n, k: k).add(
    m, n, k, a.base, lda: k, b.base, ldb: n, high: high.base, low: low.base, ld: n)
  let plain = product(a, .plain, b, .plain)
  var worst = (accurate: 0.0, plain: 0.0)
  for i in 0..<m {
    for j in 0..<n {
      // Each product in two doubles, so that only the sum of few small terms rounds.
      var sum = CompensatedSum()
      for l in 0..<k { sum.add(a[i, l], times: b[l, j]) }
      worst.accurate = max(worst.accurate, abs(high[i, j] + low[i, j] - sum.value))
      worst.plain = max(worst.plain, abs(plain[i, j] - sum.value))
    }
  }
  // What the small parts may round: two products of k terms, one factor of each 2⁻²² of its size.
  let sizes = (a.values.map(abs).max() ?? 0) * (b.values.map(abs).max() ?? 0)
  let rounding = 2 * Double(k) * 0x1p-53 * 0x1p-22 * sizes
  #expect(worst.accurate <= rounding)
  #expect(worst.plain > 1e3 * worst.accurate, "the test must cancel enough to tell them apart")
}

@Test func productsAddUp() {
  var generator = SeededGenerator(4)
  let a = Matrix(2, 20, generator.signed(40))
  let b = Matrix(20, 9, generator.signed(180))
  let product = AccurateProduct(m: 2, n: 9, k: 12)
  let high = Matrix(2, 9)
  let low = Matrix(2, 9)
  for (start, count) in [(0, 12), (12, 8)] {
    product.add(
      2, 9, count, a.base + start, lda: 20, b.row(start), ldb: 9, high: high.base, low: low.base,
      ld: 9)
  }
  let whole = LinearAlgebra.product(a, .plain, b, .plain)
  for l in 0..<18 { #expect(abs(high.base[l] + low.base[l] - whole.base[l]) < 1e-14) }
}

@Test func sumsKeepSmallTerms() {
  var sum = CompensatedSum()
  for term in [1e16, 1, 1, 1, -1e16] { sum.add(term) }
  #expect(sum.value == 3)
  var square = CompensatedSum()
  let x = 1 + Double.ulpOfOne
  square.add(x, times: x)
  square.add(-1 - 2 * Double.ulpOfOne)
  #expect(square.value == Double.ulpOfOne * Double.ulpOfOne)
}
