import LinearAlgebra
import Tensors

/// The system in the samples, n × n: M = (X Xᵀ) ∘ (D diag(η) Dᵀ), and its Cholesky factor.
///
/// One array of n rows and n + 1 columns holds the lower triangles of both: row i of I + M, or of its
/// factor, begins row i of the array, and row i of X Xᵀ ends row n − 1 − i.
final class KernelFactor<Scalar: KernelScalar> {
  private let products: PatternProducts
  private let interruption: Interruption
  private let n: Int
  private var hasKernel = false
  private let storage: Storage<Scalar>
  /// √η_i D_i, a row for each member.
  private var scaledPatterns = Storage<Scalar>(0)
  private var vectors = Storage<Scalar>(0)
  /// Each thread's tile of D diag(η) Dᵀ, and a row of doubles.
  private let tiles: [Storage<Scalar>]
  private let rows: [Matrix]

  private var lead: Int { n + 1 }

  init(_ products: PatternProducts, interruption: Interruption) {
    let n = products.samples
    self.products = products
    self.interruption = interruption
    self.n = n
    storage = Storage(n * (n + 1))
    tiles = (0..<Threads.count).map { _ in Storage(min(n, tileRows) * min(n, tileColumns)) }
    rows = (0..<Threads.count).map { _ in Matrix(1, n) }
  }

  /// Computes X Xᵀ once; false if there is no time for it.
  private func makeKernel() -> Bool {
    if hasKernel { return true }
    let d = products.dimension
    let x = Storage<Scalar>(n * d)
    for k in 0..<n * d { x.base[k] = Scalar(products.x.base[k]) }
    forEachTile { rows, columns, tile in
      Scalar.multiply(
        rows.count, columns.count, d, x.base + rows.lowerBound * d, .plain, lda: d,
        x.base + columns.lowerBound * d, .transposed, ldb: d, tile, ldc: columns.count)
      for i in rows {
        let length = min(columns.count, i + 1 - columns.lowerBound)
        guard length > 0 else { continue }
        (self.kernel(i) + columns.lowerBound).update(
          from: tile + (i - rows.lowerBound) * columns.count, count: length)
      }
    }
    hasKernel = !interruption.isOutOfTime
    return hasKernel
  }

  /// Row i of X Xᵀ up to its diagonal.
  private func kernel(_ i: Int) -> UnsafeMutablePointer<Scalar> {
    storage.base + (n - 1 - i) * lead + n - i
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    guard makeKernel() else { return false }
    let count = active.count
    if scaledPatterns.count < count * n {
      scaledPatterns = Storage(
        min(products.count, max(count + 16, 2 * scaledPatterns.count / n)) * n)
    }
    let scaled = scaledPatterns.base
    let workers = min(Threads.count, max(1, count * n / 100_000))
    Threads.perform(workers) { worker in
      let row = self.rows[worker].base
      for k in stride(from: worker, to: count, by: workers) {
        self.products.expand(active[k], times: eta[active[k]].squareRoot(), into: row)
        let target = scaled + k * self.n
        for j in 0..<self.n { target[j] = Scalar(row[j]) }
      }
    }
    // Works tile by tile, so that D diag(η) Dᵀ meets X Xᵀ while it is in cache.
    forEachTile { rows, columns, tile in
      let n = self.n
      Scalar.multiply(
        rows.count, columns.count, count, scaled + rows.lowerBound, .transposed, lda: n,
        scaled + columns.lowerBound, .plain, ldb: n, tile, ldc: columns.count)
      for i in rows {
        let length = min(columns.count, i + 1 - columns.lowerBound)
        guard length > 0 else { continue }
        let k = self.kernel(i) + columns.lowerBound
        let m = self.storage.base + i * self.lead + columns.lowerBound
        let t = tile + (i - rows.lowerBound) * columns.count
        for j in 0..<length { m[j] = k[j] * t[j] }
        if i < columns.upperBound { m[i - columns.lowerBound] += 1 }
      }
    }
    guard !interruption.isOutOfTime else { return false }
    return onUsefulThreads { Scalar.factor(n, storage.base, lda: lead) }
  }

  /// ν ← (I + M)⁻¹ ν for each of the `count` vectors of n numbers.
  func solve(_ nu: UnsafeMutablePointer<Double>, count: Int) {
    let b = reserveVectors(count)
    for j in 0..<count * n { b[j] = Scalar(nu[j]) }
    onUsefulThreads { Scalar.solve(n, storage.base, lda: lead, b, count: count) }
    for j in 0..<count * n { nu[j] = Double(b[j]) }
  }

