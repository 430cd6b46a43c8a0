import LinearAlgebra
import Patches
import Schema
import Tensors

/// The patches of the samples of a `dataset` or `arrangements` bundle: x, F32 or F64 [n, K, d], or [n, d] for K = 1, or
/// the images to cut them from; and the pooling region of each patch, I32 [K].
package struct PatchFeatures: Sendable {
  package let count: Int
  package let patchCount: Int
  package let dimension: Int
  /// The regions of the K patches.
  let pooling: PoolingRegions
  /// x; `nil` if patches are yet to be cut.
  package let tensor: Tensor?
  /// The source that cuts patches from images.
  fileprivate let source: PatchSource?
  /// The features as messages show them.
  let summary: String

  init(_ bundle: Bundle) throws {
    if bundle[.x] == nil, bundle[.images] != nil {
      let source = try PatchSource(bundle)
      self.source = source
      tensor = nil
      (count, patchCount, dimension) = (source.count, source.patchCount, source.dimension)
      pooling = try PoolingRegions(bundle, patches: patchCount)
      summary = "the images of \(bundle.name) have patches [\(count), \(patchCount), \(dimension)]"
      return
    }
    source = nil
    let stored = try PatchTensor(bundle)
    tensor = stored.x
    summary = "tensor \"x\" of \(bundle.name) is \(stored.x.summary)"
    (count, patchCount, dimension) = (stored.samples, stored.patches, stored.dimension)
    pooling = try PoolingRegions(bundle, patches: patchCount)
  }

  /// A reader with memory of its own; each thread needs one.
  func reader() -> PatchBlockReader { PatchBlockReader(self) }
}

/// Reads blocks of patches in double precision.
final class PatchBlockReader {
  private let features: PatchFeatures
  private let cutter: PatchReader?
  /// Patches that lie together both in x and in the order of regions.
  private let runs: [(patch: Int, place: Int, count: Int)]
  private var room: Matrix

  fileprivate init(_ features: PatchFeatures) {
    self.features = features
    cutter = features.source?.reader()
    var runs: [(patch: Int, place: Int, count: Int)] = []
    for (place, patch) in features.pooling.order.enumerated() {
      let startsRegion = features.pooling.starts.contains(place)
      if let last = runs.last, last.patch + last.count == patch, !startsRegion {
        runs[runs.count - 1].count += 1
      } else {
        runs.append((patch, place, 1))
      }
    }
    self.runs = runs
    room = Matrix(0, 0)
  }

  /// Copies the patches of `samples` to `block`, sample by sample, those of region 0 first. Returns `false` if one is
  /// not a finite number.
  func read(_ samples: Range<Int>, into block: UnsafeMutablePointer<Double>) -> Bool {
    let (k, d) = (features.patchCount, features.dimension)
    if let cutter {
      cutter.read(samples, into: block)
    } else if let x = features.tensor, features.pooling.order.elementsEqual(0..<k) {
      x.copyDoubles(samples.lowerBound * k * d..<samples.upperBound * k * d, into: block)
    } else if let x = features.tensor {
      for (place, i) in samples.enumerated() {
        for run in runs {
          let from = (i * k + run.patch) * d
          x.copyDoubles(from..<from + run.count * d, into: block + (place * k + run.place) * d)
        }
      }
    }
    return areFinite(block, samples.count * k * d)
  }

  /// The same region by region: for each region the patches of the first sample, of the second, and so on.
  func readRegions(_ samples: Range<Int>, into block: UnsafeMutablePointer<Double>) -> Bool {
    guard features.pooling.sizes.count > 1, samples.count > 1 else {
      return read(samples, into: block)
    }
    let (n, k, d) = (samples.count, features.patchCount, features.dimension)
    if room.count < n * k * d { room = Matrix(n * k, d) }
    guard read(samples, into: room.base) else { return false }
    for (start, size) in zip(features.pooling.starts, features.pooling.sizes) {
      for i in 0..<n {
        (block + (n * start + i * size) * d).update(
          from: room.base + (i * k + start) * d, count: size * d)
      }
    }
    return true
  }
}

/// Whether all of `values` are finite numbers.
func areFinite(_ values: UnsafePointer<Double>, _ count: Int) -> Bool {
  // v · 0 is 0 for a finite v and NaN for all others; eight sums at once.
  var sums = SIMD8<Double>.zero
  let whole = count / 8 * 8
  for i in stride(from: 0, to: whole, by: 8) {
    sums += UnsafeRawPointer(values + i).loadUnaligned(as: SIMD8<Double>.self) * 0
  }
  var sum = sums.sum()
  for i in whole..<count { sum += values[i] * 0 }
  return sum == 0
}
