import LinearAlgebra

/// A = [F_1 … F_P], n × PQ, which multiplies P groups of weights. The matrix itself need not exist.
///
/// Solvers that only need products with A and Aᵀ and the kernel A Aᵀ take their data in this form. For several outputs
/// the weights of a group are C rows of Q numbers, one after another.
package protocol GroupedFeatures: AnyObject {
  /// n.
  var samples: Int { get }
  /// P.
  var groups: Int { get }
  /// Q, the columns of each F_i.
  var width: Int { get }

  /// The largest ‖row of F_i‖² over i for each sample, from which the rounding of products is bounded.
  var rowSquares: [Double] { get }

  /// Products for `outputs` outputs with up to `groups` groups, with memory of its own for one thread.
  func products(outputs: Int, groups: Int) -> any GroupedProducts

  /// Rows `rows` and columns `columns` of A Aᵀ, row-major; called from several threads at once.
  func kernel(
    _ rows: Range<Int>, _ columns: Range<Int>, into tile: UnsafeMutablePointer<Double>)
}

/// Products with some groups of `GroupedFeatures` at once, on one thread.
package protocol GroupedProducts: AnyObject {
  /// The most groups that go into one product.
  var block: Int { get }

  /// Rows k·C + c of `result` ← (F_iᵀ q_c)ᵀ for the k-th group i of `groups` and row c of `q`, C × n.
  func correlate(_ groups: Range<Int>, _ q: Matrix, into result: UnsafeMutablePointer<Double>)

  /// Row c of `result` (C × n) grows by Σ_i F_i w_ic for rows k·C + c of `weights`.
  func add(_ groups: Range<Int>, _ weights: UnsafePointer<Double>, to result: Matrix)
}

extension GroupedProducts {
  /// Calls `body` with ranges that cover `groups`, each small enough for one product.
  func forEachBlock(_ groups: Range<Int>, _ body: (Range<Int>) -> Void) {
    for first in stride(from: groups.lowerBound, to: groups.upperBound, by: block) {
      body(first..<min(first + block, groups.upperBound))
    }
  }
}
