import LinearAlgebra

/// How much larger the norms ‖Xᵀ D_i ν‖ may come out for anyone who sums in another order.
struct RoundingBound {
  /// ‖x_j‖².
  private let rowSquares: [Double]

  /// For features `x`, n × d.
  init(_ x: Matrix) { rowSquares = (0..<x.rows).map { dot(x.columns, x.row($0), x.row($0)) } }

  /// The bound for ν, C × n.
  func callAsFunction(_ nu: Matrix) -> Double {
    var square = 0.0
    for c in 0..<nu.rows {
      let row = nu.row(c)
      for j in 0..<nu.columns { square += row[j] * row[j] * rowSquares[j] }
    }
    return 0x1p-52 * (4 + 0.5 * Double(nu.columns).squareRoot()) * square.squareRoot()
  }
}
