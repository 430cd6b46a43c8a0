import Glibc
import LinearAlgebra

/// The dual constraints of the ReLU program, ‖P_{K_i}(± Xᵀ D_i ν)‖ ≤ β: bounds and exact values of all norms, for many
/// ν.
///
/// Each block keeps the direction z = Bᵀλ of its last multipliers. Since multiples of λ ≥ 0 are multipliers too,
/// ‖P_K(t)‖ ≤ min over c ≥ 0 of ‖t + c z‖, and most blocks need no projection.
final class ConePricing {
  let cone: ConeRows
  private let x: Matrix
  private let patterns: Patterns
  private let d: Int
  /// Xᵀ D_i ν of every pattern, P × d, and z of every block: row 2i + (0 for +, 1 for −).
  let features: Matrix
  private let directions: Matrix
  private var squares: [Double]
  private var supports: [[Int32]]
  private let projectors: [ConeProjector]
  private let masked: Matrix

  init(_ x: Matrix, patterns: Patterns, cone: ConeRows) {
    self.x = x
    self.patterns = patterns
    self.cone = cone
    d = x.columns
    features = Matrix(patterns.count, d)
    directions = Matrix(2 * patterns.count, d)
    squares = Array(repeating: 0, count: 2 * patterns.count)
    supports = Array(repeating: [], count: 2 * patterns.count)
    projectors = (0..<Threads.count).map { _ in ConeProjector(cone) }
    masked = Matrix(max(1, min(patterns.count, 256)), x.rows)
  }

  static func row(_ block: ConeBlock) -> Int { 2 * block.pattern + (block.sign > 0 ? 0 : 1) }
  static func block(_ row: Int) -> ConeBlock {
    ConeBlock(pattern: row / 2, sign: row % 2 == 0 ? 1 : -1)
  }
  var count: Int { 2 * patterns.count }

  /// features ← Xᵀ D_i ν of all patterns.
  func correlate(_ nu: UnsafePointer<Double>) {
    for first in Swift.stride(from: 0, to: patterns.count, by: masked.rows) {
      let block = min(masked.rows, patterns.count - first)
      Threads.split(block, grain: max(1, 20_000 / x.rows)) { range in
        for k in range { self.patterns.mask(first + k, nu, into: self.masked.row(k)) }
      }
      gemm(block, d, x.rows, masked.base, .plain, x.base, .plain, features.row(first))
    }
  }

  /// The bound of block `row` for the ν of the last `correlate`.
  func bound(_ row: Int) -> Double {
    let t = features.row(row / 2)
    let square = dot(d, t, t)
    guard squares[row] > 0 else { return square.squareRoot() }
    let inner = min(0, (row % 2 == 0 ? 1 : -1) * dot(d, t, directions.row(row)))
    return max(0, square - inner * inner / squares[row]).squareRoot()
  }

  /// Remembers z = Bᵀλ of a block.
  func remember(_ row: Int, _ z: UnsafePointer<Double>) {
    directions.row(row).update(from: z, count: d)
    squares[row] = dot(d, z, z)
  }

  /// features ← Xᵀ D_i ν of the patterns `chosen` only.
  func correlate(_ nu: UnsafePointer<Double>, _ chosen: [Int]) {
    for first in Swift.stride(from: 0, to: chosen.count, by: masked.rows) {
      let block = min(masked.rows, chosen.count - first)
      for k in 0..<block { patterns.mask(chosen[first + k], nu, into: masked.row(k)) }
      let products = product(masked, rows: block)
      for k in 0..<block {
        features.row(chosen[first + k]).update(from: products + k * d, count: d)
      }
    }
  }

  private lazy var products = Matrix(masked.rows, d)
  private func product(_ z: Matrix, rows: Int) -> UnsafeMutablePointer<Double> {
    gemm(rows, d, x.rows, z.base, .plain, x.base, .plain, products.base)
    return products.base
  }

  /// The active rows of the cone at the last projection of a block.
  func support(_ row: Int) -> [Int32] { supports[row] }

  /// The norms of the projections of `rows`: a norm that is shown to be at most `ceiling` is replaced by the bound that
  /// showed it, the others are exact. The projections themselves go into `points`.
  func project(_ rows: [Int], into points: Matrix? = nil, ceiling: Double = 0) -> [Double] {
    var result = [Double](repeating: 0, count: rows.count)
    let workers = max(1, min(projectors.count, rows.count))
    result.withUnsafeMutableBufferPointer { result in
      nonisolated(unsafe) let result = result
      supports.withUnsafeMutableBufferPointer { supports in
        nonisolated(unsafe) let supports = supports
        squares.withUnsafeMutableBufferPointer { squares in
          nonisolated(unsafe) let squares = squares
          Threads.perform(workers) { worker in
            var signs = [Double](repeating: 0, count: self.cone.rows.rows)
            var t = [Double](repeating: 0, count: self.d)
            var z = [Double](repeating: 0, count: self.d)
            let projector = self.projectors[worker]
            for k in Swift.stride(from: worker, to: rows.count, by: workers) {
              let row = rows[k]
              let feature = self.features.row(row / 2)
              for i in 0..<self.d { t[i] = row % 2 == 0 ? feature[i] : -feature[i] }
              self.cone.signs(self.patterns, row / 2, into: &signs)
              result[k] = projector.project(
                &t, signs: &signs, from: supports[row].map { Int($0) }, ceiling: ceiling)
              supports[row] = projector.support.map { Int32($0) }
              for i in 0..<self.d { z[i] = projector.point[i] - t[i] }
              self.directions.row(row).update(from: z, count: self.d)
              squares[row] = dot(self.d, z, z)
              points?.row(k).update(from: projector.point, count: self.d)
            }
          }
        }
      }
    }
    return result
  }

