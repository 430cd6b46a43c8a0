import LinearAlgebra
import Schema

/// The second-layer units of product gates: a gate of unit k is active where x lies in its half-space and
/// Σ_i a_ki (x · w_ki)₊ ≥ 0.
package struct UnitWeights: Sendable, Equatable {
  /// The unit of each gate.
  let index: [Int]
  /// M.
  let width: Int
  /// w, S·M × d, and ‖w‖ of each, S × M.
  private let hidden: Matrix
  private let lengths: Matrix
  /// a, S × M.
  private let output: Matrix
  /// Σ_i |a_i| ‖w_i‖ of each unit.
  private let sizes: [Double]

  /// S.
  var count: Int { output.rows }

  /// The units with their weights times the powers of two that bring the largest of w and of a near 1: no output changes
  /// its sign.
  init(_ units: GateUnits) {
    let (m, d) = (units.width, units.hidden.shape[2])
    let hidden = Matrix(units.count * m, d, units.hidden.doubles)
    let output = Matrix(units.output)
    for k in 0..<units.count {
      scaleToOne(m * d, hidden.row(k * m))
      scaleToOne(m, output.row(k))
    }
    self.init(index: units.index, width: m, hidden: hidden, output: output)
  }

  private init(index: [Int], width m: Int, hidden: Matrix, output: Matrix) {
    let lengths = Matrix(
      output.rows, m, (0..<hidden.rows).map { norm(hidden.columns, hidden.row($0)) })
    sizes = (0..<output.rows).map { k in
      (0..<m).reduce(0) { $0 + abs(output[k, $1]) * lengths[k, $1] }
    }
    (self.index, width) = (index, m)
    (self.hidden, self.output, self.lengths) = (hidden, output, lengths)
  }

  package static func == (a: UnitWeights, b: UnitWeights) -> Bool {
    a.index == b.index && a.width == b.width && a.hidden.columns == b.hidden.columns
      && a.hidden.values == b.hidden.values && a.output.values == b.output.values
  }

  /// The units of the gates `members`, in that order.
  func selecting(_ members: [Int]) -> UnitWeights {
    let kept = Set(members.map { index[$0] }).sorted()
    let place = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
    return UnitWeights(
      index: members.map { place[index[$0]]! }, width: width,
      hidden: hidden.selecting(kept.flatMap { $0 * width..<($0 + 1) * width }),
      output: output.selecting(kept))
  }

  /// w and a of unit k.
  func numbers(_ k: Int) -> [Double] {
    Array(UnsafeBufferPointer(start: hidden.row(k * width), count: width * hidden.columns))
      + Array(UnsafeBufferPointer(start: output.row(k), count: width))
  }

  /// target_kj ← the output of unit k for row j of `x`, S rows with `target.columns` numbers of which the first `rows` are
  /// filled. What is 0 but for rounding is summed in twice the precision.
  func outputs(_ x: UnsafePointer<Double>, rows: Int, into target: Matrix) {
    let d = hidden.columns
    guard count > 0 else { return }
    let xLengths = (0..<rows).map { norm(d, x + $0 * d) }
    let longest = xLengths.max() ?? 0
    let products = Matrix(width, rows)
    for k in 0..<count {
      // W_k Xᵀ
      gemm(
        width, rows, d, hidden.row(k * width), .plain, x, .transposed, ldb: d, products.base)
      let sums = target.row(k)
      for j in 0..<rows { sums[j] = 0 }
      for i in 0..<width {
        let (weight, row) = (output[k, i], products.row(i))
        for j in 0..<rows where row[j] > 0 || row[j].isNaN { sums[j] += weight * row[j] }
      }
      let near = 2 * tieWidth * longest * sizes[k]
      for j in 0..<rows where !(abs(sums[j]) > near) {
        sums[j] = accurateOutput(
          width, d, x + j * d, length: xLengths[j], hidden: hidden.row(k * width),
          lengths: lengths.row(k), output: output.row(k), products: products.base + j, stride: rows)
      }
    }
  }

  /// How far the output of the unit of gate j for x is from the sign that it should have: at least 0 if the unit takes x, as
  /// it should or should not; relative to ‖x‖ Σ_i |a_i| ‖w_i‖, and at most 0 if it has that sign. If all of these are 0, or
  /// the output is 0 without any rounding, the unit takes x.
  func violation(
    _ j: Int, output value: Double, of x: UnsafePointer<Double>, length: Double, active: Bool
  ) -> Double {
    let scale = length * sizes[index[j]]
    guard value.isFinite, scale.isFinite else { return .infinity }
    guard scale > 0 else { return active ? 0 : 1 }
    if !active, value == 0, isSurelyZero(index[j], x, length: length) { return 1 }
    return (active ? -value : value) / scale
  }

  /// Whether each neuron of unit k with an output weight is off beyond rounding, or every term of its product is 0.
  private func isSurelyZero(
    _ k: Int, _ x: UnsafePointer<Double>, length: Double
  ) -> Bool {
    let d = hidden.columns
    return (0..<width).allSatisfy { i in
      let filter = hidden.row(k * width + i)
      return output[k, i] == 0
        || dot(d, x, filter) < -tieWidth * length * lengths[k, i]
        || (0..<d).allSatisfy { x[$0] == 0 || filter[$0] == 0 }
    }
  }
}

/// Multiplies by the power of two that brings the largest |v| near 1, and `others` by the same, so that nothing overflows or
/// underflows because of their size.
func scaleToOne(
  _ count: Int, _ values: UnsafeMutablePointer<Double>,
  with others: UnsafeMutablePointer<Double>? = nil
) {
  let largest = (0..<count).reduce(0) { max($0, abs(values[$1])) }
  guard largest > 0 else { return }
  // In two steps: the power that a subnormal number needs is infinite.
  let power = -Int(largest.exponent)
  for part in [power / 2, power - power / 2] {
    let factor = Double(sign: .plus, exponent: part, significand: 1)
    for k in 0..<count { values[k] *= factor }
    if let others { others[0] *= factor }
  }
}
