import Tensors

/// A symmetric matrix of order Q that is held as its upper triangle, row-major: F32 or F64 [Q(Q+1)/2].
package struct SymmetricTriangle: Sendable {
  package let elements: Tensor
  /// Q.
  package let order: Int

  package init(_ elements: Tensor, order: Int) {
    precondition(
      elements.count == order * (order + 1) / 2, "not the triangle of a matrix of this order")
    (self.elements, self.order) = (elements, order)
  }

  /// The upper triangle of `matrix` (Q × Q).
  package init(upperOf matrix: Matrix) {
    order = matrix.rows
    elements = Tensor(type: .f64, shape: [order * (order + 1) / 2])
    elements.withMutableElements(of: Double.self) { values in
      for i in 0..<order {
        (values.baseAddress! + start(i)).update(from: matrix.row(i) + i, count: order - i)
      }
    }
  }

  /// The same in single precision.
  package init(upperOf matrix: SingleMatrix) {
    order = matrix.rows
    elements = Tensor(type: .f32, shape: [order * (order + 1) / 2])
    elements.withMutableElements(of: Float.self) { values in
      for i in 0..<order {
        (values.baseAddress! + start(i)).update(from: matrix.row(i) + i, count: order - i)
      }
    }
  }

  /// The place of entry (i, i); (i, j) with j ≥ i is j − i further on.
  @inline(__always)
  fileprivate func start(_ i: Int) -> Int { i * order - i * (i - 1) / 2 }

  /// Entry (i, i).
  package func diagonal(_ i: Int) -> Double {
    var value = 0.0
    elements.copyDoubles(start(i)..<start(i) + 1, into: &value)
    return value
  }

  /// The entries (i, i) … (i, Q − 1), in double precision.
  package func copyRow(_ i: Int, into target: UnsafeMutablePointer<Double>) {
    elements.copyDoubles(start(i)..<start(i) + order - i, into: target)
  }

  /// The whole matrix, Q × Q; without `mirrored` its upper triangle alone.
  package func full(mirrored: Bool = true) -> Matrix {
    let result = Matrix(order, order)
    for i in 0..<order { copyRow(i, into: result.row(i) + i) }
    if mirrored { result.mirrorUpper() }
    return result
  }

  /// Fills the columns from `rows.lowerBound` on of the rows `rows` into `panel`, rows × (Q − rows.lowerBound), both
  /// triangles of the block on the diagonal.
  package func fill(_ rows: Range<Int>, into panel: UnsafeMutablePointer<Double>) {
    let width = order - rows.lowerBound
    for (k, i) in rows.enumerated() {
      copyRow(i, into: panel + k * width + k)
      for j in 0..<k { panel[k * width + j] = panel[j * width + k] }
    }
  }

  /// The rows of a panel of `products`.
  private static let panelRows = 256

  /// A X for X of Q rows: nothing of size Q × Q is held.
  package func times(_ x: Matrix) -> Matrix {
    let (columns, result) = (x.columns, Matrix(order, x.columns))
    let panel = Matrix(min(order, SymmetricTriangle.panelRows), order)
    for first in stride(from: 0, to: order, by: SymmetricTriangle.panelRows) {
      let rows = first..<min(order, first + SymmetricTriangle.panelRows)
      let (width, beyond) = (order - first, order - rows.upperBound)
      fill(rows, into: panel.base)
      // Y_rows += A_rows X, and below the diagonal Y += Aᵀ X_rows
      gemm(
        rows.count, columns, width, panel.base, .plain, x.row(first), .plain, beta: 1,
        result.row(first))
      gemm(
        beyond, columns, rows.count, panel.base + rows.count, .transposed, lda: width,
        x.row(first), .plain, beta: 1, beyond > 0 ? result.row(rows.upperBound) : result.base)
    }
    return result
  }
}

extension SymmetricTriangle {
  /// Fills the whole rows `rows` into `panel`, rows × Q.
  package func fillWhole(_ rows: Range<Int>, into panel: UnsafeMutablePointer<Double>) {
    let column = Matrix(1, rows.count)
    for j in 0..<rows.lowerBound {
      // Column j of these rows lies together in row j of the triangle.
      let first = start(j) + rows.lowerBound - j
      elements.copyDoubles(first..<first + rows.count, into: column.base)
      for k in 0..<rows.count { panel[k * order + j] = column.base[k] }
    }
    for (k, i) in rows.enumerated() {
      copyRow(i, into: panel + k * order + i)
      for j in 0..<k { panel[k * order + rows.lowerBound + j] = panel[j * order + i] }
    }
  }
}
