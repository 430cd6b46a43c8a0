import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// Bᵀ as a matrix, from `project` on the unit vectors.
private func projection(_ basis: FeatureBasis) -> Matrix {
  let result = Matrix(basis.order, basis.width)
  let (unit, image) = (Matrix(1, basis.width), Matrix(1, basis.order))
  for p in 0..<basis.width {
    unit.fill(0)
    unit[0, p] = 1
    basis.project(unit.base, into: image.base)
    for k in 0..<basis.order { result[k, p] = image[0, k] }
  }
  return result
}

private func orthonormal(_ count: Int, _ length: Int, _ random: inout RandomSource) -> [[Double]] {
  var result: [[Double]] = []
  for _ in 0..<count {
    var v = random.unit(length)
    for _ in 0..<2 {
      for u in result {
        let along = inner(u, v)
        for i in v.indices { v[i] -= along * u[i] }
      }
      let size = inner(v, v).squareRoot()
      v = v.map { $0 / size }
    }
    result.append(v)
  }
  return result
}

private func expectOrthonormal(
  _ basis: FeatureBasis, tolerance: Double = 1e-13,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  var random = RandomSource(seed: 7)
  let rows = projection(basis)
  #expect(
    relativeDistance(product(rows, .plain, rows, .transposed), .identity(basis.order)) < tolerance,
    sourceLocation: sourceLocation)
  // expand is the adjoint of project, and overwrites whatever stands there.
  let (gamma, g) = (random.matrix(1, basis.order), Matrix(1, basis.width))
  g.fill(.nan)
  basis.expand(gamma.base, into: g.base)
  #expect(
    relativeDistance(g, product(gamma, .plain, rows, .plain)) < tolerance,
    sourceLocation: sourceLocation)
}

@Suite struct FeatureBasisTests {
  @Test func everything() {
    expectOrthonormal(FeatureBasis(width: 6, selected: Array(0..<6), nullVectors: []))
  }

  @Test func selection() {
    let basis = FeatureBasis(width: 9, selected: [0, 2, 3, 8], nullVectors: [])
    #expect(basis.order == 4)
    expectOrthonormal(basis)
    #expect(projection(basis)[2, 3] == 1 && projection(basis).values.reduce(0, +) == 4)
  }

