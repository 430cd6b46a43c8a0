/// Resizing by area averages: a new pixel is the mean of the picture over the area that it covers,
/// parts of old pixels included.
///
/// Exact for every ratio: lengths are counted in units in which the borders of old and of new pixels
/// are whole numbers, the sums are integers, and the mean is rounded once, halves upwards.
struct AreaAverage {
  private let rows: Overlaps
  private let columns: Overlaps
  /// The largest number of pixels of a plane that can be averaged: its sums stay below 2³².
  static let limit = (1 << 32) / 256

  /// For planes of the first size that become planes of the second. `height × width` is at most `limit`.
  init(height: Int, width: Int, toHeight: Int, toWidth: Int) {
    precondition(height * width <= AreaAverage.limit, "the picture is too large")
    rows = Overlaps(from: height, to: toHeight)
    columns = Overlaps(from: width, to: toWidth)
  }

  /// The size of `apply`'s workspace.
  var scratch: Int { columns.length }

  /// Averages one plane; `sums` has room for `scratch` numbers.
  func apply(
    _ source: UnsafePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>,
    sums: UnsafeMutablePointer<UInt32>
  ) {
    let area = UInt32(rows.length * columns.length)
    var out = target
    for row in rows.starts.indices {
      let (first, weights) = rows[row]
      sums.update(repeating: 0, count: columns.length)
      for (i, weight) in weights.enumerated() {
        let line = source + (first + i) * columns.length
        for x in 0..<columns.length { sums[x] &+= weight &* UInt32(line[x]) }
      }
      for column in columns.starts.indices {
        let (first, weights) = columns[column]
        var sum: UInt32 = area / 2
        for (i, weight) in weights.enumerated() { sum &+= weight &* sums[first + i] }
        out.pointee = UInt8(truncatingIfNeeded: sum / area)
        out += 1
      }
    }
  }
}

/// The overlaps of a line of `length` pixels with a line of another length that covers the same, in units of which each
/// old pixel has as many as there are new pixels, and each new pixel as many as there are old ones.
private struct Overlaps {
  let length: Int
  /// The first old pixel under each new one, and the place of its weights.
  private(set) var starts: [(pixel: Int, weight: Int)] = []
  private var weights: [UInt32] = []

  init(from length: Int, to count: Int) {
    self.length = length
    for i in 0..<count {
      let (begin, end) = (i * length, (i + 1) * length)
      starts.append((begin / count, weights.count))
      for pixel in begin / count..<(end + count - 1) / count {
        let overlap = min(end, (pixel + 1) * count) - max(begin, pixel * count)
        weights.append(UInt32(overlap))
      }
    }
  }

  /// The old pixels under new pixel `i`: the first one, and the weights of it and of its successors. The weights sum to
  /// `length`.
  subscript(i: Int) -> (first: Int, weights: ArraySlice<UInt32>) {
    let end = i + 1 < starts.count ? starts[i + 1].weight : weights.count
    return (starts[i].pixel, weights[starts[i].weight..<end])
  }
}
