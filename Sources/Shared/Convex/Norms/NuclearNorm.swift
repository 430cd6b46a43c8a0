import LinearAlgebra

/// ‖W‖_*, the sum of the singular values of the weights as a matrix of m rows (an output and a region each) and d
/// columns: weight decay on both layers of neurons whose filters all rows share (Pilanci & Ergen 2020, section 5.1;
/// Sahiner, Ergen, Pauly & Pilanci 2021).
package final class NuclearNorm: Regularizer {
  package var size: Int { rows * dimension }
  package let isSeparable: Bool
  private let rows: Int
  private let dimension: Int
  /// The smaller Gram matrix with its eigenvectors, the eigenvectors times the factors by which their singular values
  /// shrink, and the product of both.
  private let gram: Matrix
  private let eigen: SymmetricEigensolver
  private let scaled: Matrix
  private let projector: Matrix

  package init(rows: Int, dimension: Int, isSeparable: Bool) {
    self.rows = rows
    self.dimension = dimension
    self.isSeparable = isSeparable
    let order = min(dimension, rows)
    gram = Matrix(order, order)
    scaled = Matrix(order, order)
    projector = Matrix(order, order)
    eigen = SymmetricEigensolver(order: order)
  }

  package func copy() -> any Regularizer {
    NuclearNorm(rows: rows, dimension: dimension, isSeparable: isSeparable)
  }

  package func value(_ w: UnsafePointer<Double>) -> Double {
    norm(size, w) == 0 ? 0 : singular(w).reduce(0, +)
  }

  /// Computed from the Gram matrix, in which the largest singular value loses no digits.
  package func dualNorm(_ t: UnsafePointer<Double>) -> Double {
    decompose(t, vectors: false) ? max(0, eigen.values[gram.rows - 1]).squareRoot() : .infinity
  }

  package func neurons(_ w: UnsafePointer<Double>) -> Int {
    let values = singular(w)
    return values.count { $0 > 1e-12 * (values.first ?? 0) }
  }

  /// Singular values of the weights, descending; empty if they are not finite.
  private func singular(_ w: UnsafePointer<Double>) -> [Double] {
    let matrix = Matrix(rows, dimension)
    matrix.base.update(from: w, count: size)
    return SingularValues(matrix)?.values ?? []
  }

  /// The eigenvalues of W Wᵀ or WᵀW, ascending, and with `vectors` their vectors as rows of `gram`; `false` if
  /// something is not finite.
  private func decompose(_ w: UnsafePointer<Double>, vectors: Bool) -> Bool {
    if rows < dimension {
      syrkRowsUpper(rows, dimension, w, gram.base)
    } else {
      syrkUpper(dimension, rows, w, gram.base)
    }
    gram.mirrorUpper()
    return eigen.decompose(gram.base, vectors: vectors)
  }

  /// Z = f(S Sᵀ) S or S f(SᵀS) with f(s²) = max(0, 1 − threshold/s): singular-value thresholding. Z is NaN if S is not
  /// finite, so that the objective shows it.
  package func prox(
    _ s: UnsafePointer<Double>, threshold: Double, into z: UnsafeMutablePointer<Double>
  ) -> (value: Double, neurons: Int) {
    let order = gram.rows
    guard decompose(s, vectors: true) else {
      z.update(repeating: .nan, count: size)
      return (.nan, 0)
    }
    var (value, neurons) = (0.0, 0)
    for k in 0..<order {
      let singular = max(0, eigen.values[k]).squareRoot()
      let factor = singular > threshold ? 1 - threshold / singular : 0
      if factor > 0 {
        value += singular - threshold
        neurons += 1
      }
      for j in 0..<order { scaled[k, j] = factor * gram[k, j] }
    }
    guard neurons > 0 else {
      z.update(repeating: 0, count: size)
      return (0, 0)
    }
    gemm(order, order, order, gram.base, .transposed, scaled.base, .plain, projector.base)
    if rows < dimension {
      gemm(rows, dimension, rows, projector.base, .plain, s, .plain, z)
    } else {
      gemm(rows, dimension, dimension, s, .plain, projector.base, .plain, z)
    }
    return (value, neurons)
  }
}
