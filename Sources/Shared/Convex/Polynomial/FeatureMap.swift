import LinearAlgebra
import Schema

/// Maps a row of moments to the matrices Φ_r = [[a M, (b/2) μ], [(b/2) μᵀ, c]] of its regions, and to their whitened
/// form Tᵀ Φ_r T.
///
/// The raw Gram matrix of the features svec(Φ) has a condition near 10¹³ on natural images. The congruence by T =
/// S^{-1/2}, with S the mean of h hᵀ and h = [√|a| x; ± b/(2√|a|)], reduces it to about 10⁵ and keeps the form of the
/// program: Z undergoes a congruence by T⁻¹.
package final class FeatureMap {
  package let activation: PolynomialActivation
  /// m = d + 1.
  package let order: Int
  package let regions: Int
  package let packing: SymmetricVectors
  /// T and its inverse, m × m.
  package let whitening: Matrix
  package let inverseWhitening: Matrix
  /// Features and dual matrices: Φ ↦ TᵀΦT, and back.
  package let whiten: Congruence
  package let unwhiten: Congruence
  /// Variables: Z ↦ T⁻¹ZT⁻ᵀ, and back. ⟨Φ, Z⟩ is the same in both forms.
  package let whitenVariable: Congruence
  package let unwhitenVariable: Congruence

  /// The mean of ‖svec(Φ_r)‖² for one region, over some of the samples.
  package private(set) var meanSquare = 0.0

  /// Fits T on about 2,000 of the first `limit` samples.
  package convenience init(
    _ data: MomentData, activation: PolynomialActivation, among limit: Int = .max
  ) {
    let (mean, rows) = FeatureMap.sample(data, among: min(limit, data.samples))
    let (whitening, inverse) = FeatureMap.fit(mean, data.features, activation)
    self.init(whitening, inverse: inverse, regions: data.regions, activation: activation)
    let features = Matrix(1, count)
    for i in 0..<rows.rows {
      self.features(rows.row(i), into: features.base)
      meanSquare +=
        dot(count, features.base, features.base) / Double(rows.rows * regions)
    }
  }

  /// The map of a T, m × m, whose inverse is known, for R regions.
  private init(
    _ whitening: Matrix, inverse: Matrix, regions: Int, activation: PolynomialActivation
  ) {
    (self.whitening, inverseWhitening) = (whitening, inverse)
    (self.activation, self.regions) = (activation, regions)
    order = whitening.rows
    packing = SymmetricVectors(order: order)
    whiten = Congruence(whitening)
    unwhiten = Congruence(inverseWhitening)
    whitenVariable = Congruence(inverseWhitening.transposed)
    unwhitenVariable = Congruence(whitening.transposed)
  }

  /// The map of a given T, m × m. Returns nil if T is singular.
  package convenience init?(
    whitening: Matrix, regions: Int, activation: PolynomialActivation
  ) {
    guard let inverse = inverse(whitening) else { return nil }
    self.init(whitening, inverse: inverse, regions: regions, activation: activation)
  }

  /// The same features as a map of σ/`unit`, a power of 4: T √unit.
  package func divided(by unit: Double) -> FeatureMap {
    let (t, inverse) = (Matrix(copying: whitening), Matrix(copying: inverseWhitening))
    scale(t.count, unit.squareRoot(), t.base)
    scale(inverse.count, 1 / unit.squareRoot(), inverse.base)
    return FeatureMap(
      t, inverse: inverse, regions: regions, activation: activation.divided(by: unit))
  }

  /// Q = R · m (m + 1) / 2.
  package var count: Int { regions * packing.count }

  /// Mean M and μ over runs of samples spread over the first `count`, and the rows of the last run.
  private static func sample(_ data: MomentData, among count: Int) -> (mean: Matrix, rows: Matrix) {
    let mean = Matrix(1, data.width)
    let runs = min(16, count)
    let length = max(1, min(128, count / runs))
    let rows = Matrix(length, data.rowLength)
    for run in 0..<runs {
      let start = (count - length) * run / max(1, runs - 1)
      data.fill(start..<start + length, into: rows.base)
      for i in 0..<length * data.regions {
        axpy(
          data.width, 1 / Double(runs * length * data.regions), rows.base + i * data.width,
          mean.base)
      }
    }
    return (mean, rows)
  }

  /// T and T⁻¹ from the mean moments.
  private static func fit(
    _ mean: Matrix, _ d: Int, _ activation: PolynomialActivation
  ) -> (Matrix, Matrix) {
    let m = d + 1
    let (a, b) = (activation.a, activation.b)
    let second = Matrix(d, d)
    SymmetricVectors(order: d).unpack(mean.base, into: second.base)
    let average = mean.base + d * (d + 1) / 2
    let s = Matrix(m, m)
    s[d, d] = 1
    for i in 0..<d {
      if a != 0 {
        for j in 0..<d { s[i, j] = abs(a) * second[i, j] }
        if b != 0 {
          // h = [√|a| x; sign(a) b/(2√|a|)]
          s[i, d] = (a > 0 ? 1 : -1) * b / 2 * average[i]
          s[d, i] = s[i, d]
        }
      } else {
        // Only μ enters: scale it by its own second moment.
        for j in 0..<d { s[i, j] = b * b / 4 * second[i, j] }
      }
    }
    if a != 0, b != 0 { s[d, d] = b * b / (4 * abs(a)) }
    // If a = 0 or b = 0, the last coordinate stays apart: blocks of Φ that are zero stay zero.
    let eigen = SymmetricEigensolver(order: m)
    let vectors = Matrix(copying: s)
    guard s.isFinite, eigen.decompose(vectors.base), eigen.values[m - 1] > 0 else {
      return (Matrix.identity(m), Matrix.identity(m))
    }
    // Directions in which no patch extends are scaled like the largest one; their features are zero.
    let largest = eigen.values[m - 1]
    let transform = Matrix(m, m)
    let inverse = Matrix(m, m)
    for k in 0..<m {
      let value = eigen.values[k] > 1e-13 * largest ? eigen.values[k] : largest
      for i in 0..<m {
        transform[i, k] = vectors[k, i] / value.squareRoot()
        inverse[k, i] = vectors[k, i] * value.squareRoot()
      }
    }
    return (transform, inverse)
  }

  /// svec(Φ_r) of every region from a row of moments.
  @inline(__always)
  package func features(
    _ row: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>
  ) {
    let d = order - 1
    let a = activation.a
    let b = activation.b * 0.5.squareRoot()  // √2 · b/2
    var from = row
    var to = target
    for _ in 0..<regions {
      let mean = from + d * (d + 1) / 2
      for i in 0..<d {
        for j in 0..<d - i { to[j] = a * from[j] }
        from += d - i
        to += d - i
        to[0] = b * mean[i]
        to += 1
      }
      to[0] = activation.c
      to += 1
      from = mean + d
    }
  }

  /// Whitened features of a block of rows (rows × Q), computed on the calling thread; `scratch` is that of `whiten`.
  package func whitenedFeatures(
    _ count: Int, _ rows: UnsafePointer<Double>, rowLength: Int,
    into target: UnsafeMutablePointer<Double>, scratch: Matrix
  ) {
    let width = self.count
    for i in 0..<count {
      features(rows + i * rowLength, into: target + i * width)
    }
    whiten.apply(count * regions, target, target, scratch: scratch)
  }

  /// The adjoint of `features`: for packed H_r (Q numbers), the weights that multiply a row of moments and the
  /// constant, so that ⟨Φ, H⟩ = weightsᵀ row + constant.
  package func momentWeights(
    _ packed: UnsafePointer<Double>, into weights: UnsafeMutablePointer<Double>
  ) -> Double {
    let d = order - 1
    let b = activation.b * 0.5.squareRoot()
    var constant = 0.0
    var from = packed
    var to = weights
    for _ in 0..<regions {
      let mean = to + d * (d + 1) / 2
      for i in 0..<d {
        for j in 0..<d - i { to[j] = activation.a * from[j] }
        from += d - i
        to += d - i
        mean[i] = b * from[0]
        from += 1
      }
      constant += activation.c * from[0]
      from += 1
      to = mean + d
    }
    return constant
  }

  /// svec(S_r), S_r = Σ_i ν_i Φ_ir, from Σ_i ν_i (row i) and Σ_i ν_i.
  package func dualMatrices(
    _ sums: UnsafePointer<Double>, total: Double, into target: UnsafeMutablePointer<Double>
  ) {
    features(sums, into: target)
    // `features` wrote c for one sample; the constant of Σ ν_i Φ is c Σ ν_i.
    for r in 0..<regions { target[(r + 1) * packing.count - 1] = activation.c * total }
  }
}

extension PolynomialActivation {
  /// σ(t) / `unit`.
  func divided(by unit: Double) -> PolynomialActivation {
    PolynomialActivation(a: a / unit, b: b / unit, c: c / unit)
  }
}
