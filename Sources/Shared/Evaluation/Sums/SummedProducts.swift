import LinearAlgebra
import Schema
import Tensors

/// Products with sums over samples, in about twice the precision of the numbers: small results are differences of large
/// ones.
struct SummedProducts {
  let statistics: StatisticsTensors
  /// R, Q × C, and √(FᵀF)_jj.
  let right: Matrix
  let lengths: [Double]

  init(_ statistics: StatisticsTensors) {
    self.statistics = statistics
    right = Matrix(statistics.correlations)
    let triangle = SymmetricTriangle(statistics.gram, order: statistics.order)
    let centre = statistics.centre?.doubles
    let sums = centre == nil ? [] : statistics.sums.doubles
    lengths = (0..<statistics.order).map { j in
      let (c, n) = (centre?[j] ?? 0, Double(statistics.samples))
      let rest = c == 0 ? 0 : c * (2 * sums[j] + n * c)
      return max(0, triangle.diagonal(j) + rest).squareRoot()
    }
  }

  private static let panelRows = 128

  /// FᵀF X as the sum of two matrices, the second of which holds what the first rounds away.
  func gramTimes(_ x: Matrix) -> (high: Matrix, low: Matrix) {
    let (q, columns) = (statistics.order, x.columns)
    let (high, low) = (Matrix(q, columns), Matrix(q, columns))
    let triangle = SymmetricTriangle(statistics.gram, order: q)
    let rows = SummedProducts.panelRows
    let parts = (q + rows - 1) / rows
    let workers = max(1, min(Threads.count, parts))
    Threads.perform(workers) { worker in
      let panel = Matrix(min(q, rows), q)
      let slice = AccurateProduct.innerLimit
      let product = AccurateProduct(m: panel.rows, n: columns, k: min(q, slice))
      for part in stride(from: worker, to: parts, by: workers) {
        let own = part * rows..<min(q, (part + 1) * rows)
        triangle.fillWhole(own, into: panel.base)
        for start in stride(from: 0, to: q, by: slice) {
          product.add(
            own.count, columns, min(slice, q - start), panel.base + start, lda: q, x.row(start),
            ldb: columns, high: high.row(own.lowerBound), low: low.row(own.lowerBound), ld: columns)
        }
      }
    }
    addCentre(x, to: low)
    return (high, low)
  }

  /// The most features for which `leastSquares` factors FᵀF.
  private static let largestFactor = 8000

  /// U₀ (Q × C) with FᵀF U₀ near FᵀY, for polynomials; nil if there are too many features, or rounding decides.
  func leastSquares() -> Matrix? {
    let q = statistics.order
    guard case .polynomial = statistics.design, q <= SummedProducts.largestFactor else {
      return nil
    }
    let factor = SymmetricTriangle(statistics.gram, order: q).full()
    let diagonal = (0..<q).map { factor[$0, $0] }
    guard let largest = diagonal.max(), largest > 0 else { return nil }
    if !choleskyLower(q, factor.base) {
      // Features that are 0, or the same, have no factor of their own. The upper triangle is as it was.
      factor.mirrorUpper()
      for i in 0..<q { factor[i, i] = diagonal[i] + 1e-13 * largest }
      guard choleskyLower(q, factor.base) else { return nil }
    }
    let result = right.transposed
    choleskySolve(q, factor.base, result.base, count: result.rows)
    for _ in 0..<2 {
      let x = result.transposed
      let (high, low) = gramTimes(x)
      let rest = SummedPoint(x: x, high: high, low: low)
        .residuals(right, scale: Array(repeating: 1, count: x.columns)).transposed
      choleskySolve(q, factor.base, rest.base, count: rest.rows)
      axpy(rest.count, 1, rest.base, result.base)
    }
    return result.isFinite ? result.transposed : nil
  }

  /// FᵀF = C + c sᵀ + s cᵀ + n c cᵀ if C is that of features less c.
  private func addCentre(_ x: Matrix, to low: Matrix) {
    guard let centre = statistics.centre?.doubles else { return }
    let (sums, n) = (statistics.sums.doubles, Double(statistics.samples))
    for c in 0..<x.columns {
      var (along, across) = (CompensatedSum(), CompensatedSum())
      for i in 0..<x.rows {
        along.add(centre[i], times: x[i, c])
        across.add(sums[i], times: x[i, c])
      }
      for i in 0..<x.rows {
        low[i, c] += centre[i] * across.value + (sums[i] + n * centre[i]) * along.value
      }
    }
  }
}

/// What some weights or coefficients X, with G X as a sum of two, make of the sums.
struct SummedPoint {
  let x, high, low: Matrix

  /// The columns `range` of X.
  func columns(_ range: Range<Int>) -> SummedPoint {
    SummedPoint(x: x.columns(range), high: high.columns(range), low: low.columns(range))
  }

  /// `share` of this point, and the rest of `other`.
  func mixed(with other: SummedPoint, share: Double) -> SummedPoint {
    func mix(_ a: Matrix, _ b: Matrix) -> Matrix {
      let result = Matrix(a.rows, a.columns)
      for k in 0..<a.count { result.base[k] = b.base[k] + share * (a.base[k] - b.base[k]) }
      return result
    }
    return SummedPoint(x: mix(x, other.x), high: mix(high, other.high), low: mix(low, other.low))
  }

  /// xᵀG x of each column.
  var curvatures: [Double] {
    (0..<x.columns).map { c in
      var sum = CompensatedSum()
      for i in 0..<x.rows {
        sum.add(x[i, c], times: high[i, c])
        sum.add(x[i, c], times: low[i, c])
      }
      return max(0, sum.value)
    }
  }

  /// Adds a xᵀr + b xᵀGx of column c to `sum`, a and b being `linear` and `quadratic`, term by term: the whole may be far
  /// less than its parts.
  func add(
    to sum: inout CompensatedSum, _ c: Int, _ right: Matrix, linear a: Double,
    quadratic b: Double
  ) {
    for i in 0..<x.rows {
      let (first, second) = (a * x[i, c], b * x[i, c])
      sum.add(first, times: right[i, c])
      sum.add((-first).addingProduct(a, x[i, c]), times: right[i, c])
      sum.add(second, times: high[i, c])
      sum.add((-second).addingProduct(b, x[i, c]), times: high[i, c])
      sum.add(second, times: low[i, c])
    }
  }

  /// s r − G x of each column.
  func residuals(_ right: Matrix, scale: [Double]) -> Matrix {
    let result = Matrix(x.rows, x.columns)
    for i in 0..<x.rows {
      for c in 0..<x.columns {
        let product = scale[c] * right[i, c]
        let error = (-product).addingProduct(scale[c], right[i, c])
        let (difference, rest) = exactSum(product, -high[i, c])
        result[i, c] = difference + (rest + error - low[i, c])
      }
    }
    return result
  }
}
