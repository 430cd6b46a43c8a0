import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

/// Trains convolutional gated-ReLU networks with any loss and norm: min ℓ(F W) + β Σ ‖W_g‖ with F the features of all
/// samples pooled over regions, and a group for each pattern and output or for each pattern. It uses `TwoSplitADMM`
/// over F, which is held in double precision.
package final class ConvolutionalLossSolver: ConvolutionalSolver {
  package let betaMax: Double
  private let data: ConvolutionalData
  private let targets: Matrix
  private let loss: any Loss
  private let grouping: WeightGrouping
  private let regularizer: any Regularizer
  private let progress: (String) -> Void
  private let members: [Int]
  private let stream: FeatureStream
  /// Nil if time ran out before the features were read.
  private let features: ExplicitFeatures?
  private let problem: SplitProgram?
  private lazy var system = features.map { SplitSystem($0) }

  /// Used for squared loss if β is above `newtonAbove` · β_max.
  private var newton: ConvolutionalGatedSolver?
  private let newtonAbove: Double

  /// `targets` is n × C. Reads the samples, unless `budget` ends it. If the loss is squared, Newton's method solves for
  /// β above `newtonAbove` · β_max. Throws if the machine lacks the memory.
  package init(
    _ data: ConvolutionalData, targets: Matrix, loss name: LossName,
    weighting: ClassWeighting? = nil, norm: WeightNorm = .group,
    grouping: WeightGrouping, budget: Budget, newtonAbove: Double = .infinity,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.newtonAbove = newtonAbove
    self.targets = targets
    let loss = name.loss(weighting)
    self.loss = loss
    self.grouping = grouping
    let regularizer = norm.regularizer(
      grouping, outputs: targets.columns, regions: data.others.isEmpty ? data.regions : 1,
      dimension: data.others.isEmpty ? data.dimension : data.groupSize)
    self.regularizer = regularizer
    self.progress = progress
    members = Array(0..<data.gateCount)
    let outputs = targets.columns
    try expectMemory(
      ConvolutionalLossSolver.memory(data, outputs: outputs),
      for: "a network of \(data.samples) samples and \(members.count) gates with "
        + "\(data.groupSize) features each and the \(name.rawValue) loss")
    stream = FeatureStream(PooledFeatures(data, members: members))
    features = ConvolutionalLossSolver.read(
      stream, samples: data.samples, groups: members.count, proceed: { !budget.isOutOfTime },
      progress: progress)
    problem = features.map {
      SplitProgram(0..<outputs, of: targets, $0, loss: loss, regularizer: regularizer)
    }
    betaMax = problem?.betaMax ?? .infinity
  }

  /// Bytes that a program on `data` takes.
  static func memory(_ data: ConvolutionalData, outputs: Int) -> Double {
    let (n, gates, size) = (data.samples, data.gateCount, data.groupSize)
    return 8 * Double(n) * Double(gates * size) + SplitSystem.memory(samples: n)
      + TwoSplitADMM.memory(samples: n, groups: gates, width: size, outputs: outputs)
  }

  /// F, a row of Q numbers per sample; nil if `proceed` ended it.
  private static func read(
    _ stream: FeatureStream, samples n: Int, groups: Int, proceed: () -> Bool,
    progress: (String) -> Void
  ) -> ExplicitFeatures? {
    let q = stream.features.order
    let features = Matrix(n, q)
    let isWhole = stream.run(
      0..<n, round: 1000, proceed: proceed,
      use: { _, samples, f in
        features.row(samples.lowerBound).update(from: f, count: samples.count * q)
      },
      next: { progress("features: \(100 * $0.upperBound / n) % of \(n) images") })
    return isWhole ? ExplicitFeatures(features, groups: groups) : nil
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    if problem != nil, beta > newtonAbove * betaMax, beta < betaMax, budget.exhausted == nil {
      newton =
        try? newton
        ?? ConvolutionalGatedSolver(
          data, targets: targets, grouping: grouping, budget: budget, progress: progress)
      if let newton {
        return newton.point(beta: beta, from: start, rule: rule, budget: budget, trace: trace)
      }
    }
    let point =
      problem?.point(beta: beta)
      ?? GroupIncumbent(targets, loss: loss, regularizer: regularizer, beta: beta)
    func compose() -> ArrangementSolution {
      ArrangementSolution(
        [point], targets: targets, loss: loss, regularizer: regularizer, beta: beta,
        groups: members.count, width: stream.features.groupSize, iterations: budget.iterations)
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: point.primal,
          dual: point.dualValue, neurons: point.weights.active))
      budget.publish(compose)
    }
    report()
    var status = Status.optimal
    if point.gap > rule.gap {
      status = budget.exhausted ?? .stalled
      if let problem, budget.exhausted == nil {
        progress("the kernel of \(data.samples) samples")
        if let system {
          status = problem.solve(
            point, members: members, system: system, from: start, rule: rule, budget: budget,
            report: report)
        }
      }
    }
    let solution = compose()
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  package func predictions(_ point: ArrangementSolution, on data: PatchSource) -> Matrix {
    point.pooledGatedPredictions(
      on: data, gates: self.data.parts.map(\.listed.gates), progress: progress)
  }
}
