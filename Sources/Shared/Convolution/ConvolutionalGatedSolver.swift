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
  private let data: ConvolutionalData
  private let targets: Matrix
  private let progress: (String) -> Void
  private let members: [Int]
  private let stream: FeatureStream
  private let problems: [GroupProblem]
  /// R, and the search; nil if time ran out before the features were read.
  private let correlations: Matrix?
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
    self.data = data
    self.targets = targets
    self.progress = progress
    members = Array(0..<data.gateCount)
    let size = data.groupSize
    let (n, q, outputs) = (data.samples, members.count * size, targets.columns)
    problems = GroupProblem.all(outputs: outputs, shared: grouping == .perPattern)
    let form = form ?? FeatureMoments.form(samples: n, order: q)
    let rank = max(1, min(ConvolutionalGatedSolver.largestRank, q / 4, n))
    try expectMemory(
      FeatureMoments.memory(form, samples: n, order: q) + 8 * Double(q)
        * Double(3 * rank + 2 * size + 12 * outputs),
      for: "a network of \(n) samples and \(members.count) gates with \(size) features each")
    stream = FeatureStream(PooledFeatures(data, members: members))
    let proceed = { !budget.isOutOfTime }
    let moments = FeatureMoments(
      stream, targets: targets, form: form, proceed: proceed, progress: progress)
    readingTime = stream.seconds
    correlations = moments?.correlations
    var largest = Double.infinity
    if let moments {
      largest = 0
      for problem in problems {
        for i in members.indices {
          var sum = 0.0
          for j in i * size..<(i + 1) * size {
            for c in problem.columns {
              sum += moments.correlations[j, c] * moments.correlations[j, c]
            }
          }
          largest = max(largest, sum.squareRoot())
        }
      }
    }
    betaMax = largest
    newton = moments.flatMap { [problems] moments in
      let system: (any GramSystem)? =
        switch moments.gram {
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
          moments.gram, $0, problems: problems, groupSize: size,
          correlations: moments.correlations, targets: targets)
      }
    }
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    if start != nil, let known = found[beta], known.gap <= rule.gap { return known }
    let point = CertifiedPoint(
      targets, correlations: correlations, order: stream.features.order, problems: problems,
      groupSize: stream.features.groupSize, beta: beta)
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

  private func publish(_ point: CertifiedPoint, _ budget: Budget) {
    budget.publish {
      point.solution(members: members, status: .stalled, iterations: budget.iterations)
    }
  }

  /// Searches with the Gram matrix and certifies with the samples; if these show a larger gap, the search goes on from
  /// what they show.
  private func search(
    _ newton: GramNewton, beta: Double, from start: ArrangementSolution?, _ rule: StoppingRule,
    _ budget: Budget, _ point: CertifiedPoint, _ report: (Double, Double, Int) -> Void
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
      let pass = ResidualPass(
        stream, weights: newton.weights, targets: targets, progress: progress)
      point.offer(pass, weights: newton.weights)
      newton.setReference(
        directions: pass.directions, squares: pass.squares, products: pass.products)
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
    let size = stream.features.groupSize
    if let start, !start.index.isEmpty {
      for (k, i) in start.index.enumerated() {
        for j in 0..<size {
          for c in 0..<targets.columns {
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
    point.pooledGatedPredictions(on: data, gatesOf: self.data, progress: progress)
  }
}
