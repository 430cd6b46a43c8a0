import LinearAlgebra
import Tensors

/// The directions in which the rows of X are long: V, d × r with orthonormal columns, so that X V says as much about X
/// as r features can.
///
/// It is found by subspace iteration on the Gram matrix of some rows (Halko, Martinsson and Tropp 2011). Nothing
/// depends on its precision: for any V, the weights V w of d features predict with X what w predicts with X V.
struct PrincipalSubspace {
  /// Vᵀ, r × d.
  let basis: Matrix
  var rank: Int { basis.rows }

  /// The most rows that the Gram matrix is made of.
  private static let mostRows = 6000
  private static let iterations = 2
  /// The number of iterated directions for each that may be kept.
  private static let oversampling = 1.1

  /// Keeps at most `limit` directions, and fewer if the rest has less than the share `tail` of ‖X‖². That norm does not
  /// count the longest direction: the mean of data that are not centred is no useful measure. Returns nil if rounding
  /// prevents it, or if `proceed` ends it.
  init?(_ x: Matrix, limit: Int, tail: Double, proceed: () -> Bool = { true }) {
    let d = x.columns
    var random = RandomSource(seed: 0, stream: 3)
    let rows = random.sample(min(x.rows, PrincipalSubspace.mostRows, 6 * limit), of: x.rows)
    let width = min(d, rows.count, Int(PrincipalSubspace.oversampling * Double(limit)) + 8)
    guard width > 0 else { return nil }
    let gram = Matrix(d, d)
    let block = Matrix(min(rows.count, 1024), d)
    for first in stride(from: 0, to: rows.count, by: block.rows) where proceed() {
      let part = rows[first..<min(rows.count, first + block.rows)]
      for (k, j) in part.enumerated() { block.row(k).update(from: x.row(j), count: d) }
      syrkUpper(d, part.count, block.base, beta: 1, gram.base)
    }
    let total = (0..<d).reduce(0) { $0 + gram[$1, $1] }
    guard total > 0, total.isFinite else { return nil }

    // Rows of X are a good start, since they lie in the directions in which X is long.
    var basis = Matrix(width, d)
    for (k, place) in random.sample(width, of: rows.count).enumerated() {
      basis.row(k).update(from: x.row(rows[place]), count: d)
    }
    for _ in 0..<PrincipalSubspace.iterations {
      guard proceed(), let orthonormal = PrincipalSubspace.orthonormalized(basis, times: 1) else {
        return nil
      }
      basis = Matrix(orthonormal.rows, d)
      symmUpper(d, gram.base, orthonormal.base, count: orthonormal.rows, basis.base)
    }
    // Twice: one pass leaves rows of very different lengths at some angle to each other.
    guard proceed(), let orthonormal = PrincipalSubspace.orthonormalized(basis, times: 2) else {
      return nil
    }
    // Rayleigh and Ritz: the eigenvectors of V Gram Vᵀ.
    let images = Matrix(orthonormal.rows, d)
    symmUpper(d, gram.base, orthonormal.base, count: orthonormal.rows, images.base)
    let small = product(orthonormal, .plain, images, .transposed)
    small.symmetrize()
    let eigen = SymmetricEigensolver(order: small.rows)
    guard proceed(), eigen.decompose(small.base) else { return nil }
    let count = small.rows
    // The eigenvalues ascend: the longest directions stand last.
    var left = max(0, total - eigen.values[count - 1])
    let goal = tail * left
    var kept = 1
    while kept < min(limit, count), left > goal {
      kept += 1
      left -= eigen.values[count - kept]
    }
    let result = Matrix(kept, d)
    gemm(
      kept, d, count, small.row(count - kept), .plain, orthonormal.base, .plain, result.base)
    self.basis = result
  }

  /// An orthonormal basis of the rows of `a`, which may be dependent.
  private static func orthonormalized(_ a: Matrix, times: Int) -> Matrix? {
    var a = a
    for _ in 0..<times {
      let count = a.rows
      for k in 0..<count {
        let length = norm(a.columns, a.row(k))
        if length > 0 { scale(a.columns, 1 / length, a.row(k)) }
      }
      let gram = product(a, .plain, a, .transposed)
      let factor = Matrix(copying: gram)
      if choleskyLower(count, factor.base), (0..<count).allSatisfy({ factor[$0, $0] > 1e-7 }) {
        solveLower(count, factor.base, a.base, columns: a.columns)
        continue
      }
      let eigen = SymmetricEigensolver(order: count)
      guard eigen.decompose(gram.base) else { return nil }
      let largest = eigen.values[count - 1]
      let kept = (0..<count).filter { eigen.values[$0] > 1e-11 * largest }
      guard !kept.isEmpty else { return nil }
      for k in kept { scale(count, 1 / eigen.values[k].squareRoot(), gram.row(k)) }
      let result = Matrix(kept.count, a.columns)
      gemm(
        kept.count, a.columns, count, gram.row(count - kept.count), .plain, a.base, .plain,
        result.base)
      a = result
    }
    return a
  }

  /// X V, n × r.
  func coordinates(_ x: Matrix) -> Matrix { product(x, .plain, basis, .transposed) }

  /// The rows V w, of d numbers, for the first `count` rows w of `weights`.
  func lifted(_ weights: Matrix, count: Int) -> Matrix {
    let result = Matrix(count, basis.columns)
    gemm(count, basis.columns, rank, weights.base, .plain, basis.base, .plain, result.base)
    return result
  }
}
