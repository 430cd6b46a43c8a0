import Convex
import LinearAlgebra
import Schema
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

/// Few of the groups are in at first, and most end at 0: others join as their constraints turn out to be
/// violated, and the certificate is that of all.
@Test(arguments: losses, WeightGrouping.allCases)
func groupsJoinAndAreLeftOut(_ loss: LossName, _ grouping: WeightGrouping) throws {
  let program = program(loss, n: 50, pool: [0], gates: 60, seed: 9)
  for (share, gap) in [(0.3, 1e-5), (0.03, 1e-4)] {
    let (solution, largest) = try program.solve(share, loss: loss, grouping: grouping, gap: gap)
    #expect(solution.status == .optimal && !solution.index.isEmpty)
    #expect(share < 0.3 || solution.index.count < 30)
    program.check(
      solution, beta: share * largest, together: grouping == .perPattern, loss: loss.loss,
      tolerance: gap)
  }
}

/// ν begins where it is told to, whatever the predictions, and ends at their −∇ℓ.
@Test(arguments: [LossName.hinge, .huber])
func slopesMeetThePredictions(_ name: LossName) throws {
  let n = 41
  let targets = Matrix(1, n)
  let predictions = Matrix(1, n)
  for i in 0..<n {
    targets.base[i] = i % 2 == 0 ? 1 : -1
    predictions.base[i] = 0.15 * Double(i - 20)
  }
  let start = Matrix(1, n)
  for i in 0..<n { start.base[i] = 0.3 * targets.base[i] }
  let terms = try #require(BoxLossTerms(name.loss, targets, start: start, mu: 0.1))
  terms.refresh(predictions)
  for i in 0..<n { #expect(abs(terms.nu.base[i] - start.base[i]) < 1e-12) }
  let (sum, count) = terms.complementarity
  #expect(abs(sum - 0.2 * Double(n)) < 1e-9 && count == 2 * Double(n))
  // With predictions that stay, Newton's method in ν ends where all products are what they are to be; as these
  // go to 0 that is −∇ℓ.
  let r = Matrix(1, n)
  for step in 0..<60 {
    let target = max(1e-10, Double(sign: .plus, exponent: -step, significand: 1))
    terms.rightHandSide(target: target, isCorrector: false, into: r)
    for i in 0..<n { r.base[i] /= terms.inverse.base[i] }
    terms.complete(r, target: target, isCorrector: false)
    terms.move(min(1, 0.9 * terms.stepLength(r)), r)
    terms.refresh(predictions)
  }
  for i in 0..<n {
    let (y, z) = (targets.base[i], predictions.base[i])
    let limit = name == .hinge ? (y * z < 1 ? y : 0) : max(-1, min(1, y - z))
    if name == .huber || abs(y * z - 1) > 1e-3 {
      #expect(abs(terms.nu.base[i] - limit) < 1e-4)
    }
  }
}

/// At first the products of the slopes are what those of the cones are, and no slope is close to a bound: no step is cut
/// short by what is far from its path.
@Test(arguments: [LossName.hinge, .huber])
func slopesBeginOnThePath(_ loss: LossName) throws {
  var program = SmallProgram(
    n: 40, pool: [0, 1, 0, 1], d: 5, gates: 8, outputs: 1, seed: 3, signs: true)
  // As of images: the same in all patches but for a little, and a constant.
  for k in program.x.indices {
    let (row, j) = (k / 5, k % 5)
    program.x[k] = j == 4 ? 1 : 0.3 * program.x[k] + program.x[row / 4 * 20 + j]
  }
  let data = try ConvolutionalData(program.bundle)
  let features = try ReLUFeatures(
    data.patches, gates: data.gates, thresholds: nil, patterns: nil)
  let gates = Matrix(program.count, 5, program.gates)
  let cones = WorkingCones(features, gates: gates, proceed: { true }, progress: { _ in })
  let method = ReLUInteriorPoint(
    cones, map: ReLUOperator(features, outputs: 1, together: false), loss: loss.loss,
    targets: program.matrix, beta: 0.5, radius: 1)
  let (sum, count) = method.terms.complementarity
  #expect(count == 80)
  let slopes = Matrix(40, 1)
  loss.loss.residual(Matrix(40, 1), program.matrix, into: slopes)
  for i in 0..<40 {
    let (begin, slope) = (abs(method.terms.nu.base[i]), abs(slopes.base[i]))
    #expect(0.249 * slope <= begin && begin <= 0.501 * slope)
  }
  #expect(abs(sum / count - method.mu) <= 1e-9 * method.mu)
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
