import Convex
import Convolution
import LinearAlgebra
import Patches
import Schema
import Tensors

/// Trains ReLU networks over all activation patterns: the minimum over finite measures on the unit sphere of
///
///   ℓ(Σ_j s_j (X w_j)₊) + β Σ ‖w_j‖,
///
/// of which a network with enough neurons is a local form (Bach 2017; Pilanci and Ergen 2020). Neurons descend by
/// L-BFGS, are priced at ν = −∇ℓ(ŷ), and those that violate the dual constraint enter; the cone program over the
/// patterns that were met is solved exactly, until the search finds no violation.
package final class NetworkSolver: RegularizedSolver {
  /// The choices of a training.
  package struct Settings: Sendable {
    /// The most neurons that a descent begins with.
    package var neurons = 300
    /// How many descents from random neurons are tried.
    package var restarts = 1
    package var seed = 0
    /// Whether the bound over the whole sphere is to be proved whatever it costs.
    package var provesGlobally = false
    /// The most cones that all proofs for one β may look at; cones of many rows count for more. If nil, it is 20,000,000,
    /// or without limit if a proof is asked for.
    package var maximumNodes: Int?
    package init() {}
  }

  /// The largest price at the zero network that was found: for larger β that is optimal, as far as is known.
  package let betaMax: Double
  let patches: PatchSource
  let targets: Targets
  let program: ArrangementProgram
  let settings: Settings
  let rows: PatchRows
  let pass: BlockPass
  let pricing: NeuronPricing
  let progress: (String) -> Void
  /// The program over all patterns as a list, where listing them costs less than pricing.
  private let listed: (data: ConvolutionalData, solver: LowRankSolver)?
  var loss: any Loss { targets.function }
  /// The dimensions of the space of the rows.
  package var rank: Int { rows.dimension }

  /// `source` is a bundle of kind `dataset` of one pooling region.
  package init(
    _ source: Bundle, patches: PatchSource, targets: Targets, settings: Settings, budget: Budget,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    guard patches.regions == 1 else {
      throw Failure.data(
        "\(source.name) has \(patches.regions) pooling regions, expected one to train over all patterns: "
          + "the command arrangements lists patterns for more")
    }
    (self.patches, self.targets, self.settings, self.progress) = (
      patches, targets, settings, progress
    )
    program = ArrangementProgram(
      activation: .relu, norm: .group, grouping: .perClass, loss: targets.loss,
      weighting: targets.weighting)
    rows = try PatchRows(patches)
    pass = BlockPass(rows)
    pricing = NeuronPricing(pass: pass)
    listed = NetworkSolver.list(source, patches, rows, targets, program)
    let values = targets.values
    let slope = Matrix(values.rows, values.columns)
    targets.function.residual(Matrix(values.rows, values.columns), values, into: slope)
    var random = RandomSource(seed: settings.seed)
    let starts = NetworkSolver.starts(32, rows, outputs: values.columns, &random)
    betaMax =
      pricing.maxima(slope, from: starts, polished: 4 * values.columns) { !budget.isOutOfTime }
      .first?.price ?? 0
  }

  /// Up to so many cells of at most so many dimensions are listed.
  private static let (mostCells, mostDimensions) = (12_000.0, 3)

  private static func list(
    _ source: Bundle, _ patches: PatchSource, _ rows: PatchRows, _ targets: Targets,
    _ program: ArrangementProgram
  ) -> (data: ConvolutionalData, solver: LowRankSolver)? {
    let bound = PatternCount.bound(hyperplanes: rows.x.rows, rank: rows.dimension)
    guard rows.dimension <= mostDimensions, rows.patches == 1, source[.x] != nil,
      bound <= mostCells, program.loss == .squared, program.weighting == nil,
      // Double precision may not tell cells apart; pricing can do without.
      let exact = try? ExactPatterns(rows.original, maximum: Int(mostCells)),
      let patterns = try? exact.list()
    else { return nil }
    let bundle = patterns.bundle(source: source, isExact: true, bound: exact.bound, metadata: [:])
    guard
      let listed = try? PatternTensors(
        bundle, samples: rows.samples, patches: 1, dimension: rows.original.columns,
        gatesImplyPatterns: false)
    else { return nil }
    return LowRankSolver(
      data: ArrangementData(features: rows.original, listed), targets: targets.values
    ).map { (ConvolutionalData(patches, listed), $0) }
  }

  /// The network of `bundle`, a solution or a network of ReLU neurons of the same features and outputs, as a start.
  package func start(_ bundle: Bundle) throws -> NetworkSolution {
    let outputs = targets.values.columns
    let neurons =
      try bundle.kind == .network
      ? Neurons(network: bundle, dimension: rows.original.columns, outputs: outputs)
      : Neurons(solution: bundle, dimension: rows.original.columns, outputs: outputs)
    return NetworkSearch(
      self, beta: 1, rule: StoppingRule(), budget: Budget(StoppingRule(), startedAt: Budget.now()),
      trace: { _ in }
    ).uncertified(
      Neurons(
        filters: rows.coordinates(neurons.filters), signs: neurons.signs, outputs: neurons.outputs))
  }

  package func start(at point: NetworkSolution) -> NetworkSolution? { point }

  /// `solution` without neurons that it does not need, if it has some, and whether it has the fewest then.
  package func reduced(
    _ solution: NetworkSolution, beta: Double
  ) -> (solution: NetworkSolution, isMinimal: Bool)? {
    guard rows.patches == 1, solution.data.listed.patterns != nil else { return nil }
    let data = ArrangementData(features: rows.original, solution.data.listed)
    let better = solution.solution.withoutOpposedNeurons(program, beta: beta)
    let minimal = (better ?? solution.solution).minimal(
      data, of: program, targets: targets.values, beta: beta)
    guard let smaller = minimal ?? better else { return nil }
    var result = solution
    result.solution = smaller
    return (result, minimal != nil)
  }

  package func predictions(_ point: NetworkSolution, on data: PatchSource) -> Matrix {
    point.solution.pooledReLUPredictions(on: data)
  }

  package func point(
    beta: Double, from start: NetworkSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> NetworkSolution {
    if let listed {
      let start = start.flatMap { $0.data === listed.data ? $0.solution : nil }
      let solution = listed.solver.point(
        beta: beta, from: start, rule: rule, budget: budget, trace: trace)
      return NetworkSolution(solution, listed.data)
    }
    return withoutActuallyEscaping(trace) {
      NetworkSearch(self, beta: beta, rule: rule, budget: budget, trace: $0).run(from: start)
    }
  }

  /// `count` directions for each output and sign: half are normal, half are samples and differences of two samples.
  static func starts(
    _ count: Int, _ rows: PatchRows, outputs: Int, _ random: inout RandomSource
  ) -> Neurons {
    let d = rows.dimension
    let total = 2 * count * outputs
    let filters = Matrix(total, d)
    for j in 0..<total {
      let row = filters.row(j)
      switch j / (2 * outputs) % 4 {
      case 0, 1: for k in 0..<d { row[k] = random.gaussian() }
      case 2: row.update(from: rows.x.row(random.below(rows.x.rows)), count: d)
      default:
        row.update(from: rows.x.row(random.below(rows.x.rows)), count: d)
        axpy(d, -1, rows.x.row(random.below(rows.x.rows)), row)
      }
      if norm(d, row) == 0 { for k in 0..<d { row[k] = random.gaussian() } }
    }
    return Neurons(
      filters: filters, signs: (0..<total).map { $0 % 2 == 0 ? 1 : -1 },
      outputs: (0..<total).map { $0 / 2 % outputs })
  }
}
