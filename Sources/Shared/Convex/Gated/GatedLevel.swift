import LinearAlgebra
import Tensors

/// The problem on some of the samples and patterns. A level below has a quarter of the samples, or less, and this one
/// starts at its solution: a factorisation there costs a sixty-fourth. If many outputs share many features, a level of
/// fewer features comes first.
final class GatedLevel {
  let products: PatternProducts
  private let loss: any Loss
  private let form: GatedForm
  /// C, the number of outputs that share their groups.
  private let outputs: Int
  private(set) lazy var newton = EtaNewton(
    products, outputs: outputs,
    system: AutomaticSystem(
      products, form: form, kernelLimit: kernelLimit, interruption: interruption),
    pricing: PatternPricing(products, outputs: outputs), loss: loss, interruption: interruption)
  private let interruption: Interruption
  private let kernelLimit: Int
  private let reduction: ReducedLevel.Limits?
  /// The level below, with its samples and members.
  private lazy var coarser = makeCoarser()
  /// The level of fewer features.
  private lazy var reduced = makeReduced()

  /// Newton's method in the weights, used if it is cheaper.
  private lazy var weightNewton = WeightNewton(
    products, outputs: outputs, loss: loss, interruption: interruption)

  /// Whether Newton's method in the weights comes first for a β that is `share` of its largest; it begins with the
  /// weights of the point.
  func prefersWeights(share: Double) -> Bool {
    form == .automatic
      && WeightNewton.suits(products, outputs: outputs, loss: loss, share: share)
  }

  /// The number of samples from which on a level below pays.
  private static let smallest = 600
  /// The most samples in a level below.
  private static let mostSamples = 5000
  /// The most patterns in a level below.
  private static let mostPatterns = 1000

  init(
    _ products: PatternProducts, outputs: Int, form: GatedForm, loss: any Loss,
    interruption: Interruption, kernelLimit: Int = AutomaticSystem.largestKernel,
    reduction: ReducedLevel.Limits? = nil
  ) {
    self.reduction = reduction
    self.products = products
    self.outputs = outputs
    self.interruption = interruption
    self.kernelLimit = kernelLimit
    self.form = form
    self.loss = loss
  }

  /// Improves `point` for targets `y`, C × n, and one β, from η = `start` and a ν near it; if `start` is nil, this
  /// level finds its own. β is `share` of its largest, if that is known.
  func solve(
    _ y: Matrix, beta: Double, share: Double = 0, from start: [Double]?, near: Matrix? = nil,
    tolerance: Double,
    point: PatternIncumbent, proceed: () -> Bool, report: (Int) -> Void
  ) -> EtaNewton.End {
    var (start, near) = (start, near)
    if prefersWeights(share: share) {
      let end = weightNewton.solve(
        y, beta: beta, tolerance: tolerance, point: point, proceed: proceed, report: report)
      if end != .stalled { return end }
      if point.gap < 0.1 { (start, near) = (self.eta(of: point, beta: beta), nil) }
    }
    if let reduced {
      let before = point.primal
      let end = reduced.solve(
        y, beta: beta, from: start, near: near, tolerance: tolerance, point: point,
        full: newton, proceed: proceed, report: report)
      if end != .stalled { return end }
      if start == nil || point.primal < before { (start, near) = (reduced.eta, reduced.nu) }
    }
    if interruption.isOutOfTime { return .interrupted }
    if start == nil {
      start = startBelow(y, beta: beta, point: point, proceed: proceed, report: report)
    }
    if let start {
      let end = newton.solve(
        y, beta: beta, from: start, near: near, tolerance: tolerance, point: point,
        proceed: proceed, report: report)
      // If rounding ended it, another start gains nothing.
      if end != .stalled || point.gap < 1e-3 { return end }
    }
    if interruption.isOutOfTime { return .interrupted }
    let ladder = startOnLadder(y, beta: beta, proceed: proceed)
    return newton.solve(
      y, beta: beta, from: ladder, tolerance: tolerance, point: point, proceed: proceed,
      report: report)
  }

  /// η = ‖W_i‖/β of the weights of `point`, as at an optimum.
  private func eta(of point: PatternIncumbent, beta: Double) -> [Double] {
    var eta = [Double](repeating: 0, count: products.count)
    let count = point.active.count
    for (k, i) in point.active.enumerated() {
      var square = 0.0
      for c in 0..<outputs {
        let row = point.weights.rows.row(c * count + k)
        square += dot(products.dimension, row, row)
      }
      eta[i] = square.squareRoot() / beta
    }
    return eta
  }

