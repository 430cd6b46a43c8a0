import Glibc

/// The unitary discrete Fourier transform of d real numbers, by its definition.
struct CircularTransform {
  let real: [Double]
  let imaginary: [Double]

  init(_ values: UnsafePointer<Double>, _ d: Int) {
    let (cosines, sines) = CircularTransform.circle(d)
    let unit = 1 / Double(d).squareRoot()
    var (real, imaginary) = ([Double](), [Double]())
    for k in 0..<d {
      var (a, b) = (0.0, 0.0)
      for j in 0..<d {
        let place = k * j % d
        a += values[j] * cosines[place]
        b -= values[j] * sines[place]
      }
      real.append(a * unit)
      imaginary.append(b * unit)
    }
    self.real = real
    self.imaginary = imaginary
  }

  /// The real numbers whose transform is `real` + i `imaginary`.
  static func inverse(_ real: [Double], _ imaginary: [Double]) -> [Double] {
    let d = real.count
    let (cosines, sines) = circle(d)
    let unit = 1 / Double(d).squareRoot()
    return (0..<d).map { j in
      var sum = 0.0
      for k in 0..<d {
        let place = k * j % d
        sum += real[k] * cosines[place] - imaginary[k] * sines[place]
      }
      return sum * unit
    }
  }

  private static func circle(_ d: Int) -> (cosines: [Double], sines: [Double]) {
    let angles = (0..<d).map { 2 * Double.pi * Double($0) / Double(d) }
    return (angles.map { cos($0) }, angles.map { sin($0) })
  }
}