  /// An upper bound of all blocks' norms for the ν of the last `correlate`, and the norms found above `level`, in
  /// descending order. Blocks are tried in the order of their bounds until none is left, `limit` norms are found or
  /// `proceed` ends it; if no norm above `level` is left, `level` bounds the rest.
  func price(
    above level: Double, limit: Int = .max, besides inside: Set<Int> = [],
    proceed: () -> Bool = { true }
  ) -> (bound: Double, found: [(row: Int, norm: Double)]) {
    let bounds = sortedBounds(above: level).filter { !inside.contains($0.row) }
    var found: [(row: Int, norm: Double)] = []
    var position = 0
    while position < bounds.count, found.count < limit, proceed() {
      let batch = bounds[position..<min(bounds.count, position + 8 * projectors.count)].map(\.row)
      position += batch.count
      for (row, norm) in zip(batch, project(batch, ceiling: level)) where norm > level {
        found.append((row, norm))
      }
    }
    found.sort { $0.norm == $1.norm ? $0.row < $1.row : $0.norm > $1.norm }
    let rest = position < bounds.count ? bounds[position].bound : level
    return (max(found.first?.norm ?? 0, rest), found)
  }

  /// The exact largest norm over all blocks; blocks whose bound is below the largest so far are skipped. If `proceed`
  /// ends it, returns an upper bound.
  func largest(proceed: () -> Bool = { true }, progress: (Double) -> Void) -> Double {
    let bounds = sortedBounds(above: 0)
    var largest = 0.0
    var position = 0
    while position < bounds.count, bounds[position].bound > largest {
      guard proceed() else { return bounds[position].bound }
      let batch = bounds[position..<min(bounds.count, position + 8 * projectors.count)].map(\.row)
      position += batch.count
      for norm in project(batch, ceiling: largest) { largest = max(largest, norm) }
      progress(largest)
    }
    return largest
  }

  /// An upper bound of all norms but those of `inside`, without a projection.
  func looseBound(besides inside: Set<Int>) -> Double {
    var largest = 0.0
    for row in 0..<count where !inside.contains(row) { largest = max(largest, bound(row)) }
    return largest
  }

  /// ± D_i X p for the rows p of `points`.
  func images(of points: Matrix, _ blocks: [ConeBlock], into images: Matrix) {
    gemm(blocks.count, x.rows, d, points.base, .plain, x.base, .transposed, images.base)
    for (j, block) in blocks.enumerated() {
      patterns.mask(block.pattern, images.row(j), into: images.row(j))
      if block.sign < 0 { scale(x.rows, -1, images.row(j)) }
    }
  }

  /// How far the rows p of `points` are outside the cones of `rows`, relative to ‖p‖.
  func violations(of points: Matrix, _ rows: [Int]) -> [Double] {
    let c = cone.rows.rows
    let products = Matrix(rows.count, c)
    gemm(rows.count, c, d, points.base, .plain, cone.rows.base, .transposed, products.base)
    var signs = [Double](repeating: 0, count: c)
    return rows.enumerated().map { k, row in
      cone.signs(patterns, row / 2, into: &signs)
      let length = norm(d, points.row(k))
      var largest = 0.0
      guard length > 0 else { return 0 }
      for i in 0..<c { largest = max(largest, -signs[i] * products[k, i] / length) }
      return largest
    }
  }

  /// The projections of `vectors` (a row each) onto the cones of `rows`, into `points`.
  func projectVectors(_ vectors: Matrix, _ rows: [Int], into points: Matrix) {
    let workers = max(1, min(projectors.count, rows.count))
    Threads.perform(workers) { worker in
      var signs = [Double](repeating: 0, count: self.cone.rows.rows)
      let projector = self.projectors[worker]
      for k in Swift.stride(from: worker, to: rows.count, by: workers) {
        self.cone.signs(self.patterns, rows[k] / 2, into: &signs)
        projector.project(vectors.row(k), signs: &signs)
        points.row(k).update(from: projector.point, count: self.d)
      }
    }
  }

  private func sortedBounds(above level: Double) -> [(row: Int, bound: Double)] {
    var bounds: [(row: Int, bound: Double)] = []
    for row in 0..<count {
      let bound = bound(row)
      if bound > level { bounds.append((row, bound)) }
    }
    bounds.sort { $0.bound == $1.bound ? $0.row < $1.row : $0.bound > $1.bound }
    return bounds
  }
}
