import LinearAlgebra
import Tensors

/// The patches of the samples of a `dataset` or `arrangements` bundle, read in blocks: whether they stand
/// there (x), or are yet to be cut from its images.
///
/// Patches of a sample come region by region, so that those which are averaged lie together.
package final class PatchSource: @unchecked Sendable {
  /// n.
  package let count: Int
  /// K.
  package let patchCount: Int
  /// d.
  package let dimension: Int
  /// P_r, the patches of each of the R regions.
  package let regionSizes: [Int]
  /// Where each region begins among the K patches as they are read; R + 1 numbers.
  package let regionStarts: [Int]
  /// The number in `x` and in patterns of each of the K patches as they are read.
  package let order: [Int]
  /// The type in which the features are, or would be, written: F32 or F64.
  package let type: ElementType

  package var regions: Int { regionSizes.count }

  /// F32 or F64 [n, K, d] or [n, d].
  private let x: Tensor

  package init(_ bundle: Bundle) throws {
    try bundle.expect(.dataset, .arrangements)
    x = try bundle.require("x", [.f32, .f64], ["[n, K, d]", "[n, d]"])
    guard x.count > 0 else { throw Failure.data("tensor \"x\" is \(x.summary): it is empty") }
    try x.expectFinite("x")
    type = x.type
    count = x.shape[0]
    let patches = x.shape.count == 3 ? x.shape[1] : 1
    patchCount = patches
    dimension = x.shape.last!
    let pool = try bundle.optional("pool", [.i32], ["[K]"])
    guard pool == nil || pool!.count == patches else {
      throw Failure.data(
        "tensor \"pool\" is \(pool!.summary), expected I32 [\(patches)], a region a patch")
    }
    let region = pool?.doubles.map { Int($0) } ?? Array(repeating: 0, count: patches)
    if let bad = region.first(where: { $0 < 0 || $0 >= patches }) {
      throw Failure.data(
        "tensor \"pool\" holds \(bad), expected regions from 0 to at most \(patches - 1)")
    }
    var sizes = [Int](repeating: 0, count: (region.max() ?? 0) + 1)
    for r in region { sizes[r] += 1 }
    if let empty = sizes.firstIndex(of: 0) {
      throw Failure.data("tensor \"pool\" has no patch in region \(empty)")
    }
    regionSizes = sizes
    regionStarts = sizes.reduce(into: [0]) { $0.append($0.last! + $1) }
    order = region.indices.sorted { (region[$0], $0) < (region[$1], $1) }
  }

  /// Something that reads, with memory of its own: one a thread.
  package func reader() -> PatchReader { PatchReader(self, x: x) }
}

/// Reads blocks of patches.
package final class PatchReader {
  private let source: PatchSource
  private let x: Tensor
  private let isOrdered: Bool
  private let room: UnsafeMutableBufferPointer<Double>

  init(_ source: PatchSource, x: Tensor) {
    self.source = source
    self.x = x
    isOrdered = source.order.elementsEqual(0..<source.patchCount)
    room = .allocate(capacity: source.patchCount * source.dimension)
  }

  deinit { room.deallocate() }

  /// The patches of `samples` in the order of `source.order`: K rows of d numbers a sample.
  package func read(_ samples: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    let (count, d) = (source.patchCount, source.dimension)
    if isOrdered {
      x.copyDoubles(samples.lowerBound * count * d..<samples.upperBound * count * d, into: target)
      return
    }
    for (place, i) in samples.enumerated() {
      x.copyDoubles(i * count * d..<(i + 1) * count * d, into: room.baseAddress!)
      for (k, patch) in source.order.enumerated() {
        (target + (place * count + k) * d).update(from: room.baseAddress! + patch * d, count: d)
      }
    }
  }
}
