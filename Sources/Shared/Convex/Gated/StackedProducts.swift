import LinearAlgebra

/// Products of several outputs at once with the matrices D_1 X … D_P X, in double precision. A block of samples meets
/// the masks of all members and outputs before the next one is read: each product has about a thousand rows, while that
/// of a single output has only a row for each member.
final class StackedProducts {
  private unowned let products: PatternProducts
  private let workers = Threads.count
  /// Each thread's masked rows or images of a block, and its sum of T.
  private var scratch: [Storage<Double>] = []
  private var sums: [Storage<Double>] = []

  /// The samples of a block, or slightly more, and the rows of a product if there are enough members.
  private static let block = 512
  private static let rows = 1024

  init(_ products: PatternProducts) { self.products = products }

  /// T_ic = Xᵀ D_i ν_c of the members in `list` and the rows ν_c of `nu`, as rows of t[c]. Returns false if `proceed`
  /// ended it.
  @discardableResult
  func correlations(
    _ nu: Matrix, _ list: [Int], into t: [Matrix], proceed: () -> Bool = { true }
  ) -> Bool {
    let d = products.dimension
    return forEachGroup(list, outputs: nu.rows, proceed: proceed) { places in
      correlate(nu, list[places]) { c, k, row in
        t[c].row(places.lowerBound + k).update(from: row, count: d)
      }
    }
  }

  /// Σ_c ‖Xᵀ D_i ν_c‖² of the members in `list`, in that order.
  func squares(_ nu: Matrix, _ list: [Int], into squares: UnsafeMutablePointer<Double>) {
    let d = products.dimension
    if isSparse(nu) { return sparseSquares(nu, list, into: squares) }
    forEachGroup(list, outputs: nu.rows) { places in
      let part = Matrix(nu.rows, places.count)
      correlate(nu, list[places]) { c, k, row in part[c, k] = dot(d, row, row) }
      for k in 0..<places.count {
        squares[places.lowerBound + k] = (0..<nu.rows).reduce(0) { $0 + part[$1, k] }
      }
    }
  }

  /// U_ic = D_i X t_ic of the members in `list`, as rows of u[c]. Row c of `sum` grows by Σ_i η_i U_ic. Returns false
  /// if `proceed` ended it.
  @discardableResult
  func images(
    _ t: [Matrix], _ list: [Int], into u: [Matrix], eta: [Double] = [], addingTo sum: Matrix? = nil,
    proceed: () -> Bool = { true }
  ) -> Bool {
    let (d, outputs) = (products.dimension, t.count)
    return forEachGroup(list, outputs: outputs, proceed: proceed) { places in
      let count = places.count
      let directions = Storage<Double>(outputs * count * d)
      for c in 0..<outputs {
        (directions.base + c * count * d).update(
          from: t[c].row(places.lowerBound), count: count * d)
      }
      forEachBlock(rows: outputs * count) { range, worker in
        let (images, length) = (self.scratch[worker].base, range.count)
        gemm(
          outputs * count, length, d, directions.base, .plain,
          self.products.x.row(range.lowerBound), .transposed, images)
        for (k, place) in places.enumerated() {
          for c in 0..<outputs {
            let target = u[c].row(place) + range.lowerBound
            self.products.mask(
              list[place], range, images + (c * count + k) * length, into: target)
            if let sum { axpy(length, eta[list[place]], target, sum.row(c) + range.lowerBound) }
          }
        }
      }
    }
  }

  /// Calls `take` with each output c, member k of `list` and T_ic.
  private func correlate(
    _ nu: Matrix, _ list: ArraySlice<Int>, take: (Int, Int, UnsafePointer<Double>) -> Void
  ) {
    let (d, outputs, count) = (products.dimension, nu.rows, list.count)
    let rows = outputs * count
    reserve(&sums, rows * d)
    for sum in sums { sum.base.update(repeating: 0, count: rows * d) }
    forEachBlock(rows: rows) { range, worker in
      let (masked, length) = (self.scratch[worker].base, range.count)
      for (k, i) in list.enumerated() {
        for c in 0..<outputs {
          self.products.mask(
            i, range, nu.row(c) + range.lowerBound, into: masked + (c * count + k) * length)
        }
      }
      gemm(
        rows, d, length, masked, .plain, self.products.x.row(range.lowerBound), .plain, beta: 1,
        self.sums[worker].base)
    }
    Threads.split(rows, grain: 16) { part in
      for row in part {
        let target = self.sums[0].base + row * d
        for other in self.sums.dropFirst() { axpy(d, 1, other.base + row * d, target) }
        take(row / count, row % count, target)
      }
    }
  }

