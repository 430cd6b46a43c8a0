import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// The features of samples for networks over some gates: for gate i and region r the d numbers F_ir = (1/P_r) Σ over
/// the patches k of the region of D_i^k x_k. The features of a sample are those of gate 0, region by region, then those
/// of gate 1, and so on: Q = P·R·d numbers.
///
/// Weights in the same order make the outputs ŷ = F W. Those of further kinds of patches of the same samples follow; where
/// groups have fewer numbers than the largest, zeros fill them.
package final class PooledFeatures: @unchecked Sendable {
  package let patches: PatchSource
  /// The gates (P × d), their lengths, and their thresholds.
  fileprivate let gates: Matrix
  fileprivate let lengths: [Double]
  fileprivate let thresholds: [Double]
  /// Which patches the units of product gates take.
  fileprivate let units: UnitSigns?
  /// The same in single precision.
  fileprivate let roundedGates: [Float]
  fileprivate let roundedThresholds: [Float]
  /// The patterns that decide instead of the gates, if there are any, and their numbers.
  fileprivate let patterns: Patterns?
  fileprivate let members: [Int]
  /// Those of further kinds of patches.
  fileprivate let others: [PooledFeatures]

  /// The gates on these patches, and all P of them; each has R·d features, and Q = P·R·d.
  fileprivate var ownCount: Int { members.count }
  package var gateCount: Int { others.reduce(members.count) { $0 + $1.gateCount } }
  package let groupSize: Int
  package var order: Int { gateCount * groupSize }

  /// The features of the gates `members` on `patches`; `patterns`, if given, are those of all gates on these patches
  /// and decide instead of the gates. A group has `groupSize` numbers, at least R·d, and `others` follow.
  package init(
    _ patches: PatchSource, gates: GateTensors, patterns: Patterns?,
    members: [Int], groupSize: Int? = nil, others: [PooledFeatures] = []
  ) {
    self.others = others
    self.patches = patches
    self.patterns = patterns
    self.members = members
    let d = patches.dimension
    self.groupSize = groupSize ?? patches.regions * d
    let own = gates.rows(members)
    let rows = Matrix(own.vectors)
    self.gates = rows
    thresholds = own.thresholds?.doubles ?? [Double](repeating: 0, count: members.count)
    units = own.units.map { UnitSigns($0) }
    lengths = members.indices.map { norm(d, rows.row($0)) }
    roundedGates = rows.values.map { Float($0) }
    roundedThresholds = self.thresholds.map { Float($0) }
  }

  /// The features of several kinds of patches; `members` are counted over the gates of all of them.
  package convenience init(
    _ parts: [(patches: PatchSource, gates: GateTensors, patterns: Patterns?)], members: [Int]
  ) {
    let size = parts.map { $0.patches.regions * $0.patches.dimension }.max()!
    let own = GateTensors.split(members, over: parts.map(\.gates.count))
    func features(_ k: Int, others: [PooledFeatures]) -> PooledFeatures {
      PooledFeatures(
        parts[k].patches, gates: parts[k].gates, patterns: parts[k].patterns, members: own[k],
        groupSize: size, others: others)
    }
    let others = (1..<max(1, parts.count)).map { features($0, others: []) }
    self.init(
      parts[0].patches, gates: parts[0].gates, patterns: parts[0].patterns, members: own[0],
      groupSize: size, others: others)
  }

  package convenience init(_ data: ConvolutionalData, members: [Int]) {
    self.init(
      data.parts.map { ($0.patches, $0.listed.gates, $0.patterns) }, members: members)
  }

  /// A reader with memory of its own: one for each thread.
  package func reader() -> PooledFeatureReader { PooledFeatureReader(self) }
}

