import LinearAlgebra
import Tensors

/// C X, the features less their means, and an orthonormal basis of its columns by Gram and Schmidt's method with pivots,
/// each direction orthogonalised twice.
struct CenteredFeatures {
  /// μ, d numbers.
  let center: [Double]
  /// C X, n × d.
  let features: Matrix
  /// Q, r × n: the rows are orthonormal.
  let basis: Matrix
  /// Qᵀ C X, r × d.
  let factor: Matrix

  /// A direction of less than this share of ‖X‖ is a constant.
  private static let negligible = 1e-10

  /// `x` is X, n × d.
  init(_ x: Matrix) {
    let (n, d) = (x.rows, x.columns)
    features = Matrix(copying: x)
    var center = [Double](repeating: 0, count: d)
    // Twice: the first mean is rounded.
    for _ in 0..<2 {
      for k in 0..<d {
        var sum = CompensatedSum()
        for j in 0..<n { sum.add(features[j, k]) }
        let mean = sum.value / Double(n)
        center[k] += mean
        for j in 0..<n { features[j, k] -= mean }
      }
    }
    self.center = center
    basis = CenteredFeatures.basis(
      of: features, limit: CenteredFeatures.negligible * norm(x.count, x.base))
    factor = product(basis, .plain, features, .plain)
  }

  /// An orthonormal basis, r × n, of the columns of `matrix`, n × d: directions that extend no further than `limit` count
  /// as none.
  static func basis(of matrix: Matrix, limit: Double) -> Matrix {
    let rest = matrix.transposed
    let n = matrix.rows
    var rows: [Double] = []
    var found = 0
    while found < min(n, matrix.columns) {
      let lengths = (0..<rest.rows).map { norm(n, rest.row($0)) }
      guard let furthest = lengths.indices.max(by: { lengths[$0] < lengths[$1] }),
        lengths[furthest] > limit
      else { break }
      var own = Array(UnsafeBufferPointer(start: rest.row(furthest), count: n))
      for _ in 0..<2 {
        let length = norm(n, own)
        for j in 0..<n { own[j] /= length }
        rows.withUnsafeBufferPointer { earlier in
          for b in 0..<found {
            let direction = earlier.baseAddress! + b * n
            axpy(n, -dot(n, direction, own), direction, &own)
          }
        }
      }
      let length = norm(n, own)
      for j in 0..<n { own[j] /= length }
      for k in 0..<rest.rows {
        for _ in 0..<2 { axpy(n, -dot(n, own, rest.row(k)), own, rest.row(k)) }
      }
      rows += own
      found += 1
    }
    return Matrix(found, n, rows)
  }
}
