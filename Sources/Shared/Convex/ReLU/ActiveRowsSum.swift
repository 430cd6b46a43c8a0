import LinearAlgebra

/// I + Σ E_k E_kᵀ (n × n) and its Cholesky factor. Each E_k has the active rows of one pattern and zeros elsewhere, so
/// only those rows are multiplied. The threads share the terms.
final class ActiveRowsSum {
  private let n: Int
  private let matrix: Matrix
  private let workers: [Worker]

  /// The memory of one thread.
  final class Worker {
    /// The thread's share of the sum, upper triangle.
    fileprivate let sum: Matrix
    /// Rows of one term, to be filled.
    let gathered: Matrix
    /// Scratch of n × n, or more if `gathered` is larger.
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

    /// Copies the active rows of X, times `factor`, into `gathered`.
    func gather(_ x: Matrix, times factor: Double) {
      let d = x.columns
      for (k, row) in rows.enumerated() {
        let (source, target) = (x.row(row), gathered.base + k * d)
        for i in 0..<d { target[i] = factor * source[i] }
      }
    }

    /// Computes E Eᵀ over the active rows; E is the `columns` of the rows in `gathered`, which stand `stride` apart. If
    /// `adding`, it is added to the previous product. `spread` adds the result to the sum.
    func multiply(columns: Range<Int>, stride: Int, times factor: Double = 1, adding: Bool = false)
    {
      syrkRowsUpper(
        rows.count, columns.count, alpha: factor, gathered.base + columns.lowerBound, lda: stride,
        beta: adding ? 1 : 0, local.base)
    }

    /// The product of all features, as `multiply` would form it: the active part of `kernel`, times `factor`.
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

  /// Terms have up to `width` columns; `gathered` must hold `scratch` more rows of so many numbers.
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

  /// Calls `term(k, worker, its number)` for every k below `count`, which takes rows, multiplies and spreads, then
  /// factors the sum. False if a term fails or the sum is not positive definite.
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
