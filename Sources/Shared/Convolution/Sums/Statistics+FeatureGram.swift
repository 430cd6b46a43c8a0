import Convex
import LinearAlgebra
import Schema
import Tensors

extension StatisticsTensors {
  /// The Gram matrix as a search uses it, and the product with the Gram matrix as it stands in the bundle: in double
  /// precision for few features; else in single precision, less the mean, and by the triangle. Throws if the machine
  /// lacks the memory, of which the search needs `room` more bytes.
  func featureGram(room: Double) throws -> (any FeatureGram, multiply: (Matrix) -> Matrix) {
    let q = order
    let isDense = gram.type == .f64 && q <= FeatureMoments.largestDense
    try expectMemory(
      room + (isDense ? 8 : 4) * Double(q) * Double(q),
      for: "a program of \(q) features and \(outputs) output\(outputs == 1 ? "" : "s")")
    if isDense {
      let dense = DenseGram(triangle.full())
      return (
        dense,
        { x in
          let result = Matrix(x.rows, x.columns)
          dense.multiply(x, into: result, within: nil)
          return result
        }
      )
    }
    return (centredGram(), gramTimes)
  }

  /// FᵀF = CᵀC + u uᵀ with u the mean times √n. With a centre c the sums s are those of F − 1cᵀ, and the rest of the mean
  /// is s/n.
  private func centredGram() -> CentredGram {
    let (q, n) = (order, Double(samples))
    let rest = Matrix(1, q)
    sums.copyDoubles(0..<q, into: rest.base)
    scale(q, 1 / n, rest.base)
    let matrix = SingleMatrix(q, q)
    let triangle = self.triangle
    Threads.split(q, grain: 64) { part in
      let row = Matrix(1, q)
      for i in part {
        triangle.copyRow(i, into: row.base)
        let (target, factor) = (matrix.row(i) + i, n * rest.base[i])
        for j in 0..<q - i { target[j] = Float(row.base[j] - factor * rest.base[i + j]) }
      }
    }
    matrix.mirrorUpper()
    let mean = Matrix(copying: rest)
    if let centre {
      let c = Matrix(1, q)
      centre.copyDoubles(0..<q, into: c.base)
      axpy(q, 1, c.base, mean.base)
    }
    scale(q, n.squareRoot(), mean.base)
    return CentredGram(matrix, form: .gram, mean: mean)
  }
}
