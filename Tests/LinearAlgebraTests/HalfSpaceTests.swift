import LinearAlgebra
import Testing

@Test func sumsOfProductsKeepWhatCancels() {
  #expect(accurateDot(3, [1e16, 1, -1e16], [1, 1, 1]) == 1)
  #expect(accurateDot(0, [], []) == 0)
  // (1 + ε)(1 − ε) − 1 = −ε², which the product alone rounds away.
  let e = 0x1p-30
  #expect(accurateDot(2, [1 + e, -1], [1 - e, 1]) == -e * e)
}

@Test func onlyProductsNextToTheirThresholdAreSummedAnew() {
  // A value that was rounded to 0: −ε² is below.
  let e = 0x1p-30
  let (x, g) = ([1 + e, -1], [1 - e, 1.0])
  #expect(comparableProduct(0, to: 0, scale: 2, 2, x, g) == -e * e)
  #expect(comparableProduct(0.5, to: 0.5, scale: 2, 2, x, g) == -e * e)
  // One that no rounding explains stays.
  #expect(comparableProduct(1e-9, to: 0, scale: 2, 2, x, g) == 1e-9)
  #expect(comparableProduct(.infinity, to: 0, scale: 2, 2, x, g) == .infinity)
}
