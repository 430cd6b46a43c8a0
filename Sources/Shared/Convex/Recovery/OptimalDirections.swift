import LinearAlgebra
import Schema

/// Finds the directions that neurons of optimal networks may have, for one output. The solution of a solver gives ν to some
/// digits; programs over the directions at that ν, each with those of the program before in its own pattern, bring the rest.
final class OptimalDirections {
  private let data: ArrangementData
  private let isGated: Bool
  private let y: [Double]
  private let beta: Double
  private let rows: ConeRows
  /// ŷ of the last program.
  private(set) var predictions: [Double]

  /// `y` are n targets.
  init(_ data: ArrangementData, isGated: Bool, y: [Double], beta: Double) {
    (self.data, self.isGated, self.y, self.beta) = (data, isGated, y, beta)
    rows =
      isGated ? ConeRows(none: data.dimension) : ConeRows(data.features, patterns: data.patterns)
    predictions = y
  }

  private struct Block: Hashable {
    let pattern: Int
    let isNegative: Bool
  }

  /// The candidates whose T has the length β, up to what the gap of the solution and rounding leave open.
  func candidates(from start: [Double], gap: Double) -> [OptimalSet.Candidate] {
    predictions = start
    var weights: [Block: [Double]] = [:]
    var change = Double.infinity
    // Patterns are projected on in each round.
    let work = data.patterns.count * data.samples * data.dimension
    for _ in 0..<max(100, min(1000, 50_000_000 / max(1, work))) {
      let nu = zip(y, predictions).map { $0 - $1 }
      let found = directions(nu, above: beta * (1 - 10 * max(gap, 1e-14).squareRoot()))
      let next = fit(found, &weights)
      let difference = zip(next, predictions).reduce(0) { max($0, abs($1.0 - $1.1)) }
      let size = y.reduce(0) { max($0, abs($1)) }
      predictions = next
      if difference <= 4 * Double.ulpOfOne * size { break }
      if difference >= change, change <= 1e-10 * size { break }
      change = difference
    }
    let size = y.reduce(0) { max($0, abs($1)) }
    let tolerance = max(1e-9, min(10 * max(0, gap).squareRoot(), 100 * change / max(size, 1e-300)))
    let nu = zip(y, predictions).map { $0 - $1 }
    return directions(nu, above: beta * (1 - tolerance)).map { block, direction in
      OptimalSet.Candidate(
        pattern: block.pattern, sign: block.isNegative ? -1 : 1, direction: direction,
        image: image(direction, block))
    }
  }

  /// T/‖T‖ of the patterns and signs with ‖T‖ above `limit`, in the order of the patterns.
  private func directions(_ nu: [Double], above limit: Double) -> [(Block, [Double])] {
    var result: [(Block, [Double])] = []
    forEachDirection(nu) { block, point, length in
      guard length > limit else { return limit }
      result.append((block, (0..<data.dimension).map { point[$0] / length }))
      return limit
    }
    return result
  }

  /// The largest ‖T‖ of all patterns and signs.
  func largest(_ nu: [Double]) -> Double {
    var largest = 0.0
    forEachDirection(nu) { _, _, length in
      largest = max(largest, length)
      return largest
    }
    return largest
  }

  /// Calls `body` with T and its length for the patterns and signs, in the order of the patterns; those that are no longer than
  /// it returned the last time may be left out.
  private func forEachDirection(
    _ nu: [Double], _ body: (Block, UnsafePointer<Double>, Double) -> Double
  ) {
    let (n, d) = (data.samples, data.dimension)
    let projector = ConeProjector(rows)
    var signs = [Double](repeating: 1, count: max(1, rows.source.count))
    var masked = [Double](repeating: 0, count: n)
    var t = [Double](repeating: 0, count: d)
    var limit = 0.0
    for i in 0..<data.patterns.count {
      for j in 0..<n { masked[j] = data.patterns.isActive(i, row: j) ? nu[j] : 0 }
      rows.signs(data.patterns, i, into: &signs)
      for isNegative in isGated ? [false] : [false, true] {
        gemv(n, d, alpha: isNegative ? -1 : 1, data.features.base, .transposed, masked, &t)
        guard norm(d, t) > limit else { continue }
        let length = projector.project(t, signs: signs)
        limit = body(
          Block(pattern: i, isNegative: isNegative), UnsafePointer(projector.point), length)
      }
    }
  }

