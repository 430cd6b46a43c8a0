import LinearAlgebra

/// Solves (A Aᵀ + k I) y = b by a Cholesky factor of order n, in single precision if that is worth while: the caller
/// corrects the solution by its residual.
package final class SplitSystem {
  private let single: SplitFactor<Float>?
  private let double: SplitFactor<Double>?
  private(set) var ridge = Double.nan

  /// The mean of the kernel's diagonal, in units of which k is measured.
  let scale: Double

  /// The number of samples from which on single precision saves more than corrections cost.
  private static let singleSize = 768

  /// Bytes that it takes.
  package static func memory(samples n: Int) -> Double {
    (n >= singleSize ? 4 : 8) * Double(n) * Double(n + 1)
  }

  /// `isSingle` chooses the precision; by default the size does.
  package init(_ features: any GroupedFeatures, isSingle: Bool? = nil) {
    if isSingle ?? (features.samples >= SplitSystem.singleSize) {
      let factor = SplitFactor<Float>(features)
      (single, double, scale) = (factor, nil, factor.scale)
    } else {
      let factor = SplitFactor<Double>(features)
      (single, double, scale) = (nil, factor, factor.scale)
    }
  }

  /// Whether solutions have only a few digits.
  var isSingle: Bool { single != nil }

  /// Factors for k = `ridge`. Returns false if rounding leaves the matrix indefinite.
  func factor(ridge: Double) -> Bool {
    self.ridge = ridge
    return single?.factor(ridge: ridge) ?? double!.factor(ridge: ridge)
  }

  /// Replaces each row of `b` (C × n) by its solution.
  func solve(_ b: Matrix) {
    if let single { single.solve(b) } else { double!.solve(b) }
  }
}

/// A Aᵀ and a factor of A Aᵀ + k I in one array of n rows and n + 1 columns: row i of the factor's lower
/// triangle begins row i, and row i of A Aᵀ up to its diagonal ends row n − 1 − i.
private final class SplitFactor<Scalar: KernelScalar> {
  private let n: Int
  private let storage: Storage<Scalar>
  private var vectors = Storage<Scalar>(0)
  private(set) var scale = 0.0

  private var lead: Int { n + 1 }

  private func kernel(_ i: Int) -> UnsafeMutablePointer<Scalar> {
    storage.base + (n - 1 - i) * lead + n - i
  }

  init(_ features: any GroupedFeatures) {
    let n = features.samples
    self.n = n
    storage = Storage(n * (n + 1))
    let (height, width) = (256, 512)
    let bands = (n + height - 1) / height
    let workers = min(bands, Threads.count)
    Threads.perform(workers) { worker in
      let tile = Matrix(min(n, height), min(n, width))
      for band in stride(from: worker, to: bands, by: workers) {
        let rows = band * height..<min(n, (band + 1) * height)
        for first in stride(from: 0, to: rows.upperBound, by: width) {
          let columns = first..<min(rows.upperBound, first + width)
          features.kernel(rows, columns, into: tile.base)
          for i in rows where i >= first {
            let source = tile.base + (i - rows.lowerBound) * columns.count
            let target = self.kernel(i) + first
            for j in 0..<min(columns.count, i + 1 - first) { target[j] = Scalar(source[j]) }
          }
        }
      }
    }
    var sum = 0.0
    for i in 0..<n { sum += Double(kernel(i)[i]) }
    scale = sum / Double(max(1, n))
  }

  func factor(ridge: Double) -> Bool {
    Threads.perform(Threads.count) { part in
      for i in stride(from: part, to: self.n, by: Threads.count) {
        let target = self.storage.base + i * self.lead
        target.update(from: self.kernel(i), count: i + 1)
        target[i] += Scalar(ridge)
      }
    }
    return onUsefulThreads { Scalar.factor(n, storage.base, lda: lead) }
  }

  func solve(_ b: Matrix) {
    if vectors.count < b.count { vectors = Storage(b.count) }
    let x = vectors.base
    for k in 0..<b.count { x[k] = Scalar(b.base[k]) }
    onUsefulThreads { Scalar.solve(n, storage.base, lda: lead, x, count: b.rows) }
    for k in 0..<b.count { b.base[k] = Double(x[k]) }
  }

  /// Uses one thread for systems that are too small for two.
  private func onUsefulThreads<R>(_ body: () -> R) -> R {
    n < 384 ? Threads.withSerialBLAS(body) : body()
  }
}
