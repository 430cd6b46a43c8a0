import LinearAlgebra
import Tensors
import Testing

@testable import Convex

@Suite struct BoundedQuadraticTests {
  @Test func optimalityHolds() {
    var random = RandomSource(seed: 1)
    let quadratic = BoundedQuadratic()
    for order in [1, 2, 5, 20, 60, 7] {
      for rank in [order, max(1, order / 2)] {
        let z = random.matrix(rank, order)
        let h = product(z, .transposed, z, .plain)
        // In the range of H, so that there is a minimum where H is singular.
        let q = random.signed(rank)
        let r = (0..<order).map { i in (0..<rank).reduce(0) { $0 + z[$1, i] * q[$1] } }
        let lower = (0..<order).map { _ in random.uniform() < 0.3 ? 0 : -0.3 * random.uniform() }
        var p = [Double](repeating: .nan, count: order)
        quadratic.minimize(order, h.base, r, lower: lower, into: &p)
        for i in 0..<order {
          let gradient = (0..<order).reduce(-r[i]) { $0 + h[i, $1] * p[$1] }
          #expect(p[i] >= lower[i])
          #expect(gradient > -1e-7, "\(order) \(rank)")
          #expect(p[i] <= lower[i] + 1e-12 || gradient < 1e-7, "\(order) \(rank)")
        }
      }
    }
  }

  @Test func nothingMovesWithoutCurvature() {
    let quadratic = BoundedQuadratic()
    var p = [1.0, 1]
    quadratic.minimize(2, [0, 0, 0, 4], [0, 2], lower: [-1, -1], into: &p)
    #expect(p[0] == 0 && abs(p[1] - 0.5) < 1e-9)
  }
}

@Suite struct EtaSystemTests {
  /// I + M by the definition.
  private func system(_ problem: GatedProblem, _ active: [Int], _ eta: [Double]) -> Matrix {
    let n = problem.n
    let result = Matrix.identity(n)
    for i in active {
      for j in 0..<n where problem.patterns[i][j] {
        for k in 0..<n where problem.patterns[i][k] {
          result[j, k] += eta[i] * inner(problem.row(j), problem.row(k))
        }
      }
    }
    return result
  }

