import LinearAlgebra
import Schema

/// Bounds the prices of all neurons of the second layer, block by block: by multipliers for all patterns of a set of samples at
/// once and, if units have fewer neurons, by others for those sets of `width` signed patterns that these leave too high.
final class UnitPricing {
  struct Prices {
    /// An upper bound of all prices.
    var largest = 0.0
    /// λ of each set of samples.
    var multipliers: [[Double]] = []
    /// λ of blocks with their own.
    var exceptions: [(block: UnitBlock, multipliers: [Double])] = []
    /// Blocks whose price is above β, with a bound of it, the highest first.
    var violators: [(block: UnitBlock, price: Double)] = []
  }

  private let program: UnitProgram
  /// The sets of `width` signed patterns, if units do not have all of them.
  private let choices: [[Int]]
  /// The multipliers that were found last: often they still do.
  private var known: [UnitBlock: [Double]] = [:]

  /// The most sets of signed patterns, times sets of samples.
  static let mostBlocks = 2_000_000.0

  /// Nil if there are too many blocks.
  init?(_ program: UnitProgram) {
    self.program = program
    var blocks = Double(SampleSet.count(samples: program.samples))
    if !program.isMerged {
      let m = 2 * program.patterns.count
      for k in 0..<program.width { blocks *= Double(m - k) / Double(k + 1) }
    }
    guard blocks <= UnitPricing.mostBlocks else { return nil }
    choices = program.isMerged ? [] : combinations(program.width, of: 2 * program.patterns.count)
  }

  /// The length of the projection of t on the cone of a pattern, from above.
  private func project(_ pattern: Int, _ t: [Double]) -> Double {
    let signs = program.patterns[pattern].map { $0 ? 1.0 : -1 }
    if program.rows.indices.allSatisfy({
      signs[$0] * dot(t.count, program.rows[$0], t) >= 0
    }) {
      return norm(t.count, t)
    }
    // min ½ ‖v − t‖² over K: ‖t + Σ z_i b_i‖ is a bound for any z ≥ 0.
    let d = t.count
    var cone = ConeProgram(variables: d)
    cone.quadratic = (0..<d * d).map { $0 % (d + 1) == 0 ? 1 : 0 }
    cone.linear = t.map { -$0 }
    for (row, sign) in zip(program.rows, signs) {
      cone.add((0..<d).map { ($0, -sign * row[$0]) }, atMost: 0)
    }
    guard let z = cone.solve()?.z else { return norm(d, t) }
    var rest = t
    for (i, sign) in signs.enumerated() { axpy(d, z[i] * sign, program.rows[i], &rest) }
    return min(norm(d, rest), norm(d, t))
  }

  private func prices(_ block: UnitBlock, _ nu: [Double], _ multipliers: [Double]) -> [Double] {
    program.prices(
      block.set, block.members, nu: nu, multipliers: multipliers, project)
  }

  /// Multipliers for the block and the prices of its members, not above `limit` if the last ones or 0 do for that.
  private func bound(
    _ block: UnitBlock, _ nu: [Double], limit: Double
  ) -> (multipliers: [Double], prices: [Double]) {
    let zero = [Double](repeating: 0, count: nu.count)
    var best = (multipliers: zero, prices: prices(block, nu, zero))
    for attempt in 0..<2 {
      if best.prices.max() ?? 0 <= limit { break }
      let own = attempt == 0 ? known[block] : program.multipliers(block, nu)
      guard let own else { continue }
      let found = prices(block, nu, own)
      if found.max() ?? 0 < best.prices.max() ?? 0 { best = (own, found) }
      if attempt == 1 { known[block] = own }
    }
    return best
  }

  /// The prices for ν; those not above `beta` are bounded, and no more. If units have fewer neurons than patterns, sets whose
  /// common multipliers leave them high are looked at in detail, the highest first, until there are `enough` violators; nil if
  /// `proceed` says that there is no time.
  func prices(
    _ nu: [Double], above beta: Double, enough: Int, proceed: () -> Bool
  ) -> Prices? {
    let limit = beta * (1 + 1e-9)
    var result = Prices()
    var high: [(set: SampleSet, prices: [Double], top: Double)] = []
    for number in 0..<SampleSet.count(samples: program.samples) {
      guard proceed() else { return nil }
      let whole = UnitBlock(set: SampleSet(number), members: program.all)
      let found = bound(whole, nu, limit: limit)
      result.multipliers.append(found.multipliers)
      let top = found.prices.max() ?? 0
      if top <= limit {
        result.largest = max(result.largest, top)
      } else if program.isMerged {
        result.largest = max(result.largest, top)
        result.violators.append((whole, top))
      } else {
        high.append((whole.set, found.prices, top))
      }
    }
    high.sort { $0.top > $1.top }
    for (set, general, top) in high {
      guard proceed() else { return nil }
      guard result.violators.count < enough else {
        result.largest = max(result.largest, top)
        continue
      }
      result.largest = max(result.largest, limit)
      for members in choices where members.contains(where: { general[$0] > limit }) {
        let block = UnitBlock(set: set, members: members)
        let own = bound(block, nu, limit: limit)
        let price = own.prices.max() ?? 0
        result.exceptions.append((block, own.multipliers))
        result.largest = max(result.largest, price)
        if price > limit { result.violators.append((block, price)) }
      }
    }
    result.violators.sort { $0.price > $1.price }
    return result
  }

  /// A bound of all prices for ν that does not look at the width of units.
  func largest(_ nu: [Double]) -> Double {
    (0..<SampleSet.count(samples: program.samples)).reduce(0) { largest, number in
      let block = UnitBlock(set: SampleSet(number), members: program.all)
      return max(largest, bound(block, nu, limit: largest).prices.max() ?? 0)
    }
  }
}

/// The sets of `k` of 0 … n − 1, ascending.
private func combinations(_ k: Int, of n: Int) -> [[Int]] {
  guard k > 0 else { return [[]] }
  guard k <= n else { return [] }
  var (result, current): ([[Int]], [Int]) = ([], Array(0..<k))
  while true {
    result.append(current)
    guard let place = (0..<k).last(where: { current[$0] < n - k + $0 }) else { return result }
    current[place] += 1
    for next in place + 1..<max(place + 1, k) { current[next] = current[next - 1] + 1 }
  }
}
