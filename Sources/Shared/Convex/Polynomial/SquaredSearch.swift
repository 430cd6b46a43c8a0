import LinearAlgebra
import Schema

/// The search for squared loss: the classes are independent, and the samples enter only through the Gram matrix. A
/// witness, the samples themselves or sums over them, certifies what it finds.
final class SquaredSearch: PolynomialSearch {
  private let program: PolynomialProgram
  private let witness: any PolynomialWitness
  private let targets: Matrix
  private let judges: [Judge]
  /// Judges certified points while the other judges may be at work.
  private lazy var certifier = Judge(program)
  private var inverse: GramSystem.Inverse?
  private var admm: ADMM?
  let betaMax: Double
  var method = PolynomialMethod.auto

  private var map: FeatureMap { program.map }

  /// `targets` is n × C, or has no rows if there are only sums over the samples.
  init(_ program: PolynomialProgram, witness: any PolynomialWitness, targets: Matrix) {
    self.program = program
    self.witness = witness
    self.targets = targets
    judges = (0..<min(Threads.count, targets.columns)).map { _ in Judge(program) }
    var largest = 0.0
    for c in 0..<targets.columns {
      largest = max(largest, judges[0].constraint(program.gram.correlations.row(c)))
    }
    betaMax = largest
  }

  private func initial(_ start: PolynomialSolver.Start, beta: Double) -> [ClassResult] {
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
        guard case .squared(let results) = point.best else { return result }
        blocks = results[c].blocks
        let gamma = Matrix(copying: results[c].gamma)
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

  /// Brings the gap to `tolerance`, or reports what prevented it.
  func improve(
    _ start: PolynomialSolver.Start, beta: Double, tolerance: Double, budget: Budget,
    tell: (TraceRow, () -> PolynomialSolver.Point) -> Void
  ) -> PolynomialSolver.Point {
    var results = initial(start, beta: beta)
    func report(_ results: [ClassResult], _ neurons: Int) {
      tell(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: results.primal,
          dual: results.dual, neurons: neurons)
      ) { PolynomialSolver.Point(best: .squared(results), status: .stalled) }
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
    return PolynomialSolver.Point(best: .squared(results), status: status)
  }

  /// The interior-point method costs a factorisation per iteration and class, ADMM a few in all: with several classes
  /// and a large Gram matrix ADMM wins, unless β is so small that it does not converge.
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
    // Small systems take a thread per class, large ones all threads inside BLAS. If the iterations may run out, their
    // distribution over the classes must not depend on the threads' timing: solve one class after the other.
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

  func certifiedDual(
    _ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort
  ) -> (dual: Matrix, value: Double) {
    guard case .squared(let results) = point.best else { return (Matrix(copying: targets), 0) }
    return witness.certifiedDual(results, beta: beta, effort, judge: certifier)
  }

  func evaluated(_ blocks: [ConeBlocks]) -> (predictions: Matrix, loss: Double) {
    witness.evaluated(blocks, judge: certifier)
  }

  func sparse(_ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort)
    -> [ConeBlocks]
  {
    guard case .squared(let results) = point.best else { return point.blocks }
    return results.enumerated().map { sparse($0, $1, beta: beta, effort) }
  }

  /// The best blocks of class `c` with as many small eigenvalues dropped as `effort` allows, rebuilt from neurons.
  private func sparse(
    _ c: Int, _ result: ClassResult, beta: Double, _ effort: CertificateEffort
  ) -> ConeBlocks {
    let m = map.order
    let judge = certifier
    let largest = judge.largestEigenvalue(result.blocks)
    let rebuilt = ConeBlocks(result.blocks.rows, m * m)
    guard largest > 0 else { return rebuilt }
    let (shares, slack) = effort.cutoffs
    for share in shares {
      NeuralDecomposition.rebuild(
        result.blocks, order: m, cutoff: share * largest, isEven: map.activation.isEven,
        into: rebuilt)
      if share == shares.last { break }
      if judge.objective(c, rebuilt, beta: beta) <= result.primal + slack * abs(result.primal) {
        break
      }
    }
    return rebuilt
  }
}
