import LinearAlgebra

/// The interior-point method for one output of the gated program: the method of the ReLU program without cones.
///
/// It takes over when Newton's method in η stalls: if patterns differ in only a sample or two, as in complete lists,
/// its systems are singular to working precision. Patterns outside the program are priced, and enter if they violate
/// their constraint.
struct GatedInteriorPoint {
  let products: PatternProducts
  let patterns: Patterns
  let loss: any Loss
  /// The gate of a pattern.
  let gate: (Int, UnsafeMutablePointer<Double>) -> Void

  /// The most patterns that it begins with, besides those that carry weight.
  private static let mostPatterns = 400

  /// Improves `point` until its gap is at most `tolerance`; asks `proceed` before each iteration.
  func solve(
    _ y: Matrix, beta: Double, tolerance: Double, point: PatternIncumbent, proceed: () -> Bool,
    report: (Int) -> Void
  ) {
    let (n, d) = (y.count, products.dimension)
    let all = Array(0..<products.count)
    var norms = [Double](repeating: 0, count: all.count)
    products.norms(y.base, all, into: &norms)
    let first = all.sorted { (norms[$0], $1) > (norms[$1], $0) }.prefix(
      GatedInteriorPoint.mostPatterns)
    let chosen = Set(point.active).union(first).sorted()
    let size = norm(y.count, y.base) / norm(products.x.count, products.x.base)
    func blocks(_ members: [Int]) -> [ConeBlock] {
      members.map { ConeBlock(pattern: products.members[$0], sign: 1) }
    }
    let method = ConeInteriorPoint(
      products.x, cone: ConeRows(none: d), y: y.values, beta: beta, patterns: patterns,
      blocks: blocks(chosen), gates: gate, radius: 10 * size)
    var member: [Int: Int] = [:]
    for (k, pattern) in products.members.enumerated() { member[pattern] = k }
    var inside = Set(chosen)
    var rounds = 0
    let nu = Matrix(y.rows, y.columns)
    while true {
      for j in 0..<n { nu.base[j] = method.nu[j] }
      products.norms(nu.base, all, into: &norms)
      point.offer(dual: nu, largest: withRoom(norms.max() ?? 0))
      offer(method, beta: beta, y: y, member: member, to: point)
      report(method.blocks.count)
      if point.gap <= tolerance { return }
      if method.gap(loss, y).gap <= 0.5 * tolerance {
        let violators = all.filter { norms[$0] > beta && !inside.contains($0) }
          .sorted { (norms[$0], $1) > (norms[$1], $0) }.prefix(max(10, inside.count / 2))
        rounds += 1
        guard !violators.isEmpty, rounds < 20 else { return }
        inside.formUnion(violators)
        method.restart(adding: blocks(violators.sorted()), gates: gate)
      }
      guard proceed(), method.iterate() else { return }
    }
  }

  /// Offers the iterate's weights without the negligible ones.
  private func offer(
    _ method: ConeInteriorPoint, beta: Double, y: Matrix, member: [Int: Int],
    to point: PatternIncumbent
  ) {
    let d = products.dimension
    let least = 1e-8 * method.largestWeight
    let chosen = method.blocks.indices.filter { norm(d, method.v.row($0)) > least }
      .map { (row: $0, member: member[method.blocks[$0].pattern]!) }.sorted {
        $0.member < $1.member
      }
    let weights = Matrix(chosen.count, d)
    var penalty = 0.0
    for (k, block) in chosen.enumerated() {
      weights.row(k).update(from: method.v.row(block.row), count: d)
      penalty += norm(d, weights.row(k))
    }
    let active = chosen.map(\.member)
    let images = Matrix(chosen.count, y.count)
    products.images(weights, active, into: images)
    let fitted = Matrix(y.rows, y.columns)
    for k in active.indices { axpy(y.count, 1, images.row(k), fitted.base) }
    point.offer(
      primal: loss.value(fitted, y) + beta * penalty, active: active,
      directions: [weights], predictions: fitted)
  }
}
