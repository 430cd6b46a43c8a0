/// The places at which patches are cut.
package enum PatchWindow: Sendable, Equatable {
  /// Squares of `size` pixels, `stride` apart, on the image with a border of `padding` zeros.
  case square(size: Int, stride: Int, padding: Int)
  /// One patch: the image.
  case wholeImage
}

/// The patches over which a network averages.
package enum Pooling: Sendable, Equatable {
  /// Over each region of a grid of G × G regions; 1 is global average pooling.
  case grid(Int)
  /// No average: each patch is a region of its own.
  case perPatch

  /// Reads a number of at least 1, or `none`.
  package init?(_ text: String) {
    if text == "none" {
      self = .perPatch
    } else if let grid = Int(text), grid >= 1 {
      self = .grid(grid)
    } else {
      return nil
    }
  }

  package var text: String {
    switch self {
    case .grid(let grid): "\(grid)"
    case .perPatch: "none"
    }
  }
}

/// All choices about the way from images to features, in the order of the steps: scale, cut, normalise the contrast,
/// centre and whiten, append a constant.
package struct PatchSteps: Sendable, Equatable {
  /// Features are pixels scaled to [−1, 1] by default.
  package var scale = PixelScale()
  package var window = PatchWindow.square(size: 4, stride: 4, padding: 0)
  package var pooling = Pooling.grid(1)
  /// Cut patches of the mirror image too: a network then has the same output for an image and its mirror image.
  package var mirrors = false
  /// ε of x ← (x − mean x)/√(variance x + ε), of each patch by itself, in scaled pixels squared;
  /// `nil` leaves the contrast as it is.
  package var contrast: Double?
  /// Subtract the mean of all patches.
  package var centers = false
  /// ε of the whitening, in units of the mean eigenvalue; `nil` does not whiten. Whitening centres.
  package var whitening: Double?
  /// PCA to so many dimensions; `nil` is ZCA, which keeps them all.
  package var components: Int?
  /// Give the features of each channel the mean 0 and the deviation 1 over all patches; excludes contrast, centring and
  /// whitening.
  package var standardizes = false
  /// Append the constant 1 to every patch.
  package var bias = false

  package init() {}

  /// Whether the steps need statistics of the data, so that the images are read twice.
  package var needsFit: Bool { centers || whitening != nil || standardizes }
}
