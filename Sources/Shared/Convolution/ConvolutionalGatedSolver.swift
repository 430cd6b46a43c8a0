import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// Trains convolutional gated-ReLU networks with squared loss: min ½‖F W − Y‖² + β Σ ‖W_i‖, with a group for each
/// pattern, or for each pattern and output.
///
/// The samples are read once for the Gram matrix of their features, and once more for each certificate; the other costs
/// do not depend on the number of samples.
package final class ConvolutionalGatedSolver: ConvolutionalSolver {
  package let betaMax: Double
  private let gates: [GateTensors]
  private let outputs: Int
  private let groupSize: Int
  private let progress: (String) -> Void
  private let members: [Int]
  /// The first certified points for a β.
  private let firstPoints: (_ beta: Double) -> any CertifiedPoints
  private let problems: [GroupProblem]
  /// The search; nil if time ran out before the features were read.
  private let newton: GramNewton?
  /// The solution found for each β, in case it is requested again.
  private var found: [Double: ArrangementSolution] = [:]
  /// Seconds that reading all samples takes.
  private let readingTime: Double

  /// The most directions of the features in the preconditioner.
  private static let largestRank = 500

  /// `targets` is n × C; `form` is that of G, chosen by its size unless it is given. Reads the samples, unless `budget`
  /// ends it. Throws if the machine lacks the memory.
  package init(
    _ data: ConvolutionalData, targets: Matrix, grouping: WeightGrouping, budget: Budget,
    form: FeatureForm? = nil, progress: @escaping (String) -> Void = { _ in }
  ) throws {
    gates = data.parts.map(\.listed.gates)
    self.progress = progress
    let members = Array(0..<data.gateCount)
    self.members = members
    let size = data.groupSize
    let (n, q, outputs) = (data.samples, members.count * size, targets.columns)
    (self.outputs, groupSize) = (outputs, size)
    let problems = GroupProblem.all(outputs: outputs, shared: grouping == .perPattern)
    self.problems = problems
    let form = form ?? FeatureMoments.form(samples: n, order: q)
    let rank = ConvolutionalGatedSolver.rank(samples: n, order: q)
    try expectMemory(
      FeatureMoments.memory(form, samples: n, order: q) + 8 * Double(q)
        * Double(3 * rank + 2 * size + 12 * outputs),
      for: "a network of \(n) samples and \(members.count) gates with \(size) features each")
    let stream = FeatureStream(PooledFeatures(data, members: members))
    let proceed = { !budget.isOutOfTime }
    let moments = FeatureMoments(
      stream, targets: targets, form: form, proceed: proceed, progress: progress)
    readingTime = stream.seconds
    let correlations = moments?.correlations
    firstPoints = { beta in
      CertifiedPoint(
        targets, correlations: correlations, order: q, problems: problems, groupSize: size,
        beta: beta
      ) { ResidualPass(stream, weights: $0, targets: targets, progress: progress) }
    }
    betaMax =
      correlations.map { ConvolutionalGatedSolver.betaMax($0, problems, size: size) } ?? .infinity
    newton = moments.flatMap { moments in
      ConvolutionalGatedSolver.makeNewton(
        moments.gram, problems, size: size, rank: rank, correlations: moments.correlations,
        squares: (0..<outputs).map { c in
          (0..<n).reduce(0) { $0 + targets[$1, c] * targets[$1, c] }
        }, proceed: proceed, progress: progress)
    }
  }

  /// From sums over the samples, which certify without another reading. Throws if they are of another design, or the
  /// machine lacks the memory.
  package init(
    _ statistics: StatisticsTensors, grouping: WeightGrouping, budget: Budget,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    guard case .gated(let gates) = statistics.design else {
      throw Failure.data(
        "\(statistics.name) has the design \(statistics.design.name.text), expected gated")
    }
    self.gates = [gates]
    self.progress = progress
    members = Array(0..<gates.count)
    let (q, outputs) = (statistics.order, statistics.outputs)
    let size = statistics.regions * statistics.dimension
    (self.outputs, groupSize) = (outputs, size)
    let problems = GroupProblem.all(outputs: outputs, shared: grouping == .perPattern)
    self.problems = problems
    let rank = ConvolutionalGatedSolver.rank(samples: statistics.samples, order: q)
    let (gram, multiply) = try statistics.featureGram(
      room: 8 * Double(q) * Double(3 * rank + 2 * size + 12 * outputs))
    readingTime = 0
    firstPoints = { beta in
      SummedPoint(
        statistics, problems: problems, groupSize: size, beta: beta, multiply: multiply)
    }
    betaMax = ConvolutionalGatedSolver.betaMax(statistics.right, problems, size: size)
    newton = ConvolutionalGatedSolver.makeNewton(
      gram, problems, size: size, rank: rank, correlations: statistics.right,
      squares: statistics.squares, proceed: { !budget.isOutOfTime }, progress: progress)
  }

  private static func rank(samples n: Int, order q: Int) -> Int {
    max(1, min(largestRank, q / 4, n))
  }

  /// The largest group of R (Q × C).
  private static func betaMax(
    _ correlations: Matrix, _ problems: [GroupProblem], size: Int
  ) -> Double {
    problems.reduce(0) {
      max($0, groupNorms(correlations.columns($1.columns), size: size).max() ?? 0)
    }
  }

  /// The search over G; nil if `proceed` ends it.
  private static func makeNewton(
    _ gram: any FeatureGram, _ problems: [GroupProblem], size: Int, rank: Int,
    correlations: Matrix, squares: [Double], proceed: () -> Bool, progress: (String) -> Void
  ) -> GramNewton? {
    let system: (any GramSystem)? =
      switch gram {
      case let gram as DenseGram:
        DirectGramSystem(gram.matrix, groupSize: size, problems: problems)
      case let gram as CentredGram:
        LowRankGramSystem(
          gram, groupSize: size, rank: rank, problems: problems, proceed: proceed,
          progress: progress)
      default: nil
      }
    return system.map {
      GramNewton(
        gram, $0, problems: problems, groupSize: size, correlations: correlations,
        targetSquares: squares)
    }
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    if start != nil, let known = found[beta], known.gap <= rule.gap { return known }
    let point = firstPoints(beta)
    func report(_ primal: Double, _ dual: Double, _ neurons: Int) {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: primal, dual: dual,
          neurons: neurons))
    }
    report(point.primal, point.dualValue, 0)
    publish(point, budget)
    var status = Status.optimal
    if point.gap > rule.gap {
      status = budget.exhausted ?? .stalled
      if let newton, budget.exhausted == nil {
        status = search(newton, beta: beta, from: start, rule, budget, point, report)
      }
    }
    if point.gap <= rule.gap { status = .optimal }
    let solution = point.solution(
      members: members, status: status, iterations: budget.iterations)
    found[beta] = solution
    return solution
  }

  private func publish(_ point: any CertifiedPoints, _ budget: Budget) {
    budget.publish {
      point.solution(members: members, status: .stalled, iterations: budget.iterations)
    }
  }

  /// Searches with the Gram matrix and certifies with the samples; if these show a larger gap, the search goes on from
  /// what they show.
  private func search(
    _ newton: GramNewton, beta: Double, from start: ArrangementSolution?, _ rule: StoppingRule,
    _ budget: Budget, _ point: any CertifiedPoints, _ report: (Double, Double, Int) -> Void
  ) -> Status {
    // A point that is found in time must also be certified in time.
    func isOpen() -> Bool {
      budget.seconds + readingTime < rule.maximumSeconds
    }
    func count() -> Bool {
      guard budget.exhausted == nil, isOpen() else { return false }
      budget.count()
      return true
    }
    func certify() {
      guard newton.active > 0 else { return }
      newton.setReference(point.offer(newton.weights))
      report(point.primal, point.dualValue, newton.active)
      publish(point, budget)
    }
    begin(newton, beta: beta, from: start, isOpen: isOpen, proceed: count)
    var last = Double.infinity
    var failures = 0
    while true {
      let end = newton.solve(
        beta: beta, goal: 0.9 * rule.gap, isOpen: isOpen, proceed: count,
        report: { report(newton.primal, newton.dual, newton.active) })
      certify()
      if point.gap <= rule.gap { return .optimal }
      if end == .interrupted || budget.exhausted != nil || !isOpen() {
        return budget.exhausted ?? .timeLimit
      }
      failures = point.gap > 0.5 * last ? failures + 1 : 0
      if failures > 2 { return .stalled }
      last = min(last, point.gap)
    }
  }

  /// Begins the search at the weights of `start`, or on a ladder of β from above.
  private func begin(
    _ newton: GramNewton, beta: Double, from start: ArrangementSolution?,
    isOpen: () -> Bool, proceed: () -> Bool
  ) {
    newton.beginCold()
    let size = groupSize
    if let start, !start.index.isEmpty {
      for (k, i) in start.index.enumerated() {
        for j in 0..<size {
          for c in 0..<outputs {
            newton.weights[i * size + j, c] = start.positive[c][k, j]
          }
        }
      }
      newton.beginFromWeights(beta: beta)
      return
    }
    var rung = 0.3 * betaMax
    while rung > 2 * beta {
      let end = newton.solve(
        beta: rung, goal: 0.1, isOpen: isOpen, proceed: proceed,
        report: {
          progress("on the way to beta \(beta): beta \(rung), gap \(newton.gap)")
        })
      if end == .interrupted { return }
      rung *= 0.3
    }
  }

  package func predictions(_ point: ArrangementSolution, on data: PatchSource) -> Matrix {
    point.pooledGatedPredictions(on: data, gates: gates, progress: progress)
  }

  package func loss(_ point: ArrangementSolution, over sums: StatisticsTensors) -> Double {
    let weights = Matrix(members.count * groupSize, outputs)
    for (k, i) in point.index.enumerated() {
      for c in 0..<outputs {
        for j in 0..<groupSize { weights[i * groupSize + j, c] = point.positive[c][k, j] }
      }
    }
    return sums.loss(of: weights)
  }
}
