import Convex
import Convolution
import Glibc
import LinearAlgebra
import Schema
import Tensors

/// One training of a ReLU network over all patterns, for one β.
final class NetworkSearch {
  let solver: NetworkSolver
  let beta: Double
  let rule: StoppingRule
  let budget: Budget
  let trace: (TraceRow) -> Void
  let objective: BalancedObjective
  var random: RandomSource
  var patterns: FoundPatterns
  /// The largest price found over β at the last ν, and how many searches were made in all.
  var violation: Double?
  var searches = 0
  var proof: (bound: Double, seconds: Double)?
  /// What the cones of all proofs that are still to come may cost.
  var costLeft: Int
  /// Whether the last proof ended before it had proved anything.
  var isProofStopped = false
  /// Whether neurons are priced at the dual point of the cone program.
  var pricesProgram = false
  /// The best solution over found patterns.
  var best: NetworkSolution?
  var reported = 0.0

  init(
    _ solver: NetworkSolver, beta: Double, rule: StoppingRule, budget: Budget,
    trace: @escaping (TraceRow) -> Void
  ) {
    (self.solver, self.beta, self.rule, self.budget, self.trace) = (
      solver, beta, rule, budget, trace
    )
    objective = BalancedObjective(
      solver.pass, targets: solver.targets.values, loss: solver.loss, beta: beta)
    random = RandomSource(seed: solver.settings.seed, stream: 1)
    patterns = FoundPatterns(solver.rows)
    costLeft = solver.settings.maximumNodes ?? (solver.settings.provesGlobally ? .max : 20_000_000)
  }

  func run(from start: NetworkSolution?) -> NetworkSolution {
    // Products of small data are too short for the threads of BLAS, which wait by spinning.
    solver.rows.x.count < NetworkSearch.fewNumbers
      ? Threads.withSerialBLAS { search(from: start) } : search(from: start)
  }

  private static let (fewest, fewNumbers) = (2_000, 200_000)

  private func search(from start: NetworkSolution?) -> NetworkSolution {
    var neurons = explore(start.map(neurons(of:)) ?? bestStart())
    if isToBeProved, solver.loss.isDifferentiable, let proved = polish(&neurons) {
      return finished(proved)
    }
    return refine(neurons)
  }

  // MARK: Descent

  func neurons(of solution: NetworkSolution) -> Neurons {
    var neurons = solution.neurons
    neurons.filters = solver.rows.coordinates(neurons.filters)
    return neurons
  }

  /// The best of the descents from random neurons.
  private func bestStart() -> Neurons {
    var best: (neurons: Neurons, value: Double)?
    for _ in 0..<max(1, solver.settings.restarts) where best == nil || budget.exhausted == nil {
      // Where rounds of pricing cost little they replace most of the first descent.
      let isSmall = isToBeProved && solver.rows.x.count < NetworkSearch.fewest
      let neurons = descend(
        initial(), limit: isSmall ? 300 : 2000, tolerance: isSmall ? 1e-3 : 2e-4)
      let value = self.value(neurons)
      if best.map({ value < $0.value }) ?? true { best = (neurons, value) }
    }
    return best!.neurons
  }

  /// ℓ(ŷ) + β Σ ‖w‖.
  func value(_ neurons: Neurons) -> Double {
    solver.loss.value(objective.predictions(of: neurons), solver.targets.values)
      + beta * neurons.norm
  }

  /// Small random neurons for each output, half of each sign.
  private func initial() -> Neurons {
    let (d, classes) = (solver.rows.dimension, solver.targets.values.columns)
    // Where all are priced to the end, fewer begin if there are many samples, and pricing adds the others.
    let enough = max(16, 300_000 / (solver.rows.x.rows * classes)) * classes
    let most = isToBeProved ? min(solver.settings.neurons, enough) : solver.settings.neurons
    let each = max(1, most / (2 * classes))
    let neurons = NetworkSolver.starts(each, solver.rows, outputs: classes, &random)
    // Small beside the targets: outputs of a hundredth of their size.
    let unit = Neurons(
      filters: Matrix(copying: neurons.filters), signs: neurons.signs, outputs: neurons.outputs)
    for j in 0..<unit.count { scale(d, 1 / norm(d, unit.filters.row(j)), unit.filters.row(j)) }
    let predictions = objective.predictions(of: unit)
    let targets = solver.targets.values
    let size = norm(predictions.count, predictions.base)
    let share =
      size > 0 ? 0.01 * max(norm(targets.count, targets.base), 1e-300) / size : 1
    scale(unit.filters.count, share, unit.filters.base)
    return unit
  }

  /// The neurons that descent makes of `start`.
  func descend(_ start: Neurons, limit: Int, tolerance: Double) -> Neurons {
    Descent(objective: objective).run(from: start, limit: limit, tolerance: tolerance) {
      value, neurons in
      budget.count()
      if budget.seconds - reported > 0.1 {
        reported = budget.seconds
        report(value, neurons: objective.outputs.count)
        budget.publish { uncertified(neurons()) }
      }
      return budget.exhausted == nil
    }
  }

  func report(_ primal: Double, neurons: Int, dual: Double? = nil) {
    let zero = Matrix(solver.targets.values.rows, solver.targets.values.columns)
    var row = TraceRow(
      iteration: budget.iterations, seconds: budget.seconds, primal: primal,
      dual: dual ?? solver.loss.dualValue(zero, solver.targets.values), neurons: neurons)
    (row.violation, row.proofSeconds) = (violation, proof?.seconds)
    trace(row)
  }

  // MARK: Pricing