  /// η from the level below; nil if there is none or it found nothing. If the time is limited, the weights of that
  /// level are offered too, and the residual that they leave as a dual point.
  private func startBelow(
    _ y: Matrix, beta: Double, point: PatternIncumbent, proceed: () -> Bool, report: (Int) -> Void
  ) -> [Double]? {
    guard let (level, rows, members) = coarser else { return nil }
    // A quarter of the loss calls for a quarter of β; then T_i is a quarter as large, and η four times as large.
    let share = Double(rows.count) / Double(y.columns)
    let part = Matrix(outputs, rows.count)
    for c in 0..<outputs { for (k, j) in rows.enumerated() { part[c, k] = y[c, j] } }
    let below = PatternIncumbent(
      part, dimension: products.dimension, loss: loss, beta: share * beta)
    // An offer computes at most the images and norms of all members.
    let isLimited = interruption.secondsLeft().isFinite
    interruption.reserving(isLimited ? 2 * newton.secondsOfNorms() : 0) {
      _ = level.solve(
        part, beta: share * beta, from: nil, tolerance: 1e-2, point: below, proceed: proceed,
        report: { _ in })
    }
    let left = interruption.secondsLeft()
    if isLimited, left > 0, !below.active.isEmpty {
      let count = below.active.count
      let fitted = point.offer(
        (0..<outputs).map { below.weights.rows.slice($0 * count..<($0 + 1) * count) },
        of: below.active.map { members[$0] }, products)
      for j in 0..<fitted.count { fitted.base[j] = y.base[j] - fitted.base[j] }
      newton.offer(fitted, y, beta: beta, to: point)
      report(count)
    }
    var eta = [Double](repeating: 0, count: products.count)
    for (k, value) in level.newton.eta.enumerated() { eta[members[k]] = share * value }
    return eta.contains { $0 > 0 } ? eta : nil
  }

  /// η by way of larger β, each a hundredth of the one before: Newton's method does not find a tiny β's solution from
  /// afar. It begins with equal η for the patterns with which y correlates most.
  private func startOnLadder(_ y: Matrix, beta: Double, proceed: () -> Bool) -> [Double] {
    var eta = [Double](repeating: 0, count: products.count)
    let norms = products.norms(y, Array(eta.indices))
    let order = eta.indices.sorted { (norms[$0], $1) > (norms[$1], $0) }
    guard let first = order.first else { return eta }
    let largest = norms[first]
    let count = max(1, min(products.count / 10, 100))
    let trace = dot(products.x.count, products.x.base, products.x.base)
    let size = 2 * Double(y.columns) / (trace * Double(count))
    var rung = max(beta, 1e-2 * largest)
    for i in order.prefix(count) { eta[i] = size * max(1, largest / rung / 10) }
    while rung > beta * (1 + 1e-12), !interruption.isOutOfTime {
      let point = PatternIncumbent(
        y, dimension: products.dimension, loss: loss, beta: rung)
      _ = newton.solve(
        y, beta: rung, from: eta, tolerance: 1e-1, point: point, proceed: proceed,
        report: { _ in })
      let next = max(beta, 1e-2 * rung)
      // The weights stay unchanged: η_i = ‖w_i‖/β.
      eta = newton.eta.map { $0 * rung / next }
      rung = next
    }
    return eta
  }

  private func makeCoarser() -> (level: GatedLevel, rows: [Int], members: [Int])? {
    guard products.samples >= GatedLevel.smallest else { return nil }
    // Drawn at random, since a fixed stride could coincide with an order of the samples.
    var random = RandomSource(seed: 0, stream: 1)
    let rows = random.sample(
      min(products.samples / 4, GatedLevel.mostSamples), of: products.samples)
    let kept = random.sample(min(GatedLevel.mostPatterns, products.count), of: products.count)
    let (part, places) = products.restricted(to: rows, keeping: kept)
    guard part.count > 0 else { return nil }
    let level = GatedLevel(
      part, outputs: outputs, form: form, loss: loss, interruption: interruption)
    return (level, rows, places)
  }

  private func makeReduced() -> ReducedLevel? {
    guard let reduction, outputs > 1 else { return nil }
    return ReducedLevel(
      products, outputs: outputs, loss: loss, interruption: interruption, limits: reduction)
  }
}
