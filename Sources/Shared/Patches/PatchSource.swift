import LinearAlgebra
import Schema
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

  let features: Features

  enum Features {
    /// F32 or F64 [n, K, d] or [n, d].
    case stored(Tensor)
    case deferred(DeferredPatches)
  }

  /// Whether patches are cut when they are read.
  package var isDeferred: Bool {
    if case .deferred = features { true } else { false }
  }

  /// F32 or F64 [n, K, d] or [n, d], where it is not deferred.
  package var stored: Tensor? {
    if case .stored(let x) = features { x } else { nil }
  }

  /// Reads a bundle of kind `dataset` or `arrangements`; throws `Failure.data` where its tensors and metadata
  /// do not fit each other.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.dataset, .arrangements)
    let patches: Int
    if bundle.tensors["x"] == nil, bundle.tensors["images"] != nil {
      let deferred = try DeferredPatches(bundle)
      features = .deferred(deferred)
      type = deferred.type
      count = deferred.images.shape[0]
      patches = deferred.recipe.grid.count
      dimension = deferred.dimension
    } else {
      let x = try bundle.require("x", [.f32, .f64], ["[n, K, d]", "[n, d]"])
      guard bundle.tensors["images"] == nil else {
        throw Failure.data("\(bundle.name) has both tensors \"x\" and \"images\", expected one")
      }
      guard x.count > 0 else { throw Failure.data("tensor \"x\" is \(x.summary): it is empty") }
      try x.expectFinite("x")
      features = .stored(x)
      type = x.type
      count = x.shape[0]
      patches = x.shape.count == 3 ? x.shape[1] : 1
      dimension = x.shape.last!
    }
    patchCount = patches
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
  package func reader(_ order: PatchOrder = .byRegion) -> PatchReader { PatchReader(self, order) }
}
