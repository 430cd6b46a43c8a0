import Convex
import Glibc
import LinearAlgebra

/// One solve of a ReLU program over pooled features for one β.
final class ReLUSolve {
  private let cones: WorkingCones
  private let loss: any Loss
  /// y, n × C.
  private let targets: Matrix
  private let map: ReLUOperator
  private let pricing: ReLUPricing
  private let beta: Double
  private let point: ReLUIncumbent
  private let slots: Int
  private let d: Int

  init(
    _ cones: WorkingCones, loss: any Loss, targets: Matrix, map: ReLUOperator,
    pricing: ReLUPricing, beta: Double, point: ReLUIncumbent
  ) {
    self.cones = cones
    self.loss = loss
    self.targets = targets
    self.map = map
    self.pricing = pricing
    self.beta = beta
    self.point = point
    d = cones.features.dimension
    slots = map.slots
  }

  /// Iterates until the point's gap is at most `tolerance`, or until the budget or the numbers end it.
  ///
  /// If there are many groups, it begins with those of the largest projections. Once the program of the working groups
  /// is solved to a useful gap, it begins again with those that carry weight and those whose constraints are violated.
  /// Groups that seem to end at 0 are left out on the way. If steps become too short, it also begins again, with all
  /// the rows that have joined the cones by then.
  func run(tolerance: Double, budget: Budget, report: () -> Void) {
    var first = leading()
    var returned = Set<Int>()
    var stalls = 0
    let precisions = first.count < openGroups ? ReLUSolve.precisions : []
    for start in 0..<ReLUSolve.mostStarts {
      let isRough = start < precisions.count && precisions[start] > tolerance
      let (left, isStalled) = run(
        first, keeping: returned, precision: isRough ? precisions[start] : 0.3 * tolerance,
        tolerance: tolerance, stalls: stalls, budget: budget, report: report)
      if point.gap <= tolerance || budget.exhausted != nil { return }
      let missing = self.missing(besides: left, above: beta * (1 + 0.1 * tolerance))
      if isStalled { stalls += 1 }
      if stalls > ReLUSolve.mostStalls || missing.isEmpty && !isRough && !isStalled { return }
      let more = missing.prefix(2 * max(ReLUSolve.fewest, left.count))
      if !isRough { returned.formUnion(more) }
      first = left.union(more).sorted()
    }
    _ = run(
      Array(0..<map.groups.count), keeping: nil, precision: 0, tolerance: tolerance,
      stalls: stalls, budget: budget, report: report)
  }

  /// The relative gaps of the first starts' own programs at which the other groups are examined.
  private static let precisions = [0.1, 0.02]
  /// The most starts, each with groups that the previous one turned out to lack, before one that leaves nothing out.
  private static let mostStarts = 8
  /// The most starts that may end because steps are too short.
  private static let mostStalls = 3
  /// The number of groups to begin with, if there are so many more that a start with them costs little.
  private static let fewest = 24
  private static let many = 100
  /// The number of iterations that may pass without progress: a smaller gap, or what has to precede it.
  private static let patience = 20

  /// The groups that carry weight, and those with the largest projections at the best ν so far, which is at first the
  /// slope at 0.
  private func leading() -> [Int] {
    _ = pricing.loose(point.dual.transposed)
    let bounds = pricing.bounds
    let open = bounds.indices.filter { cones.cones[map.groups.pattern($0)].isOpen }
    guard open.count > ReLUSolve.many else { return open }
    let largest = open.sorted { (bounds[$1], $0) < (bounds[$0], $1) }.prefix(ReLUSolve.fewest)
    return Set(point.weights.active).union(largest).sorted()
  }

  /// One start with the groups `first` that leaves out none of `returned`, or none at all if that is nil. It runs until
  /// their own gap is at most `precision` and, unless that exceeds `tolerance`, others' constraints are violated.
  /// Returns the groups it ended with, and whether steps had become too short.
  private func run(
    _ first: [Int], keeping returned: Set<Int>?, precision: Double, tolerance: Double,
    stalls: Int, budget: Budget, report: () -> Void
  ) -> (numbers: Set<Int>, isStalled: Bool) {
    let proceed = { !budget.isOutOfTime }
    let method = ReLUInteriorPoint(
      cones, map: map, loss: loss, targets: targets, beta: beta,
      radius: radius(first.count, stalls: stalls), first: first, proceed: proceed)
    let level = beta * (1 + 0.1 * tolerance)
    // The smallest gap, complementarity and bound so far.
    var smallest = [Double](repeating: .infinity, count: 3)
    var idle = 0
    while true {
      let shifts = offer(method.v, method.numbers)
      let nu = method.terms.nu.transposed
      method.forEachMultiplier(pricing.remember)
      point.offer(dual: nu, largest: withRoom(pricing.loose(method.terms.nu)))
      let gap = method.gap
      let size = method.complementarity / abs(point.primal)
      let isSolved = gap <= max(precision, 0.1 * tolerance) && method.numbers.count < openGroups
      // If the values are near each other, projections show more than the multipliers do.
      if point.gap > tolerance, size <= 20 * tolerance || isSolved, proceed() {
        let bound = pricing.largest(
          method.terms.nu, above: level, seeksAll: isSolved, rounds: 3, proceed: proceed)
        point.offer(dual: nu, largest: withRoom(bound))
      }
      report()
      let numbers = Set(method.numbers)
      if point.gap <= tolerance || budget.exhausted != nil { return (numbers, false) }
      // The working groups are solved: the violations of the others decide.
      if isSolved, precision > tolerance || !missing(besides: numbers, above: level).isEmpty {
        return (numbers, false)
      }
      extend(method, shifts, tolerance)
      idle += 1
      let values = [gap, max(size, 0.1 * tolerance), max(method.bounds.max() ?? 0, level)]
      for (k, value) in values.enumerated() where value < 0.9 * smallest[k] {
        (smallest[k], idle) = (value, 0)
      }
      if idle > ReLUSolve.patience { break }
      if let returned, let kept = method.carrying(besides: returned) { method.keep(kept) }
      budget.count()
      guard method.iterate() else { break }
    }
    if proceed() {
      point.offer(
        dual: method.terms.nu.transposed,
        largest: withRoom(
          pricing.largest(method.terms.nu, above: beta, seeksAll: true, proceed: proceed)))
      report()
    }
    return (Set(method.numbers), true)
  }

