import Convex
import LinearAlgebra
import Tensors
import Testing

@testable import Convolution

private let losses: [LossName] = [.logistic, .hinge, .huber, .crossEntropy]

/// A small program whose targets suit `loss`: signs, numbers or one-hot rows.
private func program(_ loss: LossName, n: Int, pool: [Int], gates: Int, seed: Int) -> SmallProgram {
  var program = SmallProgram(
    n: n, pool: pool, d: 3, gates: gates, outputs: 2, seed: seed, signs: loss.hasSigns)
  if loss == .crossEntropy {
    program.targets = program.targets.map { $0[0] < 0 ? [1, 0] : [0, 1] }
  }
  return program
}

/// Both points are feasible and have the values that are claimed, from the data alone.
@Test(arguments: losses, WeightGrouping.allCases)
func everyLossReachesItsOptimumWithCones(_ loss: LossName, _ grouping: WeightGrouping) throws {
  for pool in [[0], [1, 0, 1]] {
    let program = program(loss, n: 16, pool: pool, gates: 7, seed: 11)
    let (solution, largest) = try program.solve(0.1, loss: loss, grouping: grouping, gap: 1e-6)
    #expect(solution.status == .optimal && !solution.index.isEmpty)
    program.check(
      solution, beta: 0.1 * largest, together: grouping == .perPattern, loss: loss.loss,
      tolerance: 1e-6)
  }
}

/// A patch that stands there twice is pooled to itself: one patch a sample, for which only active rows are
/// multiplied, makes the same network.
@Test(arguments: losses)
func twoEqualPatchesAreOne(_ loss: LossName) throws {
  let single = program(loss, n: 40, pool: [0], gates: 20, seed: 5)
  var double = program(loss, n: 40, pool: [0, 0], gates: 20, seed: 5)
  double.x = (0..<40).flatMap { i in Array(single.row(i, 0)) + Array(single.row(i, 0)) }
  double.targets = single.targets
  double.gates = single.gates
  let one = try single.solve(0.03, loss: loss, gap: 1e-7)
  let two = try double.solve(0.03, loss: loss, gap: 1e-7)
  #expect(abs(one.betaMax - two.betaMax) <= 1e-9 * one.betaMax)
  #expect(one.solution.status == .optimal && two.solution.status == .optimal)
  #expect(
    abs(one.solution.primal - two.solution.primal) <= 3e-7 * abs(one.solution.primal))
}

/// Most groups end at 0, and are left out on the way: the certificate is that of all.
@Test(arguments: [LossName.logistic, .hinge])
func groupsWithoutWeightAreLeftOut(_ loss: LossName) throws {
  let program = program(loss, n: 50, pool: [0], gates: 60, seed: 9)
  let (solution, largest) = try program.solve(0.3, loss: loss, gap: 1e-5)
  #expect(solution.status == .optimal && solution.index.count < 30)
  program.check(solution, beta: 0.3 * largest, together: false, loss: loss.loss, tolerance: 1e-5)
}

/// Where no time is left the network that is zero comes back, with a dual point that is feasible.
@Test func noTimeMakesNoNetwork() throws {
  let program = program(.logistic, n: 16, pool: [0, 0], gates: 7, seed: 2)
  var rule = StoppingRule()
  rule.maximumSeconds = 0
  let budget = Budget(rule, startedAt: Budget.now())
  let solver = try ConvolutionalReLUSolver(
    ConvolutionalData(program.bundle), targets: program.matrix, loss: .logistic, budget: budget)
  let (whole, largest) = try program.solve(0.5, loss: .logistic)
  let solution = solver.point(
    beta: 0.5 * largest, from: nil, rule: rule, budget: budget, trace: { _ in })
  #expect(solution.status == .timeLimit && solution.index.isEmpty)
  #expect(solver.betaMax >= largest * (1 - 1e-9))
  #expect(solution.dualValue <= whole.primal && whole.dualValue <= solution.primal)
}
