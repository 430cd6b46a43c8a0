import LinearAlgebra

/// Products with the matrices D_1 X … D_P X, which are never formed: they use the patterns' bits, X and BLAS.
final class PatternProducts {
  /// X, n × d.
  let x: Matrix
  private let patterns: Patterns
  /// The pattern of each member.
  let members: [Int]
  /// Each thread's masked rows and their products.
  private let scratch: [Matrix]
  /// Each thread's sum over members.
  private let sums: [Matrix]
  private let blockSize: Int
  /// Products for several outputs at once.
  private(set) lazy var stacked = StackedProducts(self)

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
    sums = (0..<Threads.count).map { _ in Matrix(x.rows, 1) }
  }

  /// The products for the samples `rows`, with those members in `kept` that differ there, and the places of these
  /// members here.
  func restricted(to rows: [Int], keeping kept: [Int]) -> (PatternProducts, members: [Int]) {
    let part = Matrix(rows.count, dimension)
    for (k, j) in rows.enumerated() { part.row(k).update(from: x.row(j), count: dimension) }
    let bits = patterns.restricted(to: rows, of: kept.map { members[$0] })
    let distinct = DistinctPatterns(bits, features: part).indices
    return (PatternProducts(part, bits, members: distinct), distinct.map { kept[$0] })
  }

  /// target ← D_i of a member, as 0 or `value`.
  func expand(_ member: Int, times value: Double, into target: UnsafeMutablePointer<Double>) {
    patterns.expand(members[member], into: target)
    scale(samples, value, target)
  }

  /// target_j ← D_jj x_j of a member for the samples `range`, which begins with a byte of the pattern; `x` and `target`
  /// point to the beginning of the range.
  func mask(
    _ member: Int, _ range: Range<Int>, _ x: UnsafePointer<Double>,
    into target: UnsafeMutablePointer<Double>
  ) {
    patterns.mask(members[member], range, x, into: target)
  }

  /// The packed bits of a member's pattern.
  func bits(_ member: Int) -> UnsafePointer<UInt8> { patterns.bits(members[member]) }

  /// The same members and samples with other features, n × r.
  func with(features: Matrix) -> PatternProducts {
    PatternProducts(features, patterns, members: members)
  }

  /// Whether a member lets sample `row` through.
  func isActive(_ member: Int, _ row: Int) -> Bool {
    patterns.isActive(members[member], row: row)
  }

  /// T_i = Xᵀ D_i ν of the members in `list`, rows of `t` (at least |list| × d).
  func correlations(_ nu: UnsafePointer<Double>, _ list: [Int], into t: Matrix) {
    forEachBlock(list.count) { range, scratch, _ in
      self.correlations(nu, list, range, scratch, into: t.row(range.lowerBound))
    }
  }

  /// ‖Xᵀ D_i ν‖ of the members in `list`, in that order.
  func norms(
    _ nu: UnsafePointer<Double>, _ list: [Int], into norms: UnsafeMutablePointer<Double>
  ) {
    let d = dimension
    forEachBlock(list.count) { range, scratch, _ in
      // The masked rows are no longer needed once their products follow them.
      self.correlations(nu, list, range, scratch, into: scratch.base + range.count * self.samples)
      for k in 0..<range.count {
        norms[range.lowerBound + k] = norm(d, scratch.base + range.count * self.samples + k * d)
      }
    }
  }

  /// (Σ_c ‖Xᵀ D_i ν_c‖²)^½ of the members in `list`, in that order, over the rows ν_c of `nu`.
  func norms(_ nu: Matrix, _ list: [Int], into norms: inout [Double]) {
    guard nu.rows > 1 else { return self.norms(nu.row(0), list, into: &norms) }
    stacked.squares(nu, list, into: &norms)
    for k in list.indices { norms[k].formSquareRoot() }
  }

  /// The same in an array of its own.
  func norms(_ nu: Matrix, _ list: [Int]) -> [Double] {
    var norms = [Double](repeating: 0, count: list.count)
    self.norms(nu, list, into: &norms)
    return norms
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
    forEachBlock(list.count) { range, _, _ in
      let target = u.row(range.lowerBound)
      gemm(
        range.count, n, self.dimension, t.row(range.lowerBound), .plain, self.x.base, .transposed,
        target)
      for (k, place) in range.enumerated() {
        self.patterns.mask(self.members[list[place]], target + k * n, into: target + k * n)
      }
    }
  }

  /// target ← target + M ν with M = Σ η_i D_i X Xᵀ D_i over the members in `list`.
  func addProduct(
    _ nu: UnsafePointer<Double>, _ list: [Int], _ eta: [Double],
    to target: UnsafeMutablePointer<Double>
  ) {
    let (n, d) = (samples, dimension)
    for sum in sums { sum.fill(0) }
    forEachBlock(list.count) { range, scratch, sum in
      let t = scratch.base + range.count * n
      self.correlations(nu, list, range, scratch, into: t)
      for (k, place) in range.enumerated() { scale(d, eta[list[place]], t + k * d) }
      gemm(range.count, n, d, t, .plain, self.x.base, .transposed, scratch.base)
      for (k, place) in range.enumerated() {
        let row = scratch.base + k * n
        self.patterns.mask(self.members[list[place]], row, into: row)
        axpy(n, 1, row, sum.base)
      }
    }
    for sum in sums { axpy(n, 1, sum.base, target) }
  }

  /// Splits `0 ..< total` into blocks and calls `body` with each block and the memory of its thread.
  private func forEachBlock(
    _ total: Int, _ body: (Range<Int>, _ scratch: Matrix, _ sum: Matrix) -> Void
  ) {
    guard total > 0 else { return }
    // Small products are done before a second thread has woken up.
    let work = Double(total) * Double(samples) * Double(dimension)
    let workers = work < 1e6 ? 1 : scratch.count
    let size = max(1, min(blockSize, (total + workers - 1) / workers))
    let blocks = (total + size - 1) / size
    Threads.perform(min(workers, blocks)) { worker in
      for block in Swift.stride(from: worker, to: blocks, by: min(workers, blocks)) {
        body(block * size..<min(total, (block + 1) * size), scratch[worker], sums[worker])
      }
    }
  }
}
