import LinearAlgebra
import Tensors

/// The problem on some of the samples and patterns. A quarter of the samples makes a level below, whose
/// solution is where this one starts: a factorisation there costs a sixty-fourth.
final class GatedLevel {
  let products: PatternProducts
  private let loss: any Loss
  private lazy var newton = EtaNewton(
    products, system: KernelSystem(products), pricing: PatternPricing(products), loss: loss)
  /// The level below, with its samples and members.
  private lazy var coarser = makeCoarser()

  /// Samples from which on a level below pays.
  private static let smallest = 200
  /// Patterns that a level below has at most.
  private static let mostPatterns = 1000

  init(_ products: PatternProducts, loss: any Loss) {
    self.products = products
    self.loss = loss
  }

  func solve(
    _ y: Matrix, beta: Double, from start: [Double]?, tolerance: Double, point: GatedPoint,
    proceed: () -> Bool, report: (Int) -> Void
  ) -> EtaNewton.End {
    newton.solve(
      y, beta: beta, from: start ?? self.start(y, beta: beta, proceed: proceed),
      tolerance: tolerance, point: point, proceed: proceed, report: report)
  }

  /// η to begin with: from the level below, or where there is none the same for those patterns that y
  /// correlates with most.
  private func start(_ y: Matrix, beta: Double, proceed: () -> Bool) -> [Double] {
    var eta = [Double](repeating: 0, count: products.count)
    if let (level, rows, members) = coarser {
      // A quarter of the loss asks for a quarter of β; then T_i is a quarter, and η four times as large.
      let share = Double(rows.count) / Double(y.rows)
      let part = Matrix(rows.count, 1, rows.map { y.base[$0] })
      let point = GatedPoint(part, dimension: products.dimension, loss: loss)
      _ = level.solve(
        part, beta: share * beta, from: nil, tolerance: 1e-2, point: point, proceed: proceed,
        report: { _ in })
      for (k, value) in level.newton.eta.enumerated() { eta[members[k]] = share * value }
      if eta.contains(where: { $0 > 0 }) { return eta }
    }
    var norms = eta
    products.norms(y.base, Array(eta.indices), into: &norms)
    let order = eta.indices.sorted { (norms[$0], $1) > (norms[$1], $0) }
    let count = max(1, min(products.count / 10, 100))
    let trace = dot(products.x.count, products.x.base, products.x.base)
    let size = 2 * Double(y.rows) / (trace * Double(count))
    for i in order.prefix(count) { eta[i] = size * max(1, norms[order[0]] / beta / 10) }
    return eta
  }

  private func makeCoarser() -> (level: GatedLevel, rows: [Int], members: [Int])? {
    guard products.samples >= GatedLevel.smallest else { return nil }
    // Drawn at random: a fixed stride may meet an order of the samples.
    var random = RandomSource(seed: 0, stream: 1)
    let rows = random.sample(products.samples / 4, of: products.samples)
    let kept = random.sample(min(GatedLevel.mostPatterns, products.count), of: products.count)
    let (part, places) = products.restricted(to: rows, keeping: kept)
    guard part.count > 0 else { return nil }
    return (GatedLevel(part, loss: loss), rows, places)
  }
}
