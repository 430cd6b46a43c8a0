/// Cuts the patches of one image after another (im2col), scaled and normalised in contrast; or those of what earlier
/// layers make of an image.
///
/// Holds one image's memory: each thread needs a cutter of its own.
final class PatchCutter {
  private let grid: PatchGrid
  private let table: [Double]
  /// What earlier layers make of the image; nil if there are none.
  private let maps: LayerMaps?
  private let contrast: ContrastNormalization?
  /// The scaled image within its border of zeros; then its mirror image, if the grid is mirrored.
  private let canvas: UnsafeMutablePointer<Double>
  /// The place on the canvas at which each patch starts, in the order wanted.
  private let origins: [Int]
  /// The place, relative to that, at which each channel and row of a patch starts.
  private let runs: [Int]

  /// `order` lists the positions to cut.
  init(grid: PatchGrid, steps: PatchSteps, layers: LayerStack, order: [Int]) {
    self.grid = grid
    table = steps.scale.table
    maps = layers.layers.isEmpty ? nil : LayerMaps(layers, mirrored: grid.isMirrored)
    contrast = steps.contrast.map {
      ContrastNormalization(epsilon: $0, magnitude: layers.magnitude(of: steps.scale))
    }
    let (height, width) = (grid.paddedHeight, grid.paddedWidth)
    let size = grid.image.channels * height * width
    let sides = grid.isMirrored ? 2 : 1
    canvas = .allocate(capacity: sides * size)
    canvas.initialize(repeating: 0, count: sides * size)
    origins = order.map { patch in
      let (side, position) = patch.quotientAndRemainder(dividingBy: grid.positions)
      return side * size
        + (position / grid.columns * width + position % grid.columns) * grid.stride
    }
    runs = (0..<grid.image.channels).flatMap { channel in
      (0..<grid.patchHeight).map { row in (channel * height + row) * width }
    }
  }

  deinit { canvas.deallocate() }

  /// Writes the patches of the image at `pixels` to `rows`, each `leading` after the one before.
  func cut(
    _ pixels: UnsafePointer<UInt8>, into rows: UnsafeMutablePointer<Double>, leading: Int
  ) {
    if let maps {
      // The map of the mirror image is another than the mirror image of the map.
      paint(maps.map(of: pixels, mirrored: false), side: 0, mirrored: false) { $0 }
      if grid.isMirrored {
        paint(maps.map(of: pixels, mirrored: true), side: 1, mirrored: false) { $0 }
      }
    } else {
      table.withUnsafeBufferPointer { table in
        paint(pixels, side: 0, mirrored: false) { table[Int($0)] }
        if grid.isMirrored { paint(pixels, side: 1, mirrored: true) { table[Int($0)] } }
      }
    }
    let width = grid.patchWidth
    let features = grid.features
    runs.withUnsafeBufferPointer { runs in
      for (k, origin) in origins.enumerated() {
        let row = rows + k * leading
        var target = UnsafeMutableRawPointer(row)
        for run in runs {
          let source = UnsafeRawPointer(canvas + origin + run)
          var i = 0
          // A loop, because for a few numbers a call of memcpy costs more than the copy.
          while i + 4 <= width {
            target.storeBytes(
              of: source.loadUnaligned(fromByteOffset: i * 8, as: SIMD4<Double>.self),
              toByteOffset: i * 8, as: SIMD4<Double>.self)
            i += 4
          }
          while i < width {
            target.storeBytes(
              of: source.load(fromByteOffset: i * 8, as: Double.self), toByteOffset: i * 8,
              as: Double.self)
            i += 1
          }
          target += width * 8
        }
        contrast?.apply(row, count: features)
      }
    }
  }

  /// Writes an image [channels, height, width] to its side of the canvas.
  @inline(__always)
  private func paint<Pixel>(
    _ pixels: UnsafePointer<Pixel>, side: Int, mirrored: Bool, _ value: (Pixel) -> Double
  ) {
    let (height, width) = (grid.image.height, grid.image.width)
    let canvas = canvas + side * grid.image.channels * grid.paddedHeight * grid.paddedWidth
    var source = pixels
    for channel in 0..<grid.image.channels {
      for row in 0..<height {
        let target =
          canvas + (channel * grid.paddedHeight + row + grid.padding) * grid.paddedWidth
          + grid.padding
        if mirrored {
          for x in 0..<width { target[x] = value(source[width - 1 - x]) }
        } else {
          for x in 0..<width { target[x] = value(source[x]) }
        }
        source += width
      }
    }
  }
}
