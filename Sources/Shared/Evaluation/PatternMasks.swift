import LinearAlgebra

/// The patches that a neuron, or a pattern, takes.
enum ActivePatches {
  /// All of them: a linear network, one pattern.
  case all
  /// x · g ≥ t and, of product gates, those that the unit takes.
  case gates(Gates)
  /// The bits of some patterns of the data, whose patches come in the order given.
  case listed(Arrangements, [Int], order: [Int])

  var count: Int {
    switch self {
    case .all: 1
    case .gates(let gates): gates.vectors.rows
    case .listed(_, let members, _): members.count
    }
  }

  /// The patterns `range` alone.
  func selecting(_ range: Range<Int>) -> ActivePatches {
    switch self {
    case .all: .all
    case .gates(let gates): .gates(gates.selecting(Array(range)))
    case .listed(let arrangements, let members, let order):
      .listed(arrangements, Array(members[range]), order: order)
    }
  }
}

/// The masks of patterns on blocks of patches, ones and zeros. Each thread needs an object of its own.
final class PatternMasks {
  private let active: ActivePatches
  /// Pattern by patch.
  let values: Matrix

  /// Room for `limit` patches at once.
  init(_ active: ActivePatches, limit: Int) {
    self.active = active
    values = Matrix(active.count, limit)
    if case .all = active { values.fill(1) }
  }

  /// Fills row i with the mask of pattern i on the patches `x` of `samples`, K rows for each sample in the order of
  /// regions. Rows of masks have the length `values.columns`.
  func update(
    _ x: UnsafePointer<Double>, samples: Range<Int>, patchCount: Int, dimension: Int
  ) {
    switch active {
    case .all: break
    case .gates(let gates):
      gates.masks(x, rows: samples.count * patchCount, into: values)
    case .listed(let arrangements, let members, let order):
      for (i, pattern) in members.enumerated() {
        for (place, sample) in samples.enumerated() {
          arrangements.expand(
            pattern, sample: sample, order: order, into: values.row(i) + place * patchCount)
        }
      }
    }
  }
}

extension Gates {
  /// masks_jk ← 1 if x_k is active for gate j, otherwise 0, for `rows` rows of `x`; products next to their threshold are decided
  /// by `comparableProduct`.
  func masks(_ x: UnsafePointer<Double>, rows: Int, into masks: Matrix) {
    compare(x, rows: rows, into: masks)
    guard let units else { return }
    let outputs = Matrix(units.count, rows)
    units.outputs(x, rows: rows, into: outputs)
    for j in 0..<vectors.rows {
      let (row, unit) = (masks.row(j), outputs.row(units.index[j]))
      // An output that is no number takes nothing.
      for k in 0..<rows where !(unit[k] >= 0) { row[k] = 0 }
    }
  }

  /// masks_jk ← 1 if x_k · g_j ≥ t_j, otherwise 0.
  private func compare(_ x: UnsafePointer<Double>, rows: Int, into masks: Matrix) {
    let (m, d, ld) = (vectors.rows, vectors.columns, masks.columns)
    // G Xᵀ
    gemm(m, rows, d, vectors.base, .plain, x, .transposed, ldb: d, masks.base, ldc: ld)
    // No row is longer than this.
    let longest = Double(d).squareRoot() * largestSize(x, rows * d)
    let whole = rows / 8 * 8
    for j in 0..<m {
      let (values, threshold) = (masks.row(j), thresholds[j])
      let width = 2 * tieWidth * (longest * lengths[j] + abs(threshold))
      func decide(_ k: Int) {
        let row = x + k * d
        let scale = norm(d, row) * lengths[j] + abs(threshold)
        let value = comparableProduct(
          values[k], to: threshold, scale: scale, d, row, vectors.row(j))
        values[k] = value >= threshold ? 1 : 0
      }
      let (limit, low, high) = (
        SIMD8(repeating: threshold), SIMD8(repeating: threshold - width),
        SIMD8(repeating: threshold + width)
      )
      for k in stride(from: 0, to: whole, by: 8) {
        let place = UnsafeMutableRawPointer(values + k)
        let products = place.loadUnaligned(as: SIMD8<Double>.self)
        if any(products .>= low .& products .<= high) {
          for l in k..<k + 8 { decide(l) }
        } else {
          place.storeBytes(
            of: SIMD8<Double>.zero.replacing(with: 1, where: products .>= limit),
            as: SIMD8<Double>.self)
        }
      }
      for k in whole..<rows { decide(k) }
    }
  }
}

/// The largest |x_k|.
private func largestSize(_ x: UnsafePointer<Double>, _ count: Int) -> Double {
  var peaks = SIMD8<Double>.zero
  let whole = count / 8 * 8
  for k in stride(from: 0, to: whole, by: 8) {
    let values = UnsafeRawPointer(x + k).loadUnaligned(as: SIMD8<Double>.self)
    peaks.replace(with: values, where: values .> peaks)
    peaks.replace(with: -values, where: -values .> peaks)
  }
  return (whole..<count).reduce(peaks.max()) { max($0, abs(x[$1])) }
}
