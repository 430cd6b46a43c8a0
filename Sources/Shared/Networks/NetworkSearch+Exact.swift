import Convex
import Convolution
import LinearAlgebra
import Schema
import Tensors

/// The end of a search: descent and pricing to the last digits, or cone programs over the patterns that were found.
extension NetworkSearch {
  /// The network as a solution over the patterns of its neurons, without a bound.
  func uncertified(_ neurons: Neurons) -> NetworkSolution {
    let found = FoundPatterns(solver.rows)
    return solution(composed(neurons, found), found)
  }

  private func solution(
    _ point: ArrangementSolution, _ found: FoundPatterns
  ) -> NetworkSolution {
    var result = NetworkSolution(point, ConvolutionalData(solver.patches, found.tensors))
    result.lacksProof = solver.settings.provesGlobally
    return result
  }

  /// The network of `neurons` over the patterns `found`, to which theirs are added, with ν = 0.
  func composed(_ neurons: Neurons, _ found: FoundPatterns) -> ArrangementSolution {
    let (d, classes) = (solver.rows.original.columns, solver.targets.values.columns)
    let live = neurons.selecting(
      (0..<neurons.count).filter { norm(solver.rows.dimension, neurons.filters.row($0)) > 0 })
    let filters = solver.rows.lift(live.filters)
    let places = found.add(live.count > 0 ? filters : anyDirection())
    let used = Set(places).sorted()
    let row = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
    let zero = { (0..<classes).map { _ in Matrix(used.count, d) } }
    let weights = [zero(), zero()]
    for j in 0..<live.count {
      axpy(
        d, 1, filters.row(j),
        weights[live.signs[j] > 0 ? 0 : 1][live.outputs[j]].row(row[places[j]]!))
    }
    let predictions = objective.predictions(of: live)
    var penalty = 0.0
    for matrix in weights.joined() {
      for k in used.indices { penalty += norm(d, matrix.row(k)) }
    }
    let dual = Matrix(predictions.rows, classes)
    let targets = solver.targets.values
    return ArrangementSolution(
      index: used, positive: weights[0], negative: weights[1], dual: dual,
      predictions: predictions, status: .stalled,
      primal: solver.loss.value(predictions, targets) + beta * penalty,
      dualValue: solver.loss.dualValue(dual, targets), iterations: budget.iterations)
  }

  /// A list of patterns has at least one.
  func anyDirection() -> Matrix {
    let result = Matrix(1, solver.rows.original.columns)
    result.base[0] = 1
    return result
  }

  /// The bound that ν = −∇ℓ(ŷ) gives if it is scaled by the lengths ‖Xᵀ D ν‖ for the patterns D of all `directions`.
  func bound(_ solution: inout ArrangementSolution, _ directions: Matrix) {
    let nu = residual(solution.predictions)
    let classes = nu.columns
    var largest = 0.0
    for c in 0..<classes {
      let lengths = solver.pricing.lengths(nu, output: c, at: directions)
      largest = max(largest, lengths.max() ?? 0)
    }
    solver.loss.scale(nu, solver.targets.values, beta: beta, largest: withRoom(largest))
    let value = solver.loss.dualValue(nu, solver.targets.values)
    if value > solution.dualValue { (solution.dual, solution.dualValue) = (nu, value) }
  }

  /// The solution over all patterns found so far, from the network of `neurons`.
  func solveCones(_ neurons: Neurons) -> NetworkSolution {
    var start = composed(neurons, patterns)
    bound(&start, solver.rows.coordinates(patterns.directions))
    var result = solution(start, patterns)
    guard budget.exhausted == nil else { return result }
    if let better = try? coneProgram(result.data, start), better.primal.isFinite {
      if better.primal <= start.primal * (1 + 1e-12) || better.gap < start.gap {
        result.solution = better
      }
    }
    return result
  }

  private func coneProgram(
    _ data: ConvolutionalData, _ start: ArrangementSolution
  ) throws -> ArrangementSolution {
    let targets = solver.targets.values
    func tell(_ row: TraceRow) {
      guard budget.seconds - reported > 0.1 else { return }
      reported = budget.seconds
      solver.progress("cone program of \(patterns.count) patterns, gap \(row.gap)")
    }
    if data.patches.patchCount == 1, solver.program.hasOnePatchSolver {
      let inner = try solver.program.solver(
        ArrangementData(features: solver.rows.original, data.listed), targets: targets,
        budget: budget)
      return solve(inner, start, tell)
    }
    let inner = try solver.program.solver(data, targets: targets, budget: budget)
    return solve(inner, start, tell)
  }

