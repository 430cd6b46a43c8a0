import LinearAlgebra

/// Sums over all patches, for their mean and covariance.
///
/// Each thread has one; the partial sums are added at the end.
final class PatchStatistics {
  private let features: Int
  private var count = 0
  private let sum: Matrix
  /// Σ x xᵀ, upper triangle; `nil` if only the mean is wanted.
  private let second: Matrix?
  private let ones: Matrix
  /// Σ x²; nil if it is not wanted.
  private let squares: Matrix?

  init(features: Int, rows: Int, covariance: Bool, squares isSquared: Bool = false) {
    squares = isSquared ? Matrix(1, features) : nil
    self.features = features
    sum = Matrix(1, features)
    second = covariance ? Matrix(features, features) : nil
    ones = Matrix(1, rows)
    ones.fill(1)
  }

  /// Adds `rows` rows.
  func add(_ x: UnsafePointer<Double>, rows: Int) {
    count += rows
    gemv(rows, features, x, .transposed, ones.base, beta: 1, sum.base)
    if let second { syrkUpper(features, rows, x, beta: 1, second.base) }
    guard let squares = squares?.base else { return }
    for k in 0..<rows {
      for j in 0..<features { squares[j] += x[k * features + j] * x[k * features + j] }
    }
  }

  /// Adds the sums of another.
  func add(_ other: PatchStatistics) {
    count += other.count
    axpy(sum.count, 1, other.sum.base, sum.base)
    if let squares, let more = other.squares { axpy(squares.count, 1, more.base, squares.base) }
    if let second, let more = other.second { axpy(second.count, 1, more.base, second.base) }
  }

  /// E x² of each feature; none if they were not wanted.
  var meanSquares: [Double] { squares?.values.map { $0 / Double(count) } ?? [] }

  var mean: [Double] { sum.values.map { $0 / Double(count) } }

  /// E x xᵀ − mean meanᵀ, upper triangle.
  func covariance() -> Matrix? {
    guard let second else { return nil }
    let mean = self.mean
    let result = Matrix(features, features)
    for i in 0..<features {
      for j in i..<features { result[i, j] = second[i, j] / Double(count) - mean[i] * mean[j] }
    }
    return result
  }
}
