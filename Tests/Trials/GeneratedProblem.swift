import Convex
import Convolution
import Glibc
import LinearAlgebra
import Schema
import Tensors

/// A small training problem, drawn at random: 2 to 60 samples of up to 12 features, of every activation and loss, as
/// people bring them: with ties, repeated rows, means far from 0, columns of several scales.
struct GeneratedProblem: CustomStringConvertible {
  enum Networks {
    case arrangement(Activation, WeightNorm, WeightGrouping)
    case linear(Activation, WeightGrouping)
    case polynomial(String)
  }

  let networks: Networks
  let loss: LossName
  /// β/β_max, in 10⁻⁴ … 1.
  let share: Double
  /// Of kind `arrangements`, or `dataset` for networks without gates.
  let bundle: Bundle
  let description: String

  /// Problem `number` of `seed`, whatever the others are. Throws where its data admit no exact list of patterns.
  init(seed: Int, number: Int) throws {
    var random = RandomSource(seed: seed, stream: number + 1)
    let loss = GeneratedProblem.loss(&random)
    self.loss = loss
    let outputs = loss == .crossEntropy ? 2 + random.below(3) : max(1, random.below(5) - 1)
    let networks = GeneratedProblem.networks(&random, outputs: outputs)
    self.networks = networks
    let (x, kind) = GeneratedProblem.features(&random)
    let targets = GeneratedProblem.targets(&random, x, loss: loss, outputs: outputs)
    var bundle = Bundle(
      kind: .dataset, tensors: ["x": x.tensor, "targets": targets.tensor], metadata: [:])
    share = pow(10, -4 * random.uniform())
    var gates = ""
    if case .arrangement = networks {
      (bundle, gates) = try GeneratedProblem.arrangements(&random, bundle, x)
    }
    self.bundle = bundle
    description =
      "seed \(seed), problem \(number): \(GeneratedProblem.options(networks)) --loss \(loss.rawValue), "
      + "n \(x.rows), d \(x.columns) (\(kind)), C \(outputs)\(gates), beta \(share) of beta_max"
  }

  /// In the proportions of a survey of 3,800 problems, quantiles with the others.
  private static func loss(_ random: inout RandomSource) -> LossName {
    switch random.below(20) {
    case 0..<5: .squared
    case 5..<8: .logistic
    case 8..<11: .hinge
    case 11..<14: .huber
    case 14..<17: .crossEntropy
    default: .quantile([0.1, 0.3, 0.5, 0.9][random.below(4)])
    }
  }

  private static func networks(_ random: inout RandomSource, outputs: Int) -> Networks {
    let grouping: WeightGrouping = outputs > 1 && random.below(2) == 0 ? .perPattern : .perClass
    switch random.below(100) {
    case 0..<25: return .arrangement(.relu, .group, grouping)
    case 25..<50:
      let isNuclear = outputs > 1 && random.below(4) == 0
      return isNuclear
        ? .arrangement(.gatedReLU, .nuclear, .perPattern)
        : .arrangement(.gatedReLU, .group, grouping)
    case 50..<75:
      let activations = ["0.09,0.5,0.47", "1,0,0", "1,1,0", "0.2,-0.3,0.1"]
      return .polynomial(activations[random.below(4)])
    case 75..<87: return .linear(.linear, .perPattern)
    default: return .linear(.circular, grouping)
    }
  }

  /// X, n × d, and what it is like.
  private static func features(_ random: inout RandomSource) -> (Matrix, String) {
    let n = random.below(3) == 0 ? 2 + random.below(7) : 2 + random.below(59)
    let d = 1 + random.below(12)
    let x = Matrix(n, d)
    for k in 0..<x.count { x.base[k] = random.gaussian() }
    var kind = "normal"
    switch random.below(10) {
    case 0..<4: break
    case 4:
      kind = "rounded"
      for k in 0..<x.count { x.base[k] = (2 * x.base[k]).rounded() }
    case 5:
      kind = "mean 100"
      for k in 0..<x.count { x.base[k] += 100 }
    case 6:
      let scale = pow(10, 6 * random.uniform() - 3)
      kind = "times \(scale)"
      for k in 0..<x.count { x.base[k] *= scale }
    case 7:
      kind = "columns of several scales"
      for j in 0..<d {
        let scale = pow(10, 3 * random.uniform() - 1.5)
        for i in 0..<n { x[i, j] *= scale }
      }
    case 8:
      kind = "rows that repeat"
      for i in n / 2..<n { x.row(i).update(from: x.row(i - n / 2), count: d) }
    default:
      let rank = 1 + random.below(min(3, d))
      kind = "rank \(rank)"
      let factor = Matrix(rank, d)
      for k in 0..<factor.count { factor.base[k] = random.gaussian() }
      let shares = Matrix(copying: x)
      withExtendedLifetime((shares, factor)) {
        gemm(n, d, rank, shares.base, .plain, lda: d, factor.base, .plain, x.base)
      }
    }
    if d > 1, random.below(2) == 0 {
      kind += ", bias"
      for i in 0..<n { x[i, d - 1] = 1 }
    }
    return (x, kind)
  }

