import Glibc
import LinearAlgebra

/// The norms that a dual point's constraints bound: ‖F_iᵀ ν_c‖ of every group and output, or ‖F_iᵀ N‖_F of
/// every group.
final class GroupNorms {
  private let features: any GroupedFeatures
  private let grouping: WeightGrouping
  private let outputs: Int
  private let rows: Matrix
  private let parts: [(groups: Range<Int>, products: any GroupedProducts, scratch: Matrix)]
  /// P × C, or P × 1 where all outputs share a group.
  let values: Matrix

  init(_ features: any GroupedFeatures, grouping: WeightGrouping, outputs: Int) {
    self.features = features
    self.grouping = grouping
    self.outputs = outputs
    rows = Matrix(outputs, features.samples)
    values = Matrix(features.groups, grouping == .perClass ? outputs : 1)
    let (count, workers) = (features.groups, max(1, min(Threads.count, features.groups)))
    parts = (0..<workers).map { part in
      let groups = count * part / workers..<count * (part + 1) / workers
      let products = features.products(outputs: outputs, groups: groups.count)
      return (groups, products, Matrix(products.block * outputs, features.width))
    }
  }

  /// Computes `values` for ν, n × C.
  func compute(_ nu: Matrix) {
    transpose(nu, into: rows)
    let width = features.width
    Threads.perform(parts.count) { part in
      let (groups, products, scratch) = parts[part]
      products.forEachBlock(groups) { block in
        products.correlate(block, rows, into: scratch.base)
        let size = grouping == .perClass ? width : width * outputs
        let target = values.row(block.lowerBound)
        for k in 0..<block.count * values.columns {
          target[k] = norm(size, scratch.base + k * size)
        }
      }
    }
  }

  /// The largest of each column of `values`, and what whoever recomputes them with other roundings may
  /// find at most.
  func largest(_ nu: Matrix) -> [Double] {
    let columns = values.columns
    return (0..<columns).map { c in
      let largest = (0..<values.rows).reduce(0) { max($0, values[$1, c]) }
      return largest + rounding(nu, columns == 1 ? 0..<outputs : c..<c + 1)
    }
  }

  /// The largest of `norms`, which are those of the one output ν, with the same allowance.
  func largest(_ nu: Matrix, of norms: [Double]) -> Double {
    norms.reduce(0, max) + rounding(nu, 0..<1)
  }

  private func rounding(_ nu: Matrix, _ columns: Range<Int>) -> Double {
    var square = 0.0
    for (j, size) in features.rowSquares.enumerated() {
      for c in columns { square += nu[j, c] * nu[j, c] * size }
    }
    return 0x1p-52 * (4 + 0.5 * Double(nu.rows).squareRoot()) * square.squareRoot()
  }
}
