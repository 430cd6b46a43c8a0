import Glibc
import LinearAlgebra

/// The dual norms that the constraints of a dual point bound: the norms of F_iᵀ ν_c for every group and output, or of
/// F_iᵀ N for every group.
final class GroupNorms {
  private let features: any GroupedFeatures
  private let outputs: Int
  private let rows: Matrix
  private let parts: [Part]

  /// A range of the groups and the memory to work through it.
  private struct Part {
    let groups: Range<Int>
    let products: any GroupedProducts
    let regularizer: any Regularizer
    let scratch: Matrix
  }

  /// P × C, or P × 1 if all outputs share a group.
  let values: Matrix

  init(_ features: any GroupedFeatures, regularizer: any Regularizer, outputs: Int) {
    self.features = features
    self.outputs = outputs
    rows = Matrix(outputs, features.samples)
    values = Matrix(features.groups, regularizer.isSeparable ? outputs : 1)
    let (count, workers) = (features.groups, max(1, min(Threads.count, features.groups)))
    parts = (0..<workers).map { part in
      let groups = count * part / workers..<count * (part + 1) / workers
      let products = features.products(outputs: outputs, groups: groups.count)
      return Part(
        groups: groups, products: products, regularizer: regularizer.copy(),
        scratch: Matrix(products.block * outputs, features.width))
    }
  }

  /// Computes `values` for ν, n × C.
  func compute(_ nu: Matrix) {
    transpose(nu, into: rows)
    Threads.perform(parts.count) { worker in
      let part = parts[worker]
      let (scratch, size) = (part.scratch.base, part.regularizer.size)
      part.products.forEachBlock(part.groups) { block in
        part.products.correlate(block, rows, into: scratch)
        let target = values.row(block.lowerBound)
        for k in 0..<block.count * values.columns {
          target[k] = part.regularizer.dualNorm(scratch + k * size)
        }
      }
    }
  }

  /// The largest of each column of `values`, with an allowance for the rounding of anyone who recomputes them.
  func largest(_ nu: Matrix) -> [Double] {
    let columns = values.columns
    return (0..<columns).map { c in
      let largest = (0..<values.rows).reduce(0) { max($0, values[$1, c]) }
      return largest + rounding(nu, columns == 1 ? 0..<outputs : c..<c + 1)
    }
  }

  /// The largest of `norms`, which are those of a single output ν, with the same allowance.
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
