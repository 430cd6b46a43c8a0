import Tensors

/// The patches of samples as a bundle holds them: `x`.
package struct PatchTensor: Sendable {
  /// F32 or F64 [n, K, d], or [n, d] for K = 1.
  package let x: Tensor
  /// n, K and d.
  package let samples: Int
  package let patches: Int
  package let dimension: Int

  /// Throws `Failure.data` if the tensor is missing, of another type or shape, or empty.
  package init(_ bundle: Bundle) throws {
    x = try bundle.require(.x)
    guard x.count > 0 else {
      let missing = x.shape[0] == 0 ? "samples" : x.shape.last == 0 ? "features" : "patches"
      throw Failure.data("tensor \"x\" of \(bundle.name) is \(x.summary): it has no \(missing)")
    }
    (samples, dimension) = (x.shape[0], x.shape.last!)
    patches = x.shape.count == 3 ? x.shape[1] : 1
  }
}

/// The pooled moments of samples as a bundle holds them: of each region the mean of x xᵀ as its upper triangle,
/// row-major, off the diagonal times √2, then the mean of x.
package struct MomentTensor: Sendable {
  /// F32 or F64 [n, R, d(d+1)/2+d].
  package let moments: Tensor
  /// n, R and d.
  package let samples: Int
  package let regions: Int
  package let dimension: Int

  /// Throws `Failure.data` if the tensor is missing, of another type or shape, or empty.
  package init(_ bundle: Bundle) throws {
    moments = try bundle.require(.moments)
    (samples, regions) = (moments.shape[0], moments.shape[1])
    // Checked first: only what holds data has dimensions that are not larger than memory.
    guard samples > 0, regions > 0 else {
      throw Failure.data(
        "tensor \"moments\" of \(bundle.name) is \(moments.summary): it has no "
          + (samples == 0 ? "samples" : "regions"))
    }
    var d = 0
    while d * (d + 3) / 2 < moments.shape[2] { d += 1 }
    guard d > 0, d * (d + 3) / 2 == moments.shape[2] else {
      throw Failure.data(
        "tensor \"moments\" of \(bundle.name) is \(moments.summary): its last dimension is not d(d+1)/2+d of "
          + "any d")
    }
    dimension = d
  }
}
