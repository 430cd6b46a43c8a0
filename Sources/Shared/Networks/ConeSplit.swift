import LinearAlgebra

/// Cuts cones in two, and the room that it takes: one a thread.
final class ConeSplit {
  typealias Numbers = UnsafeMutablePointer<Double>

  private let r: Int
  private let storage: Matrix
  /// The values at the new ray of the mixed rows, and the extremes of their other values.
  private let middles: (up: Numbers, down: Numbers)
  private let low: Numbers
  private let high: Numbers
  private let ray: Numbers
  /// Of the rows that change sign on an edge: where, and by how much the slope of P grows there.
  private let crossings: Numbers
  private let jumps: Numbers
  private let lists: [PartRows]

  /// About so many rows decide where to cut.
  private static let sample = 400

  init(rank: Int, mostRows: Int) {
    r = rank
    let length = RowLoops.padded(max(mostRows, rank))
    storage = Matrix(7, length)
    middles = (storage.base, storage.row(1))
    (low, high, ray) = (storage.row(2), storage.row(3), storage.row(4))
    (crossings, jumps) = (storage.row(5), storage.row(6))
    lists = (0..<2).map { _ in PartRows(capacity: length + 1) }
  }

  /// The cone of `rays` (r × r) with all rows of `proof`.
  func root(_ proof: SphereProof, number: Int, rays: Matrix) -> ProofCone {
    let (n, length) = (proof.rows.rows, RowLoops.padded(proof.rows.rows))
    let values = Matrix(r, max(1, length))
    for k in 0..<r {
      for i in 0..<n { values[k, i] = dot(r, proof.rows.row(i), rays.row(k)) }
    }
    let least = (0..<n).map { i in (0..<r).reduce(Double.infinity) { min($0, values[$1, i]) } }
    let most = (0..<n).map { i in (0..<r).reduce(-Double.infinity) { max($0, values[$1, i]) } }
    let isMixed = { (i: Int) in least[i] < -proof.settled && most[i] > proof.settled }
    let (ups, downs) = (0..<proof.positives, proof.positives..<n)
    let cone = ProofCone(
      rank: r, proof: number, ups: ups.count(where: isMixed), downs: downs.count(where: isMixed),
      bound: proof.crudeBound)
    for k in 0..<r {
      cone.ray(k).update(from: rays.row(k), count: r)
      cone.c[k] = 1
      cone.upper[k] = dot(r, proof.linear, rays.row(k))
      cone.lower[k] = 0
      for (range, sums) in [(ups, cone.upper), (downs, cone.lower)] {
        for i in range where least[i] >= -proof.settled { sums[k] += values[k, i] }
      }
      cone.p[k] = cone.upper[k]
      let groups = [
        (ups, cone.upColumns, cone.upLength), (downs, cone.downColumns, cone.downLength),
      ]
      for (range, columns, length) in groups {
        let column = columns + k * length
        column.update(repeating: 0, count: length)
        for (place, i) in range.filter(isMixed).enumerated() { column[place] = values[k, i] }
      }
      for i in 0..<cone.ups { cone.p[k] += max(0, cone.upColumns[k * cone.upLength + i]) }
    }
    return cone
  }

  /// An edge between two rays, and where on it to cut: m = (1 − share) r_a + share r_b.
  struct Edge {
    var (a, b) = (0, 1)
    var share = 0.5
  }

  /// The edge whose chord of P lies the furthest above P, weighted by how far `c` is from its ends.
  func edge(of cone: ProofCone, at c: Numbers) -> Edge {
    let length = cone.upLength
    let step = 4 * max(1, length / ConeSplit.sample)
    var best = Edge()
    var largest = 0.0
    for b in 1..<r where c[b] > 0 {
      for a in 0..<b where c[a] > 0 {
        let gap = RowLoops.opposed(
          cone.upColumns + a * length, cone.upColumns + b * length, length, step: step)
        let weight = min(c[a], c[b]) * gap
        if weight > largest { (best.a, best.b, largest) = (a, b, weight) }
      }
    }
    if largest > 0 {
      best.share = cut(cone, best.a, best.b)
      return best
    }
    // Nothing is to be gained anywhere near c: the longest edge.
    var least = 2.0
    for b in 1..<r {
      for a in 0..<b {
        let cosine = RowLoops.dot(r, cone.ray(a), cone.ray(b))
        if cosine < least { (best.a, best.b, least) = (a, b, cosine) }
      }
    }
    return best
  }

