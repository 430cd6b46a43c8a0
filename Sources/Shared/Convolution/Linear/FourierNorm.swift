import Convex
import LinearAlgebra

/// The norm of circular linear networks (Pilanci & Ergen 2020, section 5.2): d^(−1/2) Σ_k |ζ_k| of the unitary Fourier
/// transforms ζ of the weights, which are coordinates in a real orthonormal Fourier basis. With shared filters |ζ_k| is
/// the length over all outputs.
final class FourierNorm: Regularizer {
  let size: Int
  let isSeparable: Bool
  private let dimension: Int
  private let outputs: Int
  /// The columns of each frequency, and its weight in the norm.
  private let groups: [(columns: Range<Int>, weight: Double)]

  /// The weights are C × d, a row for each output.
  init(outputs: Int, dimension d: Int, isShared: Bool) {
    (self.outputs, dimension, size, isSeparable) = (outputs, d, outputs * d, !isShared)
    let unit = 1 / Double(d).squareRoot()
    groups = FourierBasis.groups(d).map { ($0, unit * Double($0.count).squareRoot()) }
  }

  func copy() -> any Regularizer { self }

  /// Calls `body` with the rows, the columns and the weight of each length.
  private func forEachGroup(_ body: (Range<Int>, Range<Int>, Double) -> Void) {
    let sets = isSeparable ? (0..<outputs).map { $0..<$0 + 1 } : [0..<outputs]
    for rows in sets {
      for group in groups { body(rows, group.columns, group.weight) }
    }
  }

  private func length(
    _ weights: UnsafePointer<Double>, _ rows: Range<Int>, _ columns: Range<Int>
  ) -> Double {
    var square = 0.0
    for c in rows {
      for k in columns { square += weights[c * dimension + k] * weights[c * dimension + k] }
    }
    return square.squareRoot()
  }

  func value(_ w: UnsafePointer<Double>) -> Double {
    var sum = 0.0
    forEachGroup { sum += $2 * length(w, $0, $1) }
    return sum
  }

  func dualNorm(_ t: UnsafePointer<Double>) -> Double {
    var largest = 0.0
    forEachGroup {
      let value = length(t, $0, $1) / $2
      largest = value.isFinite ? max(largest, value) : .infinity
    }
    return largest
  }

  func prox(
    _ s: UnsafePointer<Double>, threshold: Double, into z: UnsafeMutablePointer<Double>
  ) -> (value: Double, neurons: Int) {
    var value = 0.0
    forEachGroup { rows, columns, weight in
      let length = length(s, rows, columns)
      let factor = length > threshold * weight ? 1 - threshold * weight / length : 0
      value += weight * factor * length
      for c in rows {
        for k in columns { z[c * dimension + k] = factor * s[c * dimension + k] }
      }
    }
    return (value, neurons(z))
  }

  /// A filter for each output, or one for all.
  func neurons(_ w: UnsafePointer<Double>) -> Int {
    let filters = (0..<outputs).count { norm(dimension, w + $0 * dimension) > 0 }
    return isSeparable ? filters : min(1, filters)
  }
}

/// The real orthonormal Fourier basis of R^d: the constant, a cosine and a sine for each frequency, and for
/// even d the alternating vector.
enum FourierBasis {
  /// The columns of each frequency.
  static func groups(_ d: Int) -> [Range<Int>] {
    var groups = [0..<1]
    var next = 1
    while next < d {
      let end = min(d, next + 2)
      groups.append(next..<end)
      next = end
    }
    return groups
  }

  /// d × d, a column for each basis vector.
  static func matrix(_ d: Int) -> Matrix {
    let basis = Matrix(d, d)
    // Angles by their number, so that they lose no digits.
    let cosines = (0..<d).map { cosine($0, of: d) }
    let sines = (0..<d).map { sine($0, of: d) }
    for (frequency, columns) in groups(d).enumerated() {
      let size = (Double(columns.count) / Double(d)).squareRoot()
      for j in 0..<d {
        let angle = frequency * j % d
        basis[j, columns.lowerBound] = size * cosines[angle]
        if columns.count == 2 { basis[j, columns.lowerBound + 1] = size * sines[angle] }
      }
    }
    return basis
  }
}