  /// Lets the rows that the iterate's weights violate join the cones, if moving it inside costs too much or the method
  /// lacks rows.
  private func extend(_ method: ReLUInteriorPoint, _ shifts: Shifts, _ tolerance: Double) {
    let isCostly =
      shifts.cost > 0.1 * min(method.complementarity, max(tolerance, 1e-12) * abs(point.primal))
    if isCostly {
      for (cone, rows) in shifts.rows { cones.cones[cone].add(rows, of: cones.features) }
      scale(shifts.amounts.count, 1.5, shifts.amounts.base)
    } else {
      shifts.amounts.fill(0)
    }
    if method.isBehind || isCostly { method.extend(shifts: shifts.amounts) }
  }

  /// The groups besides `inside` whose constraints the last ν violates beyond `level`, the worst first.
  private func missing(besides inside: Set<Int>, above level: Double) -> [Int] {
    let bounds = pricing.bounds
    return bounds.indices.filter {
      bounds[$0] > level && !inside.contains($0)
        && cones.cones[map.groups.pattern($0)].isOpen
    }.sorted { (bounds[$1], $0) < (bounds[$0], $1) }
  }

  /// The number of groups whose cones have an interior.
  private var openGroups: Int { cones.cones.filter(\.isOpen).count * map.groups.each }

  /// The length of the weights in each slot at which `count` groups together cost as much as the zero network: an
  /// optimum costs no more, and all products begin as large as the gap. After starts that stalled it is larger, since
  /// starts further from the boundaries are safer.
  private func radius(_ count: Int, stalls: Int) -> Double {
    let most = loss.value(Matrix(targets.rows, targets.columns), targets) / beta
    let each = most / (Double(max(1, count)) * Double(slots).squareRoot())
    return each > 0 ? each * pow(10, Double(stalls)) : 1
  }

  /// The shifts that moved weights into their cones: a multiple of the centre for each group and slot; their cost in
  /// the objective; and the violated rows, by pattern.
  struct Shifts {
    var amounts: Matrix
    var cost: Double
    var rows: [(Int, [Int])]
  }

  /// Offers the weights `v`, rows of the groups `list`, moved into their cones.
  func offer(_ v: Matrix, _ list: [Int]) -> Shifts {
    let patterns = list.flatMap { Array(repeating: map.groups.pattern($0), count: slots) }
    let vectors = Matrix(list.count * slots, d)
    vectors.base.update(from: v.base, count: vectors.count)
    let found = cones.features.shallowest(
      vectors, of: patterns, below: patterns.map { _ in 0 }, limit: d, relativeTo: cones.centres)
    var result = Shifts(amounts: Matrix(list.count, slots), cost: 0, rows: [])
    var rows: [Int: [Int]] = [:]
    for k in 0..<vectors.rows {
      guard let worst = found[k].first else { continue }
      let amount = -worst.depth * (1 + 1e-9)
      result.amounts.base[k] = amount
      rows[patterns[k], default: []] += found[k].map(\.row)
      axpy(d, amount, cones.centres.row(patterns[k]), vectors.row(k))
    }
    result.rows = rows.keys.sorted().map { ($0, Array(Set(rows[$0]!)).sorted()) }
    let length = slots * d
    let moved = Matrix(list.count, length)
    moved.base.update(from: vectors.base, count: vectors.count)
    let images = Matrix(list.count, targets.rows * map.groups.width)
    Threads.perform(list.count) { k in
      let group = self.map.groups[list[k]]
      self.map.image(moved.row(k), of: group, into: images.row(k))
      scale(images.columns, group.sign, images.row(k))
    }
    for k in list.indices {
      result.cost += beta * abs(norm(length, moved.row(k)) - norm(length, v.row(k)))
    }
    point.offer(moved, list, of: map.groups, images: images)
    return result
  }
}