  /// Where the chord of P over the edge lies the furthest above P: where the slopes are the same. A row that changes sign
  /// at t adds |z_b − z_a| to the slope there, and its own chord has the slope that P has after |z_b| of it.
  private func cut(_ cone: ProofCone, _ a: Int, _ b: Int) -> Double {
    let step = max(1, cone.ups / ConeSplit.sample)
    let (first, second) = (
      cone.upColumns + a * cone.upLength, cone.upColumns + b * cone.upLength
    )
    var (count, place) = (0, 0)
    while place < cone.ups {
      (crossings[count], jumps[count]) = (first[place], second[place])
      count &+= first[place] * second[place] < 0 ? 1 : 0
      place &+= step
    }
    var goal = 0.0
    for i in 0..<count {
      let (za, zb) = (crossings[i], jumps[i])
      (crossings[i], jumps[i]) = (za / (za - zb), abs(za - zb))
      goal += abs(zb)
    }
    let padded = RowLoops.padded(count)
    for i in count..<max(count, padded) { jumps[i] = 0 }
    var (low, high) = (0.0, 1.0)
    for _ in 0..<8 {
      let t = 0.5 * (low + high)
      if RowLoops.sum(jumps, padded, where: crossings, below: t) < goal {
        low = t
      } else {
        high = t
      }
    }
    // The heaviest row's crossing within the bracket.
    var best = (share: 0.5 * (low + high), weight: 0.0)
    for i in 0..<count
    where crossings[i] >= low && crossings[i] <= high && jumps[i] > best.weight {
      best = (crossings[i], jumps[i])
    }
    return min(0.98, max(0.02, best.share))
  }

  /// The parts of `cone` on both sides of m; the first of the result is the one that holds `c`.
  func split(
    _ cone: ProofCone, _ edge: Edge, at c: Numbers, settled: Double
  ) -> (near: ProofCone, far: ProofCone) {
    let (a, b) = (edge.a, edge.b)
    for k in 0..<r {
      ray[k] = (1 - edge.share) * cone.ray(a)[k] + edge.share * cone.ray(b)[k]
    }
    let length = norm(r, ray)
    let (alpha, gamma) = ((1 - edge.share) / length, edge.share / length)
    for k in 0..<r { ray[k] /= length }
    let upper = alpha * cone.upper[a] + gamma * cone.upper[b]
    let lower = alpha * cone.lower[a] + gamma * cone.lower[b]
    let (ups, downs) = (cone.upColumns, cone.downColumns)
    let p =
      upper
      + RowLoops.mix(
        ups + a * cone.upLength, alpha, ups + b * cone.upLength, gamma, cone.upLength,
        into: middles.up)
    _ = RowLoops.mix(
      downs + a * cone.downLength, alpha, downs + b * cone.downLength, gamma, cone.downLength,
      into: middles.down)
    sort(ups, cone.upLength, cone.ups, middles.up, edge, settled, lists[0].ups, lists[1].ups)
    sort(
      downs, cone.downLength, cone.downs, middles.down, edge, settled, lists[0].downs,
      lists[1].downs)
    // c = Σ c_k r_k with m in place of one end.
    let weight = min(c[a] / max(1e-300, alpha), c[b] / max(1e-300, gamma))
    func part(_ place: Int, without gone: Int, _ kept: Int, _ share: Double) -> ProofCone {
      let part = fill(cone, lists[place], without: gone)
      (part.p[gone], part.upper[gone], part.lower[gone]) = (p, upper, lower)
      settle(cone, lists[place], without: gone, into: part)
      part.c.update(from: c, count: r)
      part.c[gone] = weight
      part.c[kept] = max(0, c[kept] - weight * share)
      return part
    }
    let first = part(0, without: a, b, gamma)
    let second = part(1, without: b, a, alpha)
    return c[b] * (1 - edge.share) >= c[a] * edge.share ? (first, second) : (second, first)
  }

