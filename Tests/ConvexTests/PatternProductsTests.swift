import LinearAlgebra
import Tensors
import Testing

@testable import Convex

/// Random patterns of n rows, among them an empty and a full one.
private func random(_ count: Int, rows n: Int, seed: Int) -> (Patterns, [[Bool]]) {
  var random = RandomSource(seed: seed)
  let bits = (0..<count).map { i in
    (0..<n).map { _ in i == 0 ? false : i == 1 ? true : random.uniform() < 0.4 }
  }
  let stride = Patterns.stride(n)
  // Bits beyond the last row are noise.
  var bytes = [UInt8](repeating: n % 8 == 0 ? 0 : 0x80, count: count * stride)
  for (i, row) in bits.enumerated() {
    for k in 0..<stride - 1 { bytes[i * stride + k] = 0 }
    for (j, bit) in row.enumerated() where j < n {
      let mask = 1 << UInt8(j % 8) as UInt8
      if bit { bytes[i * stride + j / 8] |= mask } else { bytes[i * stride + j / 8] &= ~mask }
    }
  }
  return (Patterns(Tensor(bytes, shape: [count, stride]), rows: n), bits)
}

@Suite struct PatternTests {
  @Test func bitsBecomeNumbers() {
    var source = RandomSource(seed: 2)
    for n in [1, 7, 8, 9, 15, 16, 17, 40, 123] {
      let (patterns, bits) = random(6, rows: n, seed: n)
      let x = source.signed(n)
      for i in 0..<6 {
        var (expanded, masked) = (
          [Double](repeating: 7, count: n + 1), [Double](repeating: 7, count: n + 1)
        )
        patterns.expand(i, into: &expanded)
        patterns.mask(i, x, into: &masked)
        for j in 0..<n {
          #expect(expanded[j] == (bits[i][j] ? 1 : 0) && masked[j] == (bits[i][j] ? x[j] : 0))
        }
        #expect(expanded[n] == 7 && masked[n] == 7)
      }
      let rows = (0..<n).filter { $0 % 3 != 1 }
      let part = patterns.restricted(to: rows, of: [5, 1, 2])
      #expect(part.count == 3 && part.rows == rows.count)
      for (place, i) in [5, 1, 2].enumerated() {
        for (k, j) in rows.enumerated() { #expect(part.isActive(place, row: k) == bits[i][j]) }
      }
    }
  }

  @Test func equalPatternsCountOnce() {
    let (patterns, bits) = random(5, rows: 12, seed: 3)
    let order = [3, 0, 3, 2, 1, 2, 0, 4]
    let repeated = Patterns(
      Tensor(
        order.flatMap { i in (0..<2).map { patterns.bits(i)[$0] } }, shape: [order.count, 2]),
      rows: 12)
    var source = RandomSource(seed: 4)
    let x = source.matrix(12, 3)
    #expect(DistinctPatterns(repeated, features: x).indices == [0, 3, 4, 7])
    // Where all samples that tell two patterns apart are zero, they are the same.
    for j in 0..<12 where bits[2][j] != bits[3][j] { for k in 0..<3 { x[j, k] = 0 } }
    #expect(!DistinctPatterns(repeated, features: x).indices.contains(3))
    x.fill(0)
    #expect(DistinctPatterns(repeated, features: x).indices.isEmpty)
  }

  @Test func productsAreThoseOfTheDefinition() {
    var source = RandomSource(seed: 5)
    for (n, d, count) in [(5, 3, 4), (130, 7, 300), (40, 60, 10)] {
      let (patterns, bits) = random(count, rows: n, seed: 6)
      let x = source.matrix(n, d)
      let members = (0..<count).filter { $0 % 4 != 3 }
      let products = PatternProducts(x, patterns, members: members)
      let list = (0..<members.count).filter { $0 % 5 != 2 }.reversed().map { $0 }
      let nu = source.signed(n)
      let eta = (0..<members.count).map { _ in source.uniform() }
      let t = Matrix(list.count, d)
      products.correlations(nu, list, into: t)
      var norms = [Double](repeating: 0, count: list.count)
      products.norms(nu, list, into: &norms)
      let u = Matrix(list.count, n)
      products.images(t, list, into: u)
      let sum = Matrix(n, 1)
      sum.fill(1)
      products.addProduct(nu, list, eta, to: sum.base)
      var expected = [Double](repeating: 1, count: n)
      for (row, member) in list.enumerated() {
        let pattern = bits[members[member]]
        for k in 0..<d {
          let value = (0..<n).reduce(0) { $0 + (pattern[$1] ? nu[$1] * x[$1, k] : 0) }
          #expect(abs(t[row, k] - value) < 1e-12)
        }
        let own = copied(t.row(row), d)
        #expect(abs(norms[row] - inner(own, own).squareRoot()) < 1e-12)
        for j in 0..<n {
          let value = pattern[j] ? inner(own, copied(x.row(j), d)) : 0
          #expect(abs(u[row, j] - value) < 1e-11)
          expected[j] += eta[member] * value
        }
      }
      #expect(zip(sum.values, expected).allSatisfy { abs($0 - $1) < 1e-9 })
    }
  }

  @Test func boundsNeverHideAViolator() {
    var source = RandomSource(seed: 7)
    let (patterns, _) = random(80, rows: 30, seed: 8)
    let products = PatternProducts(source.matrix(30, 4), patterns, members: Array(1..<80))
    let pricing = PatternPricing(products, outputs: 1)
    let all = Array(0..<79)
    let nu = Matrix(1, 30, source.signed(30))
    var norms = [Double](repeating: 0, count: 79)
    var seldom = 0
    for step in 0..<30 {
      for j in 0..<30 { nu[0, j] += 0.3 / Double(step + 1) * source.signed() }
      products.norms(nu.base, all, into: &norms)
      let level = 0.8 * norms.max()!
      let known = [3, 40]
      let open = pricing.open(nu, above: level, besides: known)
      #expect(
        pricing.looseBound(nu) >= all.filter { !known.contains($0) && norms[$0] > level }.map {
          norms[$0]
        }.max() ?? 0)
      if open < 60 { seldom += 1 }
      let largest = pricing.price(nu, above: level)
      let expected = all.filter { !known.contains($0) && norms[$0] > level }
      #expect(pricing.violators.map(\.member) == expected)
      if let top = expected.map({ norms[$0] }).max() { #expect(abs(largest - top) < 1e-12) }
    }
    #expect(seldom > 5, "the bounds spare nothing")
  }
}
