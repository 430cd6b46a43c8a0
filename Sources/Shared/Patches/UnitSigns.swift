import LinearAlgebra
import Schema

/// Decides which patches second-layer units take: unit k takes x if Σ_i a_ki (x · w_ki)₊ ≥ 0.
package struct UnitSigns: Sendable {
  /// S.
  package let count: Int
  /// The unit of each gate.
  package let index: [Int]
  /// M and d.
  private let width: Int
  private let dimension: Int
  /// w, S·M × d, and ‖w‖ of each, S × M.
  private let hidden: Matrix
  private let lengths: Matrix
  /// a, S × M, and Σ_i |a_i| ‖w_i‖ of each unit.
  private let output: Matrix
  private let sizes: [Double]

  /// Products of a block, w Xᵀ: so many numbers stay in the cache.
  private static let room = 1 << 16

  package init(_ units: GateUnits) {
    let (d, m) = (units.hidden.shape[2], units.width)
    let hidden = Matrix(units.count * m, d, units.hidden.doubles)
    let output = Matrix(units.output)
    let lengths = Matrix(
      units.count, m, (0..<hidden.rows).map { norm(d, hidden.row($0)) })
    sizes = (0..<units.count).map { k in
      (0..<m).reduce(0) { $0 + abs(output[k, $1]) * lengths[k, $1] }
    }
    (count, index, width, dimension) = (units.count, units.index, m, d)
    (self.hidden, self.output, self.lengths) = (hidden, output, lengths)
  }

  /// target_kj ← 1 if unit k takes row j of `x`, else 0: S rows, `stride` apart, of `rows` numbers.
  package func update(
    _ x: UnsafePointer<Double>, rows: Int, into target: UnsafeMutablePointer<Double>, stride: Int
  ) {
    guard count > 0 else { return }
    let step = max(8, UnitSigns.room / hidden.rows)
    let products = UnsafeMutablePointer<Double>.allocate(capacity: hidden.rows * min(step, rows))
    defer { products.deallocate() }
    for first in Swift.stride(from: 0, to: rows, by: step) {
      let some = min(step, rows - first)
      let block = x + first * dimension
      gemm(
        hidden.rows, some, dimension, hidden.base, .plain, block, .transposed, products)
      let blockLengths = (0..<some).map { norm(dimension, block + $0 * dimension) }
      let longest = blockLengths.max() ?? 0
      for k in 0..<count {
        let own = products + k * width * some
        let sums = target + k * stride + first
        sums.update(repeating: 0, count: some)
        for i in 0..<width { addPositive(some, output[k, i], own + i * some, sums) }
        let limit = 2 * tieWidth * longest * sizes[k]
        for j in 0..<some {
          let value =
            abs(sums[j]) > limit
            ? sums[j]
            : accurateOutput(
              width, dimension, block + j * dimension, length: blockLengths[j],
              hidden: hidden.row(k * width), lengths: lengths.row(k), output: output.row(k),
              products: own + j, stride: some)
          sums[j] = value >= 0 ? 1 : 0
        }
      }
    }
  }
}

/// target_j ← target_j + a (p_j)₊.
private func addPositive(
  _ count: Int, _ a: Double, _ p: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
) {
  let whole = count / 8 * 8
  let factor = SIMD8(repeating: a)
  for j in stride(from: 0, to: whole, by: 8) {
    let values = UnsafeRawPointer(p + j).loadUnaligned(as: SIMD8<Double>.self)
    let place = UnsafeMutableRawPointer(target + j)
    let sum = place.loadUnaligned(as: SIMD8<Double>.self)
    let positive = SIMD8<Double>.zero.replacing(with: values, where: values .> 0)
    place.storeBytes(of: sum + factor * positive, as: SIMD8<Double>.self)
  }
  for j in whole..<count { target[j] += a * max(0, p[j]) }
}