  @Test(arguments: [(n: 9, d: 2), (70, 3), (300, 5), (600, 2)])
  func everyFormSolves(_ shape: (n: Int, d: Int)) throws {
    let problem = GatedProblem(n: shape.n, d: shape.d, patterns: 12, seed: 2)
    let data = try ArrangementData(problem.bundle)
    let products = PatternProducts(
      data.features, data.patterns, members: Array(0..<12))
    // How exact a solve and a Hessian are; conjugate gradients have the latter exactly only where all
    // samples are landmarks.
    let systems: [(any EtaSystem, solve: Double, hessian: Double, name: String)] = [
      (KernelSystem(products, isSingle: false), 1e-12, 1e-11, "double"),
      (KernelSystem(products, isSingle: true), 1e-4, 1e-3, "single"),
      (PrimalSystem(products), 1e-11, 1e-9, "primal"),
      (NystromSystem(products), 3e-3, shape.n <= 200 ? 1e-4 : .infinity, "iterative"),
    ]
    var random = RandomSource(seed: 3)
    // Members come and go; no memory of the last η may remain.
    for active in [[1, 4, 5], [0, 1, 4, 8, 11], [4], []] {
      var eta = [Double](repeating: 0, count: 12)
      for i in active { eta[i] = 0.01 + random.uniform() }
      let dense = system(problem, active, eta)
      let rhs = random.signed(shape.n)
      let working = active + [7]
      let t = random.matrix(working.count, shape.d)
      let u = Matrix(working.count, shape.n)
      products.images(t, working, into: u)
      let exact = Matrix(copying: dense)
      #expect(choleskyLower(shape.n, exact.base))
      let inverse = Matrix(copying: u)
      choleskySolve(shape.n, exact.base, inverse.base, count: working.count)
      let expected = product(u, .plain, inverse, .transposed)
      for (system, tolerance, hessianTolerance, name) in systems {
        #expect(system.factor(active, eta))
        var nu = rhs
        system.solve(&nu)
        let residual = (0..<shape.n).map { j in
          (0..<shape.n).reduce(-rhs[j]) { $0 + dense[j, $1] * nu[$1] }
        }
        #expect(
          inner(residual, residual) <= tolerance * tolerance * inner(rhs, rhs) * 1e2,
          "\(name) \(active): \(inner(residual, residual).squareRoot())")
        let hessian = Matrix(working.count, working.count)
        system.hessian(
          working, directions: t, images: Matrix(copying: u), into: hessian.base)
        #expect(
          relativeDistance(hessian, expected) <= hessianTolerance, "\(name) \(active)")
        for i in 0..<working.count {
          for j in 0..<working.count { #expect(hessian[i, j] == hessian[j, i]) }
        }
      }
    }
  }

  @Test func precisionIncreasesOnce() throws {
    let problem = GatedProblem(n: 40, d: 3, patterns: 5)
    let data = try ArrangementData(problem.bundle)
    let products = PatternProducts(data.features, data.patterns, members: Array(0..<5))
    let system = KernelSystem(products, isSingle: true)
    #expect(system.increasePrecision())
    #expect(!system.increasePrecision())
    #expect(system.factor([0], [1, 0, 0, 0, 0]))
    // What rounds off to a singular matrix is refused, not divided by.
    #expect(!KernelSystem(products, isSingle: true).factor([0, 1], [.infinity, 1, 0, 0, 0]))
    #expect(!KernelSystem(products, isSingle: false).factor([0, 1], [.nan, 1, 0, 0, 0]))
  }

  @Test func theFormFollowsTheSize() throws {
    let problem = GatedProblem(n: 60, d: 3, patterns: 20)
    let data = try ArrangementData(problem.bundle)
    let products = PatternProducts(data.features, data.patterns, members: Array(0..<20))
    var eta = [Double](repeating: 0, count: 20)
    for i in 0..<20 { eta[i] = 1 }
    for (limit, isIterative) in [(100, false), (10, true)] {
      let system = AutomaticSystem(products, form: .automatic, kernelLimit: limit)
      #expect(system.factor([1, 2], eta) && !system.isIterative)
      #expect(system.factor(Array(0..<20), eta) && system.isIterative == isIterative)
      // Conjugate gradients that do not get on give way to a factorisation, once.
      #expect(system.increasePrecision() == isIterative)
      #expect(system.factor(Array(0..<20), eta) && !system.isIterative)
      #expect(!system.increasePrecision())
    }
  }

  @Test func singlePrecisionIsNotSeen() throws {
    let problem = GatedProblem(n: 900, d: 6, patterns: 30, seed: 4)
    let solver = try problem.solver(.kernel)
    for share in [0.1, 1e-3] {
      let beta = share * solver.betaMax
      let solution = solver.solve(beta: beta, gap: 1e-10)
      #expect(solution.status == .optimal, "\(solution.gap)")
      expectCertified(solution, problem, beta: beta, gap: 1e-10)
    }
  }
}

@Suite struct SquaredLossTests {
  @Test func conjugateAndScaling() {
    var random = RandomSource(seed: 9)
    let loss = SquaredLoss()
    let (y, fitted) = (random.matrix(20, 2), random.matrix(20, 2))
    let residual = Matrix(20, 2)
    loss.residual(fitted, y, into: residual)
    // Fenchel and Young: ℓ(ŷ) + ℓ*(−ν) = −νᵀŷ where ν = −∇ℓ(ŷ), and no less elsewhere.
    let sum = loss.value(fitted, y) - loss.dualValue(residual, y)
    #expect(abs(sum + inner(residual.values, fitted.values)) < 1e-12)
    let other = random.matrix(20, 2)
    #expect(
      loss.value(fitted, y) - loss.dualValue(other, y) >= -inner(other.values, fitted.values))
    for bound in [0.01, 0.3, 5] {
      let s = loss.scaling(other, y, bound: bound)
      #expect(abs(s) <= bound)
      func value(_ s: Double) -> Double {
        loss.dualValue(Matrix(20, 2, other.values.map { s * $0 }), y)
      }
      for trial in [-bound, bound, 0.9 * s, s + 0.01, s - 0.01] where abs(trial) <= bound {
        #expect(value(trial) <= value(s) + 1e-12)
      }
    }
    #expect(loss.scaling(Matrix(20, 2), y, bound: 3) == 0)
  }
}
