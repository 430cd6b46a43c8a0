/// x ← (x − m)/√(v + ε) for each patch by itself, m and v the mean and variance of its features
/// (Coates, Ng & Lee 2011, section 3.1).
struct ContrastNormalization {
  let epsilon: Double
  /// Variances up to this are rounding: with ε = 0 a constant patch becomes 0, not noise.
  private let floor: Double

  /// `magnitude` is the largest that a feature can be.
  init(epsilon: Double, magnitude: Double) {
    self.epsilon = epsilon
    floor = 1e-24 * magnitude * magnitude
  }

  func apply(_ x: UnsafeMutablePointer<Double>, count: Int) {
    let mean = sum(x, count) / Double(count)
    let variance = centre(x, count, mean) / Double(count)
    let factor = variance + epsilon > floor ? 1 / (variance + epsilon).squareRoot() : 0
    for i in 0..<count { x[i] *= factor }
  }

  // Swift keeps the order of floating-point sums: lanes are written out so that they can overlap.

  @inline(__always)
  private func sum(_ x: UnsafeMutablePointer<Double>, _ count: Int) -> Double {
    let raw = UnsafeRawPointer(x)
    var lanes = SIMD8<Double>.zero
    var i = 0
    while i + 8 <= count {
      lanes += raw.loadUnaligned(fromByteOffset: i * 8, as: SIMD8<Double>.self)
      i += 8
    }
    var total = lanes.sum()
    while i < count {
      total += x[i]
      i += 1
    }
    return total
  }

  /// Subtracts `mean` and returns the sum of squares.
  @inline(__always)
  private func centre(_ x: UnsafeMutablePointer<Double>, _ count: Int, _ mean: Double) -> Double {
    let raw = UnsafeMutableRawPointer(x)
    var lanes = SIMD8<Double>.zero
    var i = 0
    while i + 8 <= count {
      let y = raw.loadUnaligned(fromByteOffset: i * 8, as: SIMD8<Double>.self) - mean
      raw.storeBytes(of: y, toByteOffset: i * 8, as: SIMD8<Double>.self)
      lanes += y * y
      i += 8
    }
    var total = lanes.sum()
    while i < count {
      x[i] -= mean
      total += x[i] * x[i]
      i += 1
    }
    return total
  }
}
