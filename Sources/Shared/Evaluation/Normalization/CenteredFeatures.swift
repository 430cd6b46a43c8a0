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

  /// Throws unless it is plain which features are constants and which depend on others. Batch normalisation makes the
  /// smallest direction count as much as the largest: none may be lost in the rounding of another.
  static func expectComparable(_ x: Matrix, name: String) throws {
    let own = CenteredFeatures(x).features
    let (n, d) = (x.rows, x.columns)
    let lengths = (0..<d).map { norm(n, own.column($0)) }
    let raw = (0..<d).map { norm(n, x.column($0)) }
    let largest = lengths.max() ?? 0
    let scaled = Matrix(n, d)
    for k in 0..<d where lengths[k] > 1e-13 * raw[k] {
      guard lengths[k] >= 1e-8 * largest else {
        throw Failure.data(
          "feature \(k) of \(name) varies by \(lengths[k] / largest) of what another does: batch normalisation counts both "
            + "alike, but rounding does not; bring them to one size first (tensor standardize)")
      }
      for j in 0..<n { scaled[j, k] = own[j, k] / lengths[k] }
    }
    let ranks = [1e-12, 1e-8].map { basis(of: scaled, limit: $0).rows }
    // The directions that are kept are those of the features as they are.
    guard ranks[0] == ranks[1], ranks[0] == CenteredFeatures(x).basis.rows else {
      throw Failure.data(
        "features of \(name) depend on one another but for a share below 1e-8: batch normalisation counts what is left as "
          + "much as the rest, but rounding hides it; leave one of them out")
    }
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
