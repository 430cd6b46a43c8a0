import LinearAlgebra

/// The sums T_ic = Xᵀ D_i ν_c in the dual constraints of the programs over patterns, for a range of patterns at a time.
/// They are as accurate as if summed in twice the precision and rounded once: at a small β they are many orders smaller
/// than their terms.
///
/// D_i holds zeros and ones, so that a BLAS product with the leading 44 bits of ν_j x_j is exact over 512 samples, in
/// whatever order it is summed; the rest of ν_j x_j is small and may round.
final class PatternSums {
  /// The largest number of samples in an exact product: 2⁴⁴ · 2⁹ = 2⁵³.
  private static let innerLimit = 512

  private let arrangements: Arrangements
  private let features: Matrix
  private let dual: Matrix
  /// T of pattern i of the range, class c: row i C + c.
  let sums: Matrix
  private let low: Matrix
  // D (patterns × samples), the two parts of ν x (samples × d), their products with D (patterns × d).
  private let masks, leading, rest, exact, small: Matrix

  /// Room for the sums of at most `limit` patterns over `features`, n × d, and `dual`, n × C.
  init(_ arrangements: Arrangements, _ features: Matrix, _ dual: Matrix, limit: Int) {
    self.arrangements = arrangements
    self.features = features
    self.dual = dual
    let (d, outputs) = (features.columns, dual.columns)
    let inner = min(features.rows, PatternSums.innerLimit)
    sums = Matrix(limit * outputs, d)
    low = Matrix(limit * outputs, d)
    masks = Matrix(limit, inner)
    leading = Matrix(inner, d)
    rest = Matrix(inner, d)
    exact = Matrix(limit, d)
    small = Matrix(limit, d)
  }

  /// Fills `sums` with T of the patterns `range`. `visit` sees the masks of some samples, ones and zeros, a row for
  /// each pattern.
  func update(
    _ range: Range<Int>, visit: (_ samples: Range<Int>, _ masks: UnsafePointer<Double>) -> Void
  ) {
    let (n, d, outputs) = (features.rows, features.columns, dual.columns)
    let count = range.count * outputs * d
    sums.base.update(repeating: 0, count: count)
    low.base.update(repeating: 0, count: count)
    for start in stride(from: 0, to: n, by: masks.columns) {
      let samples = start..<min(n, start + masks.columns)
      for (i, pattern) in range.enumerated() {
        arrangements.expand(pattern, samples, into: masks.base + i * samples.count)
      }
      visit(samples, masks.base)
      for c in 0..<outputs {
        split(samples, class: c)
        // D (ν ∘ X), first what is exact, then the rest
        gemm(range.count, d, samples.count, masks.base, .plain, leading.base, .plain, exact.base)
        gemm(range.count, d, samples.count, masks.base, .plain, rest.base, .plain, small.base)
        for i in 0..<range.count {
          let row = i * outputs + c
          let (high, low) = (sums.row(row), low.row(row))
          let (exact, small) = (exact.row(i), small.row(i))
          for k in 0..<d {
            let (sum, error) = exactSum(high[k], exact[k])
            high[k] = sum
            low[k] += error + small[k]
          }
        }
      }
    }
    for k in 0..<count { sums.base[k] += low.base[k] }
  }

  /// ν_jc x_j of the samples, split into multiples of 2⁻⁴⁴ of the power of two above the largest of them, and
  /// remainders.
  private func split(_ samples: Range<Int>, class c: Int) {
    let d = features.columns
    var largest = 0.0
    for (j, sample) in samples.enumerated() {
      let (x, nu) = (features.row(sample), dual[sample, c])
      let (products, errors) = (leading.row(j), rest.row(j))
      for k in 0..<d {
        let product = nu * x[k]
        products[k] = product
        errors[k] = (-product).addingProduct(nu, x[k])
        largest = max(largest, abs(product))
      }
    }
    guard largest > 0 && largest.isFinite else { return }
    // x + σ has room for no smaller bits: for |x| < 2ᵉ the unit of 1.5 · 2^(e+8) is 2^(e-44).
    let sigma = 1.5 * Double(sign: .plus, exponent: Int(largest.exponent) + 9, significand: 1)
    for k in 0..<samples.count * d {
      let product = leading.base[k]
      let high = (product + sigma) - sigma
      leading.base[k] = high
      rest.base[k] += product - high
    }
  }
}