  @Test func nullVectorsAreAnnihilated() {
    var random = RandomSource(seed: 101)
    for (width, count, nulls) in [(7, 7, 1), (12, 9, 3), (5, 5, 4)] {
      let selected = Array((0..<width).suffix(count))
      let vectors = orthonormal(nulls, count, &random)
      let basis = FeatureBasis(width: width, selected: selected, nullVectors: vectors)
      #expect(basis.order == count - nulls)
      expectOrthonormal(basis)
      for vector in vectors {
        let whole = Matrix(1, width)
        for (i, coordinate) in selected.enumerated() { whole[0, coordinate] = vector[i] }
        let image = Matrix(1, basis.order)
        basis.project(whole.base, into: image.base)
        #expect(largestEntry(image) < 1e-14)
      }
      // H A H, and back.
      let a = random.symmetric(count)
      let reflected = Matrix(copying: a)
      for i in 0..<count { for j in i + 1..<max(i + 1, count) { reflected[i, j] = .nan } }
      basis.reflect(reflected)
      let inSpan = Matrix(width, width)
      for (i, row) in selected.enumerated() {
        for (j, column) in selected.enumerated() { inSpan[row, column] = a[i, j] }
      }
      let rows = projection(basis)
      let expected = product(
        product(rows, .plain, inSpan, .plain), .plain, rows, .transposed)
      for i in 0..<basis.order {
        for j in 0...i { #expect(abs(reflected[i, j] - expected[i, j]) < 1e-13) }
      }
      basis.reflectBack(reflected)
      for i in 0..<count { for j in 0...i { #expect(abs(reflected[i, j] - a[i, j]) < 1e-13) } }
    }
    // A null vector that is an axis, of either sign.
    for sign in [1.0, -1] {
      let vector = [0, 0, 0, sign]
      expectOrthonormal(FeatureBasis(width: 4, selected: Array(0..<4), nullVectors: [vector]))
    }
  }

  @Test func explicit() {
    var random = RandomSource(seed: 102)
    expectOrthonormal(
      FeatureBasis(explicit: Matrix(3, 8, orthonormal(3, 8, &random).flatMap(\.self))))
    // Nothing is spanned.
    let nothing = FeatureBasis(explicit: Matrix(0, 5))
    let g = Matrix(1, 5)
    g.fill(3)
    nothing.expand(Matrix(1, 0).row(0), into: g.base)
    #expect(g.values == [0, 0, 0, 0, 0])
  }
}

private enum Form: String { case whole, selection, reflected, eigenvectors, kernel }

private struct GramCase: CustomTestStringConvertible, Sendable {
  let name: String
  let problem: Problem
  let activation: PolynomialActivation
  let form: Form
  var testDescription: String { name }

  init(
    _ name: String, _ problem: Problem, _ activation: PolynomialActivation, _ form: Form,
    bias: Bool = false
  ) {
    var problem = problem
    if bias {
      for k in 0..<problem.n * problem.patches { problem.x[k * problem.d + problem.d - 1] = 1 }
    }
    (self.name, self.problem, self.activation, self.form) = (name, problem, activation, form)
  }

  static let all = [
    GramCase("whole", Problem(n: 90, d: 4, classes: 2, seed: 1), usual, .whole),
    GramCase("R = 2", Problem(n: 90, pool: [0, 1, 1], d: 3, seed: 2), usual, .reflected),
    GramCase(
      "R = 3", Problem(n: 90, pool: [0, 1, 2], d: 3, classes: 2, seed: 3), usual, .reflected),
    GramCase("c = 0", Problem(n: 90, d: 3, seed: 4), activations[3], .reflected),
    GramCase(
      "c = 0, R = 2", Problem(n: 90, pool: [0, 1], d: 3, seed: 5), activations[3], .reflected),
    GramCase("quadratic", Problem(n: 90, pool: [0, 1], d: 3, seed: 6), activations[1], .selection),
    GramCase("linear", Problem(n: 90, pool: [0, 1], d: 3, seed: 7), activations[2], .selection),
    GramCase("bias", Problem(n: 90, d: 4, seed: 8), usual, .eigenvectors, bias: true),
    GramCase(
      "bias, R = 2", Problem(n: 90, pool: [0, 1], d: 3, seed: 9), usual, .eigenvectors, bias: true),
    GramCase(
      "bias, quadratic", Problem(n: 90, d: 4, seed: 8), activations[1], .whole, bias: true),
    GramCase("kernel", Problem(n: 12, d: 4, classes: 2, seed: 10), usual, .kernel),
    GramCase("kernel, R = 2", Problem(n: 12, pool: [0, 1], d: 3, seed: 11), usual, .kernel),
    GramCase("kernel, bias", Problem(n: 14, d: 4, seed: 12), activations[4], .kernel, bias: true),
    GramCase(
      "kernel of rank 6", Problem(n: 18, pool: [0], d: 5, seed: 13), activations[2], .kernel),
    GramCase("n = 1", Problem(n: 1, d: 3, seed: 14), usual, .kernel),
  ]
}

@Suite struct GramSystemTests {
  /// G, R and their kin against F itself, which is made from the definition.
  @Test(arguments: GramCase.all)
  private func agreesWithTheFeatures(_ test: GramCase) throws {
    let problem = test.problem
    let data = try MomentData(problem.dataset())
    let map = FeatureMap(data, activation: test.activation)
    let gram = try GramSystem(data, map: map, targets: problem.targets) { _ in }
    let basis = gram.basis
    let f = problem.features(map, test.activation)
    let form: Form =
      basis.explicit != nil
      ? (problem.n < map.count ? .kernel : .eigenvectors)
      : !basis.reflectors.isEmpty
        ? .reflected : basis.selected.count < map.count ? .selection : .whole
    if test.name != "bias, quadratic" { #expect(form == test.form) }
    expectOrthonormal(basis, tolerance: 1e-8)

    // B spans the features: F B Bᵀ = F.
    let rows = projection(basis)
    let inside = product(f, .plain, rows, .transposed)
    #expect(relativeDistance(product(inside, .plain, rows, .plain), f) < 1e-8)

    let n = gram.order
    let g = product(inside, .transposed, inside, .plain)
    let right = product(problem.targets, .transposed, inside, .plain)
    #expect(relativeDistance(gram.correlations, right) < 1e-8)
    for (c, square) in gram.squares.enumerated() {
      let y = problem.targets.column(c)
      #expect(abs(square - inner(y, y)) < 1e-12 * square)
    }
    var random = RandomSource(seed: 6)
    let x = random.matrix(3, n)
    let expected = product(x, .plain, g, .plain)
    let image = Matrix(3, n)
    gram.multiply(x.base, count: 3, into: image.base)
    #expect(relativeDistance(image, expected) < 1e-8)
    let single = Matrix(1, n)
    gram.multiply(x.base, into: single.base)
    #expect(relativeDistance(single, Matrix(1, n, copied(expected.base, n))) < 1e-8)
    gram.solve(image.base, count: 3)
    #expect(relativeDistance(image, x) < 1e-6)
    gram.inverse().multiply(n, expected.base, into: single.base)
    #expect(relativeDistance(single, Matrix(1, n, copied(x.base, n))) < 1e-5)
    let sum = Matrix.identity(n)
    gram.inverse().add(to: sum, order: n)
    sum.mirrorLower()
    for i in 0..<n { sum[i, i] -= 1 }
    #expect(relativeDistance(product(sum, .plain, g, .plain), .identity(n)) < 1e-5)
    // The residual of least squares is orthogonal to the features.
    let fit = product(gram.leastSquares, .plain, inside, .transposed)
    for c in 0..<problem.classes {
      for i in 0..<problem.n { fit[c, i] = problem.targets[i, c] - fit[c, i] }
    }
    #expect(largestEntry(product(fit, .plain, f, .plain)) < 1e-7 * largestEntry(f))
    // G over all features.
    #expect(
      relativeDistance(gram.expandedGram(), product(f, .transposed, f, .plain)) < 1e-9)
  }

  @Test func featuresThatAreZero() throws {
    for n in [3, 60] {
      var problem = Problem(n: n, pool: [0, 1], d: 3)
      problem.x = problem.x.map { _ in 0 }
      let data = try MomentData(problem.dataset())
      let map = FeatureMap(data, activation: activations[3])
      let gram = try GramSystem(data, map: map, targets: problem.targets) { _ in }
      #expect(gram.order == 0)
      #expect(largestEntry(gram.expandedGram()) == 0)
      #expect(gram.inverse().isEmpty)
    }
  }
}

extension GramSystem.Inverse {
  fileprivate var isEmpty: Bool {
    switch self {
    case .lower(let matrix): matrix.count == 0
    case .diagonal(let values): values.isEmpty
    }
  }
}

@Suite struct JudgeTests {
  private let problem = Problem(n: 60, pool: [0, 1], d: 4, seed: 111)

  private func judge() throws -> Judge {
    let data = try MomentData(problem.dataset())
    let map = FeatureMap(data, activation: usual)
    let gram = try GramSystem(data, map: map, targets: problem.targets) { _ in }
    return Judge(PolynomialProgram(map: map, gram: gram, classes: 1))
  }

  @Test func anyBlocksBecomeFeasible() throws {
    var random = RandomSource(seed: 112)
    let judge = try judge()
    for scale in [1e-8, 1, 1e8] {
      for _ in 0..<20 {
        let blocks = Matrix(
          4, 25,
          (0..<4).flatMap { _ in
            random.symmetric(5).values.map { scale * $0 }
          })
        judge.makeFeasible(blocks)
        for row in 0..<4 {
          let z = zMatrix(blocks, row: row, order: 5)
          #expect(eigenvalues(z)[0] >= -1e-14 * scale)
          let excess = (0..<4).reduce(-z[4, 4]) { $0 + z[$1, $1] }
          #expect(abs(excess) < 1e-13 * scale)
        }
      }
    }
  }

  @Test func feasibleBlocksStay() throws {
    var random = RandomSource(seed: 113)
    let judge = try judge()
    let blocks = Matrix(4, 25, (0..<4).flatMap { random.feasible(5, rank: 1 + $0 % 3).values })
    let kept = Matrix(copying: blocks)
    judge.makeFeasible(blocks)
    #expect(relativeDistance(blocks, kept) < 1e-13)
    // What was taken from Z is given to Z': the difference of the two is kept but along J.
    let noise = Matrix(4, 25)
    for row in 0..<4 {
      for (i, value) in random.symmetric(5).values.enumerated() { noise[row, i] = 1e-3 * value }
    }
    for i in 0..<blocks.count { blocks.base[i] += noise.base[i] }
    let before = Matrix(copying: blocks)
    judge.makeFeasible(blocks)
    for r in 0..<2 {
      for i in 0..<5 {
        for j in 0..<5 where i != j {
          let p = 5 * i + j
          #expect(
            abs(blocks[r, p] - blocks[2 + r, p] - before[r, p] + before[2 + r, p]) < 1e-15)
        }
      }
    }
    #expect(judge.rank(kept) == 1 + 2 + 3 + 1)
  }

  @Test func objectiveAndDualFollowTheDefinitions() throws {
    var random = RandomSource(seed: 114)
    let judge = try judge()
    let program = judge.program
    let beta = 0.3
    let blocks = Matrix(4, 25, (0..<4).flatMap { _ in random.feasible(5, rank: 2).values })
    var expected = 0.0
    for i in 0..<problem.n {
      var output = 0.0
      for r in 0..<2 {
        let phi = problem.feature(i, r, usual).values
        output += inner(phi, copied(blocks.row(r), 25)) - inner(phi, copied(blocks.row(2 + r), 25))
      }
      expected += 0.5 * (output - problem.y[i]) * (output - problem.y[i])
    }
    for row in 0..<4 { expected += beta * blocks[row, 24] }
    #expect(abs(judge.objective(0, blocks, beta: beta) - expected) < 1e-10 * expected)

    // γ = Bᵀ svec Σ ν Φ for some ν, and the constraint of this ν by sampling.
    let map = program.map
    let f = problem.features(map, usual)
    let nu = random.matrix(1, problem.n)
    let whitened = product(nu, .plain, f, .plain)
    let gamma = Matrix(1, program.gram.order)
    program.gram.basis.project(whitened.base, into: gamma.base)
    let largest = judge.constraint(gamma.base)
    #expect(abs(judge.constraint(whitened: whitened.base) - largest) < 1e-10 * largest)
    let raw = Matrix(1, map.count)
    var sampled = 0.0
    for r in 0..<2 {
      let sum = Matrix(5, 5)
      for i in 0..<problem.n {
        let phi = problem.feature(i, r, usual)
        for p in 0..<25 { sum.base[p] += nu[0, i] * phi.base[p] }
      }
      for (p, value) in packed(sum).enumerated() { raw[0, r * 15 + p] = value }
      for sign in [1.0, -1] {
        for _ in 0..<5 { sampled = max(sampled, climb(sum, from: random.unit(4), sign: sign)) }
      }
    }
    #expect(abs(judge.constraint(raw: raw.base) - largest) < 1e-10 * largest)
    #expect(sampled <= largest * (1 + 1e-10) && sampled > 0.9 * largest)

    // The value of γ, scaled into the feasible set: the largest ½ yᵀy − ½ ‖y − ν‖² over all ν with
    // this γ, which is at least that of ν itself.
    let solved = Matrix(copying: gamma)
    program.gram.solve(solved.base)
    let value = judge.dualValue(0, gamma.base, solved: solved.base, beta: beta)
    let factor = min(1, beta / largest)
    let own = (0..<problem.n).reduce(0.0) {
      let v = factor * nu[0, $1]
      return $0 + v * problem.y[$1] - 0.5 * v * v
    }
    #expect(value >= own - 1e-10 * abs(own))
    #expect(judge.constraint(gamma.base) <= beta * (1 + 1e-12))
    #expect(value <= judge.objective(0, blocks, beta: beta))
  }
}

@Suite struct RecoveryTests {
  @Test(arguments: activations)
  func theNetworkDoesWhatTheSolutionSays(_ s: PolynomialActivation) throws {
    for problem in [
      Problem(n: 60, pool: [0, 1, 0], d: 4, classes: 2, seed: 121),
      Problem(n: 15, pool: [0, 0], d: 5, seed: 122),
    ] {
      for share in [1e-6, 1e-2, 0.3] {
        let solver = try problem.solver(s)
        let beta = share * solver.betaMax
        let solution = solver.solve(beta: beta, gap: 1e-6)
        #expect(solution.status == .optimal)
        try Solutions.expectFeasible(solution.blocks)
        let network = RecoveredNetwork(
          solution.blocks, activation: .polynomial(s), tolerance: nil)
        let metadata = ["activation": s.text]
        let bundle = network.bundle(
          from: Bundle(kind: .solution, tensors: [:], metadata: metadata), metadata: [:])
        let filters = bundle.tensors["hidden.weight"]!.doubles
        let outputs = bundle.tensors["output.weight"]!.doubles
        let regions = bundle.tensors["hidden.region"]!.doubles.map { Int($0) }
        let (count, d) = (regions.count, problem.d)
        var ranks = 0
        for block in solution.blocks {
          for row in 0..<block.rows {
            let values = eigenvalues(zMatrix(block, row: row, order: d + 1))
            ranks += values.count { $0 > 1e-14 * values[d] }
          }
        }
        #expect(network.neurons == count && count <= ranks)

        let predictions = Matrix(problem.n, problem.classes)
        var objective = 0.0
        for j in 0..<count {
          let u = Array(filters[j * d..<(j + 1) * d])
          #expect(abs(inner(u, u) - 1) < 1e-13)
          for c in 0..<problem.classes {
            let weight = outputs[c * count + j]
            objective += beta * abs(weight)
            if weight != 0 {
              for i in 0..<problem.n {
                predictions[i, c] += weight * problem.neuron(i, regions[j], u, s)
              }
            }
          }
        }
        for i in 0..<problem.y.count {
          let difference = predictions.base[i] - problem.y[i]
          objective += 0.5 * difference * difference
        }
        #expect(relativeDistance(predictions, solution.predictions) < 1e-8)
        #expect(abs(objective - solution.primal) <= 1e-8 * solution.primal)
        // A tolerance drops the small ones.
        let largest = outputs.reduce(0) { max($0, abs($1)) }
        let kept = (0..<count).count { j in
          (0..<problem.classes).contains { abs(outputs[$0 * count + j]) >= 0.1 * largest }
        }
        #expect(
          RecoveredNetwork(solution.blocks, activation: .polynomial(s), tolerance: 0.1).neurons
            == kept)
      }
    }
  }

  @Test func halvesThatNearlyCancelLeaveTheirExactDifference() throws {
    let order = 5
    let block = Matrix(2, order * order)
    let planted: [(filter: [Double], weight: Double)] = [
      ([0.6, 0.8, 0, 0], 98_456.75), ([0, 0.6, 0.8, 0], 0.75), ([0.28, 0, 0.96, 0], 0.0625),
    ]
    for row in 0..<2 {
      NeuralDecomposition.compose(
        planted.map { .init(filter: $0.filter, weight: $0.weight * (row == 0 ? 1 : 1.000001)) },
        order: order, into: block.row(row))
    }
    let bundle = RecoveredNetwork(
      [block], activation: .polynomial(.init(a: 0.09, b: 0.5, c: 0.47)), tolerance: nil
    ).bundle(
      from: Bundle(kind: .solution, tensors: [:], metadata: [:]), metadata: [:])
    var sum = CompensatedSum()
    sum.add(-block[0, order * order - 1])
    sum.add(block[1, order * order - 1])
    for weight in bundle.tensors["output.weight"]!.doubles { sum.add(weight) }
    #expect(abs(sum.value) < 1e-14)
  }

  @Test func solutionsComeBackFromTheirBundle() throws {
    let problem = Problem(n: 40, pool: [0, 1], d: 3, classes: 2, seed: 123)
    let targets = try Targets(problem.dataset(), samples: 40)
    let solution = try problem.solve(beta: 0.4)
    var source = problem.dataset()
    source.metadata["size"] = "4"
    source.metadata["secret"] = "x"
    source.tensors["mean"] = Tensor([1.0, 2, 3])
    let bundle = Solutions.bundle(
      solution, targets: targets, activation: usual, beta: 0.4, betaMax: 9,
      source: source, notes: ["path": "p"], metadata: ["producer": "test"])
    #expect(bundle.tensors["z"]?.shape == [2, 2, 2, 4, 4])
    #expect(bundle.tensors["dual"]?.doubles == solution.dual.values)
    #expect(bundle.tensors["mean"]?.doubles == [1, 2, 3])
    #expect(bundle.metadata["size"] == "4" && bundle.metadata["secret"] == nil)
    #expect(bundle.metadata["status"] == "optimal" && bundle.metadata["path"] == "p")
    #expect(Double(decimal: bundle.metadata["primal_objective"]!) == solution.primal)
    #expect(Double(decimal: bundle.metadata["relative_gap"]!) == solution.gap)
    let blocks = try Solutions.blocks(bundle, classes: 2, regions: 2, order: 4)
    #expect(blocks.map(\.values) == solution.blocks.map(\.values))
    // [class, region, sign]: Z' of region 1 of class 0.
    #expect(
      Array(bundle.tensors["z"]!.doubles[3 * 16..<4 * 16])
        == copied(solution.blocks[0].row(3), 16))
  }