  private func solve<Inner: RegularizedSolver>(
    _ inner: Inner, _ start: ArrangementSolution, _ tell: (TraceRow) -> Void
  ) -> ArrangementSolution
  where Inner.Start == ArrangementSolution?, Inner.Point == ArrangementSolution {
    // Some of the gap is left to neurons of other patterns.
    var rule = rule
    rule.gap *= isToBeProved ? 0.2 : 0.5
    return inner.point(beta: beta, from: start, rule: rule, budget: budget, trace: tell)
  }

  /// The rounds in a row that may lower the objective by little, but still the largest price. Where nothing is to be
  /// proved, they may gain a thousandth of the objective, all together.
  private var mostSlowRounds: Int {
    isToBeProved ? 30 : max(2, min(20, Int(NetworkSearch.slowGain / rule.gap)))
  }

  private static let slowGain = 1e-3
  /// Where nothing is to be proved, the search ends at a largest price of this share of β.
  private static let enough = 1.01

  /// Cone programs over the patterns found so far, each with those of the maximisers at the ν before, until the search
  /// finds no violation above what the gap allows.
  func refine(_ start: Neurons) -> NetworkSolution {
    let lengths = DirectionWeights(objective: objective)
    var neurons = isToBeProved ? start : merged(lengths.improved(start))
    var last = Double.infinity
    var slow = 0
    while true {
      var current = solveCones(neurons)
      // A solution over more patterns takes the place of the one before, unless the program was not solved.
      if let best, current.gap > rule.gap, best.primal < current.primal { current = best }
      best = current
      neurons = self.neurons(of: current)
      report(current.primal, neurons: neurons.count, dual: current.dualValue)
      guard budget.exhausted == nil else { return finished(current) }
      let isStuck = current.primal >= last * (1 - (isToBeProved ? 0.1 : 1) * rule.gap)
      slow = isStuck ? slow + 1 : 0
      last = min(last, current.primal)
      let level = slack(current)
      var new = violators(
        dualPoint(current), neurons, above: beta * (1 + 0.4 * level), thoroughly: isStuck)
      if new.count == 0, pricesProgram, current.gap > rule.gap {
        // A program that was not solved has a dual point that tells little.
        pricesProgram = false
        new = violators(dualPoint(current), neurons, above: beta, thoroughly: true)
      }
      if new.count == 0, isToBeProved, !isProofStopped, level > 0 {
        switch prove(current) {
        case .proved(let bound):
          current.take(bound)
          return finished(current)
        case .violated(let candidates):
          new = entering(candidates, above: 0, beside: neurons, limit: 60)
          slow = 0
        case .stopped(let bound):
          if solver.settings.provesGlobally, isWorthTaking(bound) { current.take(bound) }
          return finished(current)
        case .undecided:
          return finished(current)
        }
      }
      // Where nothing is to be proved, small violations that lower the objective no more are left.
      let isEnough =
        !isToBeProved && isStuck && (violation ?? .infinity) <= NetworkSearch.enough
      guard new.count > 0, slow < mostSlowRounds, !isEnough else { return finished(current) }
      if !isToBeProved { keepPatterns(of: current) }
      let before = patterns.count
      _ = patterns.add(solver.rows.lift(new.filters))
      neurons = descend(neurons + new, limit: 60, tolerance: 1e-7)
      // Few neurons, none of which others could replace: Newton's method needs them so.
      neurons = merged(lengths.improved(neurons))
      _ = patterns.add(solver.rows.lift(neurons.filters))
      // Violations within the list are those of −∇ℓ(ŷ) alone.
      pricesProgram = patterns.count == before
    }
  }

  /// Leaves only the patterns of neurons in the list: cone programs take as long as it is, and others come back if their
  /// price rises.
  private func keepPatterns(of solution: NetworkSolution) {
    let directions = patterns.directions
    let used = solution.solution.index
    let kept = Matrix(used.count, directions.columns)
    for (k, place) in used.enumerated() {
      kept.row(k).update(from: directions.row(place), count: kept.columns)
    }
    patterns = FoundPatterns(solver.rows)
    _ = patterns.add(kept)
  }

