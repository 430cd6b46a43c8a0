import Patches
import Tensors
import Testing

private let image = ImageShape(channels: 3, height: 12, width: 10)

@Test func gridsCountPositionsAsConvolutionsDo() throws {
  let grid = try PatchGrid(
    image: image, window: .square(size: 4, stride: 3, padding: 1), pooling: .grid(1))
  #expect(grid.rows == (12 + 2 - 4) / 3 + 1)
  #expect(grid.columns == (10 + 2 - 4) / 3 + 1)
  #expect(grid.features == 48)
  let whole = try PatchGrid(image: image, window: .wholeImage, pooling: .grid(1))
  #expect(whole.count == 1)
  #expect(whole.features == 360)
}

@Test func regionsDivideTheGridAsEvenlyAsTheyCan() throws {
  // 5 × 7 positions in 3 × 3 regions: rows 1, 2, 2 and columns 2, 2, 3.
  let grid = try PatchGrid(
    image: ImageShape(channels: 1, height: 5, width: 7),
    window: .square(size: 1, stride: 1, padding: 0), pooling: .grid(3))
  #expect(grid.regions == 9)
  let rows: [Int32] = [0, 1, 1, 2, 2]
  let columns: [Int32] = [0, 0, 1, 1, 2, 2, 2]
  #expect(grid.pool == rows.flatMap { r in columns.map { c in 3 * r + c } })
}

@Test func mirroredGridsHaveEveryPositionTwice() throws {
  func grid(_ pooling: Pooling, mirrored: Bool) throws -> PatchGrid {
    try PatchGrid(
      image: image, window: .square(size: 4, stride: 2, padding: 0), pooling: pooling,
      mirrored: mirrored)
  }
  for pooling in [Pooling.grid(2), .perPatch] {
    let (once, twice) = (
      try grid(pooling, mirrored: false), try grid(pooling, mirrored: true)
    )
    #expect(twice.positions == once.count && twice.count == 2 * once.count)
    #expect(twice.pool == once.pool + once.pool)
    #expect(twice.regions == once.regions)
  }
}

@Test func withoutPoolingEveryPatchIsARegion() throws {
  let grid = try PatchGrid(
    image: image, window: .square(size: 4, stride: 4, padding: 0), pooling: .perPatch)
  #expect(grid.pool == [0, 1, 2, 3, 4, 5])
  #expect(grid.regions == 6)
}

@Test(arguments: [
  (PatchWindow.square(size: 11, stride: 1, padding: 0), Pooling.grid(1), "do not fit"),
  (.square(size: 13, stride: 1, padding: 1), .grid(1), "do not fit"),
  (.square(size: .max, stride: 1, padding: 0), .grid(1), "do not fit"),
  (.square(size: .max, stride: .max, padding: .max - 1), .grid(1), "do not fit"),
  (.square(size: 4, stride: 1, padding: 4), .grid(1), "--padding 4"),
  (.square(size: 1 << 26, stride: 1, padding: 1 << 25), .grid(1), "too many"),
  (.square(size: 4, stride: 4, padding: 0), .grid(3), "3 × 2"),
  (.wholeImage, .grid(2), "1 × 1"),
])
func unsuitableGridsAreRefused(window: PatchWindow, pooling: Pooling, phrase: String) throws {
  let failure = try #require(throws: Failure.self) {
    _ = try PatchGrid(image: image, window: window, pooling: pooling)
  }
  #expect(failure.message.contains(phrase), "\(failure.message)")
}
