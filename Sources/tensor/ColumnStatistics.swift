import Schema
import Tensors

/// Mean, deviation and range of each column of rows of numbers.
struct ColumnStatistics {
  private(set) var means: [Double]
  /// √(Σ (x − mean)² / n).
  private(set) var deviations: [Double]
  private(set) var smallest: [Double]
  private(set) var largest: [Double]

  /// Those of the columns of `x`, its last dimension. `zeros` counts, of the first columns, the zeros that stand for
  /// no value and do not enter the mean (they enter the deviation and the range).
  init(of x: Tensor, zeros: [Int] = []) {
    let d = x.shape.last!
    let rows = d == 0 ? 0 : x.count / d
    let none = (0..<d).map { $0 < zeros.count ? zeros[$0] : 0 }
    means = [Double](repeating: 0, count: d)
    deviations = means
    smallest = [Double](repeating: .infinity, count: d)
    largest = [Double](repeating: -.infinity, count: d)
    var sums = means
    ColumnStatistics.forEachRow(of: x) { row in
      for k in 0..<d {
        sums[k] += row[k]
        smallest[k] = min(smallest[k], row[k])
        largest[k] = max(largest[k], row[k])
      }
    }
    for k in 0..<d { means[k] = sums[k] / Double(rows - none[k]) }
    // The second pass removes what rounding did to the first.
    var (rests, squares) = ([Double](repeating: 0, count: d), [Double](repeating: 0, count: d))
    ColumnStatistics.forEachRow(of: x) { row in
      for k in 0..<d {
        let difference = row[k] - means[k]
        rests[k] += difference
        squares[k] += difference * difference
      }
    }
    for k in 0..<d {
      let (n, count) = (Double(rows), Double(rows - none[k]))
      let rest = (rests[k] + Double(none[k]) * means[k]) / count
      deviations[k] = max(0, squares[k] / n - rest * rest).squareRoot()
      means[k] += rest
    }
  }

  /// The standardisation of these columns. Constant ones stay as they are.
  func standardization(named names: (Int) -> String) throws -> Standardization {
    let isConstant = means.indices.map { !(smallest[$0] < largest[$0]) }
    let shift = means.indices.map { isConstant[$0] ? 0 : means[$0] }
    let divisor = means.indices.map { isConstant[$0] ? 1 : deviations[$0] }
    if let k = means.indices.first(where: {
      !shift[$0].isFinite || !divisor[$0].isFinite || !(divisor[$0] > 0)
    }) {
      throw Failure.data(
        "\(names(k)) cannot be standardised: its numbers are too large, too small, or too near to each other"
      )
    }
    return Standardization(shift: shift, divisor: divisor)
  }

  private static func forEachRow(of x: Tensor, _ body: (UnsafePointer<Double>) -> Void) {
    let d = x.shape.last!
    withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, d)) { row in
      for start in stride(from: 0, to: x.count, by: max(1, d)) {
        x.copyDoubles(start..<start + d, into: row.baseAddress!)
        body(UnsafePointer(row.baseAddress!))
      }
    }
  }
}
