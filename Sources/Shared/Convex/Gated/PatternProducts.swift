import LinearAlgebra

/// Products with the matrices D_1 X … D_P X, which are never formed: of bits, X and BLAS.
final class PatternProducts {
  /// X, n × d.
  let x: Matrix
  private let patterns: Patterns
  /// The pattern of each member.
  let members: [Int]
  /// Masked rows and their products, of each thread.
  private let scratch: [Matrix]
  private let blockSize: Int

  var samples: Int { x.rows }
  var dimension: Int { x.columns }
  var count: Int { members.count }

  /// The products with `members` of `patterns`.
  init(_ x: Matrix, _ patterns: Patterns, members: [Int]) {
    precondition(patterns.rows == x.rows, "patterns of other samples")
    self.x = x
    self.patterns = patterns
    self.members = members
    // About 16 MB a thread.
    let block = max(16, min(256, (2 << 20) / max(1, x.rows), members.count))
    blockSize = block
    scratch = (0..<Threads.count).map { _ in Matrix(block, x.rows + x.columns) }
  }

  /// The rows `rows` of the samples, and of the members in `kept` those that differ there, with their
  /// places here.
  func restricted(to rows: [Int], keeping kept: [Int]) -> (PatternProducts, members: [Int]) {
    let part = Matrix(rows.count, dimension)
    for (k, j) in rows.enumerated() { part.row(k).update(from: x.row(j), count: dimension) }
    let bits = patterns.restricted(to: rows, of: kept.map { members[$0] })
    let distinct = DistinctPatterns(bits, features: part).indices
    return (PatternProducts(part, bits, members: distinct), distinct.map { kept[$0] })
  }

  /// target ← D_i of a member, 0 or `value`.
  func expand(_ member: Int, times value: Double, into target: UnsafeMutablePointer<Double>) {
    patterns.expand(members[member], into: target)
    scale(samples, value, target)
  }

  /// T_i = Xᵀ D_i ν of the members in `list`, rows of `t` (at least |list| × d).
  func correlations(_ nu: UnsafePointer<Double>, _ list: [Int], into t: Matrix) {
    forEachBlock(list.count) { range, scratch in
      self.correlations(nu, list, range, scratch, into: t.row(range.lowerBound))
    }
  }

  /// ‖Xᵀ D_i ν‖ of the members in `list`, in that order.
  func norms(
    _ nu: UnsafePointer<Double>, _ list: [Int], into norms: UnsafeMutablePointer<Double>
  ) {
    let d = dimension
    forEachBlock(list.count) { range, scratch in
      // The masked rows are not needed once their product stands behind them.
      self.correlations(nu, list, range, scratch, into: scratch.base + range.count * self.samples)
      for k in 0..<range.count {
        norms[range.lowerBound + k] = norm(d, scratch.base + range.count * self.samples + k * d)
      }
    }
  }

  private func correlations(
    _ nu: UnsafePointer<Double>, _ list: [Int], _ range: Range<Int>, _ scratch: Matrix,
    into t: UnsafeMutablePointer<Double>
  ) {
    let n = samples
    for (k, place) in range.enumerated() {
      patterns.mask(members[list[place]], nu, into: scratch.base + k * n)
    }
    // T = (D ν) X.
    gemm(range.count, dimension, n, scratch.base, .plain, x.base, .plain, t)
  }

  /// U_i = D_i X t_i of the members in `list` for the rows of `t`, rows of `u` (at least |list| × n).
  func images(_ t: Matrix, _ list: [Int], into u: Matrix) {
    let n = samples
    forEachBlock(list.count) { range, _ in
      let target = u.row(range.lowerBound)
      gemm(
        range.count, n, self.dimension, t.row(range.lowerBound), .plain, self.x.base, .transposed,
        target)
      for (k, place) in range.enumerated() {
        self.patterns.mask(self.members[list[place]], target + k * n, into: target + k * n)
      }
    }
  }

  /// Splits `0 ..< total` into blocks and calls `body` with each and a thread's scratch.
  private func forEachBlock(_ total: Int, _ body: (Range<Int>, Matrix) -> Void) {
    guard total > 0 else { return }
    // Small products are done before a second thread has woken up.
    let work = Double(total) * Double(samples) * Double(dimension)
    let workers = work < 1e6 ? 1 : scratch.count
    let size = max(1, min(blockSize, (total + workers - 1) / workers))
    let blocks = (total + size - 1) / size
    Threads.perform(min(workers, blocks)) { worker in
      for block in Swift.stride(from: worker, to: blocks, by: min(workers, blocks)) {
        body(block * size..<min(total, (block + 1) * size), scratch[worker])
      }
    }
  }
}
