import LinearAlgebra
import Tensors

/// The algorithms for polynomial activations.
package enum PolynomialMethod: String, CaseIterable, Sendable {
  case auto, admm
  case interiorPoint = "interior-point"
}

/// What `PolynomialSolver.solve` found: points in the program's own terms.
package struct PolynomialSolution {
  /// Z of every class: 2R rows (Z of each region, then Z' of each) of m × m.
  package let blocks: [Matrix]
  /// ν and ŷ, n × C.
  package let dual: Matrix
  package let predictions: Matrix
  package let status: Status
  package let primal: Double
  package let dualValue: Double
  package let iterations: Int
  package var gap: Double { relativeGap(primal: primal, dual: dualValue) }
}

/// Trains polynomial-activation networks to a certified optimum: it reads the data once into a Gram
/// matrix, solves for any number of β, and reads them again for the final certificate.
package final class PolynomialSolver {
  private let data: MomentData
  private let targets: Matrix
  private let map: FeatureMap
  private let program: PolynomialProgram
  private let judges: [Judge]
  private var inverse: GramSystem.Inverse?
  private var admm: ADMM?

  /// The smallest β for which the network that is zero is optimal.
  package let betaMax: Double

  /// `targets` is n × C. Throws where the data hold a value that is not finite.
  package init(
    _ data: MomentData, targets: Matrix, activation: PolynomialActivation,
    progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    map = FeatureMap(data, activation: activation)
    let gram = try GramSystem(data, map: map, targets: targets, progress: progress)
    let program = PolynomialProgram(map: map, gram: gram, classes: targets.columns)
    self.program = program
    judges = (0..<min(Threads.count, targets.columns)).map { _ in Judge(program) }
    var largest = 0.0
    for c in 0..<targets.columns {
      largest = max(largest, judges[0].constraint(gram.correlations.row(c)))
    }
    betaMax = largest
  }

  // MARK: Solving

  /// Solves for one β, from `warm` where an earlier solution is at hand.
  package func solve(
    beta: Double, rule: StoppingRule, method: PolynomialMethod = .auto, warm: [Matrix]? = nil,
    budget: Budget, trace: (TraceRow) -> Void
  ) -> PolynomialSolution {
    var results = start(beta: beta, warm: warm)
    var tolerance = 0.5 * rule.gap
    while true {
      let status = improve(
        &results, beta: beta, tolerance: tolerance, method: method, budget: budget, trace: trace)
      let solution = finish(results, beta: beta, slack: 0.1 * rule.gap, status, budget)
      if solution.gap <= rule.gap || status != .optimal || tolerance < 0.01 * rule.gap {
        return solution.gap <= rule.gap ? solution.with(.optimal) : solution
      }
      // The data say a little less than their Gram matrix promised: go on.
      tolerance *= 0.1
    }
  }

  /// The best points for one β without the pass over the data that certifies them: for the β of a path
  /// that may not be chosen.
  package func blocks(
    beta: Double, rule: StoppingRule, method: PolynomialMethod = .auto, warm: [Matrix]? = nil,
    budget: Budget, trace: (TraceRow) -> Void
  ) -> (blocks: [Matrix], primal: Double, dual: Double) {
    var results = start(beta: beta, warm: warm)
    _ = improve(
      &results, beta: beta, tolerance: 0.5 * rule.gap, method: method, budget: budget, trace: trace)
    return (
      results.map(\.blocks), results.reduce(0) { $0 + $1.primal },
      results.reduce(0) { $0 + $1.dual }
    )
  }

  private func start(beta: Double, warm: [Matrix]?) -> [ClassResult] {
    (0..<program.classes).map { c in
      var result = ClassResult(trivial: c, of: program, beta: beta, judge: judges[0])
      if let warm {
        let blocks = Matrix(copying: warm[c])
        judges[0].makeFeasible(blocks)
        let primal = judges[0].objective(c, blocks, beta: beta)
        if primal < result.primal {
          result.primal = primal
          result.blocks = blocks
        }
      }
      return result
    }
  }

  /// Brings every class's gap to `tolerance`, or says what prevented it.
  private func improve(
    _ results: inout [ClassResult], beta: Double, tolerance: Double, method: PolynomialMethod,
    budget: Budget, trace: (TraceRow) -> Void
  ) -> Status {
    func row(_ results: [ClassResult], _ neurons: Int) -> TraceRow {
      TraceRow(
        iteration: budget.iterations, seconds: budget.seconds,
        primal: results.reduce(0) { $0 + $1.primal }, dual: results.reduce(0) { $0 + $1.dual },
        neurons: neurons)
    }
    func done() -> Bool { results.allSatisfy { $0.gap <= tolerance } }
    trace(row(results, judges[0].rankSum(results)))
    if done() { return .optimal }
    if let limit = budget.exhausted { return limit }

    if method == .admm || method == .auto && prefersADMM(beta: beta) {
      let solver = admm ?? ADMM(program)
      admm = solver
      solver.start(from: results, beta: beta)
      _ = solver.solve(
        beta: beta, tolerance: tolerance, limit: method == .admm ? 100_000 : 600, judges: judges,
        results: &results,
        count: {
          budget.count()
          return budget.exhausted == nil
        },
        report: { results, neurons in
          trace(row(results, neurons))
          return budget.exhausted == nil
        })
      if done() { return .optimal }
      if let limit = budget.exhausted { return limit }
      if method == .admm { return .stalled }
      admm = nil  // make room
    }
    interiorPoint(&results, beta: beta, tolerance: tolerance, budget: budget) { trace(row($0, $1)) }
    if done() { return .optimal }
    return budget.exhausted ?? .stalled
  }

  /// The interior-point method costs a factorisation an iteration and class, ADMM a few in all: with
  /// several classes and a large Gram matrix ADMM wins, unless β is so small that it does not converge.
  private func prefersADMM(beta: Double) -> Bool {
    program.gram.order > 2_000 && program.classes > 2 && program.gram.basis.explicit == nil
      && beta > 1e-7 * betaMax
  }

  private func interiorPoint(
    _ results: inout [ClassResult], beta: Double, tolerance: Double, budget: Budget,
    report: ([ClassResult], Int) -> Void
  ) {
    let inverse = self.inverse ?? program.gram.inverse()
    self.inverse = inverse
    let open = results.indices.filter { results[$0].gap > tolerance }
    // Small systems: a class a thread; large ones: all threads inside BLAS.
    let workers = program.gram.order <= 2_500 ? min(judges.count, open.count) : 1
    let lock = Lock()
    var shared = results
    var ranks = [Int](repeating: 0, count: results.count)
    func work(_ worker: Int) {
      let solver = InteriorPoint(program, judge: judges[worker], inverse: inverse)
      for index in stride(from: worker, to: open.count, by: workers) {
        let c = open[index]
        var result = lock.locked { shared[c] }
        solver.solve(c, beta: beta, tolerance: tolerance, result: &result) { current, rank in
          lock.locked {
            shared[c] = current
            ranks[c] = rank
            budget.count()
            report(shared, ranks.reduce(0, +))
            return budget.exhausted == nil
          }
        }
        lock.locked { shared[c] = result }
      }
    }
    if workers == 1 { work(0) } else { Threads.perform(workers, work) }
    results = shared
  }

  // MARK: The certificate

  /// Turns the best points into the program's own variables and judges them on the data.
  private func finish(
    _ results: [ClassResult], beta: Double, slack: Double, _ status: Status, _ budget: Budget
  ) -> PolynomialSolution {
    let gram = program.gram
    let n = gram.order
    let classes = program.classes

    // Dual: η = G⁻¹(R − γ), ν = y − F η; then ν += F G⁻¹(γ − Fᵀν) until Fᵀν is γ to the last digits.
    let eta = Matrix(classes, n)
    for c in 0..<classes {
      for i in 0..<n { eta[c, i] = gram.correlations[c, i] - results[c].gamma.base[i] }
    }
    gram.solve(eta.base, count: classes)
    let dual = Matrix(copying: targets)
    subtract(predictions(parameters: eta, sign: -1), from: dual)
    var vectors = dualVectors(dual)
    for _ in 0..<2 {
      let actual = Matrix(copying: vectors)
      map.whiten.applyInParallel(classes * map.regions, actual.base)
      let change = Matrix(classes, n)
      for c in 0..<classes {
        gram.basis.project(actual.row(c), into: change.row(c))
        for i in 0..<n { change[c, i] = results[c].gamma.base[i] - change[c, i] }
      }
      gram.solve(change.base, count: classes)
      subtract(predictions(parameters: change, sign: 1), from: dual)
      vectors = dualVectors(dual)
    }
    var dualValue = 0.0
    for c in 0..<classes {
      var square = 0.0
      for i in 0..<dual.rows { square += dual[i, c] * dual[i, c] }
      // Whoever recomputes Σ ν Φ adds up in another order: leave room for the rounding of such a sum.
      let rounding = 1e-14 * (square * map.meanSquare).squareRoot()
      let largest = judges[0].constraint(raw: vectors.row(c)) + rounding
      let factor = largest > beta ? beta / largest : 1
      var inner = 0.0
      for i in 0..<dual.rows {
        dual[i, c] *= factor
        inner += dual[i, c] * (targets[i, c] - 0.5 * dual[i, c])
      }
      dualValue += inner
    }

    // Primal: as few neurons as the objective allows, and Z as their sum.
    let blocks = results.enumerated().map { c, result in
      sparse(c, result, beta: beta, slack: slack)
    }
    let predictions = predictions(blocks, on: data)
    var loss = 0.0
    for i in 0..<targets.count {
      let difference = predictions.base[i] - targets.base[i]
      loss += difference * difference
    }
    var regularizer = 0.0
    let corner = map.order * map.order - 1
    for block in blocks { for b in 0..<block.rows { regularizer += block[b, corner] } }
    return PolynomialSolution(
      blocks: blocks, dual: dual, predictions: predictions, status: status,
      primal: 0.5 * loss + beta * regularizer, dualValue: dualValue, iterations: budget.iterations)
  }

  private func subtract(_ x: Matrix, from y: Matrix) { axpy(y.count, -1, x.base, y.base) }

  /// sign · −F η for whitened parameters η (C × r): what is taken from ν.
  private func predictions(parameters eta: Matrix, sign: Double) -> Matrix {
    let packed = Matrix(program.classes, map.count)
    for c in 0..<program.classes { program.gram.basis.expand(eta.row(c), into: packed.row(c)) }
    map.unwhitenVariable.applyInParallel(program.classes * map.regions, packed.base)
    scale(packed.count, -sign, packed.base)
    return predictions(packed: packed, on: data)
  }

  /// ŷ for packed raw matrices H (C × Q).
  private func predictions(packed: Matrix, on data: MomentData) -> Matrix {
    let weights = Matrix(packed.rows, data.rowLength)
    let constants = (0..<packed.rows).map {
      map.momentWeights(packed.row($0), into: weights.row($0))
    }
    return data.predictions(weights, constants: constants)
  }

  /// ŷ (n × C) of a network on any data of the same shape.
  package func predictions(_ blocks: [Matrix], on data: MomentData) -> Matrix {
    let packed = Matrix(blocks.count, map.count)
    let m = map.order
    let difference = Matrix(m, m)
    for (c, block) in blocks.enumerated() {
      for r in 0..<map.regions {
        for i in 0..<m * m {
          difference.base[i] = block.row(r)[i] - block.row(map.regions + r)[i]
        }
        map.packing.pack(difference.base, into: packed.row(c) + r * map.packing.count)
      }
    }
    return predictions(packed: packed, on: data)
  }

  /// svec(S_r), S_r = Σ ν Φ_r, of every class: C × Q, raw.
  private func dualVectors(_ dual: Matrix) -> Matrix {
    let sums = data.adjoint(dual)
    let result = Matrix(dual.columns, map.count)
    for c in 0..<dual.columns {
      var total = 0.0
      for i in 0..<dual.rows { total += dual[i, c] }
      map.dualMatrices(sums.row(c), total: total, into: result.row(c))
    }
    return result
  }

  /// The best blocks of class `c` with as many small eigenvalues dropped as the objective lets go for
  /// `slack` of its value, rebuilt from their neurons.
  private func sparse(_ c: Int, _ result: ClassResult, beta: Double, slack: Double) -> Matrix {
    let m = map.order
    let judge = judges[0]
    let largest = judge.largestEigenvalue(result.blocks)
    let rebuilt = ConeBlocks(result.blocks.rows, m * m)
    guard largest > 0 else { return rebuilt }
    for power in [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14] {
      var cutoff = largest
      for _ in 0..<power { cutoff /= 10 }
      for b in 0..<result.blocks.rows {
        NeuralDecomposition.compose(
          NeuralDecomposition.neurons(result.blocks.row(b), order: m, cutoff: cutoff), order: m,
          into: rebuilt.row(b))
      }
      if judge.objective(c, rebuilt, beta: beta) <= result.primal + slack * abs(result.primal) {
        break
      }
    }
    return rebuilt
  }
}

extension PolynomialSolution {
  func with(_ status: Status) -> PolynomialSolution {
    PolynomialSolution(
      blocks: blocks, dual: dual, predictions: predictions, status: status, primal: primal,
      dualValue: dualValue, iterations: iterations)
  }
}
