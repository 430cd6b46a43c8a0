import LinearAlgebra

/// I + Σ E_k E_kᵀ (n × n) and its Cholesky factor, where each E_k has the rows that one pattern has active
/// and zeros elsewhere: only those rows are multiplied. Terms are shared among the threads.
final class ActiveRowsSum {
  private let n: Int
  private let matrix: Matrix
  private let workers: [Worker]

  /// What one thread needs.
  final class Worker {
    /// Its share, upper triangle.
    fileprivate let sum: Matrix
    /// Rows of one term, to be filled.
    let gathered: Matrix
    /// Scratch of n × n, or more where `gathered` is larger.
    let local: Matrix
    /// The active rows of the pattern that was taken last.
    private(set) var rows: [Int] = []

    fileprivate init(sum: Matrix, width: Int, scratch: Int) {
      self.sum = sum
      gathered = Matrix(max(sum.rows, scratch), width)
      local = Matrix(1, max(sum.rows * sum.rows, width * width))
      rows.reserveCapacity(sum.rows)
    }

    func take(rows patterns: Patterns, _ index: Int) {
      rows.removeAll(keepingCapacity: true)
      for i in 0..<patterns.rows where patterns.isActive(index, row: i) { rows.append(i) }
    }

    /// The active rows of X, `factor` times, into `gathered`.
    func gather(_ x: Matrix, times factor: Double) {
      let d = x.columns
      for (k, row) in rows.enumerated() {
        let (source, target) = (x.row(row), gathered.base + k * d)
        for i in 0..<d { target[i] = factor * source[i] }
      }
    }

    /// E Eᵀ of the active rows, E being the `columns` of the rows that stand `stride` apart in `gathered`;
    /// `adding` it to the product before. `spread` adds it to the sum.
    func multiply(columns: Range<Int>, stride: Int, times factor: Double = 1, adding: Bool = false)
    {
      syrkRowsUpper(
        rows.count, columns.count, alpha: factor, gathered.base + columns.lowerBound, lda: stride,
        beta: adding ? 1 : 0, local.base)
    }

    /// What `multiply` would make of all features: the active rows and columns of `kernel`, `factor` times.
    func take(kernel: Matrix, times factor: Double) {
      let m = rows.count
      rows.withUnsafeBufferPointer { rows in
        for a in 0..<m {
          let (target, values) = (local.base + a * m, kernel.row(rows[a]))
          for b in a..<m { target[b] = factor * values[rows[b]] }
        }
      }
    }

    func spread() {
      let m = rows.count
      rows.withUnsafeBufferPointer { rows in
        for a in 0..<m {
          let (target, values) = (sum.row(rows[a]), local.base + a * m)
          for b in a..<m { target[rows[b]] += values[b] }
        }
      }
    }
  }

  /// Terms have up to `width` columns; `scratch` is how many rows of so many numbers `gathered` must hold
  /// besides.
  init(_ n: Int, width: Int, scratch: Int = 0) {
    self.n = n
    let matrix = Matrix(n, n)
    self.matrix = matrix
    workers = (0..<Threads.count).map {
      Worker(sum: $0 == 0 ? matrix : Matrix(n, n), width: width, scratch: scratch)
    }
  }

  /// The factor L, its lower triangle row-major.
  var factor: UnsafePointer<Double> { UnsafePointer(matrix.base) }

  /// Calls `term(k, worker, its number)` for every k below `count`, which takes rows, multiplies and spreads,
  /// then factors the sum. False where a term fails or the sum is not positive definite.
  func build(_ count: Int, _ term: (Int, Worker, Int) -> Bool) -> Bool {
    isFactored = false
    let lock = Lock()
    var isSound = true
    let active = max(1, min(workers.count, count))
    Threads.perform(active) { number in
      let worker = self.workers[number]
      worker.sum.fill(0)
      for k in Swift.stride(from: number, to: count, by: active) {
        guard term(k, worker, number) else {
          lock.locked { isSound = false }
          return
        }
      }
    }
    guard isSound else { return false }
    for worker in workers[1..<active] { axpy(n * n, 1, worker.sum.base, matrix.base) }
    for i in 0..<n { matrix[i, i] += 1 }
    matrix.mirrorUpper()
    isFactored = choleskyLower(n, matrix.base)
    return isFactored
  }

  /// Whether there is a factor.
  private(set) var isFactored = false

  /// Solves with the factor.
  func solve(_ b: inout [Double]) { choleskySolve(n, matrix.base, &b, count: 1) }
}