  /// −∇ℓ at the predictions.
  func residual(_ predictions: Matrix) -> Matrix {
    let nu = Matrix(predictions.rows, predictions.columns)
    solver.loss.residual(predictions, solver.targets.values, into: nu)
    return nu
  }

  /// The dual point at which neurons are priced: −∇ℓ(ŷ), or, if the loss has kinks, or if that is no better than the list
  /// shows, that of the cone program.
  func dualPoint(_ solution: NetworkSolution) -> Matrix {
    solver.loss.isDifferentiable && !pricesProgram
      ? residual(solution.predictions) : Matrix(copying: solution.dual)
  }

  /// Local maxima of the price at `nu`, from the neurons and from `count` new directions for each sign and output, then
  /// `hops` times from as many directions near the highest so far: high hills stand close together.
  func price(
    _ nu: Matrix, _ neurons: Neurons, count: Int, hops: Int = 0
  ) -> [NeuronPricing.Candidate] {
    let classes = solver.targets.values.columns
    var starts = neurons + NetworkSolver.starts(count, solver.rows, outputs: classes, &random)
    var found: [NeuronPricing.Candidate] = []
    for hop in 0...hops where hop == 0 || budget.exhausted == nil {
      if hop > 0 { starts = near(found.prefix(NetworkSearch.hills), count: 2 * classes * count) }
      searches += starts.count
      found = solver.pricing.distinct(
        found
          + solver.pricing.maxima(nu, from: starts, polished: isToBeProved ? 24 : 0) {
            budget.exhausted == nil
          })
    }
    // Ascents that were cut short tell nothing.
    if budget.exhausted == nil { violation = (found.first?.price ?? 0) / beta }
    return found
  }

  /// How many hills are searched around, and how far, relative to the length of their directions.
  private static let (hills, distance) = (40, 0.2)

  /// `count` directions near those of `candidates`.
  private func near(_ candidates: ArraySlice<NeuronPricing.Candidate>, count: Int) -> Neurons {
    guard !candidates.isEmpty else { return Neurons(dimension: solver.rows.dimension) }
    let d = solver.rows.dimension
    let filters = Matrix(count, d)
    let share = NetworkSearch.distance / Double(d).squareRoot() * 2
    for j in 0..<count {
      let direction = candidates[j % candidates.count].direction
      for k in 0..<d { filters[j, k] = direction[k] + share * random.gaussian() }
    }
    return Neurons(
      filters: filters, signs: (0..<count).map { candidates[$0 % candidates.count].sign },
      outputs: (0..<count).map { candidates[$0 % candidates.count].output })
  }

  /// The candidates above `level` as neurons whose outputs are small beside those of `neurons`; at most `limit`.
  func entering(
    _ found: [NeuronPricing.Candidate], above level: Double, beside neurons: Neurons, limit: Int
  ) -> Neurons {
    let chosen = found.prefix { $0.price > level }.prefix(limit)
    let d = solver.rows.dimension
    let size = max(1e-6, 1e-3 * neurons.norm / Double(max(1, neurons.count)))
    let filters = Matrix(chosen.count, d)
    for (k, candidate) in chosen.enumerated() {
      for i in 0..<d { filters[k, i] = size * candidate.direction[i] }
    }
    return Neurons(
      filters: filters, signs: chosen.map(\.sign), outputs: chosen.map(\.output))
  }

  /// Rounds of pricing and descent, as long as they gain much. Where nothing is to be proved, the neurons that others make
  /// useless go, and in the end many directions are tried.
  private func explore(_ start: Neurons) -> Neurons {
    let lengths = DirectionWeights(objective: objective)
    var neurons = start
    var last = Double.infinity
    var isThorough = false
    for round in 0..<40 where budget.exhausted == nil {
      if isThorough { neurons = merged(lengths.improved(neurons)) }
      let predictions = objective.predictions(of: neurons)
      let value = solver.loss.value(predictions, solver.targets.values) + beta * neurons.norm
      report(value, neurons: neurons.count)
      let least = isThorough ? max(1e-4, rule.gap) : 1e-4
      if value >= last * (1 - least), round >= 2 {
        guard !isThorough, !isToBeProved else { break }
        isThorough = true
      }
      last = value
      let found = price(
        residual(predictions), neurons, count: isThorough ? manyStarts : 16)
      let new = entering(
        found, above: 1.002 * beta, beside: neurons, limit: max(20, neurons.count / 2))
      guard new.count > 0 else { break }
      neurons = descend(neurons + new, limit: 400, tolerance: 5e-5)
    }
    return neurons
  }

  /// How many ascents of each sign and output a thorough search begins.
  var manyStarts: Int {
    max(64, min(500, 100_000_000 / (solver.rows.x.count * solver.targets.values.columns)))
  }

  /// How far above β, relative to it, prices may be for the gap that is asked for: τ/β − 1, where β/τ is the smallest
  /// multiple of the dual point whose dual value reaches (1 − gap) of the objective; 0 if none does.
  func slack(_ solution: NetworkSolution) -> Double {
    let targets = solver.targets.values
    let nu = dualPoint(solution)
    let goal = solution.primal * (1 - rule.gap)
    let scaled = Matrix(nu.rows, nu.columns)
    func value(_ t: Double) -> Double {
      for i in 0..<nu.count { scaled.base[i] = t * nu.base[i] }
      return solver.loss.dualValue(scaled, targets)
    }
    let best = solver.loss.scaling(nu, targets, bound: 1)
    guard best > 0, value(best) >= goal else { return 0 }
    var (low, high) = (0.0, best)
    for _ in 0..<60 {
      let middle = 0.5 * (low + high)
      if value(middle) >= goal { high = middle } else { low = middle }
    }
    return 1 / high - 1
  }
}