  // MARK: Targets that are mostly zero

  /// Whether most of `nu` is zero, as in one-hot targets: zeros need not be multiplied.
  private func isSparse(_ nu: Matrix) -> Bool {
    var zeros = 0
    for k in 0..<nu.count where nu.base[k] == 0 { zeros += 1 }
    return 2 * zeros > nu.count
  }

  private func sparseSquares(
    _ nu: Matrix, _ list: [Int], into squares: UnsafeMutablePointer<Double>
  ) {
    let (d, outputs, size) = (products.dimension, nu.rows, StackedProducts.block)
    let parts = Matrix(outputs, list.count)
    let samples = (0..<outputs).map { c in (0..<nu.columns).filter { nu[c, $0] != 0 } }
    let most = min(256, list.count)
    Threads.perform(outputs) { c in
      let (x, masked) = (Storage<Double>(size * d), Storage<Double>(most * size))
      let t = Storage<Double>(most * d)
      for first in stride(from: 0, to: list.count, by: most) {
        let members = list[first..<min(list.count, first + most)]
        t.base.update(repeating: 0, count: members.count * d)
        for begin in stride(from: 0, to: samples[c].count, by: size) {
          let block = samples[c][begin..<min(samples[c].count, begin + size)]
          for (k, j) in block.enumerated() {
            (x.base + k * d).update(from: self.products.x.row(j), count: d)
          }
          for (row, i) in members.enumerated() {
            let target = masked.base + row * block.count
            for (k, j) in block.enumerated() {
              target[k] = self.products.isActive(i, j) ? nu[c, j] : 0
            }
          }
          gemm(
            members.count, d, block.count, masked.base, .plain, x.base, .plain, beta: 1, t.base)
        }
        for row in 0..<members.count {
          parts[c, first + row] = dot(d, t.base + row * d, t.base + row * d)
        }
      }
    }
    for k in list.indices { squares[k] = (0..<outputs).reduce(0) { $0 + parts[$1, k] } }
  }

  // MARK: Parts

  /// Calls `body` with places of `list` that fill about one product; returns false if `proceed` ended it.
  @discardableResult
  private func forEachGroup(
    _ list: [Int], outputs: Int, proceed: () -> Bool = { true }, _ body: (Range<Int>) -> Void
  ) -> Bool {
    let size = max(1, StackedProducts.rows / outputs)
    for first in stride(from: 0, to: list.count, by: size) {
      guard proceed() else { return false }
      body(first..<min(list.count, first + size))
    }
    return true
  }

  /// Calls `body` on all threads with blocks of samples that begin with a byte of a pattern, and with the number of the
  /// thread, whose scratch has `rows` rows.
  private func forEachBlock(rows: Int, _ body: (Range<Int>, _ worker: Int) -> Void) {
    let n = products.samples
    // Small products are done before a second thread has woken up.
    let isSmall = Double(rows) * Double(n) * Double(products.dimension) < 1e6
    let workers = isSmall ? 1 : self.workers
    let goal = workers * max(1, n / (workers * StackedProducts.block))
    let size = ((n + goal - 1) / goal + 7) / 8 * 8
    let blocks = (n + size - 1) / size
    reserve(&scratch, rows * size)
    let parts = min(workers, blocks)
    Threads.perform(parts) { worker in
      for k in blocks * worker / parts..<blocks * (worker + 1) / parts {
        body(k * size..<min(n, (k + 1) * size), worker)
      }
    }
  }

  private func reserve(_ buffers: inout [Storage<Double>], _ count: Int) {
    guard buffers.isEmpty || buffers[0].count < count else { return }
    buffers = (0..<workers).map { _ in Storage(count) }
  }
}
