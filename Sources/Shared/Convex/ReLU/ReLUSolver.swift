import Glibc
import LinearAlgebra
import Schema
import Tensors

/// Trains ReLU networks over given patterns, one group per pattern and output, squared loss, to a
/// certified optimum of
///
///   min ½ ‖Σ D_i X (v_i − w_i) − y‖² + β Σ (‖v_i‖ + ‖w_i‖),  (2D_i − I) X v_i ≥ 0, the same for w
///
/// (Pilanci and Ergen 2020, equation 8): by rounds of projected neurons (`offerAtoms`), then by `ConeNewton` from these or
/// from the solution of the gated program and, if its steps end, by `ConeInteriorPoint`. Both work on the blocks that
/// matter; `ConePricing` bounds the dual constraints of all others. Outputs share no variables: each is solved separately.
package final class ReLUSolver: ArrangementSolver {
  package let betaMax: Double
  let data: ArrangementData
  let targets: Matrix
  let loss: any Loss = SquaredLoss()
  let gated: GatedSolver
  let cone: ConeRows
  let pricing: ConePricing
  /// The distinct patterns; blocks are numbered by their places here.
  let members: [Int]
  let patterns: Patterns
  /// The methods to use; `automatic` is the first, then the second if the gap is not reached.
  enum Method: CaseIterable { case automatic, newton, interiorPoint }
  var method = Method.automatic
  /// y of each output and the largest norm of a projection of ± Xᵀ D_i y.
  var outputs: [(y: Matrix, betaMax: Double)] = []
  /// The samples that no neuron sees, because their features are 0 or all patterns are off: no dual constraint involves
  /// their ν.
  let unseen: [Int]

  /// `targets` is n × C. If `budget` ends the work on the cones, `betaMax` is only a bound.
  package init(
    _ data: ArrangementData, targets: Matrix, budget: Budget? = nil,
    progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    let x = data.features
    try ReLUSolver.expectMemory(data, outputs: targets.columns)
    progress("looking for equal patterns")
    members = DistinctPatterns(data.patterns, features: x).indices
    patterns = data.patterns.restricted(to: Array(0..<x.rows), of: members)
    unseen = ReLUSolver.unseen(x, patterns)
    gated = try GatedSolver(data, targets: targets, budget: budget)
    cone = ConeRows(x, patterns: patterns)
    pricing = ConePricing(x, patterns: patterns, cone: cone)
    for c in 0..<targets.columns {
      let y = Matrix(targets.rows, 1, targets.column(c))
      pricing.correlate(y.base)
      let largest = pricing.largest(
        proceed: { !(budget?.isOutOfTime ?? false) },
        progress: { progress("beta_max of output \(c): \($0)") })
      outputs.append((y, largest))
    }
    betaMax = outputs.reduce(0) { max($0, $1.betaMax) }
  }

  private static func unseen(_ x: Matrix, _ patterns: Patterns) -> [Int] {
    (0..<x.rows).filter { j in
      (0..<x.columns).allSatisfy { x[j, $0] == 0 }
        || !(0..<patterns.count).contains { patterns.isActive($0, row: j) }
    }
  }

  /// Refuses, before any work, data that exceed the machine's memory: the matrix of ν on two threads, and what pricing
  /// keeps for each block.
  private static func expectMemory(_ data: ArrangementData, outputs: Int) throws {
    let (n, d, p) = (
      Double(data.samples), Double(data.dimension), Double(data.patterns.count)
    )
    let threads = Double(Threads.count)
    let bytes = 8 * (2 * threads * n * n + 3 * p * d + 4 * n * d) + p * n / 8
    try Tensors.expectMemory(
      bytes,
      for: "a ReLU program of \(data.samples) samples, \(data.dimension) features and "
        + "\(data.patterns.count) patterns")
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .relu, gatesOf: self.data)
  }

  // MARK: Solving

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    // Each thread takes whole blocks if their products are small.
    data.samples * data.dimension < 1 << 16
      ? Threads.withSerialBLAS {
        best(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
      } : best(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
  }

  func best(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let points = outputs.map { output in
      let point = PatternIncumbent(
        output.y, dimension: data.dimension, loss: loss, beta: beta)
      offerDual(output.y, bound: output.betaMax, to: point)
      return point
    }
    var counts = points.map { _ in 0 }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue }, neurons: counts.reduce(0, +)))
      budget.publish { compose(points, beta: beta, iterations: budget.iterations) }
    }
    report()
    let open = outputs.indices.filter {
      beta < outputs[$0].betaMax && points[$0].gap > rule.gap
    }
    var begin: [Int: Beginning] = [:]
    if start == nil, method != .interiorPoint {
      begin = offerAtoms(open, points, beta: beta, gap: rule.gap, budget, report: report)
    }
    var status = Status.optimal
    let isSeeded = open.allSatisfy { begin[$0] != nil }
    let seed =
      isSeeded ? nil : start ?? gatedStart(beta: beta, startedAt: budget, rule: rule)
    for c in open where points[c].gap > rule.gap {
      if let limit = budget.exhausted {
        status = limit
        break
      }
      let problem = Problem(
        y: outputs[c].y, beta: beta, tolerance: 0.9 * rule.gap, point: points[c])
      let tell = { (active: Int) in
        counts[c] = active
        report()
      }
      if method != .interiorPoint {
        newton(
          problem, from: begin[c] ?? seed.map { blocks(of: $0, output: c, beta: beta) }, budget,
          tell)
      }
      if method != .newton, points[c].gap > problem.tolerance, budget.exhausted == nil {
        interiorPoint(problem, budget, tell)
      }
      if points[c].gap > rule.gap { status = budget.exhausted ?? .stalled }
    }
    let solution = compose(points, beta: beta, iterations: budget.iterations)
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  /// One output's program, and the best points found for it.
  struct Problem {
    let y: Matrix
    let beta: Double
    let tolerance: Double
    let point: PatternIncumbent
    var targets: [Double] { y.values }
  }

  typealias Beginning = (blocks: [ConeBlock], eta: [Double], nu: [Double])

  /// The gated program's solution, whose weights split into v and w of the cones. As it is only a start, it takes at
  /// most half of the time left.
  func gatedStart(
    beta: Double, startedAt budget: Budget, rule: StoppingRule
  ) -> ArrangementSolution {
    var loose = StoppingRule()
    loose.gap = 1e-3
    loose.maximumSeconds = max(0, 0.5 * budget.secondsLeft)
    var solution = gated.point(
      beta: beta, from: nil, rule: loose, budget: budget.part(loose), trace: { _ in })
    solution.negative = solution.positive
    return solution
  }

  /// The blocks that carry weight in `start`, η = ‖v‖/β and ν = y − ŷ.
  func blocks(of start: ArrangementSolution, output c: Int, beta: Double) -> Beginning {
    var place: [Int: Int] = [:]
    for (k, i) in members.enumerated() { place[i] = k }
    var result: Beginning = ([], [], [])
    for (row, i) in start.index.enumerated() {
      guard let pattern = place[i] else { continue }
      for (sign, weights) in [(1.0, start.positive[c]), (-1.0, start.negative[c])] {
        let eta = norm(data.dimension, weights.row(row)) / beta
        guard eta > 0 else { continue }
        result.blocks.append(ConeBlock(pattern: pattern, sign: sign))
        result.eta.append(eta)
      }
    }
    result.nu = (0..<targets.rows).map { targets[$0, c] - start.predictions[$0, c] }
    return result
  }

  func newton(
    _ problem: Problem, from start: Beginning?, _ budget: Budget, _ report: (Int) -> Void
  ) {
    guard let start, !start.blocks.isEmpty else { return }
    let beta = problem.beta
    let method = ConeNewton(
      data.features, y: problem.targets, beta: beta, pricing: pricing, patterns: patterns,
      blocks: start.blocks, eta: start.eta, nu: start.nu, proceed: { budget.exhausted == nil })
    guard method.begin() else { return }
    var slow = 0
    while true {
      budget.count()
      let before = problem.point.gap
      let rows = method.blocks.map(ConePricing.row)
      if pricing.violations(of: method.points, rows).allSatisfy({ $0 <= 1e-11 }) {
        problem.point.offer(
          primal: method.primal, active: rows, eta: method.eta, directions: [method.points],
          predictions: Matrix(targets.rows, 1, method.outputs))
      } else {
        let vectors = Matrix(copying: method.points)
        for j in rows.indices { scale(data.dimension, method.eta[j], vectors.row(j)) }
        offer(vectors, rows, to: problem)
      }
      pricing.correlate(method.nu)
      let (bound, violators) = pricing.price(
        above: beta * (1 + 1e-10), limit: max(60, method.blocks.count),
        proceed: { budget.exhausted == nil })
      offerDual(Matrix(targets.rows, 1, method.nu), bound: bound, to: problem.point)
      report(method.blocks.count)
      if problem.point.gap <= problem.tolerance || budget.exhausted != nil { return }
      slow = problem.point.gap > 0.9 * before ? slow + 1 : 0
      guard slow < 8, method.advance(violators: violators, gap: problem.point.gap) else { return }
    }
  }

  /// Offers the weights `v` of an interior point, a row for each block.
  func offer(_ blocks: [ConeBlock], _ v: Matrix, to problem: Problem) {
    let d = data.dimension
    let largest = blocks.indices.reduce(0) { max($0, norm(d, v.row($1))) }
    let chosen = blocks.indices.filter { norm(d, v.row($0)) > 1e-7 * largest }
    let vectors = Matrix(chosen.count, d)
    for (k, j) in chosen.enumerated() {
      vectors.row(k).update(from: v.row(j), count: d)
    }
    offer(vectors, chosen.map { ConePricing.row(blocks[$0]) }, to: problem)
  }

  /// How far outside its cone a weight may be, relative to its norm.
  private static let feasibility = 1e-10

  /// Offers the weights `vectors` of the blocks `all`, projected onto their cones, without those that cost more than
  /// they gain.
  func offer(_ vectors: Matrix, _ all: [Int], to problem: Problem) {
    let (n, d) = (data.samples, data.dimension)
    let points = Matrix(all.count, d)
    pricing.projectVectors(vectors, all, into: points)
    // Project again if a projection is much shorter than its vector: errors are relative to the vector.
    if pricing.violations(of: points, all).contains(where: { $0 > ReLUSolver.feasibility }) {
      vectors.copy(from: points)
      pricing.projectVectors(vectors, all, into: points)
    }
    let violations = pricing.violations(of: points, all)
    for k in all.indices where violations[k] > ReLUSolver.feasibility { scale(d, 0, points.row(k)) }
    let (rows, chosen) = (all, Array(all.indices))
    let images = Matrix(chosen.count, n)
    pricing.images(of: points, all.map(ConePricing.block), into: images)
    // Smallest weights first: the gain of a weight, νᵀU − β‖v‖ − ½‖U‖², may be negative.
    let fitted = Matrix(n, 1)
    for k in chosen.indices { axpy(n, 1, images.row(k), fitted.base) }
    let residual = Matrix(n, 1)
    var active: [Int] = []
    var penalty = 0.0
    for i in 0..<n { residual.base[i] = problem.y.base[i] - fitted.base[i] }
    for k in chosen.indices.sorted(by: {
      (norm(d, points.row($0)), $0) < (norm(d, points.row($1)), $1)
    }) {
      let length = norm(d, points.row(k))
      let image = images.row(k)
      let gain = dot(n, residual.base, image) + 0.5 * dot(n, image, image) - problem.beta * length
      if gain < 0 {
        axpy(n, 1, image, residual.base)
        axpy(n, -1, image, fitted.base)
      } else {
        active.append(k)
        penalty += length
      }
    }
    active.sort()
    let weights = Matrix(active.count, d)
    for (row, k) in active.enumerated() {
      weights.row(row).update(from: points.row(k), count: d)
    }
    problem.point.offer(
      primal: loss.value(fitted, problem.y) + problem.beta * penalty,
      active: active.map { rows[$0] },
      directions: [weights], predictions: fitted)
  }

  /// Offers the best multiple of ν, given that `bound` bounds the norms of all its projections.
  func offerDual(_ nu: Matrix, bound: Double, to point: PatternIncumbent) {
    point.offer(dual: nu, largest: withRoom(bound)) { scaled in
      for j in unseen { scaled.base[j] = point.targets.base[j] }
    }
  }

  /// The gate of a pattern, which lies in the interior of its cone.
  func gate(_ member: Int, _ target: UnsafeMutablePointer<Double>) {
    let d = data.dimension
    data.gates.withElements(of: Double.self) {
      target.update(from: $0.baseAddress! + members[member] * d, count: d)
    }
  }

  /// The weights of a point that lie in their cones to the last digits, and their predictions. A projection is in the
  /// cone up to the rounding of the projected vector: weights that are small beside that vector may shrink to little,
  /// or to mere rounding, when they are projected themselves.
  func feasible(
    _ point: PatternIncumbent
  ) -> (active: [Int], weights: Matrix, predictions: Matrix) {
    let (d, count) = (data.dimension, point.active.count)
    let weights = Matrix(count, d)
    weights.base.update(from: point.weights.rows.base, count: weights.count)
    let once = Matrix(count, d)
    let twice = Matrix(count, d)
    pricing.projectVectors(weights, point.active, into: once)
    pricing.projectVectors(once, point.active, into: twice)
    if memcmp(weights.base, twice.base, 8 * weights.count) == 0 {
      return (point.active, weights, point.predictions)
    }
    let kept = (0..<count).filter { norm(d, twice.row($0)) > 1e-6 * norm(d, weights.row($0)) }
    let result = Matrix(kept.count, d)
    for (k, row) in kept.enumerated() { result.row(k).update(from: twice.row(row), count: d) }
    let active = kept.map { point.active[$0] }
    let images = Matrix(kept.count, data.samples)
    pricing.images(of: result, active.map(ConePricing.block), into: images)
    let predictions = Matrix(data.samples, 1)
    for k in kept.indices { axpy(data.samples, 1, images.row(k), predictions.base) }
    return (active, result, predictions)
  }

  /// The solution for all outputs, with objectives computed from the data.
  func compose(
    _ points: [PatternIncumbent], beta: Double, iterations: Int
  ) -> ArrangementSolution {
    let (n, d) = (data.samples, data.dimension)
    let feasible = points.map { self.feasible($0) }
    let used = Set(feasible.flatMap { $0.active.map { $0 / 2 } }).sorted()
    var place: [Int: Int] = [:]
    for (k, i) in used.enumerated() { place[i] = k }
    let dual = Matrix(n, points.count)
    let predictions = Matrix(n, points.count)
    var positive: [Matrix] = []
    var negative: [Matrix] = []
    var penalty = 0.0
    for (c, (point, primal)) in zip(points, feasible).enumerated() {
      let pair = [Matrix(used.count, d), Matrix(used.count, d)]
      for (k, row) in primal.active.enumerated() {
        pair[row % 2].row(place[row / 2]!).update(from: primal.weights.row(k), count: d)
        penalty += norm(d, primal.weights.row(k))
      }
      positive.append(pair[0])
      negative.append(pair[1])
      for j in 0..<n {
        dual[j, c] = point.dual.base[j]
        predictions[j, c] = primal.predictions.base[j]
      }
    }
    return ArrangementSolution(
      index: used.map { members[$0] }, positive: positive, negative: negative, dual: dual,
      predictions: predictions, status: .optimal,
      primal: loss.value(predictions, targets) + beta * penalty,
      dualValue: loss.dualValue(dual, targets), iterations: iterations)
  }
}
