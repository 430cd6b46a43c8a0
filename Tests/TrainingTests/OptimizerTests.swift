import Convex
import Glibc
import Tensors
import Testing

@testable import Training

/// Weights after three steps with these gradients.
private func steps(_ settings: OptimizerSettings) -> [Float] {
  var weights: [Float] = [1, -2, 0.5]
  let gradients: [[Float]] = [[0.5, -1, 0], [-0.25, 2, 0], [1, 0.125, 0]]
  let state = OptimizerState(3, settings)
  for (k, gradient) in gradients.enumerated() {
    weights.withUnsafeMutableBufferPointer { w in
      gradient.withUnsafeBufferPointer { g in
        // In two parts, as threads would.
        for range in [0..<1, 1..<3] {
          state.update(range, w.baseAddress!, g.baseAddress!, rate: 0.1, step: k + 1)
        }
      }
    }
  }
  return weights
}

private func areNear(_ a: [Float], _ b: [Float]) -> Bool {
  zip(a, b).allSatisfy { abs($0 - $1) < 2e-6 }
}

@Suite struct OptimizerTests {
  @Test func descentIsAsComputedByHand() {
    var settings = OptimizerSettings()
    settings.momentum = 0
    #expect(areNear(steps(settings), [1 - 0.125, -2 - 0.1125, 0.5]))
    settings.momentum = 0.5
    // b = 0.5, 0, 1; and −1, 1.5, 0.875.
    #expect(areNear(steps(settings), [1 - 0.15, -2 - 0.1375, 0.5]))
  }

  @Test func adaptiveStepsAreAsComputedByHand() {
    // The first weight: m = 0.05, 0.02, 0.118; v = 0.25e-3, 0.31225e-3, 0.131193775e-2.
    var w = 1.0
    for (t, (m, v)) in [(0.05, 0.25e-3), (0.02, 0.31225e-3), (0.118, 1.31193775e-3)].enumerated() {
      let (c1, c2) = (1 - pow(0.9, Double(t + 1)), 1 - pow(0.999, Double(t + 1)))
      w -= 0.1 * (m / c1) / ((v / c2).squareRoot() + 1e-8)
    }
    for name in [OptimizerName.adam, .amsgrad] {
      var settings = OptimizerSettings()
      settings.name = name
      let result = steps(settings)
      // Second moments only grow here, so that both agree.
      #expect(abs(Double(result[0]) - w) < 1e-5)
      #expect(result[2] == 0.5)
    }
  }

  @Test func theLargestSecondMomentIsKept() {
    // With β₂ = 0 the second moment is the last gradient's square alone.
    func last(_ name: OptimizerName) -> Double {
      var settings = OptimizerSettings()
      settings.name = name
      settings.moments = (0, 0)
      return Double(steps(settings)[1])
    }
    // Gradients −1, 2, 0.125: every step of Adam has the length of the rate.
    #expect(abs(last(.adam) - (-2 + 0.1 - 0.1 - 0.1)) < 1e-5)
    #expect(abs(last(.amsgrad) - (-2 + 0.1 - 0.1 - 0.1 * 0.125 / 2)) < 1e-5)
  }

  @Test func aSeedDecidesAndTrialsDiffer() throws {
    let problem = try Problem(.squared, patches: 1, n: 20)
    func train(seed: Int, trials: Int) throws -> (rows: [TrainingRow], weights: [[Float]]) {
      var settings = NetworkModel.Settings()
      settings.batch = 6
      settings.neurons = 4
      let model = try NetworkModel(problem.source, problem.targets, settings)
      var schedule = TrainingSchedule()
      schedule.batch = 6
      schedule.epochs = 2
      schedule.trials = trials
      schedule.seed = seed
      var rows: [TrainingRow] = []
      let training = StochasticTraining(
        model, problem.targets, validation: nil, beta: 0, schedule)
      let best = try training.run(observe: { rows.append($0) })
      let last = rows.filter { $0.iteration == 8 }
      #expect(last.count == trials)
      #expect(best.objective == last.map(\.objective).min())
      // Batches of 6, 6, 6 and 2.
      #expect(rows.map(\.iteration) == (0..<trials).flatMap { _ in [0, 4, 8] })
      return (rows, model.weights())
    }
    let first = try train(seed: 1, trials: 3)
    let again = try train(seed: 1, trials: 3)
    #expect(first.weights == again.weights)
    #expect(first.rows.map(\.objective) == again.rows.map(\.objective))
    #expect(Set(first.rows.map(\.objective)).count == 9)
    #expect(try train(seed: 2, trials: 1).weights != first.weights)
    // The first trial is the same whatever follows.
    #expect(try train(seed: 1, trials: 1).rows[2].objective == first.rows[2].objective)
  }

  @Test func divergenceIsToldAndOtherTrialsGoOn() throws {
    let problem = try Problem(.squared, patches: 1, n: 20)
    var settings = NetworkModel.Settings()
    settings.neurons = 4
    let model = try NetworkModel(problem.source, problem.targets, settings)
    var schedule = TrainingSchedule()
    schedule.learningRate = 1e30
    schedule.trials = 2
    schedule.epochs = 1000
    schedule.batch = 5
    let training = StochasticTraining(model, problem.targets, validation: nil, beta: 0, schedule)
    var epochs: [[Int]] = [[], []]
    #expect(
      throws: Failure.data(
        "every trial diverged: a smaller --learning-rate is needed than 1e+30, or beta or the data are "
          + "too large")
    ) { try training.run(tell: { epochs[$0 - 1].append($1) }) }
    // Nothing is left to train once the weights are lost.
    #expect(epochs.allSatisfy { !$0.isEmpty && $0.count <= 2 })
  }
}
