import LinearAlgebra

/// Sums over the active patches of each region, F_jir = Σ_{k in r} D_i^k x_jk, for blocks of samples j and all of some
/// patterns i: a convolutional network with average pooling is linear in them. Nothing larger than a block is ever in
/// memory. Each thread needs an object of its own.
final class PooledFeatures {
  private let features: PatchFeatures
  private let reader: PatchBlockReader
  let masks: PatternMasks
  /// How many patterns there are.
  let count: Int
  /// Numbers for each sample: patterns × R × d.
  let width: Int
  /// The largest number of samples in `update`.
  let limit: Int
  /// How many samples have their masks in memory at once.
  private let step: Int
  /// Patches of the samples, K × d for each, and F.
  let patches, sums: Matrix

  init(_ features: PatchFeatures, _ active: ActivePatches) {
    self.features = features
    reader = features.reader()
    count = active.count
    width = count * features.pooling.sizes.count * features.dimension
    // Some 8 MB of sums or patches, and masks that stay in the cache.
    let size = max(width, features.patchCount * features.dimension, 1)
    limit = max(1, min(128, (1 << 20) / size))
    step = max(1, min(limit, 1024 / features.patchCount))
    masks = PatternMasks(active, limit: step * features.patchCount)
    patches = Matrix(limit * features.patchCount, features.dimension)
    sums = Matrix(limit, width)
  }

  /// Reads `samples`, at most `limit`, and fills the first rows of `sums`. `visit` sees some of them at a time, the
  /// place of the first in the block, and their masks. Returns `false` if a patch is not finite.
  func update(
    _ samples: Range<Int>, visit: (_ some: Range<Int>, _ place: Int) -> Void = { _, _ in }
  ) -> Bool {
    guard reader.read(samples, into: patches.base) else { return false }
    let (k, d) = (features.patchCount, features.dimension)
    let regions = features.pooling.sizes.count
    for start in stride(from: samples.lowerBound, to: samples.upperBound, by: step) {
      let some = start..<min(samples.upperBound, start + step)
      let place = start - samples.lowerBound
      masks.update(
        patches.row(place * k), samples: some, patchCount: k, dimension: d)
      for i in 0..<some.count {
        for (region, size) in features.pooling.sizes.enumerated() {
          let first = features.pooling.starts[region]
          // F_r = D_r X_r
          gemm(
            count, d, size, masks.values.base + i * k + first, .plain, lda: masks.values.columns,
            patches.row((place + i) * k + first), .plain, sums.row(place + i) + region * d,
            ldc: regions * d)
        }
      }
      visit(some, place)
    }
    return true
  }
}
