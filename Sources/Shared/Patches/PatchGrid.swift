import Tensors

/// The size of an image.
package struct ImageShape: Sendable, Equatable, CustomStringConvertible {
  package var channels: Int
  package var height: Int
  package var width: Int

  package init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  package var count: Int { channels * height * width }
  package var description: String {
    "\(channels) channel\(channels == 1 ? "" : "s") of \(height) × \(width) pixels"
  }
}

/// The places of an image's patches, and which of them are averaged.
///
/// Positions are counted row by row. As in convolutional layers, positions are left out at which the window would leave
/// the padded image. If the grid is mirrored, the positions of the image's mirror image follow, and are averaged with
/// those of the image.
package struct PatchGrid: Sendable {
  package let image: ImageShape
  package let patchHeight: Int
  package let patchWidth: Int
  package let stride: Int
  package let padding: Int
  /// Positions from top to bottom and from left to right.
  package let rows: Int
  package let columns: Int
  /// Whether patches are cut from the image and from its mirror image, left for right.
  package let isMirrored: Bool
  /// R, the number of regions.
  package let regions: Int
  /// The region of each of the K positions.
  package let pool: [Int32]

  /// Positions on one image.
  package var positions: Int { rows * columns }
  /// K, the number of patches.
  package var count: Int { pool.count }
  /// Features of a patch as it is cut: channels × height × width of the window, in this order.
  package var features: Int { image.channels * patchHeight * patchWidth }
  package var paddedHeight: Int { image.height + 2 * padding }
  package var paddedWidth: Int { image.width + 2 * padding }

  /// The largest count of numbers of one image's patches, or of the image with its border.
  private static let limit = 1 << 27

  /// Throws `Failure.usage` if window or pooling do not suit the images.
  package init(
    image: ImageShape, window: PatchWindow, pooling: Pooling, mirrored: Bool = false
  ) throws {
    self.image = image
    isMirrored = mirrored
    switch window {
    case .wholeImage:
      (patchHeight, patchWidth, stride, padding) = (image.height, image.width, 1, 0)
    case .square(let size, let stride, let padding):
      precondition(size >= 1 && stride >= 1 && padding >= 0, "window of no size")
      guard padding < size else {
        throw Failure.usage("--padding \(padding) must be less than the patch size \(size)")
      }
      guard max(size, padding) <= PatchGrid.limit,
        size <= min(image.height, image.width) + 2 * padding
      else {
        throw Failure.usage(
          "patches of \(size) × \(size) pixels do not fit into images of \(image.height) × "
            + "\(image.width)" + (padding > 0 ? " with a border of \(padding)" : ""))
      }
      (patchHeight, patchWidth) = (size, size)
      (self.stride, self.padding) = (stride, padding)
    }
    rows = (image.height + 2 * padding - patchHeight) / stride + 1
    columns = (image.width + 2 * padding - patchWidth) / stride + 1

    guard PatchGrid.fits(image.channels, image.height + 2 * padding, image.width + 2 * padding),
      PatchGrid.fits(mirrored ? 2 : 1, rows, columns, image.channels, patchHeight, patchWidth)
    else {
      throw Failure.usage(
        "the patches of one image (\(rows) × \(columns) of \(patchHeight) × \(patchWidth) pixels) "
          + "are too many: use a larger stride")
    }

    let region: [Int32]
    (region, regions) = try PatchGrid.regions(pooling, rows: rows, columns: columns)
    pool = mirrored ? region + region : region
  }

  /// Whether the product of `factors` is at most `limit`.
  private static func fits(_ factors: Int...) -> Bool {
    var product = 1
    for factor in factors {
      let (next, overflow) = product.multipliedReportingOverflow(by: factor)
      if overflow || next > limit { return false }
      product = next
    }
    return true
  }

  /// The region of each position of a grid, and the number of regions.
  private static func regions(
    _ pooling: Pooling, rows: Int, columns: Int
  ) throws -> (ofPositions: [Int32], count: Int) {
    switch pooling {
    case .perPatch:
      return ((0..<rows * columns).map { Int32($0) }, rows * columns)
    case .grid(let grid):
      guard grid <= min(rows, columns) else {
        throw Failure.usage(
          "--pool \(grid) needs at least \(grid) × \(grid) patches, an image has "
            + "\(rows) × \(columns)")
      }
      // Region g holds the rows H g/G ..< H (g+1)/G: sizes differ by at most one.
      func parts(_ total: Int) -> [Int] {
        (0..<grid).flatMap { g in
          Array(repeating: g, count: total * (g + 1) / grid - total * g / grid)
        }
      }
      let (rowParts, columnParts) = (parts(rows), parts(columns))
      return (
        rowParts.flatMap { r in columnParts.map { c in Int32(r * grid + c) } }, grid * grid
      )
    }
  }

  /// The positions in the order of their regions, and the range of each region in that order.
  var byRegion: (order: [Int], ranges: [Range<Int>]) {
    var members = [[Int]](repeating: [], count: regions)
    for (position, region) in pool.enumerated() { members[Int(region)].append(position) }
    var start = 0
    let ranges = members.map { member in
      defer { start += member.count }
      return start..<start + member.count
    }
    return (members.flatMap { $0 }, ranges)
  }
}
