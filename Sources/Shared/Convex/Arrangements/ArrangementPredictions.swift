import LinearAlgebra
import Patches
import Schema

extension ArrangementSolution {
  /// ŷ (n × C) on the rows of `x`, any samples of the same features: Σ_i 1[x·g_i ≥ t_i] x·w_ic of a gated network (of product gates
  /// for the rows that the units take), Σ_i
  /// (x·v_ic)₊ − (x·w_ic)₊ of a ReLU network.
  package func predictions(
    on x: Matrix, of activation: Activation, gatesOf data: ArrangementData
  ) -> Matrix {
    let (n, d, outputs) = (x.rows, x.columns, positive.count)
    let result = Matrix(n, outputs)
    guard !index.isEmpty else { return result }
    let isGated = activation == .gatedReLU
    let open = Matrix(isGated ? index.count : 0, d)
    if isGated {
      for (row, i) in index.enumerated() {
        data.gates.copyDoubles(i * d..<(i + 1) * d, into: open.row(row))
      }
    }
    let thresholds = data.thresholds?.doubles
    let lengths = (0..<open.rows).map { norm(d, open.row($0)) }
    let units = isGated ? data.listed.gates.units.map { UnitSigns($0.rows(index)) } : nil
    let rows = min(n, 1024)
    let width = index.count
    let products = Matrix(rows, width)
    let gates = Matrix(isGated ? rows : 0, width)
    let taken = Matrix(units?.count ?? 0, rows)
    // Blocks of rows, so that memory does not grow with the samples.
    for first in stride(from: 0, to: n, by: rows) {
      let count = min(rows, n - first)
      if isGated {
        units?.update(x.row(first), rows: count, into: taken.base, stride: rows)
        gemm(
          count, width, d, x.row(first), .plain, open.base, .transposed, gates.base)
        for j in 0..<count {
          let row = x.row(first + j)
          let length = norm(d, row)
          for k in 0..<width {
            // 1 if the gate is open, decided as `arrangements` decides it.
            let threshold = thresholds?[index[k]] ?? 0
            let product = comparableProduct(
              gates[j, k], to: threshold, scale: length * lengths[k] + abs(threshold), d, row,
              open.row(k))
            gates[j, k] = product >= threshold ? units.map { taken[$0.index[k], j] } ?? 1 : 0
          }
        }
      }
      for c in 0..<outputs {
        for (sign, weights) in [(1.0, positive), (-1.0, negative)] where !weights.isEmpty {
          gemm(
            count, width, d, x.row(first), .plain, weights[c].base, .transposed, products.base)
          for j in 0..<count {
            var sum = 0.0
            for k in 0..<width {
              let value = products[j, k]
              sum += isGated ? gates[j, k] * value : max(0, value)
            }
            result[first + j, c] += sign * sum
          }
        }
      }
    }
    return result
  }
}
