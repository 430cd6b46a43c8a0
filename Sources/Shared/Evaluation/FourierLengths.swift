import Glibc
import LinearAlgebra

/// |ζ_k| for k = 0 … d − 1, ζ being the unitary Fourier transforms of the `rows` and |ζ_k| the length over all of them.
/// The norm of circular linear networks is made of these lengths (Pilanci & Ergen 2020, section 5.2).
func fourierLengths(_ rows: [UnsafePointer<Double>], dimension d: Int) -> [Double] {
  let angles = (0..<d).map { 2 * Double.pi * Double($0) / Double(d) }
  let (cosines, sines) = (angles.map { cos($0) }, angles.map { sin($0) })
  let unit = 1 / Double(d).squareRoot()
  // For a real row ζ_(d−k) is the conjugate of ζ_k.
  let half = (0...d / 2).map { k in
    var parts: [Double] = []
    for row in rows {
      var (real, imaginary) = (0.0, 0.0)
      var place = 0
      for j in 0..<d {
        real += row[j] * cosines[place]
        imaginary -= row[j] * sines[place]
        place += k
        if place >= d { place -= d }
      }
      parts += [real * unit, imaginary * unit]
    }
    return norm(parts.count, parts)
  }
  return (0..<d).map { half[min($0, d - $0)] }
}