  /// y, n × C: what a neuron makes of the features, and noise.
  private static func targets(
    _ random: inout RandomSource, _ x: Matrix, loss: LossName, outputs: Int
  ) -> Matrix {
    let size = max(1e-300, norm(x.count, x.base) / Double(x.count).squareRoot())
    let scale = random.below(4) == 0 ? pow(10, 4 * random.uniform() - 2) : 1
    let y = Matrix(x.rows, outputs)
    for c in 0..<outputs {
      let u = (0..<x.columns).map { _ in random.gaussian() / size }
      for i in 0..<x.rows {
        y[i, c] = max(0, dot(x.columns, x.row(i), u)) - 0.5 + random.gaussian()
      }
    }
    for i in 0..<y.rows {
      let row = y.row(i)
      if loss.hasSigns {
        for c in 0..<outputs { row[c] = row[c] < 0 ? -1 : 1 }
      } else if loss == .crossEntropy {
        let largest = (0..<outputs).max { row[$0] < row[$1] }!
        for c in 0..<outputs { row[c] = c == largest ? 1 : 0 }
      } else {
        for c in 0..<outputs { row[c] *= scale }
      }
    }
    return y
  }

  /// Every pattern where there are not too many, or a sample, with words for it.
  private static func arrangements(
    _ random: inout RandomSource, _ dataset: Bundle, _ x: Matrix
  ) throws -> (Bundle, String) {
    let isExact = random.below(2) == 0
    if isExact, let exact = try? ExactPatterns(x, maximum: 400), let list = try? exact.list() {
      let bundle = list.bundle(source: dataset, isExact: true, bound: exact.bound, metadata: [:])
      return (bundle, ", all \(list.patterns.count) patterns")
    }
    let rows = DataRows(x)
    let drawn = try SampledGates(
      rows, count: 1 + random.below(30), sampler: .gaussian, cut: 0, seed: random.below(1000))
    let list = try GatedPatterns(of: drawn, on: rows)
    return (
      list.bundle(source: dataset, isExact: false, bound: .infinity, metadata: [:]),
      ", \(list.patterns.count) sampled patterns"
    )
  }

  private static func options(_ networks: Networks) -> String {
    switch networks {
    case .arrangement(let activation, let norm, let grouping):
      "--activation \(activation.text) --norm \(norm.rawValue) --group \(grouping.rawValue)"
    case .linear(.circular, let grouping):
      "--activation linear --circular --group \(grouping.rawValue)"
    case .linear: "--activation linear"
    case .polynomial(let activation): "--activation \(activation)"
    }
  }
}

// MARK: Solving

extension GeneratedProblem {
  /// How a solve ended: the certified gap, and β.
  typealias End = (gap: Double, beta: Double)

  /// Solves for the problem's β, as `solve` does, until the gap is at most `gap`.
  func solve(gap: Double) throws -> End {
    let targets = try Targets(bundle, samples: bundle.tensors["x"]!.shape[0], loss: loss)
    switch networks {
    case .linear(let activation, let grouping):
      let program = LinearProgram(activation: activation, grouping: grouping, loss: loss)
      let solver = LinearSolver(
        try LinearData(bundle), targets: targets.values, program: program)
      return run(solver, from: nil, gap: gap)
    case .polynomial(let activation):
      let solver = try PolynomialSolver(
        MomentData(bundle), targets: targets.values, activation: PolynomialActivation(activation)!,
        loss: loss)
      return run(solver, from: .cold, gap: gap)
    case .arrangement(let activation, let norm, let grouping):
      let program = ArrangementProgram(
        activation: activation, norm: norm, grouping: grouping, loss: loss)
      guard program.hasOnePatchSolver else {
        let budget = Budget(rule(gap), startedAt: Budget.now())
        let solver = try program.solver(
          ConvolutionalData(bundle), targets: targets.values, budget: budget)
        return run(solver, gap: gap)
      }
      return run(
        try program.solver(ArrangementData(bundle), targets: targets.values), gap: gap)
    }
  }

  private func rule(_ gap: Double) -> StoppingRule {
    var rule = StoppingRule()
    rule.gap = gap
    // Far more than any of them takes: what would never end is a stall too.
    rule.maximumIterations = 50_000
    return rule
  }

  private func run<Solver: RegularizedSolver>(
    _ solver: Solver, from start: Solver.Start, gap: Double
  ) -> End {
    let rule = rule(gap)
    // Where the zero network is optimal for every β, any will do.
    let beta = share * (solver.betaMax > 0 ? solver.betaMax : 1)
    let solution = solver.solution(
      beta: beta, from: start, rule: rule, budget: Budget(rule, startedAt: Budget.now()),
      trace: { _ in })
    return (solution.gap, beta)
  }

  private func run(_ solver: some ArrangementSolver, gap: Double) -> End {
    run(solver, from: nil, gap: gap)
  }

  private func run(_ solver: some ConvolutionalSolver, gap: Double) -> End {
    run(solver, from: nil, gap: gap)
  }
}
