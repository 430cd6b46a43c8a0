import LinearAlgebra
import Tensors

/// The largest ‖Nᵀ D_i X u‖ over unit vectors u of the cell of each pattern, for dual points of several outputs.
///
/// A maximiser lies inside the cone of some independent rays of its cell, and is a local maximum of the form on the sphere of their
/// span, where all of these are global: it is a top eigenvector there. All choices of independent rays are tried.
struct CellPrices {
  private let arrangements: Arrangements
  /// The rows in an orthonormal basis of their space, n × r.
  private let rows: Matrix
  private let rays: ArrangementRays
  private let name: String
  /// How long what each row has outside that basis is; 0 if that is rounding.
  private let rests: [Double]

  /// A direction into which unit rows extend by less than this share counts as none.
  private static let negligible = 1e-12
  /// What a row has outside the basis is rounding up to this share of it.
  private static let roundingOfRows = 1e-14
  /// Coordinates in the rays may be below 0 by this share of the largest.
  private static let tolerance = 1e-9

  /// `x` is X, n × d. Throws if there are too many rays to list.
  init(_ x: Matrix, _ arrangements: Arrangements) throws {
    self.arrangements = arrangements
    name = arrangements.name
    // Of unit rows: at a small β short ones matter too.
    let units = Matrix(copying: x)
    for j in 0..<x.rows {
      let length = norm(x.columns, x.row(j))
      if length > 0 { scale(x.columns, 1 / length, units.row(j)) }
    }
    let basis = CenteredFeatures.basis(
      of: units.transposed, limit: CellPrices.negligible * norm(units.count, units.base))
    let rows = product(x, .plain, basis, .transposed)
    self.rows = rows
    let back = product(rows, .plain, basis, .plain)
    rests = (0..<x.rows).map { j in
      let rest = norm(x.columns, (0..<x.columns).map { x[j, $0] - back[j, $0] })
      return rest > CellPrices.roundingOfRows * norm(x.columns, x.row(j)) ? rest : 0
    }
    rays = try ArrangementRays(rows, name: name)
  }

  /// An upper bound of the largest price of all cells at N, n × C; `limit` if none exceeds it, and what the rows have
  /// outside the basis is worth nothing.
  func largest(_ nu: Matrix, above limit: Double) throws -> Double {
    let (r, outputs) = (rows.columns, nu.columns)
    var largest = limit
    for i in 0..<arrangements.count {
      // T = Xᵀ D_i N, and T Tᵀ.
      let sums = Matrix(r, outputs)
      for k in 0..<r {
        for c in 0..<outputs {
          var sum = CompensatedSum()
          for j in 0..<nu.rows where arrangements.isActive(i, row: j) {
            sum.add(rows[j, k], times: nu[j, c])
          }
          sums[k, c] = sum.value
        }
      }
      let form = product(sums, .plain, sums, .transposed)
      guard form.isFinite else { return .infinity }
      // No vector is worth more than the largest singular value.
      let rounding = 1 + Double(r + outputs + 8) * Double.ulpOfOne
      guard let whole = CellPrices.top(form), whole.value.squareRoot() * rounding > largest else {
        continue
      }
      let own = try rays.cell(arrangements, i, name: name)
      largest = max(largest, price(form, own) * rounding)
    }
    // ‖Nᵀ D X' u‖ ≤ Σ ‖N_j‖ ‖x'_j‖ for the rests x'.
    return (0..<nu.rows).reduce(largest) { $0 + norm(outputs, nu.row($1)) * rests[$1] }
  }

  private func price(_ form: Matrix, _ own: [[Double]]) -> Double {
    let r = form.rows
    var largest = 0.0
    func visit(_ chosen: [[Double]], _ basis: [[Double]], from start: Int) {
      if !chosen.isEmpty, let price = facePrice(form, chosen, basis) {
        largest = max(largest, price)
      }
      guard chosen.count < r else { return }
      for k in start..<max(start, own.count) {
        var rest = own[k]
        for _ in 0..<2 {
          for direction in basis { axpy(r, -dot(r, direction, rest), direction, &rest) }
        }
        let length = norm(r, rest)
        guard length > 1e-9 else { continue }
        visit(chosen + [own[k]], basis + [rest.map { $0 / length }], from: k + 1)
      }
    }
    visit([], [], from: 0)
    return largest
  }

  /// √ of the top eigenvalue of the form on the span of `chosen`, whose orthonormal basis is `basis`, if its eigenvector lies in
  /// their cone, up to rounding.
  private func facePrice(_ form: Matrix, _ chosen: [[Double]], _ basis: [[Double]]) -> Double? {
    let (r, k) = (form.rows, chosen.count)
    let restricted = Matrix(k, k)
    for a in 0..<k {
      var image = [Double](repeating: 0, count: r)
      gemv(r, r, form.base, .plain, basis[a], &image)
      for b in 0..<k { restricted[a, b] = dot(r, image, basis[b]) }
    }
    guard let top = CellPrices.top(restricted) else { return nil }
    // Coordinates c in the rays: basis_aᵀ Σ c_b ray_b = z_a.
    let system = Matrix(k, k)
    for a in 0..<k { for b in 0..<k { system[a, b] = dot(r, basis[a], chosen[b]) } }
    var coordinates = top.vector
    guard solveGeneral(k, system.base, &coordinates), coordinates.allSatisfy(\.isFinite) else {
      return nil
    }
    let size = coordinates.reduce(0) { abs($1) > abs($0) ? $1 : $0 }
    guard coordinates.allSatisfy({ $0 / size >= -CellPrices.tolerance }) else { return nil }
    return top.value.squareRoot()
  }

  /// The largest eigenvalue of a symmetric matrix, at least 0, and its vector, by Jacobi's rotations.
  private static func top(_ matrix: Matrix) -> (value: Double, vector: [Double])? {
    let n = matrix.rows
    let a = Matrix(copying: matrix)
    let vectors = Matrix.identity(n)
    for _ in 0..<60 {
      var off = 0.0
      for i in 0..<n { for j in i + 1..<max(i + 1, n) { off = max(off, abs(a[i, j])) } }
      let size = (0..<n).reduce(0) { max($0, abs(a[$1, $1])) }
      if off <= 1e-17 * size { break }
      for i in 0..<n {
        for j in i + 1..<max(i + 1, n) where a[i, j] != 0 {
          let cotangent = (a[j, j] - a[i, i]) / (2 * a[i, j])
          let tangent =
            (cotangent >= 0 ? 1 : -1) / (abs(cotangent) + (1 + cotangent * cotangent).squareRoot())
          let cosine = 1 / (1 + tangent * tangent).squareRoot()
          let sine = cosine * tangent
          for k in 0..<n {
            (a[k, i], a[k, j]) = (
              cosine * a[k, i] - sine * a[k, j], sine * a[k, i] + cosine * a[k, j]
            )
          }
          for k in 0..<n {
            (a[i, k], a[j, k]) = (
              cosine * a[i, k] - sine * a[j, k], sine * a[i, k] + cosine * a[j, k]
            )
            (vectors[i, k], vectors[j, k]) = (
              cosine * vectors[i, k] - sine * vectors[j, k],
              sine * vectors[i, k] + cosine * vectors[j, k]
            )
          }
        }
      }
    }
    guard let best = (0..<n).max(by: { a[$0, $0] < a[$1, $1] }), a[best, best].isFinite else {
      return nil
    }
    return (max(0, a[best, best]), (0..<n).map { vectors[best, $0] })
  }
}
