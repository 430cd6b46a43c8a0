import LinearAlgebra
import Tensors

/// The rows that patterns are taken of: the n·K patches of all samples, or the samples where K is 1.
package struct DataRows {
  private let x: Tensor
  /// n·K.
  package let count: Int
  /// d.
  package let dimension: Int

  /// Reads a bundle of kind `dataset`.
  package init(_ bundle: Bundle) throws {
    try bundle.expect(.dataset)
    x = try bundle.require("x", [.f32, .f64], ["[n, K, d]", "[n, d]"])
    guard x.count > 0 else {
      throw Failure.data("tensor \"x\" is \(x.summary): it is empty")
    }
    try x.expectFinite("x")
    dimension = x.shape.last!
    count = x.count / dimension
  }

  package init(_ rows: Matrix) {
    x = Tensor(rows.values, shape: [rows.rows, rows.columns])
    (count, dimension) = (rows.rows, rows.columns)
  }

  /// The rows `range` in double precision.
  package func copy(_ range: Range<Int>, into target: UnsafeMutablePointer<Double>) {
    x.copyDoubles(range.lowerBound * dimension..<range.upperBound * dimension, into: target)
  }

  package var matrix: Matrix {
    let result = Matrix(count, dimension)
    copy(0..<count, into: result.base)
    return result
  }
}
