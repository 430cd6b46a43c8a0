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

/// While slopes follow the predictions, ν is in the domain of the conjugate and W⁻¹ is −∂ŷ/∂ν, by
/// differences; ν tends to −∇ℓ as the smoothing goes to 0. Afterwards nothing moves but with a step.
@Test(arguments: [LossName.hinge, .huber])
func slopesFollowThePredictions(_ name: LossName) throws {
  let n = 41
  let targets = Matrix(1, n)
  let predictions = Matrix(1, n)
  for i in 0..<n {
    targets.base[i] = i % 2 == 0 ? 1 : -1
    predictions.base[i] = 0.15 * Double(i - 20)
  }
  func terms(_ smoothing: Double, shift: Double = 0) throws -> BoxLossTerms {
    let terms = try #require(BoxLossTerms(name.loss, targets, smoothing: smoothing))
    let moved = Matrix(copying: predictions)
    for i in 0..<n { moved.base[i] += shift }
    terms.refresh(moved)
    return terms
  }
  let (middle, up, down) = (
    try terms(0.1), try terms(0.1, shift: 1e-5), try terms(0.1, shift: -1e-5)
  )
  let sharp = try terms(1e-10)
  for i in 0..<n {
    let (y, z) = (targets.base[i], predictions.base[i])
    let slope = (up.nu.base[i] - down.nu.base[i]) / 2e-5
    #expect(abs(slope * middle.inverse.base[i] + 1) < 1e-5)
    let a = name == .hinge ? y * middle.nu.base[i] : 0.5 * (1 + middle.nu.base[i])
    #expect(a > 0 && a < 1)
    let limit = name == .hinge ? (y * z < 1 ? y : 0) : max(-1, min(1, y - z))
    if name == .huber || abs(y * z - 1) > 1e-3 {
      #expect(abs(sharp.nu.base[i] - limit) < 1e-4)
    }
  }
  #expect(middle.complementarity.count == 0)
  middle.follow(0.01, residual: 1)
  // 2n products of 0.1, each to be ten times μ.
  let (sum, count) = middle.complementarity
  #expect(abs(sum - 0.2 * Double(n)) < 1e-9 && abs(count - 20 * Double(n)) < 1e-9)
  let nu = Matrix(copying: middle.nu)
  middle.refresh(Matrix(1, n))
  for i in 0..<n { #expect(middle.nu.base[i] == nu.base[i]) }
}

/// When slopes become variables, what their products are to be is what those of the cones are in the mean: the
/// iterate is on its path then, and no step is cut short.
@Test(arguments: [LossName.hinge, .huber])
func slopesJoinThePath(_ loss: LossName) throws {
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
  #expect(method.terms.complementarity.count == 0)
  while method.terms.complementarity.count == 0, method.iterations < 60 {
    try #require(method.iterate())
  }
  let (sum, count) = method.terms.complementarity
  #expect(count > 0 && method.iterations > 0)
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