  @Test func whatIsNoSolutionIsRefused() throws {
    var random = RandomSource(seed: 124)
    let good = random.feasible(3, rank: 2).values
    func failure(_ values: [Double], shape: [Int] = [1, 1, 2, 3, 3]) -> String {
      let z = Tensor(values, shape: shape)
      do {
        let blocks = try Solutions.blocks(Bundle(kind: .solution, tensors: ["z": z]))
        try Solutions.expectFeasible(blocks)
        return "no error"
      } catch { return (error as? Failure)?.message ?? "\(error)" }
    }
    #expect(failure(good + good) == "no error")
    #expect(failure(good + good.map { _ in 0 }) == "no error")
    var bad = good
    bad[1] += 1e-3
    #expect(failure(good + bad).contains("Z' of class 0, region 0 is not symmetric"))
    bad[3] += 1e-3
    bad[0] = -1
    #expect(failure(bad + good).contains("Z of class 0, region 0 is not positive semidefinite"))
    bad = good
    bad[8] += 1
    #expect(failure(bad + good).contains("the trace of Z of class 0, region 0"))
    #expect(failure(good.map { -$0 } + good).contains("positive semidefinite"))
    #expect(failure([.nan] + good.dropFirst() + good).contains("not finite"))
    #expect(failure([], shape: [0, 1, 2, 3, 3]).contains("[C, R, 2, d+1, d+1]"))
    #expect(failure([1, 1], shape: [1, 1, 2, 1, 1]).contains("[C, R, 2, d+1, d+1]"))
    #expect(failure(good, shape: [1, 1, 1, 3, 3]).contains("[C, R, 2, d+1, d+1]"))
  }
}
