import LinearAlgebra

/// A = [F_1 … F_P], n × PQ: what P groups of weights multiply. The matrix itself need not exist.
///
/// Solvers that only need products with A, with Aᵀ and the kernel A Aᵀ take their data in this form. For
/// several outputs the weights of a group are C rows of Q numbers, one after another.
package protocol GroupedFeatures: AnyObject {
  /// n.
  var samples: Int { get }
  /// P.
  var groups: Int { get }
  /// Q, the columns of each F_i.
  var width: Int { get }

  /// Of each sample the largest ‖row of F_i‖² over i, for what rounding does to products.
  var rowSquares: [Double] { get }

  /// Products for `outputs` outputs with `groups` of the groups, with memory of its own for one thread.
  func products(outputs: Int, groups: Int) -> any GroupedProducts

  /// Rows `rows` and columns `columns` of A Aᵀ, row-major; called from several threads at once.
  func kernel(
    _ rows: Range<Int>, _ columns: Range<Int>, into tile: UnsafeMutablePointer<Double>)
}

/// Products with some groups of `GroupedFeatures` at once, of one thread.
package protocol GroupedProducts: AnyObject {
  /// How many groups at most go into one product.
  var block: Int { get }

  /// Rows k·C + c of `result` ← (F_iᵀ q_c)ᵀ for the k-th group i of `groups` and row c of `q`, C × n.
  func correlate(_ groups: Range<Int>, _ q: Matrix, into result: UnsafeMutablePointer<Double>)

  /// Row c of `result` (C × n) grows by Σ_i F_i w_ic for rows k·C + c of `weights`.
  func add(_ groups: Range<Int>, _ weights: UnsafePointer<Double>, to result: Matrix)
}

extension GroupedProducts {
  /// Calls `body` with ranges that cover `groups`, each of a size for one product.
  func forEachBlock(_ groups: Range<Int>, _ body: (Range<Int>) -> Void) {
    for first in stride(from: groups.lowerBound, to: groups.upperBound, by: block) {
      body(first..<min(first + block, groups.upperBound))
    }
  }
}