  /// u ← L⁻¹ u for each of the first `count` rows of `u`.
  func solveTriangle(_ u: Matrix, count: Int) {
    let b = reserveVectors(count)
    for k in 0..<count * n { b[k] = Scalar(u.base[k]) }
    onUsefulThreads { Scalar.solveTriangle(n, storage.base, lda: lead, b, count: count) }
    for k in 0..<count * n { u.base[k] = Double(b[k]) }
  }

  private func reserveVectors(_ count: Int) -> UnsafeMutablePointer<Scalar> {
    if vectors.count < count * n {
      vectors = Storage(max(count, min(products.count, max(count + 16, 2 * vectors.count / n))) * n)
    }
    return vectors.base
  }

  /// Calls `body` on all threads for the tiles that cover the lower triangle, as long as there is time.
  private func forEachTile(
    _ body: (_ rows: Range<Int>, _ columns: Range<Int>, UnsafeMutablePointer<Scalar>) -> Void
  ) {
    let bands = (n + tileRows - 1) / tileRows
    let workers = n < parallelSize ? 1 : min(bands, Threads.count)
    Threads.perform(workers) { worker in
      for band in stride(from: worker, to: bands, by: workers) {
        let rows = band * tileRows..<min(self.n, (band + 1) * tileRows)
        for first in stride(from: 0, to: rows.upperBound, by: tileColumns)
        where !self.interruption.isOutOfTime {
          body(
            rows, first..<min(rows.upperBound, first + tileColumns), self.tiles[worker].base)
        }
      }
    }
  }

  /// Uses one thread for systems that are too small for two.
  private func onUsefulThreads<R>(_ body: () -> R) -> R {
    guard n < parallelSize else { return body() }
    var result: R?
    Threads.perform(1) { _ in result = body() }
    return result!
  }
}

private let tileRows = 256
private let tileColumns = 512
/// The number of samples from which on a second thread gains more than it costs.
private let parallelSize = 384

/// The system in the samples, in single precision if that is worth while and as long as it is accurate enough.
final class KernelSystem: EtaSystem {
  private let products: PatternProducts
  private let interruption: Interruption
  private var single: KernelFactor<Float>?
  private var double: KernelFactor<Double>?

  /// The number of samples from which on a factor in single precision saves more than its corrections cost.
  private static let singleSize = 768

  /// `isSingle` chooses the precision to begin with; by default the size does.
  init(
    _ products: PatternProducts, isSingle: Bool? = nil,
    interruption: Interruption = Interruption()
  ) {
    self.products = products
    self.interruption = interruption
    if isSingle ?? (products.samples >= KernelSystem.singleSize) {
      single = KernelFactor(products, interruption: interruption)
    } else {
      double = KernelFactor(products, interruption: interruption)
    }
  }

  func factor(_ active: [Int], _ eta: [Double]) -> Bool {
    single?.factor(active, eta) ?? double!.factor(active, eta)
  }

  func solve(_ nu: UnsafeMutablePointer<Double>) { solve(nu, count: 1) }

  func solve(rows nu: Matrix) { solve(nu.base, count: nu.rows) }

  private func solve(_ nu: UnsafeMutablePointer<Double>, count: Int) {
    if let single { single.solve(nu, count: count) } else { double!.solve(nu, count: count) }
  }

  /// H = Zᵀ Z, Z = L⁻¹ U.
  func hessian(
    _ working: [Int], directions t: Matrix, images u: Matrix,
    into h: UnsafeMutablePointer<Double>
  ) {
    let (n, count) = (products.samples, working.count)
    if let single {
      single.solveTriangle(u, count: count)
    } else {
      double!.solveTriangle(u, count: count)
    }
    // Double precision in either case: a Gram matrix that rounding makes indefinite would spoil the step.
    syrkRowsUpper(count, n, u.base, h)
    for i in 0..<count { for j in 0..<i { h[i * count + j] = h[j * count + i] } }
  }

  func increasePrecision() -> Bool {
    let n = Double(products.samples)
    guard single != nil, 8 * n * n < 0.5 * machineMemory else { return false }
    single = nil
    double = KernelFactor(products, interruption: interruption)
    return true
  }
}
