import LinearAlgebra

/// The multiple of a ν with the largest dual value among those that satisfy ‖Xᵀ D_i ν‖ ≤ β for all patterns, also if the
/// norms are computed with other rounding.
struct DualScaling {
  private let loss: any Loss
  /// ‖x_j‖².
  private let rowSquares: [Double]
  private let scaled: Matrix

  /// For features `x`, n × d, and C outputs.
  init(_ x: Matrix, outputs: Int, loss: any Loss) {
    self.loss = loss
    rowSquares = (0..<x.rows).map { dot(x.columns, x.row($0), x.row($0)) }
    scaled = Matrix(outputs, x.rows)
  }

  /// The dual value of the best feasible multiple of ν, C × n, and the factor, if the largest norm is `largest`.
  func best(
    _ nu: Matrix, _ y: Matrix, beta: Double, largest: Double
  ) -> (value: Double, scaling: Double) {
    let n = nu.columns
    // The certificate sums in another order: room for the rounding of such sums.
    var square = 0.0
    for c in 0..<nu.rows {
      let nu = nu.row(c)
      for j in 0..<n { square += nu[j] * nu[j] * rowSquares[j] }
    }
    let unit = 0x1p-52 * (4 + 0.5 * Double(n).squareRoot())
    let bound = largest + unit * square.squareRoot()
    let scaling = loss.scaling(nu, y, bound: bound > 0 ? beta / bound : .infinity)
    for j in 0..<nu.count { scaled.base[j] = scaling * nu.base[j] }
    return (loss.dualValue(scaled, y), scaling)
  }
}
