import Convex
import Convolution
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Training

/// Arrangements of some gates over a problem's patches, and the program's value by its definition.
private struct GatedProblem {
  let problem: Problem
  let data: ConvolutionalData
  let gates: [[Double]]
  let thresholds: [Double]

  init(_ loss: LossName, patches: Int, classes: Int = 3) throws {
    problem = try Problem(loss, patches: patches, classes: classes)
    var random = RandomSource(seed: 8)
    gates = (0..<5).map { _ in (0..<4).map { _ in random.gaussian() } }
    thresholds = (0..<5).map { _ in 0.3 * random.gaussian() }
    var bundle = problem.bundle
    bundle.metadata["kind"] = "arrangements"
    bundle.metadata["exact"] = "false"
    bundle.tensors["gates"] = Tensor(gates.flatMap { $0 }, shape: [5, 4])
    bundle.tensors["thresholds"] = Tensor(thresholds)
    data = try ConvolutionalData(bundle)
  }

  func model(
    _ grouping: WeightGrouping, beta: Double = 0.4, optimizer: OptimizerSettings = .init()
  ) throws -> GatedProgramModel {
    try GatedProgramModel(
      data, problem.targets, grouping: grouping, beta: beta, optimizer: optimizer, batch: 9)
  }

  /// ŷ for weights whose row (r P + i) C + c is w_icr.
  func predictions(_ w: [Double]) -> Matrix {
    let (n, width) = (problem.source.count, problem.targets.values.columns)
    let (count, d) = (problem.source.patchCount, 4)
    let result = Matrix(n, width)
    for s in 0..<n {
      for k in 0..<count {
        let x = Array(problem.x[(s * count + k) * d..<(s * count + k + 1) * d])
        let r = problem.region[k]
        let share = 1 / Double(problem.region.count { $0 == r })
        for i in 0..<5 where zip(x, gates[i]).reduce(0, { $0 + $1.0 * $1.1 }) >= thresholds[i] {
          for c in 0..<width {
            let first = ((r * 5 + i) * width + c) * d
            for j in 0..<d { result[s, c] += share * x[j] * w[first + j] }
          }
        }
      }
    }
    return result
  }

  func penalty(_ w: [Double], _ grouping: WeightGrouping) -> Double {
    let width = problem.targets.values.columns
    var squares: [Int: Double] = [:]
    for k in w.indices {
      let (i, c) = (k / 4 / width % 5, k / 4 % width)
      squares[grouping == .perClass ? i * width + c : i, default: 0] += w[k] * w[k]
    }
    return squares.values.reduce(0) { $0 + $1.squareRoot() }
  }

  func meanLoss(_ w: [Double], _ samples: [Int]) -> Double {
    let all = predictions(w)
    let chosen = all.selecting(samples)
    let wanted = problem.targets.values.selecting(samples)
    return problem.targets.loss.loss.value(chosen, wanted) / Double(samples.count)
  }
}

@Suite struct GatedProgramTests {
  private static func fill(_ model: GatedProgramModel) -> [Double] {
    var random = RandomSource(seed: 4)
    for k in 0..<model.parameters.count { model.parameters.base[k] = Float(random.gaussian()) }
    return doubles(model.parameters)
  }

  @Test(arguments: LossName.allCases, [1, 6])
  func gradientsAreThoseOfFiniteDifferences(_ loss: LossName, _ patches: Int) throws {
    let problem = try GatedProblem(loss, patches: patches)
    let model = try problem.model(.perClass)
    let w = Self.fill(model)
    let samples = [8, 1, 5, 2]
    let gradient = doubles(model.gradient(samples))
    let expected = differences(w) { problem.meanLoss($0, samples) }
    #expect(largestDifference(gradient, expected) < 5e-5)
    #expect(expected.contains { abs($0) > 1e-2 })
    #expect(
      largestDifference(model.predictions().values, problem.predictions(w).values) < 1e-5)
  }

  @Test(arguments: WeightGrouping.allCases)
  func groupsAreThoseOfTheNorm(_ grouping: WeightGrouping) throws {
    let problem = try GatedProblem(.squared, patches: 6)
    let model = try problem.model(grouping)
    let w = Self.fill(model)
    #expect(abs(model.penalty - problem.penalty(w, grouping)) < 1e-9)
  }

  /// One proximal step of gradient descent, and one of Adam, by hand.
  @Test(arguments: WeightGrouping.allCases)
  func aStepIsProximal(_ grouping: WeightGrouping) throws {
    let problem = try GatedProblem(.squared, patches: 6)
    var optimizer = OptimizerSettings()
    optimizer.momentum = 0
    let model = try problem.model(grouping, beta: 9, optimizer: optimizer)
    let w = Self.fill(model)
    let samples = Array(0..<9)
    let slope = differences(w) { problem.meanLoss($0, samples) }
    let rate = 0.2
    let moved = zip(w, slope).map { $0 - rate * $1 }
    // β/n = 1.
    let width = problem.problem.targets.values.columns
    func group(_ k: Int) -> Int {
      grouping == .perClass ? k / 4 % (5 * width) : k / 4 / width % 5
    }
    var squares: [Int: Double] = [:]
    for k in moved.indices { squares[group(k), default: 0] += moved[k] * moved[k] }
    let expected = moved.indices.map { k in
      max(0, 1 - rate / squares[group(k)]!.squareRoot()) * moved[k]
    }
    samples.map { Int32($0) }.withUnsafeBufferPointer {
      model.step($0.baseAddress!, 9, rate: rate)
    }
    #expect(largestDifference(doubles(model.parameters), expected) < 1e-4)
  }
}
