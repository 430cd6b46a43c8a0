import Glibc
import Tensors

/// A dense row-major matrix of doubles in memory of its own.
///
/// A reference type: solvers fill the same matrices again and again, and nothing is copied that is
/// not asked for.
package final class Matrix: @unchecked Sendable {
  package let rows: Int
  package let columns: Int
  package let base: UnsafeMutablePointer<Double>
  /// Its own memory, or the owner of the memory.
  private let memory: UnsafeMutableRawPointer?
  private let owner: Matrix?

  /// Zeros.
  package init(_ rows: Int, _ columns: Int) {
    self.rows = rows
    self.columns = columns
    owner = nil
    let zeros = AlignedZeros(bytes: rows * columns * MemoryLayout<Double>.stride)
    memory = zeros.memory
    base = zeros.start.assumingMemoryBound(to: Double.self)
  }

  /// A copy of `values`, row-major.
  package convenience init(_ rows: Int, _ columns: Int, _ values: [Double]) {
    precondition(values.count == rows * columns, "values do not fit the shape")
    self.init(rows, columns)
    values.withUnsafeBufferPointer { source in
      if let from = source.baseAddress { base.update(from: from, count: values.count) }
    }
  }

  package convenience init(copying other: Matrix) {
    self.init(other.rows, other.columns)
    copy(from: other)
  }

  package static func identity(_ order: Int) -> Matrix {
    let result = Matrix(order, order)
    for i in 0..<order { result[i, i] = 1 }
    return result
  }

  private init(rows range: Range<Int>, of whole: Matrix) {
    precondition(range.lowerBound >= 0 && range.upperBound <= whole.rows, "no such rows")
    rows = range.count
    columns = whole.columns
    base = whole.row(range.lowerBound)
    memory = nil
    owner = whole
  }

  /// The rows `range` in place: a matrix over the same memory, which it keeps alive.
  package func slice(_ range: Range<Int>) -> Matrix { Matrix(rows: range, of: self) }

  /// The rows `chosen`, in that order, copied.
  package func selecting(_ chosen: [Int]) -> Matrix {
    let result = Matrix(chosen.count, columns)
    for (place, index) in chosen.enumerated() {
      result.row(place).update(from: row(index), count: columns)
    }
    return result
  }

  deinit { free(memory) }

  package var count: Int { rows * columns }

  package subscript(row: Int, column: Int) -> Double {
    get { base[row * columns + column] }
    set { base[row * columns + column] = newValue }
  }

  /// The start of row `row`.
  package func row(_ row: Int) -> UnsafeMutablePointer<Double> { base + row * columns }

  package var values: [Double] { Array(UnsafeBufferPointer(start: base, count: count)) }

  package var isFinite: Bool {
    for i in 0..<count where !base[i].isFinite { return false }
    return true
  }

  package func copy(from other: Matrix) {
    precondition(other.rows == rows && other.columns == columns, "shapes differ")
    base.update(from: other.base, count: count)
  }

  package func fill(_ value: Double) { base.update(repeating: value, count: count) }

  /// The column `column`, copied.
  package func column(_ column: Int) -> [Double] { (0..<rows).map { self[$0, column] } }

  /// The columns `range`, copied.
  package func columns(_ range: Range<Int>) -> Matrix {
    let result = Matrix(rows, range.count)
    for i in 0..<rows {
      result.row(i).update(from: row(i) + range.lowerBound, count: range.count)
    }
    return result
  }

  /// Copies `part` into the columns `range`.
  package func setColumns(_ range: Range<Int>, to part: Matrix) {
    precondition(part.rows == rows && part.columns == range.count, "shapes differ")
    for i in 0..<rows {
      (row(i) + range.lowerBound).update(from: part.row(i), count: range.count)
    }
  }

  package var transposed: Matrix {
    let result = Matrix(columns, rows)
    for i in 0..<rows { for j in 0..<columns { result[j, i] = self[i, j] } }
    return result
  }

  /// Copies the upper triangle onto the lower.
  package func mirrorUpper() { forEachPair { upper, lower in base[lower] = base[upper] } }

  /// Copies the lower triangle onto the upper.
  package func mirrorLower() { forEachPair { upper, lower in base[upper] = base[lower] } }

  /// Aᵀ in place.
  package func transpose() {
    forEachPair { upper, lower in
      let kept = base[upper]
      base[upper] = base[lower]
      base[lower] = kept
    }
  }

  /// (A + Aᵀ)/2 in place.
  package func symmetrize() {
    forEachPair { upper, lower in
      let mean = 0.5 * (base[upper] + base[lower])
      base[upper] = mean
      base[lower] = mean
    }
  }

  /// Calls `body` with the places of (i, j) and (j, i) for i < j, block by block, so that both
  /// triangles' blocks stay in cache.
  @inline(__always)
  private func forEachPair(_ body: (_ upper: Int, _ lower: Int) -> Void) {
    precondition(rows == columns, "not square")
    let n = rows
    let block = 32
    for i0 in stride(from: 0, to: n, by: block) {
      for j0 in stride(from: i0, to: n, by: block) {
        for i in i0..<min(n, i0 + block) {
          for j in max(i + 1, j0)..<max(max(i + 1, j0), min(n, j0 + block)) {
            body(i * n + j, j * n + i)
          }
        }
      }
    }
  }
}

extension Matrix {
  /// A copy, F64 [rows, columns].
  package var tensor: Tensor {
    let result = Tensor(type: .f64, shape: [rows, columns])
    result.bytes.base.copyMemory(from: base, byteCount: 8 * count)
    return result
  }

  /// A copy of a tensor of two dimensions.
  package convenience init(_ tensor: Tensor) {
    self.init(tensor.shape[0], tensor.shape[1])
    tensor.copyDoubles(0..<count, into: base)
  }
}

extension Tensor {
  /// The numbers as `count` matrices, one after another.
  package func matrices(_ count: Int, rows: Int, columns: Int) -> [Matrix] {
    (0..<count).map { c in
      let matrix = Matrix(rows, columns)
      copyDoubles(c * matrix.count..<(c + 1) * matrix.count, into: matrix.base)
      return matrix
    }
  }
}
