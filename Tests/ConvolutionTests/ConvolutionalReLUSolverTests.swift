import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors
import Testing

@testable import Convolution

/// A small convolutional program, and what a reader can compute of it without the solver.
struct SmallProgram {
  let n: Int
  let patches: Int
  let d: Int
  let pool: [Int]
  var x: [Double]
  var gates: [Double]
  var targets: [[Double]]

  var regions: Int { pool.max()! + 1 }
  var count: Int { gates.count / d }
  var outputs: Int { targets[0].count }

  init(
    n: Int, pool: [Int], d: Int, gates count: Int, outputs: Int, seed: Int, signs: Bool = false
  ) {
    var random = RandomSource(seed: seed)
    self.n = n
    patches = pool.count
    self.d = d
    self.pool = pool
    x = (0..<n * pool.count * d).map { _ in random.gaussian() }
    gates = (0..<count * d).map { _ in random.gaussian() }
    targets = (0..<n).map { _ in
      (0..<outputs).map { _ in
        let value = random.gaussian()
        return signs ? (value < 0 ? -1 : 1) : value
      }
    }
  }

  var bundle: Bundle {
    Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor(x, shape: [n, patches, d]), "pool": Tensor(pool.map { Int32($0) }),
        "gates": Tensor(gates, shape: [count, d]),
      ], metadata: [:])
  }

  var matrix: Matrix { Matrix(n, outputs, targets.flatMap { $0 }) }

  func row(_ i: Int, _ k: Int) -> ArraySlice<Double> {
    x[(i * patches + k) * d..<(i * patches + k + 1) * d]
  }
  private func product(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Double {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }
  func isActive(_ pattern: Int, _ i: Int, _ k: Int) -> Bool {
    product(row(i, k), gates[pattern * d..<(pattern + 1) * d]) >= 0
  }
  private func share(_ k: Int) -> Double { 1 / Double(pool.filter { $0 == pool[k] }.count) }

  /// How far a weight of `pattern` is outside its cone.
  func violation(_ v: [Double], _ pattern: Int) -> Double {
    var worst = 0.0
    for i in 0..<n {
      for k in 0..<patches {
        worst = max(worst, (isActive(pattern, i, k) ? -1 : 1) * product(row(i, k), v))
      }
    }
    return worst
  }

  /// (1/P_r) Σ X_kᵀ D_k ν for a region.
  func adjoint(_ nu: [Double], _ pattern: Int, _ region: Int) -> [Double] {
    var t = [Double](repeating: 0, count: d)
    for i in 0..<n {
      for k in 0..<patches where pool[k] == region && isActive(pattern, i, k) {
        for (a, value) in row(i, k).enumerated() { t[a] += share(k) * nu[i] * value }
      }
    }
    return t
  }

  /// Σ_k share (x_k·v)₊ of a region for sample i.
  func output(_ v: [Double], _ region: Int, _ i: Int) -> Double {
    (0..<patches).filter { pool[$0] == region }.reduce(0) {
      $0 + share($1) * max(0, product(row(i, $1), v))
    }
  }

  /// A bound of ‖P_K(t)‖ by multipliers λ ≥ 0 that cyclic descent finds.
  func projection(_ t: [Double], _ pattern: Int) -> Double {
    var rows: [[Double]] = []
    for i in 0..<n {
      for k in 0..<patches {
        let sign: Double = isActive(pattern, i, k) ? 1 : -1
        let length = product(row(i, k), row(i, k)).squareRoot()
        rows.append(row(i, k).map { sign * $0 / length })
      }
    }
    var p = t
    var lambda = [Double](repeating: 0, count: rows.count)
    for _ in 0..<20_000 {
      var moved = 0.0
      for (j, b) in rows.enumerated() {
        let next = max(0, lambda[j] - product(b, p))
        let change = next - lambda[j]
        if change != 0 { for a in 0..<d { p[a] += change * b[a] } }
        lambda[j] = next
        moved = max(moved, abs(change))
      }
      if moved < 1e-13 { break }
    }
    return product(p, p).squareRoot()
  }

  /// Checks that both points of `solution` are feasible and have the values they claim, from the data alone;
  /// the gap then proves that they are optimal.
  func check(
    _ solution: ArrangementSolution, beta: Double, together: Bool, loss: any Loss,
    tolerance: Double
  ) {
    let sums = Matrix(n, outputs)
    var penalty = 0.0
    for sign in 0..<2 {
      let weights = sign == 0 ? solution.positive : solution.negative
      for (a, i) in solution.index.enumerated() {
        var squares = [Double](repeating: 0, count: outputs)
        for c in 0..<outputs {
          for r in 0..<regions {
            let v = (0..<d).map { weights[c][a, r * d + $0] }
            let length = product(v, v)
            squares[c] += length
            #expect(violation(v, i) <= 1e-12 * length.squareRoot())
            for j in 0..<n { sums[j, c] += (sign == 0 ? 1 : -1) * output(v, r, j) }
          }
        }
        penalty +=
          together
          ? squares.reduce(0, +).squareRoot() : squares.reduce(0) { $0 + $1.squareRoot() }
      }
    }
    var largest = 0.0
    for i in 0..<count {
      for sign in [1.0, -1.0] {
        var squares = [Double](repeating: 0, count: outputs)
        for c in 0..<outputs {
          let nu = (0..<n).map { sign * solution.dual[$0, c] }
          for r in 0..<regions {
            let length = projection(adjoint(nu, i, r), i)
            squares[c] += length * length
          }
        }
        largest = max(
          largest, together ? squares.reduce(0, +).squareRoot() : squares.max()!.squareRoot())
      }
    }
    #expect(largest <= beta * (1 + 1e-9))
    let primal = loss.value(sums, matrix) + beta * penalty
    #expect(abs(primal - solution.primal) <= 1e-9 * abs(primal))
    #expect(abs(loss.dualValue(solution.dual, matrix) - solution.dualValue) <= 1e-9 * abs(primal))
    #expect(primal - solution.dualValue <= tolerance * abs(primal))
    for k in 0..<sums.count { #expect(abs(sums.base[k] - solution.predictions.base[k]) <= 1e-9) }
  }

  func solve(
    _ beta: Double, loss: LossName = .squared, grouping: WeightGrouping = .perClass,
    gap: Double = 1e-7
  ) throws -> (solution: ArrangementSolution, betaMax: Double) {
    let data = try ConvolutionalData(bundle)
    let solver = try ConvolutionalReLUSolver(
      data, targets: matrix, loss: loss, grouping: grouping)
    var rule = StoppingRule()
    rule.gap = gap
    let solution = solver.point(
      beta: beta * solver.betaMax, from: nil, rule: rule,
      budget: Budget(rule, startedAt: Budget.now()), trace: { _ in })
    let again = solver.predictions(solution, on: data.patches)
    for k in 0..<again.count {
      #expect(abs(again.base[k] - solution.predictions.base[k]) <= 1e-9)
    }
    return (solution, solver.betaMax)
  }
}

/// Each of these may take long: whoever waits hears of all.
@Test func everyStageTellsOfItself() throws {
  let program = SmallProgram(n: 12, pool: [0, 0, 1, 1], d: 4, gates: 6, outputs: 10, seed: 4)
  var told: [String] = []
  _ = try ConvolutionalReLUSolver(
    ConvolutionalData(program.bundle), targets: program.matrix, progress: { told.append($0) })
  let stages =
    ["features of 6", "cones: 6 patterns", "cones: centres of"]
    + (0..<10).map { "beta_max of output \($0): " }
  for stage in stages { #expect(told.contains { $0.hasPrefix(stage) }, "\(stage)") }
}

@Test(arguments: [0.5, 0.1, 0.01])
func convolutionalReLUReachesItsOptimum(_ beta: Double) throws {
  let program = SmallProgram(n: 14, pool: [0, 0, 0], d: 4, gates: 8, outputs: 1, seed: 3)
  let (solution, largest) = try program.solve(beta)
  #expect(solution.status == .optimal)
  program.check(
    solution, beta: beta * largest, together: false, loss: SquaredLoss(), tolerance: 1e-7)
}

@Test(arguments: WeightGrouping.allCases)
func regionsAndClassesShareGroups(_ grouping: WeightGrouping) throws {
  let program = SmallProgram(n: 12, pool: [1, 0, 1, 0, 0], d: 3, gates: 6, outputs: 2, seed: 5)
  let (solution, largest) = try program.solve(0.1, grouping: grouping)
  #expect(solution.status == .optimal)
  program.check(
    solution, beta: 0.1 * largest, together: grouping == .perPattern, loss: SquaredLoss(),
    tolerance: 1e-7)
}

@Test func networkIsZeroAboveBetaMax() throws {
  let program = SmallProgram(n: 10, pool: [0, 0], d: 3, gates: 5, outputs: 1, seed: 7)
  let above = try program.solve(1.0001)
  #expect(above.solution.index.isEmpty)
  #expect(above.solution.gap <= 1e-7)
  let below = try program.solve(0.99)
  #expect(!below.solution.index.isEmpty)
}

/// Rows at an angle of 10⁻⁶ bound the cone in different places: β_max is that of both.
@Test func nearlyParallelRowsBothCount() throws {
  let angle = 1e-6
  var program = SmallProgram(n: 4, pool: [0], d: 3, gates: 1, outputs: 1, seed: 1)
  program.x = [1, 0, 0] + [1, 0, angle] + [0, 1, 1] + [0, 1, -1]
  program.gates = [0.3, 1, 0.5]
  program.targets = [[-1], [0], [0], [1]]
  let solver = try ConvolutionalReLUSolver(
    ConvolutionalData(program.bundle), targets: program.matrix)
  // t = (−1, 1, −1) is projected to a multiple of (angle, 1, −1), and −t to (1, 0, 0).
  let expected = (2 - angle) / (2 + angle * angle).squareRoot()
  #expect(abs(solver.betaMax - expected) < 1e-12, "\(solver.betaMax), \(expected)")
}
