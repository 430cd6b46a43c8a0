/// A sum of many doubles that is as accurate as if it were accumulated in twice the precision and
/// rounded once (Neumaier's variant of Kahan's sum).
package struct CompensatedSum {
  private var sum = 0.0
  private var compensation = 0.0

  package init() {}

  package var value: Double { sum + compensation }

  package mutating func add(_ term: Double) {
    let (total, error) = exactSum(sum, term)
    sum = total
    compensation += error
  }

  /// Adds x·y without losing what the product rounds away.
  package mutating func add(_ x: Double, times y: Double) {
    let product = x * y
    compensation += (-product).addingProduct(x, y)
    add(product)
  }
}

/// a + b as the rounded sum and its exact rounding error (Knuth's TwoSum).
@inlinable @inline(__always)
package func exactSum(_ a: Double, _ b: Double) -> (sum: Double, error: Double) {
  let sum = a + b
  let virtual = sum - a
  return (sum, (a - (sum - virtual)) + (b - virtual))
}