  /// ± D_i X u.
  private func image(_ u: [Double], _ block: Block) -> [Double] {
    var values = [Double](repeating: 0, count: data.samples)
    gemv(
      data.samples, data.dimension, alpha: block.isNegative ? -1 : 1, data.features.base, .plain, u,
      &values)
    for j in 0..<values.count where !data.patterns.isActive(block.pattern, row: j) { values[j] = 0 }
    return values
  }

  /// The best lengths of neurons in the directions `found` and in those of `weights`, which it replaces by the sums for each
  /// pattern and sign; returns ŷ.
  private func fit(_ found: [(Block, [Double])], _ weights: inout [Block: [Double]]) -> [Double] {
    let (n, d) = (data.samples, data.dimension)
    var atoms = found
    let order = weights.keys.sorted {
      ($0.pattern, $0.isNegative ? 1 : 0) < ($1.pattern, $1.isNegative ? 1 : 0)
    }
    for block in order {
      let own = weights[block]!
      let length = norm(d, own)
      if length > 0 { atoms.append((block, own.map { $0 / length })) }
    }
    let images = atoms.map { image($0.1, $0.0) }
    let lengths = lengths(images)
    weights = [:]
    for (k, atom) in atoms.enumerated() where lengths[k] > 0 {
      var sum = weights[atom.0] ?? [Double](repeating: 0, count: d)
      axpy(d, lengths[k], atom.1, &sum)
      weights[atom.0] = sum
    }
    var result = [Double](repeating: 0, count: n)
    let support = images.indices.filter { lengths[$0] > 0 }
    for k in support { axpy(n, lengths[k], images[k], &result) }
    return refined(result, support.map { images[$0] })
  }

  /// ŷ of the best combination of `images` H by their singular values, Hᵀ = U S Vᵀ: V Vᵀy − β V S⁻¹ Uᵀ1. Products of images,
  /// with which `result` was found, know it to half of the digits only if images depend on one another. `result` itself
  /// if the other is far from it.
  private func refined(_ result: [Double], _ images: [[Double]]) -> [Double] {
    let n = data.samples
    guard !images.isEmpty,
      let values = SingularValues(Matrix(images.count, n, images.flatMap(\.self))),
      let first = values.values.first
    else { return result }
    var better = [Double](repeating: 0, count: n)
    for (r, value) in values.values.enumerated() where value > 1e-8 * first {
      let ones = images.indices.reduce(0) { $0 + values.left[r, $1] }
      axpy(n, dot(n, values.right.row(r), y) - beta * ones / value, values.right.row(r), &better)
    }
    let size = y.reduce(0) { max($0, abs($1)) }
    let isNear = zip(better, result).allSatisfy { abs($0 - $1) <= 1e-5 * size }
    return isNear ? better : result
  }

  /// argmin over γ ≥ 0 of ½ ‖Σ γ_k h_k − y‖² + β Σ γ_k.
  private func lengths(_ images: [[Double]]) -> [Double] {
    let (n, count) = (data.samples, images.count)
    var gram: [[Double]] = []
    for a in images.indices { gram.append((0...a).map { dot(n, images[a], images[$0]) }) }
    let right = images.map { dot(n, $0, y) - beta }
    /// With `more` on the diagonal, images that depend on each other can take each other's place.
    func solve(_ more: Double, startingWith first: [Int]) -> [Double] {
      let squares = NonNegativeLeastSquares(capacity: max(1, count))
      for a in 0..<count {
        squares.setRight(a, right[a])
        for b in 0...a { squares.setGram(a, b, gram[a][b] * (a == b ? 1 + more : 1)) }
      }
      squares.solve(count, startingWith: first)
      return (0..<count).map { squares.x[$0] }
    }
    let rough = solve(1e-9, startingWith: [])
    let order = rough.indices.filter { rough[$0] > 0 }.sorted { rough[$0] > rough[$1] }
    return solve(0, startingWith: order)
  }
}
