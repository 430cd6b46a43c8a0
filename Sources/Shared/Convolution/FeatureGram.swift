import LinearAlgebra

/// Products with G = FᵀF, the Gram matrix of the features of all samples.
protocol FeatureGram: AnyObject {
  /// Q.
  var order: Int { get }

  /// Y ← G X, both Q × C. If ranges are given, X is zero outside of them, and only those rows of Y are computed.
  func multiply(_ x: Matrix, into y: Matrix, within ranges: [Range<Int>]?)
}

/// G in double precision, for small Q.
final class DenseGram: FeatureGram {
  let matrix: Matrix
  var order: Int { matrix.rows }

  init(_ matrix: Matrix) { self.matrix = matrix }

  func multiply(_ x: Matrix, into y: Matrix, within ranges: [Range<Int>]?) {
    let (q, columns) = (order, x.columns)
    for rows in ranges ?? [0..<q] {
      gemm(
        rows.count, columns, q, matrix.row(rows.lowerBound), .plain, x.base, .plain,
        y.row(rows.lowerBound))
    }
  }
}

/// G = CᵀC + u uᵀ in single precision, with C the features minus their mean and u that mean times √n.
///
/// The mean is by far the largest direction of features that are mostly positive: keeping it separate, in double
/// precision, saves the digits of the rest. The rest is held as CᵀC or, if there are fewer samples than features, as C
/// itself.
final class CentredGram: FeatureGram {
  enum Form { case gram, samples }

  let order: Int
  let form: Form
  /// CᵀC (Q × Q), or C (n × Q).
  let matrix: SingleMatrix
  /// u.
  let mean: Matrix
  private var input: SingleMatrix
  private var output: SingleMatrix
  private var middle: SingleMatrix

  init(_ matrix: SingleMatrix, form: Form, mean: Matrix) {
    self.matrix = matrix
    self.form = form
    self.mean = mean
    order = matrix.columns
    input = SingleMatrix(0, 0)
    output = SingleMatrix(0, 0)
    middle = SingleMatrix(0, 0)
  }

  func multiply(_ x: Matrix, into y: Matrix, within ranges: [Range<Int>]?) {
    let (q, columns) = (order, x.columns)
    if input.columns != columns {
      input = SingleMatrix(q, columns)
      output = SingleMatrix(q, columns)
      if form == .samples { middle = SingleMatrix(matrix.rows, columns) }
    }
    for k in 0..<x.count { input.base[k] = Float(x.base[k]) }
    let ranges = ranges ?? [0..<q]
    multiplyCentred(input, into: output, middle: middle, within: ranges)
    // u uᵀ X
    let along = Matrix(1, columns)
    gemm(1, columns, q, mean.base, .plain, x.base, .plain, along.base)
    for rows in ranges {
      for i in rows {
        let (target, source, u) = (y.row(i), output.row(i), mean.base[i])
        for c in 0..<columns { target[c] = Double(source[c]) + u * along.base[c] }
      }
    }
  }

  /// Y ← CᵀC X; `middle` is n × columns if C is held.
  func multiplyCentred(
    _ x: SingleMatrix, into y: SingleMatrix, middle: SingleMatrix, within ranges: [Range<Int>]
  ) {
    let (q, columns) = (order, x.columns)
    switch form {
    case .gram:
      for rows in ranges {
        multiply(
          rows.count, q, matrix.row(rows.lowerBound), .plain, x.base, columns: columns,
          y.row(rows.lowerBound))
      }
    case .samples:
      let n = matrix.rows
      for (k, part) in ranges.enumerated() {
        multiply(
          n, part.count, matrix.base + part.lowerBound, .plain, x.row(part.lowerBound),
          columns: columns, beta: k == 0 ? 0 : 1, middle.base)
      }
      for part in ranges {
        multiply(
          n, part.count, matrix.base + part.lowerBound, .transposed, middle.base,
          columns: columns, y.row(part.lowerBound))
      }
    }
  }

  /// Y ← op(A) X + β Y for a part A (m × n) of the matrix; `gemv` does a single column, since it is faster.
  private func multiply(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Float>, _ op: Operation, _ x: UnsafePointer<Float>,
    columns: Int, beta: Float = 0, _ y: UnsafeMutablePointer<Float>
  ) {
    if columns == 1 {
      gemv(m, n, a, op, lda: order, x, beta: beta, y)
    } else if op == .plain {
      gemm(m, columns, n, a, .plain, lda: order, x, .plain, beta: beta, y)
    } else {
      gemm(n, columns, m, a, .transposed, lda: order, x, .plain, beta: beta, y)
    }
  }

  /// The block of CᵀC at the features `part`, count × count.
  func block(_ part: Range<Int>, into target: Matrix) {
    switch form {
    case .gram:
      for i in part {
        let (source, row) = (matrix.row(i) + part.lowerBound, target.row(i - part.lowerBound))
        for j in 0..<part.count { row[j] = Double(source[j]) }
      }
    case .samples:
      let result = SingleMatrix(part.count, part.count)
      syrkUpper(part.count, matrix.rows, matrix.base + part.lowerBound, lda: order, result.base)
      for i in 0..<part.count {
        for j in i..<part.count {
          target[i, j] = Double(result.row(i)[j])
          target[j, i] = target[i, j]
        }
      }
    }
  }
}
