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
  /// The algorithm for the solves that follow.
  package var method = PolynomialMethod.auto

  /// `targets` is n × C. Throws where the data hold a value that is not finite.
  package init(
    _ data: MomentData, targets: Matrix, activation: PolynomialActivation,
    progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    try PolynomialSolver.expectMemory(for: data, classes: targets.columns)
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

  /// Refuses, before any work, a program whose matrices exceed the machine's memory: the Gram matrix or
  /// kernel, its factor or inverse, and what an algorithm makes of them; of each class z, which is
  /// held at least three times, and the columns of y, ŷ and ν.
  private static func expectMemory(for data: MomentData, classes: Int) throws {
    let m = Double(data.features + 1)
    let q = Double(data.regions) * m * (m + 1) / 2
    let n = Double(data.samples)
    let system = n < q ? 3 * n * q + 2 * n * n : 3 * q * q
    let variables = Double(classes) * (3 * 2 * Double(data.regions) * m * m + 3 * n)
    let outputs = "\(classes) output\(classes == 1 ? "" : "s")"
    try Tensors.expectMemory(
      8 * (system + variables),
      for: "a program of \(data.regions) region\(data.regions == 1 ? "" : "s"), "
        + "\(data.features) features and \(outputs) (patchify --pool, --whiten with --components "
        + "make it smaller)")
  }

  // MARK: Solving

  /// The best primal and dual points for one β, before the data have certified them.
  package struct Point: Bounded {
    fileprivate let results: [ClassResult]
    fileprivate let status: Status
    package var blocks: [Matrix] { results.map(\.blocks) }
    package var primal: Double { results.primal }
    package var dual: Double { results.dual }
    package var dualBound: Double { dual }
  }

  /// Where a solve begins.
  package enum Start {
    case cold
    /// Z of every class, 2R rows of m × m.
    case blocks([Matrix])
    /// What was found before, for this β or another.
    case point(Point)
  }

  /// Solves for one β and certifies the solution on the data.
  package func solve(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> PolynomialSolution {
    var tolerance = 0.8 * rule.gap
    var point = improve(
      start, beta: beta, tolerance: tolerance, budget: budget, trace: trace)
    while true {
      let solution = finish(point, beta: beta, slack: 0.1 * rule.gap, budget)
      if solution.gap <= rule.gap { return solution.with(.optimal) }
      if point.status != .optimal || tolerance < 1e-3 * rule.gap {
        return solution.with(point.status == .optimal ? .stalled : point.status)
      }
      // The data say a little less than their Gram matrix promised: go on.
      tolerance *= 0.1
      point = improve(
        .point(point), beta: beta, tolerance: tolerance, budget: budget, trace: trace)
    }
  }

  /// The best points for one β without the passes over the data that certify them: for the β of a path,
  /// most of which are not chosen.
  package func point(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> Point {
    improve(
      start, beta: beta, tolerance: 0.8 * rule.gap, budget: budget, trace: trace)
  }

  private func initial(_ start: Start, beta: Double) -> [ClassResult] {
    (0..<program.classes).map { c in
      let judge = judges[0]
      var result = ClassResult(trivial: c, of: program, beta: beta, judge: judge)
      let blocks: Matrix
      switch start {
      case .cold: return result
      case .blocks(let all):
        blocks = Matrix(copying: all[c])
        judge.makeFeasible(blocks)
      case .point(let point):
        blocks = point.results[c].blocks
        let gamma = Matrix(copying: point.results[c].gamma)
        let solved = Matrix(copying: gamma)
        program.gram.solve(solved.base)
        let dual = judge.dualValue(c, gamma.base, solved: solved.base, beta: beta)
        if dual > result.dual { (result.dual, result.gamma) = (dual, gamma) }
      }
      let primal = judge.objective(c, blocks, beta: beta)
      if primal < result.primal {
        result.primal = primal
        result.blocks.copy(from: blocks)
      }
      return result
    }
  }

  /// Brings the gap to `tolerance`, or says what prevented it.
  private func improve(
    _ start: Start, beta: Double, tolerance: Double, budget: Budget, trace: (TraceRow) -> Void
  ) -> Point {
    var results = initial(start, beta: beta)
    func report(_ results: [ClassResult], _ neurons: Int) {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: results.primal,
          dual: results.dual, neurons: neurons))
    }
    report(results, judges[0].rankSum(results))
    var methods: [PolynomialMethod] = [method]
    if method == .auto {
      methods = prefersADMM(beta: beta) ? [.admm, .interiorPoint] : [.interiorPoint]
    }
    for candidate in methods where results.gap > tolerance && budget.exhausted == nil {
      if candidate == .admm {
        let solver = admm ?? ADMM(program)
        admm = solver
        solver.start(from: results, beta: beta)
        solver.solve(
          beta: beta, tolerance: tolerance, limit: method == .admm ? .max : 600, judges: judges,
          results: &results,
          proceed: {
            budget.count()
            return budget.exhausted == nil
          }, report: report)
      } else {
        interiorPoint(&results, beta: beta, tolerance: tolerance, budget: budget, report: report)
      }
    }
    let status: Status = results.gap <= tolerance ? .optimal : budget.exhausted ?? .stalled
    return Point(results: results, status: status)
  }

  /// The interior-point method costs a factorisation an iteration and class, ADMM a few in all: with
  /// several classes and a large Gram matrix ADMM wins, unless β is so small that it does not converge.
  private func prefersADMM(beta: Double) -> Bool {
    program.gram.order > 1_000 && program.classes > 2 && program.map.count <= 16_000
      && beta > 1e-6 * betaMax
  }

  private func interiorPoint(
    _ results: inout [ClassResult], beta: Double, tolerance: Double, budget: Budget,
    report: ([ClassResult], Int) -> Void
  ) {
    let inverse = self.inverse ?? program.gram.inverse()
    self.inverse = inverse
    let open = results.indices.filter { results[$0].gap > tolerance }
    // Small systems: a class a thread; large ones: all threads inside BLAS. Where the iterations may
    // run out, which class has how many must not depend on the threads' timing: one after the other.
    let inParallel =
      program.gram.order <= 2_500
      && budget.remaining >= open.count * InteriorPoint.maximumIterations
    let workers = inParallel ? min(judges.count, open.count) : 1
    let lock = Lock()
    var shared = results
    var ranks = [Int](repeating: 0, count: results.count)
    func work(_ worker: Int) {
      let solver = InteriorPoint(program, judge: judges[worker], inverse: inverse)
      for index in stride(from: worker, to: open.count, by: workers) {
        if lock.locked({ budget.exhausted != nil }) { return }
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
    _ point: Point, beta: Double, slack: Double, _ budget: Budget
  ) -> PolynomialSolution {
    let results = point.results
    let (dual, dualValue) = certifiedDual(results, beta: beta)

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
      blocks: blocks, dual: dual, predictions: predictions, status: point.status,
      primal: 0.5 * loss + beta * regularizer, dualValue: dualValue, iterations: budget.iterations)
  }

  /// ν (n × C), feasible on the data themselves, and its value.
  ///
  /// From η = G⁻¹(R − γ), ν = y − F η; then ν += F G⁻¹(γ − Fᵀν), until rounding leaves nothing of the
  /// constraints above β that shows; what is left is scaled away.
  private func certifiedDual(
    _ results: [ClassResult], beta: Double
  ) -> (dual: Matrix, value: Double) {
    let gram = program.gram
    let n = gram.order
    let classes = program.classes
    let change = Matrix(classes, n)
    for c in 0..<classes {
      for i in 0..<n { change[c, i] = gram.correlations[c, i] - results[c].gamma.base[i] }
    }
    gram.solve(change.base, count: classes)
    let dual = Matrix(copying: targets)
    subtract(predictions(parameters: change, sign: -1), from: dual)
    var largest = [Double](repeating: .infinity, count: classes)
    for attempt in 0..<4 {
      let vectors = dualVectors(dual)
      for c in 0..<classes { largest[c] = judges[0].constraint(raw: vectors.row(c)) }
      if attempt == 3 || largest.allSatisfy({ $0 <= beta * (1 + 1e-9) }) { break }
      map.whiten.applyInParallel(classes * map.regions, vectors.base)
      for c in 0..<classes {
        gram.basis.project(vectors.row(c), into: change.row(c))
        for i in 0..<n { change[c, i] = results[c].gamma.base[i] - change[c, i] }
      }
      gram.solve(change.base, count: classes)
      subtract(predictions(parameters: change, sign: 1), from: dual)
    }
    var value = 0.0
    for c in 0..<classes {
      var square = 0.0
      for i in 0..<dual.rows { square += dual[i, c] * dual[i, c] }
      // Whoever recomputes Σ ν Φ adds up in another order: leave room for the rounding of such a sum.
      let unit = max(1e-14, 0x1p-52 * Double(dual.rows).squareRoot())
      let bound = largest[c] + unit * (square * map.meanSquare).squareRoot()
      let factor = bound > beta ? beta / bound : 1
      for i in 0..<dual.rows {
        dual[i, c] *= factor
        value += dual[i, c] * (targets[i, c] - 0.5 * dual[i, c])
      }
    }
    return (dual, value)
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

extension PolynomialSolver: RegularizedSolver {
  package func start(at point: Point) -> Start { .point(point) }

  package func predictions(_ point: Point, on data: MomentData) -> Matrix {
    predictions(point.blocks, on: data)
  }
}

extension PolynomialSolution {
  func with(_ status: Status) -> PolynomialSolution {
    PolynomialSolution(
      blocks: blocks, dual: dual, predictions: predictions, status: status, primal: primal,
      dualValue: dualValue, iterations: iterations)
  }
}
