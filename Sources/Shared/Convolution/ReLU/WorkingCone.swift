import Convex
import Glibc
import LinearAlgebra

/// Those of the n·K rows of one cone K_i = {u : (2D_i − I) X u ≥ 0} that matter so far, and a unit vector in its
/// interior. Cells of so many rows are thin: each has a few times d facets, near its gate.
final class WorkingCone {
  let pattern: Int
  /// The numbers of the rows in the order in which they came; rows never leave.
  private(set) var rows: [Int] = []
  /// B: the unit rows, each signed so that B u ≥ 0 in the cone.
  private(set) var matrix: Matrix
  /// A unit vector with B u > 0 for all rows of the data; zero if none was found.
  private(set) var centre: [Double]
  /// The product of each row with a fixed vector: rows with different products are not parallel.
  private var marks: [Double] = []
  private var projector: ConeProjector?
  private var ones: [Double] = []

  var isOpen: Bool { centre.contains { $0 != 0 } }

  init(_ pattern: Int, dimension: Int) {
    self.pattern = pattern
    matrix = Matrix(0, dimension)
    centre = Array(repeating: 0, count: dimension)
  }

  /// The most rows for which the Gram matrix is worth its time and memory, for each cone.
  private static let largestGram = 512

  func setCentre(_ u: [Double]) { centre = u }

  /// The largest distance of unit rows that count as parallel. The bound from a cone without such a row is off by as
  /// much: at 10⁻⁶ that would be noticeable.
  private static let parallel = 1e-9

  /// Adds those of `more` that are neither present nor parallel to a present row. Returns whether there were any.
  @discardableResult
  func add(_ more: [Int], of features: ReLUFeatures) -> Bool {
    let d = features.dimension
    let before = rows.count
    let known = Set(rows)
    let next = Matrix(before + more.count, d)
    next.base.update(from: matrix.base, count: matrix.count)
    var count = before
    let probe = (0..<d).map { cos(Double($0 * $0 + 1)) / Double(d).squareRoot() }
    for row in more where !known.contains(row) {
      let target = next.row(count)
      features.copyRow(row, of: pattern, into: target)
      let mark = dot(d, target, probe)
      let isKnown = (0..<count).contains {
        abs(marks[$0] - mark) < 1e-5
          && WorkingCone.distance(d, next.row($0), target) < WorkingCone.parallel
      }
      guard !isKnown else { continue }
      rows.append(row)
      marks.append(mark)
      count += 1
    }
    guard count > before else { return false }
    matrix = Matrix(count, d)
    matrix.base.update(from: next.base, count: count * d)
    projector = nil
    return true
  }

  /// ‖a − b‖, since 1 − a·b shows no distances below 10⁻⁸.
  private static func distance(
    _ d: Int, _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>
  ) -> Double {
    var square = 0.0
    for k in 0..<d { square += (a[k] - b[k]) * (a[k] - b[k]) }
    return square.squareRoot()
  }

  /// Writes the projection of `t` onto the cone of the working rows, which contains K_i, into `point`; its norm bounds
  /// that of the projection onto K_i. It starts with the working rows `warm`, which it replaces by the active ones. It
  /// may stop once multipliers show a norm of at most `ceiling`.
  func project(
    _ t: UnsafePointer<Double>, into point: UnsafeMutablePointer<Double>, warm: inout [Int],
    ceiling: Double = 0
  ) -> Double {
    if projector == nil {
      projector = ConeProjector(
        ConeRows(units: matrix), keepsGram: matrix.rows <= WorkingCone.largestGram)
      ones = Array(repeating: 1, count: matrix.rows)
    }
    let projector = projector!
    let norm = projector.project(t, signs: ones, from: warm, ceiling: ceiling)
    warm = projector.support
    point.update(from: projector.point, count: matrix.columns)
    return norm
  }

  /// The analytic centre of the working rows on the unit sphere: the u that minimises −Σ log b·u + ½ m ‖u‖², by
  /// Newton's method from `u`, for which B u > 0. It balances the barrier with the norm, so that multipliers in inverse
  /// proportion to the slacks cancel except for a multiple of u. In a thin cone they do so only if u is known to more
  /// digits than its slacks need: with `exactly`, Newton's method goes on until rounding ends it.
  func analyticCentre(from u: [Double], exactly: Bool = false) -> [Double] {
    let (m, d) = (matrix.rows, matrix.columns)
    guard m > 0 else { return u }
    var u = u
    var slack = [Double](repeating: 0, count: m)
    var change = [Double](repeating: 0, count: m)
    let scaled = Matrix(m, d)
    let hessian = Matrix(d, d)
    let count = Double(m)
    var last = Double.infinity
    for _ in 0..<60 {
      gemv(m, d, matrix.base, .plain, u, &slack)
      var step = [Double](repeating: 0, count: d)
      for i in 0..<m {
        let (from, to, inverse) = (matrix.row(i), scaled.row(i), 1 / slack[i])
        for k in 0..<d {
          to[k] = inverse * from[k]
          step[k] += to[k]
        }
      }
      for k in 0..<d { step[k] -= count * u[k] }
      let slope = step
      syrkUpper(d, m, scaled.base, hessian.base)
      hessian.mirrorUpper()
      for k in 0..<d { hessian[k, k] += count }
      guard choleskyLower(d, hessian.base) else { return u }
      choleskySolve(d, hessian.base, &step, count: 1)
      let decrement = dot(d, slope, step)
      gemv(m, d, matrix.base, .plain, step, &change)
      var length = 1.0
      for i in 0..<m where change[i] < 0 { length = min(length, -0.9 * slack[i] / change[i]) }
      axpy(d, length, step, &u)
      guard decrement > 1e-2 * count || exactly && decrement < 0.25 * last else { break }
      if decrement <= 1e-2 * count { last = decrement }
    }
    let size = norm(d, u)
    guard size.isFinite, size > 0 else { return centre }
    return u.map { $0 / size }
  }

  /// Goes from `inner` to `outer`, or as far as leaves a tenth of each working row's slack at `inner`.
  func retreat(from outer: [Double], to inner: [Double]) -> [Double] {
    let (m, d) = (matrix.rows, matrix.columns)
    var length = 1.0
    for i in 0..<m {
      let near = dot(d, matrix.row(i), inner)
      let far = dot(d, matrix.row(i), outer)
      if far < 0.1 * near { length = min(length, 0.9 * near / (near - far)) }
    }
    return (0..<d).map { inner[$0] + length * (outer[$0] - inner[$0]) }
  }
}
