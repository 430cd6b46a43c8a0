import Convex
import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Networks

private func matrix(_ n: Int, _ d: Int, _ random: inout RandomSource) -> Matrix {
  let result = Matrix(n, d)
  for i in 0..<result.count { result.base[i] = random.gaussian() }
  return result
}

private func targets(_ n: Int, _ outputs: Int, _ loss: LossName, _ random: inout RandomSource)
  -> Matrix
{
  let result = Matrix(n, outputs)
  for i in 0..<n {
    let own = random.below(outputs)
    for c in 0..<outputs {
      result[i, c] =
        loss == .crossEntropy
        ? (c == own ? 1 : 0) : loss.hasSigns ? (random.below(2) == 0 ? -1 : 1) : random.gaussian()
    }
  }
  return result
}

private func neurons(_ m: Int, _ d: Int, outputs: Int, _ random: inout RandomSource) -> Neurons {
  Neurons(
    filters: matrix(m, d, &random), signs: (0..<m).map { $0 % 2 == 0 ? 1 : -1 },
    outputs: (0..<m).map { $0 % outputs })
}

@Suite struct TrainingPartsTests {
  /// The gradient is that of differences, with one patch and with three, few features and many.
  @Test(arguments: [LossName.squared, .logistic, .huber, .crossEntropy], [1, 3])
  func theGradientIsThatOfDifferences(_ loss: LossName, _ patches: Int) {
    var random = RandomSource(seed: 3)
    for (d, outputs) in [(4, 1), (20, 3)] where loss != .crossEntropy || outputs > 1 {
      let rows = PatchRows(matrix(17 * patches, d, &random), patches: patches)
      let y = targets(17, outputs, loss, &random)
      let objective = BalancedObjective(
        BlockPass(rows), targets: y, loss: loss.loss, beta: 0.3)
      let start = neurons(6, rows.dimension, outputs: outputs, &random)
      objective.prepare(start.outputs)
      let point = objective.point(start)
      let size = point.count
      let (gradient, other) = (Matrix(1, size), Matrix(1, size))
      _ = objective.value(point.base, gradient: gradient.base)
      for k in stride(from: 0, to: size, by: 5) {
        let x = point.base[k]
        let h = 1e-6
        point.base[k] = x + h
        let above = objective.value(point.base, gradient: other.base)
        point.base[k] = x - h
        let below = objective.value(point.base, gradient: other.base)
        point.base[k] = x
        #expect(
          abs((above - below) / (2 * h) - gradient.base[k]) < 1e-5 * (1 + abs(gradient.base[k])))
      }
    }
  }

  /// Balanced weights have the norm of the neurons, and their outputs.
  @Test func theSmoothFormHasTheSameValue() {
    var random = RandomSource(seed: 4)
    let rows = PatchRows(matrix(40, 7, &random))
    let y = targets(40, 2, .squared, &random)
    let objective = BalancedObjective(
      BlockPass(rows), targets: y, loss: LossName.squared.loss, beta: 0.7)
    let some = neurons(9, rows.dimension, outputs: 2, &random)
    objective.prepare(some.outputs)
    let point = objective.point(some)
    let gradient = Matrix(1, point.count)
    let expected =
      LossName.squared.loss.value(objective.predictions(of: some), y) + 0.7 * some.norm
    #expect(abs(objective.value(point.base, gradient: gradient.base) - expected) < 1e-10 * expected)
  }

  /// Coordinates along the axes keep products and lengths.
  @Test func coordinatesKeepLengthsAndProducts() {
    var random = RandomSource(seed: 5)
    // Rank 3 of 6 features.
    let x = product(matrix(30, 3, &random), .plain, matrix(3, 6, &random), .plain)
    let rows = PatchRows(x)
    #expect(rows.dimension == 3)
    let weights = matrix(4, 3, &random)
    let lifted = rows.lift(weights)
    for j in 0..<4 {
      #expect(abs(norm(6, lifted.row(j)) - norm(3, weights.row(j))) < 1e-12)
      for i in 0..<30 {
        #expect(
          abs(dot(6, x.row(i), lifted.row(j)) - dot(3, rows.x.row(i), weights.row(j))) < 1e-10)
      }
    }
    let back = rows.coordinates(lifted)
    for k in 0..<back.count { #expect(abs(back.base[k] - weights.base[k]) < 1e-12) }
  }

  @Test func quasiNewtonFindsTheMinimumOfAQuadratic() {
    var random = RandomSource(seed: 6)
    let root = matrix(12, 12, &random)
    let hessian = product(root, .transposed, root, .plain)
    let goal = (0..<12).map { _ in random.gaussian() }
    func function(_ x: UnsafePointer<Double>, _ gradient: UnsafeMutablePointer<Double>) -> Double {
      let difference = (0..<12).map { x[$0] - goal[$0] }
      gemv(12, 12, hessian.base, .plain, difference, gradient)
      return 0.5 * dot(12, difference, gradient)
    }
    let method = QuasiNewton(at: Matrix(1, 12), memory: 12, function)
    for _ in 0..<200 where method.value > 1e-18 { guard method.advance(function) else { break } }
    for k in 0..<12 { #expect(abs(method.point.base[k] - goal[k]) < 1e-6) }
  }

  /// Lengths fulfil the conditions of the optimum: no price of a direction is above β, and those in use have β.
  @Test(arguments: [LossName.squared, .logistic, .huber])
  func lengthsAreOptimal(_ loss: LossName) {
    var random = RandomSource(seed: 7)
    let rows = PatchRows(matrix(50, 5, &random))
    let y = targets(50, 1, loss, &random)
    let beta = 2.0
    let objective = BalancedObjective(BlockPass(rows), targets: y, loss: loss.loss, beta: beta)
    let some = neurons(40, rows.dimension, outputs: 1, &random)
    let best = DirectionWeights(objective: objective).improved(some)
    #expect(best.count < some.count)
    let nu = Matrix(50, 1)
    loss.loss.residual(objective.predictions(of: best), y, into: nu)
    let d = rows.dimension
    for (all, isUsed) in [(some, false), (best, true)] {
      let hidden = objective.hidden(of: all)
      for j in 0..<all.count {
        let price = all.signs[j] * dot(50, hidden.row(j), nu.base) / norm(d, all.filters.row(j))
        #expect(price <= beta * (1 + 1e-6))
        if isUsed { #expect(price >= beta * (1 - 1e-6)) }
      }
    }
  }

  /// Ascents end where no small change of the direction raises the price.
  @Test func ascentsEndAtLocalMaxima() {
    var random = RandomSource(seed: 8)
    let rows = PatchRows(matrix(60, 4, &random))
    let nu = matrix(60, 1, &random)
    let pricing = NeuronPricing(pass: BlockPass(rows))
    let found = pricing.maxima(
      nu, from: NetworkSolver.starts(20, rows, outputs: 1, &random), polished: 20
    ) { true }
    func price(_ u: [Double], _ sign: Double) -> Double {
      let length = norm(4, u)
      return sign
        * (0..<60).reduce(0) { $0 + nu.base[$1] * max(0, dot(4, rows.x.row($1), u)) } / length
    }
    #expect(!found.isEmpty)
    for candidate in found.prefix(3) {
      #expect(abs(price(candidate.direction, candidate.sign) - candidate.price) < 1e-9)
      for _ in 0..<200 {
        let near = candidate.direction.map { $0 + 1e-4 * random.gaussian() }
        #expect(price(near, candidate.sign) <= candidate.price + 1e-9)
      }
    }
  }

  /// In the plane the highest hill is found, however narrow it is: no angle of a fine grid has a higher price.
  @Test(arguments: 1...6) func theHighestHillOfThePlaneIsFound(seed: Int) {
    var random = RandomSource(seed: seed)
    let rows = PatchRows(matrix(80, 2, &random))
    let nu = matrix(80, 1, &random)
    // A few samples weigh the most.
    for i in 0..<80 { nu.base[i] = nu.base[i] * nu.base[i] * nu.base[i] }
    let pricing = NeuronPricing(pass: BlockPass(rows))
    let found = pricing.maxima(
      nu, from: NetworkSolver.starts(60, rows, outputs: 1, &random), polished: 24
    ) { true }
    for sign in [1.0, -1.0] {
      var highest = 0.0
      for k in 0..<20_000 {
        let angle = 2 * Double.pi * Double(k) / 20_000
        let u = [cosine(angle), cosine(angle - .pi / 2)]
        highest = max(
          highest,
          sign * (0..<80).reduce(0) { $0 + nu.base[$1] * max(0, dot(2, rows.x.row($1), u)) })
      }
      let best = found.first { $0.sign == sign }
      #expect((best?.price ?? 0) >= highest * (1 - 1e-9))
    }
  }
}