  /// Sorts the rows of one weight for the parts without r_a and without r_b.
  private func sort(
    _ columns: Numbers, _ length: Int, _ count: Int, _ middle: Numbers, _ edge: Edge,
    _ settled: Double, _ first: RowList, _ second: RowList
  ) {
    RowLoops.extremes(
      columns, length, r, besides: edge.a, edge.b, with: middle, low: low, high: high)
    first.sort(count, low, high, columns + edge.b * length, settled: settled)
    second.sort(count, low, high, columns + edge.a * length, settled: settled)
  }

  /// The part of `cone` with the new ray as number `gone` and the rows of `rows`, and nothing settled there yet.
  private func fill(_ cone: ProofCone, _ rows: PartRows, without gone: Int) -> ProofCone {
    let part = ProofCone(
      rank: r, proof: cone.proof, ups: rows.ups.mixedCount, downs: rows.downs.mixedCount,
      bound: cone.bound)
    // Rays, P, and the sums.
    part.memory.update(from: cone.memory, count: r * (r + 3))
    part.ray(gone).update(from: ray, count: r)
    for k in 0..<r {
      rows.ups.gather(
        k == gone ? middles.up : cone.upColumns + k * cone.upLength,
        into: part.upColumns + k * part.upLength, part.upLength)
      rows.downs.gather(
        k == gone ? middles.down : cone.downColumns + k * cone.downLength,
        into: part.downColumns + k * part.downLength, part.downLength)
    }
    return part
  }

  /// Adds the rows that are nowhere negative in `part` to its sums.
  private func settle(
    _ cone: ProofCone, _ rows: PartRows, without gone: Int, into part: ProofCone
  ) {
    for k in 0..<r {
      part.upper[k] += rows.ups.sum(
        k == gone ? middles.up : cone.upColumns + k * cone.upLength)
      part.lower[k] += rows.downs.sum(
        k == gone ? middles.down : cone.downColumns + k * cone.downLength)
    }
  }
}

/// The rows of a part of a cone, of both weights.
private struct PartRows {
  let ups: RowList
  let downs: RowList
  init(capacity: Int) { (ups, downs) = (RowList(capacity), RowList(capacity)) }
}

/// Numbers of rows that change sign in a part of a cone, and of those that are nowhere negative there.
private final class RowList {
  private let mixed: UnsafeMutablePointer<Int32>
  private let positive: UnsafeMutablePointer<Int32>
  private(set) var mixedCount = 0
  private var positiveCount = 0

  init(_ capacity: Int) {
    (mixed, positive) = (.allocate(capacity: capacity), .allocate(capacity: capacity))
  }

  deinit {
    mixed.deallocate()
    positive.deallocate()
  }

  /// Sorts `count` rows by the extremes of some values and by one more, all that they have in the part.
  func sort(
    _ count: Int, _ low: RowLoops.Numbers, _ high: RowLoops.Numbers, _ last: RowLoops.Numbers,
    settled: Double
  ) {
    var (m, p) = (0, 0)
    for i in 0..<count {
      let x = last[i]
      let isNegative = (low[i] < -settled ? 1 : 0) | (x < -settled ? 1 : 0)
      let isPositive = (high[i] > settled ? 1 : 0) | (x > settled ? 1 : 0)
      positive[p] = Int32(truncatingIfNeeded: i)
      mixed[m] = Int32(truncatingIfNeeded: i)
      p &+= isNegative ^ 1
      m &+= isNegative & isPositive
    }
    (mixedCount, positiveCount) = (m, p)
  }

  /// `column` ← the mixed rows' numbers, and zeros up to `length`.
  func gather(_ numbers: RowLoops.Numbers, into column: RowLoops.Numbers, _ length: Int) {
    for j in 0..<mixedCount { column[j] = numbers[Int(mixed[j])] }
    for j in mixedCount..<max(mixedCount, length) { column[j] = 0 }
  }

  /// The sum over the rows that are nowhere negative.
  func sum(_ numbers: RowLoops.Numbers) -> Double {
    var sum = 0.0
    for j in 0..<positiveCount { sum += numbers[Int(positive[j])] }
    return sum
  }
}
