import LinearAlgebra

/// The statistics that are fitted to the patches of the training images.
package struct PatchFit: Sendable {
  /// The mean of all patches, d numbers.
  package let mean: [Double]
  /// d × N: a patch x becomes (x − mean) W.
  package let whiten: Matrix?

  package init(mean: [Double], whiten: Matrix?) {
    self.mean = mean
    self.whiten = whiten
  }
}
