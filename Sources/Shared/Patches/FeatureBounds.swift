import LinearAlgebra
import Tensors

/// Bounds of features, so that numbers that are not finite are refused before any are written.
struct FeatureBounds {
  let grid: PatchGrid
  let steps: PatchSteps
  let layers: LayerStack

  /// The largest number that patches are cut from.
  private var magnitude: Double { layers.magnitude(of: steps.scale) }

  /// More than the magnitude of any feature with this fit; infinity or NaN if that is not finite.
  func largest(_ fit: PatchFit?) -> Double {
    let d = grid.features
    let cut = steps.contrast == nil ? magnitude : Double(d).squareRoot()
    guard let fit else { return max(1, cut) }
    if let change = fit.standardization {
      return zip(change.shift, change.divisor).reduce(1) { max($0, (abs($1.0) + cut) / $1.1) }
    }
    let centred = (fit.mean ?? []).map { abs($0) + cut }
    guard let whiten = fit.whiten else { return centred.reduce(1) { $1 <= $0 ? $0 : $1 } }
    var largest = 1.0
    for column in 0..<whiten.columns {
      var sum = 0.0
      for j in 0..<d { sum += centred[j] * abs(whiten[j, column]) }
      // NaN (of infinity times 0) must not pass.
      largest = sum <= largest ? largest : sum.isNaN ? .infinity : sum
    }
    return largest
  }

  /// Throws if the results for `images` images (features of `type`, or their moments), or sums on the way to them,
  /// might not be finite numbers.
  func expectFinite(
    _ fit: PatchFit?, images: Int, product: PatchProduct, type: ElementType
  ) throws {
    // Room for the factors of sums that are not worth counting.
    let limit = type == .f32 ? Double(Float.greatestFiniteMagnitude) / 4 : 1e300
    let largest = largest(fit)
    let written = product == .moments ? 2 * largest * largest : largest
    guard written <= limit else {
      let what = product == .moments ? "moments" : "features"
      throw Failure.data(
        "with this scale\(fit == nil ? "" : ", mean and whitening") \(what) of up to \(written) "
          + "do not fit \(type.rawValue)" + (type == .f32 ? ": perhaps --dtype F64 helps" : ""))
    }
    guard sums(images) <= .greatestFiniteMagnitude / 4 else {
      throw Failure.data(
        "\(layers.layers.isEmpty ? "the scale \(steps.scale.text)" : "what the layers put out") is too large: squares of "
          + "features are not finite numbers")
    }
  }

  /// The largest sum of scaled pixels, or of their squares, that these steps take.
  private func sums(_ images: Int) -> Double {
    let magnitude = 2 * magnitude
    let count = Double(images) * Double(grid.count) * Double(grid.features)
    let squares = steps.contrast != nil || steps.whitening != nil
    return squares ? count * magnitude * magnitude : steps.centers ? count * magnitude : magnitude
  }
}
