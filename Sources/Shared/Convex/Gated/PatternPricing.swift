import LinearAlgebra

/// The norms ‖Xᵀ D_i ν‖, over all outputs, of patterns without weight, computed as seldom as their bounds allow: since
/// an earlier ν' they have moved by at most ‖X‖ ‖ν − ν'‖.
final class PatternPricing {
  private let products: PatternProducts
  /// The ν for which the bounds were taken.
  private let reference: Matrix
  private var hasReference = false
  private var bounds: [Double]
  /// ‖X‖_F, which no ‖D_i X‖ exceeds.
  private let size: Double
  private var list: [Int] = []
  private var values: [Double] = []
  private var isSkipped: [Bool]
  private let poolSize: Int

  /// The worst violators when `price` was last called.
  private var pool: [Int] = []

  /// The members whose norms the last call found above its level, with those norms.
  private(set) var violators: [(member: Int, norm: Double)] = []

  /// For ν of C `outputs`, C × n.
  init(_ products: PatternProducts, outputs: Int) {
    self.products = products
    poolSize = max(100, min(5000, products.samples * products.samples / products.dimension / 4))
    reference = Matrix(outputs, products.samples)
    bounds = Array(repeating: .infinity, count: products.count)
    isSkipped = Array(repeating: false, count: products.count)
    size = norm(products.x.count, products.x.base)
    list.reserveCapacity(products.count)
    values = Array(repeating: 0, count: products.count)
  }

  /// The number of patterns, except those in `known`, whose bounds exceed `level`.
  func open(_ nu: Matrix, above level: Double, besides known: [Int]) -> Int {
    let shift = self.shift(nu)
    for i in known { isSkipped[i] = true }
    list.removeAll(keepingCapacity: true)
    for i in 0..<products.count where !isSkipped[i] && !(bounds[i] + shift <= level) {
      list.append(i)
    }
    for i in known { isSkipped[i] = false }
    return list.count
  }

  /// The largest bound of the patterns that the last call of `open` found.
  func looseBound(_ nu: Matrix) -> Double {
    let shift = self.shift(nu)
    return list.reduce(0) { max($0, bounds[$1] + shift) }
  }

  /// The number of patterns that are priced before `proceed` is asked again.
  private static let share = 512

  /// Computes the norms that the last call of `open` found open; returns the largest. If `proceed` ends it, it returns
  /// the largest bound instead.
  func price(_ nu: Matrix, above level: Double, proceed: () -> Bool = { true }) -> Double {
    violators.removeAll(keepingCapacity: true)
    if list.count <= PatternPricing.share {
      products.norms(nu, list, into: &values)
    } else {
      for first in stride(from: 0, to: list.count, by: PatternPricing.share) {
        let part = Array(list[first..<min(list.count, first + PatternPricing.share)])
        guard proceed() else { return looseBound(nu) }
        values.replaceSubrange(first..<first + part.count, with: products.norms(nu, part))
      }
    }
    var largest = 0.0
    for (k, i) in list.enumerated() {
      largest = max(largest, values[k])
      if values[k] > level { violators.append((i, values[k])) }
    }
    pool = violators.sorted { ($0.norm, $1.member) > ($1.norm, $0.member) }
      .prefix(poolSize).map(\.member)
    if 2 * list.count >= products.count {
      // At least half are known now: bounds from here are tighter.
      let shift = self.shift(nu)
      for i in bounds.indices { bounds[i] += shift }
      for (k, i) in list.enumerated() { bounds[i] = values[k] }
      reference.copy(from: nu)
      hasReference = true
    }
    return largest
  }

  /// Computes the norms of the worst violators of the last call of `price`, except those in `known`: they may enter
  /// until all are priced again. Returns the largest norm.
  func pricePool(_ nu: Matrix, above level: Double, besides known: [Int]) -> Double {
    for i in known { isSkipped[i] = true }
    let members = pool.filter { !isSkipped[$0] }
    for i in known { isSkipped[i] = false }
    products.norms(nu, members, into: &values)
    violators.removeAll(keepingCapacity: true)
    var largest = 0.0
    for (k, i) in members.enumerated() {
      largest = max(largest, values[k])
      if values[k] > level { violators.append((i, values[k])) }
    }
    return largest
  }

  private func shift(_ nu: Matrix) -> Double {
    guard hasReference else { return .infinity }
    var sum = 0.0
    for j in 0..<nu.count {
      let difference = nu.base[j] - reference.base[j]
      sum += difference * difference
    }
    // The factor allows for rounding in the norms that the bounds come from.
    return size * sum.squareRoot() * (1 + 1e-9)
  }
}
