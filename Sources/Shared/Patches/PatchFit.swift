import LinearAlgebra
import Schema

/// The statistics that are fitted to the patches of the training images.
package struct PatchFit: Sendable {
  /// The mean of all patches, d numbers; nil if it is not subtracted.
  package let mean: [Double]?
  /// d × N: a patch x becomes (x − mean) W.
  package let whiten: Matrix?

  /// What gives each channel the mean 0 and the deviation 1, a number for each feature and 0 and 1 for the constant.
  package let standardization: Standardization?

  package init(mean: [Double], whiten: Matrix?) {
    (self.mean, self.whiten, standardization) = (mean, whiten, nil)
  }

  package init(_ standardization: Standardization) {
    (mean, whiten, self.standardization) = (nil, nil, standardization)
  }
}
