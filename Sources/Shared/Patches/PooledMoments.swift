import LinearAlgebra

/// For each pooling region the average of x xᵀ, as its upper triangle row-major with the off-diagonals times √2 (so
/// that inner products are those of the whole matrices), then the average of x.
///
/// Each thread needs one.
final class PooledMoments {
  /// How many numbers a region has: d (d+1)/2 + d.
  static func length(_ d: Int) -> Int { d * (d + 1) / 2 + d }

  private let width: Int
  private let ranges: [Range<Int>]
  private let square: Matrix
  private let mean: Matrix
  private let ones: Matrix

  /// `ranges` are the rows of an image that belong to each region.
  init(width: Int, ranges: [Range<Int>]) {
    self.width = width
    self.ranges = ranges
    square = Matrix(width, width)
    mean = Matrix(1, width)
    ones = Matrix(1, ranges.map(\.count).max() ?? 0)
    ones.fill(1)
  }

  /// Writes the moments of one image, whose rows are at `rows`, to `target`: R × length numbers.
  func write(_ rows: UnsafePointer<Double>, to target: UnsafeMutablePointer<Double>) {
    write(rows, to: target) { $0 }
  }

  func write(_ rows: UnsafePointer<Double>, to target: UnsafeMutablePointer<Float>) {
    write(rows, to: target) { Float($0) }
  }

  @inline(__always)
  private func write<T>(
    _ rows: UnsafePointer<Double>, to target: UnsafeMutablePointer<T>,
    _ convert: (Double) -> T
  ) {
    let d = width
    let root = 2.0.squareRoot()
    var out = target
    for range in ranges {
      let x = rows + range.lowerBound * d
      let weight = 1 / Double(range.count)
      // M = XᵀX / P, μ = Xᵀ1 / P
      syrkUpper(d, range.count, alpha: weight, x, square.base)
      gemv(range.count, d, alpha: weight, x, .transposed, ones.base, mean.base)
      for i in 0..<d {
        let row = square.row(i)
        out[0] = convert(row[i])
        out += 1
        let above = row + i + 1
        for j in 0..<d - i - 1 { out[j] = convert(above[j] * root) }
        out += d - i - 1
      }
      for j in 0..<d { out[j] = convert(mean.base[j]) }
      out += d
    }
  }
}
