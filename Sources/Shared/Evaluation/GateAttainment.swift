import LinearAlgebra

/// Judges whether gates attain given patterns on blocks of rows. Each thread needs an object of its own.
final class GateAttainment {
  let gates: Gates
  /// Whether the gates decide for samples next to their boundary too, as those of gated networks do; those of ReLU networks
  /// are only witnesses of cells, to whose boundary both sides belong.
  private let decide: Bool
  private var products = Matrix(0, 0)
  private var outputs = Matrix(0, 0)

  init(_ gates: Gates, decide: Bool) { (self.gates, self.decide) = (gates, decide) }

  /// The worst violation, above 0, of `count` rows of `x` whose lengths are ‖x_k‖, and its gate; `mask` are the ones and
  /// zeros that gate j should have for them.
  func worst(
    _ x: UnsafePointer<Double>, count: Int, lengths: (Int) -> Double,
    mask: (Int) -> UnsafePointer<Double>
  ) -> (value: Double, gate: Int) {
    let (m, d) = (gates.vectors.rows, gates.vectors.columns)
    guard m > 0, count > 0 else { return (0, 0) }
    if products.count < m * count { products = Matrix(m, count) }
    // G Xᵀ
    gemm(m, count, d, gates.vectors.base, .plain, x, .transposed, ldb: d, products.base)
    if let units = gates.units {
      if outputs.columns != count || outputs.rows != units.count {
        outputs = Matrix(units.count, count)
      }
      units.outputs(x, rows: count, into: outputs)
    }
    let longest = decide ? (0..<count).reduce(0) { max($0, lengths($1)) } : 0
    var found = (value: 0.0, gate: 0)
    for j in 0..<m {
      let (values, own, threshold) = (products.base + j * count, mask(j), gates.thresholds[j])
      let near = 2 * tieWidth * (longest * gates.lengths[j] + abs(threshold))
      let unit = gates.units.map { outputs.row($0.index[j]) }
      for k in 0..<count {
        if decide, abs(values[k] - threshold) <= near {
          values[k] = comparableProduct(
            values[k], to: threshold, scale: lengths(k) * gates.lengths[j] + abs(threshold), d,
            x + k * d, gates.vectors.row(j))
        }
        let isActive = values[k] >= threshold && (unit.map { $0[k] >= 0 } ?? true)
        guard
          (own[k] == 1) != isActive || !values[k].isFinite || unit.map({ !$0[k].isFinite }) == true
        else { continue }
        let value = gates.violation(
          j, product: values[k], output: unit?[k] ?? 0, of: x + k * d, length: lengths(k),
          active: own[k] == 1)
        // Where the gate decides, its bit is wrong however near the boundary is.
        let size = decide ? max(value, 1) : value
        if size > found.value { found = (size, j) }
      }
    }
    return found
  }
}