  /// Rounds of descent to the last digits, of the best lengths and of pricing, until no price exceeds what the gap allows
  /// and that is proved; nil if the rounds stall or the proof takes too long.
  func polish(_ neurons: inout Neurons) -> NetworkSolution? {
    let lengths = DirectionWeights(objective: objective)
    var last = Double.infinity
    var best = neurons
    var slow = 0
    // Beyond some thousand samples the cone program would take longer than all rounds.
    let most = solver.rows.samples <= 3000 ? 4 : 80
    for _ in 0..<most where budget.exhausted == nil && slow < 12 {
      neurons = merged(lengths.improved(neurons))
      // As long as neurons enter, the last digits are not worth while.
      neurons = merged(
        descend(neurons, limit: 120, tolerance: slow > 0 ? 1e-10 : max(1e-10, 0.1 * rule.gap)))
      neurons = lengths.improved(neurons)
      var current = uncertified(neurons)
      report(current.primal, neurons: neurons.count)
      slow = current.primal < last * (1 - 1e-10) ? 0 : slow + 1
      if current.primal < last { (last, best) = (current.primal, neurons) }
      let level = slack(current)
      var new = violators(
        residual(current.predictions), neurons, above: beta * (1 + 0.1 * level),
        thoroughly: slow > 0)
      if new.count == 0 {
        guard level > 0 else { return nil }
        switch prove(current) {
        case .proved(let bound):
          current.take(bound)
          return current
        case .violated(let candidates):
          new = entering(candidates, above: 0, beside: neurons, limit: 60)
        case .stopped(let bound):
          guard solver.settings.provesGlobally else { return nil }
          guard isWorthTaking(bound) else { return current }
          current.take(bound)
          return current
        case .undecided:
          return nil
        }
      }
      neurons = neurons + new
    }
    // Lengths and descents of features of very different size may lose what was there.
    if value(neurons) > 1.001 * last { neurons = best }
    return nil
  }

  /// Whether a bound is better than that of ν = 0, which costs nothing.
  private func isWorthTaking(_ bound: DualBound) -> Bool {
    let targets = solver.targets.values
    return bound.value > solver.loss.dualValue(Matrix(targets.rows, targets.columns), targets)
  }

  /// The neurons that enter beside `neurons`, whose prices at `nu` were found to be above `level`. Before a proof, which
  /// takes longer, or if `thoroughly`, many directions are tried.
  private func violators(
    _ nu: Matrix, _ neurons: Neurons, above level: Double, thoroughly: Bool
  ) -> Neurons {
    let size = solver.rows.x.count * solver.targets.values.columns
    guard isToBeProved else {
      let limit = min(level, 0.5 * (1 + NetworkSearch.enough) * beta)
      for isLast in thoroughly ? [true] : [false, true] {
        let found = price(nu, neurons, count: isLast ? manyStarts : 16, hops: isLast ? 1 : 0)
        let new = entering(found, above: limit, beside: neurons, limit: 100)
        if new.count > 0 { return new }
      }
      return Neurons(dimension: solver.rows.dimension)
    }
    for isLast in thoroughly || !solver.rows.isSmall ? [true] : [false, true] {
      let found =
        solver.rows.isSmall && isLast
        ? price(nu, neurons, count: max(60, min(600, 4_000_000 / size)), hops: 3)
        : price(nu, neurons, count: max(thoroughly ? 100 : 40, min(300, 2_000_000 / size)))
      let new = entering(found, above: level, beside: neurons, limit: 60)
      if new.count > 0 { return new }
    }
    return Neurons(dimension: solver.rows.dimension)
  }

  /// Neurons of one pattern, sign and output become one, which has the sum of their weights.
  func merged(_ given: Neurons) -> Neurons {
    guard given.count > 1 else { return given }
    let neurons = Neurons(
      filters: Matrix(copying: given.filters), signs: given.signs, outputs: given.outputs)
    let places = FoundPatterns(solver.rows).add(solver.rows.lift(neurons.filters))
    var first: [SIMD3<Int>: Int] = [:]
    var kept: [Int] = []
    let d = solver.rows.dimension
    for j in 0..<neurons.count {
      let key = SIMD3(places[j], neurons.signs[j] > 0 ? 1 : 0, neurons.outputs[j])
      if let k = first[key] {
        axpy(d, 1, neurons.filters.row(j), neurons.filters.row(k))
      } else {
        first[key] = j
        kept.append(j)
      }
    }
    return neurons.selecting(kept)
  }

  func finished(_ current: NetworkSolution) -> NetworkSolution {
    var result = current
    (result.violation, result.searches, result.proof) = (violation, searches, proof)
    result.solution.iterations = budget.iterations
    // Neurons that gain nothing go.
    let targets = solver.targets.values
    let nothing = Matrix(targets.rows, targets.columns)
    let loss = solver.loss.value(nothing, targets)
    if loss <= result.primal { result.dropNeurons(loss: loss) }
    // Zero is feasible for all neurons.
    let least = solver.loss.dualValue(nothing, targets)
    if !result.isGlobal, relativeGap(primal: result.primal, dual: least) <= rule.gap {
      result.take((nothing, least))
    }
    if result.isGlobal {
      report(result.primal, neurons: result.neurons.count, dual: result.dualValue)
    }
    result.status =
      result.gap <= rule.gap && !result.lacksProof
      ? .optimal : budget.exhausted ?? (isProofStopped ? .nodeLimit : .stalled)
    return result
  }
}