/// Computes the features of samples.
package final class PooledFeatureReader {
  private let source: PooledFeatures
  private let others: [PooledFeatureReader]
  private let reader: PatchReader
  /// Patches of some samples, K·d each, and those of one sample in single precision.
  private let patches: Matrix
  private let rounded: UnsafeMutablePointer<Float>
  /// x·g for the patches of one sample in single precision, and the pattern as 0 and 1: K × P.
  private let products: UnsafeMutablePointer<Float>
  private let mask: Matrix
  /// Which patches each unit takes: S × K.
  private let taken: Matrix
  /// The number of samples whose patches are read at once.
  private let batch: Int

  init(_ source: PooledFeatures) {
    self.source = source
    others = source.others.map { $0.reader() }
    reader = source.patches.reader()
    let (count, d) = (source.patches.patchCount, source.patches.dimension)
    batch = max(1, min(64, 1 << 20 / (count * d)))
    patches = Matrix(batch * count, d)
    rounded = .allocate(capacity: count * d)
    products = .allocate(capacity: max(1, count * source.ownCount))
    mask = Matrix(count, source.ownCount)
    taken = Matrix(source.units?.count ?? 0, count)
  }

  deinit {
    rounded.deallocate()
    products.deallocate()
  }

  /// The features of `samples`: a row of Q numbers each, or of the first Q of `width` numbers. What is to be zero is left
  /// as it is.
  package func read(
    _ samples: Range<Int>, into target: UnsafeMutablePointer<Double>, width: Int? = nil
  ) {
    let count = source.patches.patchCount
    let width = width ?? source.order
    for first in stride(from: samples.lowerBound, to: samples.upperBound, by: batch) {
      let part = first..<min(first + batch, samples.upperBound)
      reader.read(part, into: patches.base)
      for i in part {
        pool(
          patches.row((i - first) * count), sample: i,
          into: target + (i - samples.lowerBound) * width)
      }
    }
    var place = source.ownCount * source.groupSize
    for other in others {
      other.read(samples, into: target + place, width: width)
      place += other.source.order
    }
  }

  private func pool(
    _ x: UnsafePointer<Double>, sample: Int, into target: UnsafeMutablePointer<Double>
  ) {
    let (d, gates) = (source.patches.dimension, source.ownCount)
    if let patterns = source.patterns {
      spread(patterns, sample: sample)
    } else {
      decide(x)
      multiplyByUnits(x)
    }
    for (r, size) in source.patches.regionSizes.enumerated() {
      let start = source.patches.regionStarts[r]
      // F_r = (1/P_r) Dᵀ X_r
      gemm(
        gates, d, size, alpha: 1 / Double(size), mask.row(start), .transposed, lda: gates,
        x + start * d, .plain, target + r * d, ldc: source.groupSize)
    }
  }

  /// Copies the patterns' bits for a sample.
  private func spread(_ patterns: Patterns, sample: Int) {
    let first = sample * source.patches.patchCount
    for (k, patch) in source.patches.order.enumerated() {
      let row = mask.row(k)
      for (p, i) in source.members.enumerated() {
        row[p] = patterns.isActive(i, row: first + patch) ? 1 : 0
      }
    }
  }

  /// Clears the mask where the unit of a product gate does not take the patch.
  private func multiplyByUnits(_ x: UnsafePointer<Double>) {
    guard let units = source.units else { return }
    let count = source.patches.patchCount
    units.update(x, rows: count, into: taken.base, stride: count)
    units.index.withUnsafeBufferPointer { index in
      for k in 0..<count {
        let (row, column) = (mask.row(k), taken.base + k)
        for p in 0..<index.count { row[p] *= column[index[p] * count] }
      }
    }
  }

  /// Compares x·g with the thresholds in single precision, and again if rounding could decide.
  private func decide(_ x: UnsafePointer<Double>) {
    let (count, d, gates) = (
      source.patches.patchCount, source.patches.dimension, source.ownCount
    )
    for j in 0..<count * d { rounded[j] = Float(x[j]) }
    source.roundedGates.withUnsafeBufferPointer { g in
      gemm(count, gates, d, rounded, .plain, g.baseAddress!, .transposed, products)
    }
    // Both factors and every sum are rounded: (d + 4) units of ‖x‖ ‖g‖ + |t| are more than enough.
    let unit = Float(d + 4) * 0x1p-23
    let longest = Float(source.lengths.max() ?? 0)
    let highest = source.roundedThresholds.reduce(0) { max($0, abs($1)) }
    source.roundedThresholds.withUnsafeBufferPointer { thresholds in
      for k in 0..<count {
        let (product, row) = (products + k * gates, mask.row(k))
        let length = norm(d, x + k * d)
        let width = unit * (Float(length) * longest + highest)
        let closest = compare(gates, product, thresholds.baseAddress!, into: row)
        if !(closest > width) { settle(x + k * d, length: length, product, width: width, row) }
      }
    }
  }

  /// row_p ← 1 if product_p is at least the threshold, else 0; returns the smallest distance to a threshold.
  private func compare(
    _ count: Int, _ product: UnsafePointer<Float>, _ thresholds: UnsafePointer<Float>,
    into row: UnsafeMutablePointer<Double>
  ) -> Float {
    let lanes = 16
    let whole = count / lanes * lanes
    let (one, zero) = (SIMD16<Float>(repeating: 1), SIMD16<Float>())
    var closest = SIMD16<Float>(repeating: .infinity)
    for p in stride(from: 0, to: whole, by: lanes) {
      let value = UnsafeRawPointer(product + p).loadUnaligned(as: SIMD16<Float>.self)
      let threshold = UnsafeRawPointer(thresholds + p).loadUnaligned(as: SIMD16<Float>.self)
      let distance = value - threshold
      let bit = zero.replacing(with: one, where: distance .>= zero)
      UnsafeMutableRawPointer(row + p).storeBytes(
        of: SIMD16<Double>(bit), as: SIMD16<Double>.self)
      let size = distance.replacing(with: zero - distance, where: distance .< zero)
      // A product that is not a number counts as closest.
      closest.replace(with: size, where: .!(size .>= closest))
    }
    var nearest = closest.min()
    for p in whole..<count {
      let distance = product[p] - thresholds[p]
      row[p] = distance >= 0 ? 1 : 0
      if !(abs(distance) >= nearest) { nearest = abs(distance) }
    }
    return nearest
  }

  /// Decides in double precision, or better, if single precision came too close to the threshold.
  private func settle(
    _ x: UnsafePointer<Double>, length: Double, _ product: UnsafePointer<Float>, width: Float,
    _ row: UnsafeMutablePointer<Double>
  ) {
    let d = source.patches.dimension
    for p in 0..<source.ownCount
    where !(abs(product[p] - source.roundedThresholds[p]) > width) {
      let (g, threshold) = (source.gates.row(p), source.thresholds[p])
      let exact = comparableProduct(
        dot(d, x, g), to: threshold, scale: length * source.lengths[p] + abs(threshold), d, x, g)
      row[p] = exact >= threshold ? 1 : 0
    }
  }
}
