import LinearAlgebra

/// How many numbers hold the moments of a region: d(d+1)/2 + d.
func momentCount(dimension d: Int) -> Int { d * (d + 1) / 2 + d }

/// Reads the moments of samples, block by block, in double precision, whatever the features are. Each thread needs its
/// own.
struct MomentReader {
  private let features: Examples.Features
  private let reader: PatchBlockReader?
  private let patches: Matrix
  private let square: Matrix

  /// A reader of at most `limit` samples at once.
  init(_ features: Examples.Features, limit: Int) {
    self.features = features
    switch features {
    case .patches(let source):
      reader = source.reader()
      patches = Matrix(limit * source.patchCount, source.dimension)
      square = Matrix(source.dimension, source.dimension)
    case .moments:
      reader = nil
      patches = Matrix(0, 0)
      square = Matrix(0, 0)
    }
  }

  /// Fills the rows of `block` with the moments of `samples`, all regions side by side. Returns `false` if a feature is
  /// not a finite number.
  func read(_ samples: Range<Int>, into block: UnsafeMutablePointer<Double>) -> Bool {
    switch features {
    case .moments(let source):
      let row = source.regions * source.moments.shape[2]
      source.moments.copyDoubles(samples.lowerBound * row..<samples.upperBound * row, into: block)
      return areFinite(block, samples.count * row)
    case .patches(let source):
      guard reader!.readRegions(samples, into: patches.base) else { return false }
      let (n, d) = (samples.count, source.dimension)
      var target = block
      for i in 0..<n {
        for (region, size) in source.pooling.sizes.enumerated() {
          let first = n * source.pooling.starts[region] + i * size
          pool(patches.row(first), count: size, d, into: target)
          target += momentCount(dimension: d)
        }
      }
      return true
    }
  }

  /// The moments of `count` patches.
  private func pool(
    _ x: UnsafePointer<Double>, count: Int, _ d: Int, into target: UnsafeMutablePointer<Double>
  ) {
    let weight = 1 / Double(count)
    // M = (1/P) Σ x xᵀ
    syrkUpper(d, count, alpha: weight, x, square.base)
    var out = target
    for j in 0..<d {
      let row = square.row(j)
      out[0] = row[j]
      for k in j + 1..<max(j + 1, d) { out[k - j] = row[k] * 2.0.squareRoot() }
      out += d - j
    }
    // μ = (1/P) Σ x
    for j in 0..<d { out[j] = 0 }
    for patch in 0..<count { axpy(d, weight, x + patch * d, out) }
  }
}
