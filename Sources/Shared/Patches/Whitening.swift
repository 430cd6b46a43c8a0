import LinearAlgebra
import Tensors

/// Decorrelates patches: with the eigendecomposition V diag(λ) Vᵀ of their covariance and S =
/// diag(λ + ε mean λ)^(−1/2), ZCA is V S Vᵀ (Bell & Sejnowski 1997) and PCA the leading columns of V S.
package enum Whitening {
  /// Eigenvalues up to this part of the largest are rounding. With ε = 0 their directions are dropped,
  /// so that the result is the pseudo-inverse of the root.
  static let rounding = 1e-11

  /// The matrix W (d × N), and the rank of the covariance.
  ///
  /// `components` keeps N directions, those of the largest eigenvalues first, each signed so that its entry of largest
  /// magnitude is positive. Only the upper triangle of `covariance` is read, and it is overwritten. Throws
  /// `Failure.data` if the patches do not vary at all.
  package static func matrix(
    covariance: Matrix, epsilon: Double, components: Int?
  ) throws -> (matrix: Matrix, rank: Int) {
    let d = covariance.rows
    let solver = SymmetricEigensolver(order: d)
    guard solver.decompose(covariance.base) else {
      throw Failure.data("the eigenvalues of the patches' covariance were not found")
    }
    let values = (0..<d).map { max(0, solver.values[$0]) }
    let largest = values.last ?? 0
    guard largest > 0 else { throw Failure.data("cannot whiten patches that are all the same") }
    let rank = values.count { $0 > rounding * largest }
    let shift = epsilon * values.reduce(0, +) / Double(d)
    let scales = values.map { value in
      shift == 0 && value <= rounding * largest ? 0 : 1 / (value + shift).squareRoot()
    }
    // The eigenvectors are the rows.
    let vectors = covariance
    guard let components else {
      for i in 0..<d { scale(d, scales[i].squareRoot(), vectors.row(i)) }
      let result = Matrix(d, d)
      syrkUpper(d, d, vectors.base, result.base)
      result.mirrorUpper()
      return (result, rank)
    }
    let result = Matrix(d, components)
    for column in 0..<components {
      let vector = vectors.row(d - 1 - column)
      let factor = scales[d - 1 - column] * sign(vector, d)
      for j in 0..<d { result[j, column] = factor * vector[j] }
    }
    return (result, rank)
  }

  private static func sign(_ vector: UnsafePointer<Double>, _ count: Int) -> Double {
    let entries = UnsafeBufferPointer(start: vector, count: count)
    let largest = entries.reduce(0) { max($0, abs($1)) }
    // The first of the entries that are equal but for rounding decides.
    let decider = entries.first { abs($0) >= largest * (1 - 1e-6) }
    return decider.map { $0 < 0 ? -1 : 1 } ?? 1
  }
}
