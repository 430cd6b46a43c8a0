import Convex
import Glibc
import LinearAlgebra

/// The pass over all patches that fills `ReLUFeatures`: lengths, bits, pooled features and unit rows.
struct PatchPass: @unchecked Sendable {
  private let target: ReLUFeatures
  private let order: [Int]
  private let gates: Matrix?
  private let thresholds: [Double]?
  private let given: Patterns?
  private let kept: Matrix?

  init(
    _ target: ReLUFeatures, order: [Int], gates: Matrix?, thresholds: [Double]?,
    given: Patterns?, kept: Matrix?
  ) {
    self.target = target
    self.order = order
    self.gates = gates
    self.thresholds = thresholds
    self.given = given
    self.kept = kept
  }

  /// The samples of a block, whose bits fill whole bytes.
  var samplesOfBlock: Int { max(8, 1024 / target.patchCount / 8 * 8) }

  /// Takes the samples `range`, read by `read`.
  func run(_ range: Range<Int>, _ read: (Range<Int>, UnsafeMutablePointer<Double>) -> Void) {
    let (d, perSample, count) = (target.dimension, target.patchCount, target.patterns)
    let rows = range.count * perSample
    let first = range.lowerBound * perSample
    let block = Matrix(rows, d)
    read(range, block.base)
    for j in 0..<rows { target.lengths[first + j] = norm(d, block.row(j)) }
    let active = Matrix(count, rows)
    if let gates {
      decide(block, gates, first, into: active)
    } else {
      let given = given!
      for i in 0..<count {
        for j in 0..<rows {
          let (sample, patch) = (range.lowerBound + j / perSample, order[j % perSample])
          active[i, j] = given.isActive(i, row: sample * perSample + patch) ? 1 : 0
        }
      }
    }
    for i in 0..<count {
      let (row, bits) = (active.row(i), target.bits + i * target.stride + first / 8)
      for j in 0..<rows where row[j] > 0 { bits[j >> 3] |= 1 << UInt8(j & 7) }
    }
    if let single = target.single {
      single.x.row(first).update(from: block.base, count: block.count)
      for i in 0..<count {
        (single.masks.row(i) + first).update(from: active.row(i), count: rows)
      }
    } else {
      pool(block, active, range)
    }
    if let kept {
      for j in 0..<rows where target.lengths[first + j] > 0 {
        let (from, to) = (block.row(j), kept.row(first + j))
        for k in 0..<d { to[k] = from[k] / target.lengths[first + j] }
      }
    }
  }

  /// active ← 1[x·g ≥ t], decided as in any later application of the gates.
  private func decide(_ block: Matrix, _ gates: Matrix, _ first: Int, into active: Matrix) {
    let (d, rows) = (block.columns, block.rows)
    gemm(gates.rows, rows, d, gates.base, .plain, block.base, .transposed, active.base)
    for i in 0..<gates.rows {
      let (row, length, threshold) = (active.row(i), norm(d, gates.row(i)), thresholds?[i] ?? 0)
      for j in 0..<rows {
        let scale = target.lengths[first + j] * length + abs(threshold)
        let value = comparableProduct(
          row[j], to: threshold, scale: scale, d, block.row(j), gates.row(i))
        row[j] = value >= threshold ? 1 : 0
      }
    }
  }

  /// F_ir of the samples: for each, the sums over the regions' active patches.
  private func pool(_ block: Matrix, _ active: Matrix, _ range: Range<Int>) {
    let (d, perSample, count) = (target.dimension, target.patchCount, target.patterns)
    let starts = target.regionStarts
    let sums = Matrix(count, d)
    for (place, sample) in range.enumerated() {
      for r in 0..<starts.count - 1 {
        let (begin, size) = (place * perSample + starts[r], starts[r + 1] - starts[r])
        gemm(
          count, d, size, alpha: 1 / Double(size), active.base + begin, .plain, lda: active.columns,
          block.row(begin), .plain, sums.base)
        for i in 0..<count {
          (target.features[i].row(sample) + r * d).update(from: sums.row(i), count: d)
        }
      }
    }
  }
}
