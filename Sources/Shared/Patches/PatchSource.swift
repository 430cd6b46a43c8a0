import LinearAlgebra
import Schema
import Tensors

/// The patches of the samples of a `dataset` or `arrangements` bundle, read in blocks: from x, or cut from its images
/// if they are deferred.
///
/// The patches of a sample come region by region, so that those which are averaged lie together.
package final class PatchSource: @unchecked Sendable {
  /// n.
  package let count: Int
  /// K.
  package let patchCount: Int
  /// d.
  package let dimension: Int
  /// P_r, the patches of each of the R regions.
  package let regionSizes: [Int]
  /// The place at which each region begins among the K patches as they are read; R + 1 numbers.
  package let regionStarts: [Int]
  /// The number in `x` and in patterns of each of the K patches as they are read.
  package let order: [Int]
  /// The type in which the features are, or would be, written: F32 or F64.
  package let type: ElementType

  package var regions: Int { regionSizes.count }
  /// Further kinds of patches of the same samples.
  package let others: [PatchSource]

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

  /// F32 or F64 [n, K, d] or [n, d], if it is not deferred.
  package var stored: Tensor? {
    if case .stored(let x) = features { x } else { nil }
  }

  /// Reads a bundle of kind `dataset` or `arrangements`; throws `Failure.data` if its tensors and metadata do not fit
  /// each other.
  package init(_ bundle: Bundle, others: [PatchSource] = []) throws {
    self.others = others
    try bundle.expect(.dataset, .arrangements)
    let patches: Int
    if bundle[.x] == nil, bundle[.images] != nil {
      let deferred = try DeferredPatches(bundle)
      features = .deferred(deferred)
      type = deferred.type
      count = deferred.images.shape[0]
      patches = deferred.recipe.grid.count
      dimension = deferred.dimension
    } else {
      guard bundle[.images] == nil else {
        throw Failure.data("\(bundle.name) has both tensors \"x\" and \"images\", expected one")
      }
      let stored = try PatchTensor(bundle)
      try stored.x.expectFinite("x", of: bundle.name)
      features = .stored(stored.x)
      type = stored.x.type
      (count, patches, dimension) = (stored.samples, stored.patches, stored.dimension)
    }
    patchCount = patches
    let regions = try PoolingRegions(bundle, patches: patches)
    (regionSizes, regionStarts, order) = (regions.sizes, regions.starts, regions.order)
  }

  /// A reader with memory of its own; each thread needs one.
  package func reader(_ order: PatchOrder = .byRegion) -> PatchReader { PatchReader(self, order) }
}
