import LinearAlgebra

/// ReLU neurons, each of which belongs to one output: ŷ_c = Σ_j s_j (1/K) Σ_k (x_k · w_j)₊ over the neurons j of output c,
/// with the penalty β Σ ‖w_j‖. Balanced weights are u = w/√‖w‖ and a = s √‖w‖.
struct Neurons {
  /// w, m × d.
  var filters: Matrix
  /// s, 1 or −1.
  var signs: [Double]
  /// c.
  var outputs: [Int]

  var count: Int { signs.count }

  init(dimension: Int) { (filters, signs, outputs) = (Matrix(0, dimension), [], []) }

  init(filters: Matrix, signs: [Double], outputs: [Int]) {
    (self.filters, self.signs, self.outputs) = (filters, signs, outputs)
  }

  /// Σ ‖w_j‖.
  var norm: Double {
    (0..<count).reduce(0) { $0 + LinearAlgebra.norm(filters.columns, filters.row($1)) }
  }

  func selecting(_ chosen: [Int]) -> Neurons {
    Neurons(
      filters: filters.selecting(chosen), signs: chosen.map { signs[$0] },
      outputs: chosen.map { outputs[$0] })
  }

  static func + (a: Neurons, b: Neurons) -> Neurons {
    let d = a.filters.columns
    let all = Matrix(a.count + b.count, d)
    all.base.update(from: a.filters.base, count: a.filters.count)
    if b.count > 0 { all.row(a.count).update(from: b.filters.base, count: b.filters.count) }
    return Neurons(filters: all, signs: a.signs + b.signs, outputs: a.outputs + b.outputs)
  }
}
