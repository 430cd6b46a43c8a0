import LinearAlgebra

/// The forms in which the Gram matrix of features is held: in double precision, in single precision, or as the features
/// themselves.
package enum FeatureForm: CaseIterable { case dense, gram, samples }

/// The moments of all samples' features that a program with squared loss needs: G = FᵀF and R = FᵀY.
struct FeatureMoments {
  let gram: any FeatureGram
  /// R, Q × C, in double precision.
  let correlations: Matrix

  /// The most features for which G is in double precision; beyond, it is in single precision.
  static let largestDense = 4000

  static func form(samples n: Int, order q: Int) -> FeatureForm {
    q <= largestDense ? .dense : n < q ? .samples : .gram
  }

  /// Bytes of G and of its computation.
  static func memory(_ form: FeatureForm, samples n: Int, order q: Int) -> Double {
    let (n, q) = (Double(n), Double(q))
    let block = Double(round) * q
    switch form {
    case .dense: return 8 * (q * q + block)
    case .gram: return 4 * (q * q + block)
    case .samples: return 4 * n * q
    }
  }

  /// The number of samples whose features are added at once: work for a few threads, and enough for an update of G.
  private static let round = 1000

  /// Reads all samples; nil if `proceed` ended it.
  init?(
    _ stream: FeatureStream, targets: Matrix, form: FeatureForm, proceed: () -> Bool,
    progress: (String) -> Void
  ) {
    let (n, q, columns) = (targets.rows, stream.features.order, targets.columns)
    let parts = (0..<stream.workers).map { _ in Matrix(q, columns) }
    /// R += FᵀY for some samples.
    func correlate(_ worker: Int, _ samples: Range<Int>, _ f: UnsafePointer<Double>) {
      gemm(
        q, columns, samples.count, f, .transposed, targets.row(samples.lowerBound), .plain, beta: 1,
        parts[worker].base)
    }
    func tell(_ done: Int) { progress("features: \(100 * done / n) % of \(n) images") }
    tell(0)
    let gram =
      form == .dense
      ? FeatureMoments.denseGram(
        stream, samples: n, proceed: proceed, use: correlate, tell: tell)
      : FeatureMoments.centredGram(
        stream, samples: n, isWhole: form == .samples, proceed: proceed, use: correlate, tell: tell)
    guard let gram else { return nil }
    self.gram = gram
    correlations = FeatureMoments.sum(parts)
  }

  /// G in double precision. `use` is called with all features.
  private static func denseGram(
    _ stream: FeatureStream, samples n: Int, proceed: () -> Bool, use: Use, tell: (Int) -> Void
  ) -> (any FeatureGram)? {
    let q = stream.features.order
    let gram = Matrix(q, q)
    let rows = Matrix(min(n, FeatureMoments.round), q)
    let isWhole = stream.run(
      0..<n, round: rows.rows, proceed: proceed,
      use: { worker, samples, f in
        use(worker, samples, f)
        rows.row(samples.lowerBound % rows.rows).update(from: f, count: samples.count * q)
      },
      next: { samples in
        syrkUpper(q, samples.count, rows.base, beta: 1, gram.base)
        tell(samples.upperBound)
      })
    guard isWhole else { return nil }
    gram.mirrorUpper()
    return DenseGram(gram)
  }

  /// Receives a thread's number, a range of samples and their features, a row of Q each.
  private typealias Use = (Int, Range<Int>, UnsafePointer<Double>) -> Void

  /// The features minus their mean in single precision, or their Gram matrix. `use` is called with all features.
  private static func centredGram(
    _ stream: FeatureStream, samples n: Int, isWhole: Bool, proceed: () -> Bool, use: Use,
    tell: (Int) -> Void
  ) -> (any FeatureGram)? {
    let q = stream.features.order
    // The mean of the first samples is near that of all: the remainder is subtracted at the end.
    let sums = (0..<stream.workers).map { _ in Matrix(1, q) }
    func add(_ worker: Int, _ samples: Range<Int>, _ f: UnsafePointer<Double>) {
      for k in 0..<samples.count { axpy(q, 1, f + k * q, sums[worker].base) }
    }
    let few = min(n, 256)
    guard stream.run(0..<few, round: few, proceed: proceed, use: add) else { return nil }
    let centre = FeatureMoments.sum(sums)
    scale(q, 1 / Double(few), centre.base)
    for sum in sums { sum.fill(0) }
    let rows = SingleMatrix(isWhole ? n : min(n, FeatureMoments.round), q)
    let gram = SingleMatrix(isWhole ? 0 : q, isWhole ? 0 : q)
    guard
      stream.run(
        0..<n, round: FeatureMoments.round, proceed: proceed,
        use: { worker, samples, f in
          use(worker, samples, f)
          add(worker, samples, f)
          for k in 0..<samples.count {
            let i = samples.lowerBound + k
            let (target, source) = (rows.row(isWhole ? i : i % rows.rows), f + k * q)
            for j in 0..<q { target[j] = Float(source[j] - centre.base[j]) }
          }
        },
        next: { samples in
          if !isWhole { syrkUpper(q, samples.count, rows.base, beta: 1, gram.base) }
          tell(samples.upperBound)
        })
    else { return nil }
    let mean = FeatureMoments.sum(sums)
    scale(q, 1 / Double(n), mean.base)
    let rest = Matrix(copying: mean)
    axpy(q, -1, centre.base, rest.base)
    FeatureMoments.subtract(rest, from: isWhole ? rows : gram, isWhole: isWhole, samples: n)
    scale(q, Double(n).squareRoot(), mean.base)
    return CentredGram(isWhole ? rows : gram, form: isWhole ? .samples : .gram, mean: mean)
  }

  /// Subtracts the remaining mean r of centred features c from them, or from their Gram matrix: Σ (c − r)(c − r)ᵀ = Σ c
  /// cᵀ − n r rᵀ, whose lower triangle becomes the upper one.
  private static func subtract(
    _ rest: Matrix, from matrix: SingleMatrix, isWhole: Bool, samples n: Int
  ) {
    let q = rest.columns
    Threads.split(isWhole ? n : q) { part in
      for i in part {
        let row = matrix.row(i)
        let factor = isWhole ? 1 : Double(n) * rest.base[i]
        for j in (isWhole ? 0 : i)..<q {
          row[j] = Float(Double(row[j]) - factor * rest.base[j])
        }
      }
    }
    if !isWhole { matrix.mirrorUpper() }
  }

  static func sum(_ parts: [Matrix]) -> Matrix {
    let result = Matrix(copying: parts[0])
    for part in parts.dropFirst() { axpy(result.count, 1, part.base, result.base) }
    return result
  }
}
