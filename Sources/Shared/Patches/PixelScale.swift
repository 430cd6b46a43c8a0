/// The affine map of pixels to features: 0 goes to `low`, 255 to `high`.
package struct PixelScale: Sendable, Equatable {
  package var low: Double
  package var high: Double

  package init(low: Double = -1, high: Double = 1) {
    self.low = low
    self.high = high
  }

  /// The value of each of the 256 pixels; both ends are exact.
  var table: [Double] {
    (0...255).map { pixel in
      switch pixel {
      case 0: low
      case 255: high
      default: low + (high - low) * Double(pixel) / 255
      }
    }
  }

  /// The largest magnitude of a feature.
  var magnitude: Double { max(abs(low), abs(high)) }
}

extension PixelScale {
  /// Reads `A,B`: two finite numbers that differ.
  package init?(_ text: String) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard parts.count == 2, let low = Double(decimal: parts[0]),
      let high = Double(decimal: parts[1]),
      (high - low).isFinite, low != high
    else { return nil }
    self.init(low: low, high: high)
  }

  /// `A,B`, which reads back exactly.
  package var text: String { "\(exactText(low)),\(exactText(high))" }
}

/// The shortest text that reads back as `value`; whole numbers without a point.
func exactText(_ value: Double) -> String {
  let text = "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
