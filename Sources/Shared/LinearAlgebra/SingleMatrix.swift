import Glibc

/// A dense row-major matrix of single precision in memory of its own, for billions of numbers.
package final class SingleMatrix: @unchecked Sendable {
  package let rows: Int
  package let columns: Int
  package let base: UnsafeMutablePointer<Float>
  private let memory: UnsafeMutableRawPointer

  /// Zeros.
  package init(_ rows: Int, _ columns: Int) {
    self.rows = rows
    self.columns = columns
    let zeros = AlignedZeros(bytes: rows * columns * MemoryLayout<Float>.stride)
    memory = zeros.memory
    base = zeros.start.assumingMemoryBound(to: Float.self)
  }

  deinit { free(memory) }

  package var count: Int { rows * columns }

  /// The start of row `row`.
  package func row(_ row: Int) -> UnsafeMutablePointer<Float> { base + row * columns }

  package var isFinite: Bool {
    // v · 0 is 0 for a finite v and NaN for all others; eight sums at once.
    var sums = SIMD8<Float>.zero
    let whole = count / 8 * 8
    for i in stride(from: 0, to: whole, by: 8) {
      sums += UnsafeRawPointer(base + i).loadUnaligned(as: SIMD8<Float>.self) * 0
    }
    return (whole..<count).reduce(sums.sum()) { $0 + base[$1] * 0 } == 0
  }

  /// Copies the upper triangle onto the lower, block by block, on all threads.
  package func mirrorUpper() {
    precondition(rows == columns, "not square")
    let (n, block) = (rows, 64)
    let strips = (n + block - 1) / block
    Threads.perform(strips) { strip in
      // The rows of a strip of the lower triangle, left of the diagonal.
      let rows = strip * block..<min(n, (strip + 1) * block)
      for first in stride(from: 0, to: rows.upperBound, by: block) {
        for i in rows {
          for j in first..<max(first, min(i, first + block)) { base[i * n + j] = base[j * n + i] }
        }
      }
    }
  }
}
