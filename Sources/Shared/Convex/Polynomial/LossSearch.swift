import LinearAlgebra
import Schema

/// The search for a loss other than the squared one: every iteration reads the data. For few samples the interior-point
/// method is faster and more reliable; ADMM serves all other cases, and goes on if that method ends early.
final class LossSearch: PolynomialSearch {
  private let program: PolynomialProgram
  private let model: PolynomialModel
  private let loss: any Loss
  private let targets: Matrix
  private let products: FeatureProducts
  private let judge: LossJudge
  private var admm: LossADMM?
  private var interiorPoint: SplitInteriorPoint?
  let betaMax: Double
  var method = PolynomialMethod.auto

  /// ν = −∇ℓ(0) and its largest constraint: dual points start at its feasible multiple.
  private let steepest: Matrix

  init(_ program: PolynomialProgram, model: PolynomialModel, loss: any Loss, targets: Matrix) {
    self.program = program
    self.model = model
    self.loss = loss
    self.targets = targets
    products = FeatureProducts(model.data, map: program.map, classes: targets.columns)
    judge = LossJudge(program, products, loss: loss, targets: targets)
    steepest = Matrix(targets.rows, targets.columns)
    loss.residual(Matrix(targets.rows, targets.columns), targets, into: steepest)
    let sums = Matrix(targets.columns, program.map.count)
    products.adjoint(steepest, into: sums)
    betaMax = judge.constraint(sums)
  }

  private func initial(_ start: PolynomialSolver.Start, beta: Double) -> PolynomialIncumbent {
    let size = program.order * program.order
    let zero = FeasibleBlocks(
      blocks: (0..<program.classes).map { _ in ConeBlocks(2 * program.regions, size) })
    let best = PolynomialIncumbent(loss, targets: targets, beta: beta, zero: zero)
    best.offer(dual: steepest, largest: betaMax)
    let blocks: [ConeBlocks]
    switch start {
    case .cold: return best
    case .blocks(let all): blocks = all
    case .point(let point):
      blocks = point.blocks
      // That point satisfies the constraints of its own β.
      if case .any(let previous) = point.best {
        best.offer(dual: previous.dual, largest: previous.beta)
      }
    }
    judge.offer(blocks.map { Matrix(copying: $0) }, to: best)
    return best
  }

  func improve(
    _ start: PolynomialSolver.Start, beta: Double, tolerance: Double, budget: Budget,
    tell: (TraceRow, () -> PolynomialSolver.Point) -> Void
  ) -> PolynomialSolver.Point {
    let best = initial(start, beta: beta)
    func report() {
      tell(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: best.primal,
          dual: best.dualValue, neurons: judge.rank(best.weights.blocks))
      ) { PolynomialSolver.Point(best: .any(best), status: .stalled) }
    }
    report()
    let proceed = {
      budget.count()
      return budget.exhausted == nil
    }
    if best.gap > tolerance, budget.exhausted == nil,
      SplitInteriorPoint.suits(program, targets)
    {
      let solver =
        interiorPoint
        ?? SplitInteriorPoint(
          program, model, products, loss: loss, targets: targets, judge: judge)
      interiorPoint = solver
      solver.solve(
        beta: beta, tolerance: tolerance, best: best, proceed: proceed, report: report)
    }
    if best.gap > tolerance, budget.exhausted == nil {
      let solver = admm ?? LossADMM(program, products, loss: loss, targets: targets)
      admm = solver
      solver.start(from: best.weights.blocks, beta: beta)
      solver.solve(
        beta: beta, tolerance: tolerance, judge: judge, best: best, proceed: proceed,
        report: report)
    }
    let status: Status = best.gap <= tolerance ? .optimal : budget.exhausted ?? .stalled
    return PolynomialSolver.Point(best: .any(best), status: status)
  }

  func certifiedDual(
    _ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort
  ) -> (dual: Matrix, value: Double) {
    guard case .any(let best) = point.best else { return (Matrix(copying: targets), 0) }
    let dual = Matrix(copying: best.dual)
    var largest = judge.constraint(model.dualVectors(dual))
    // Another program may compute Σ ν Φ in another order: leave room for the rounding of such a sum.
    let unit = max(1e-14, 0x1p-52 * Double(dual.rows).squareRoot())
    var square = 0.0
    for c in 0..<dual.columns {
      square = max(square, (0..<dual.rows).reduce(0) { $0 + dual[$1, c] * dual[$1, c] })
    }
    largest += unit * (square * program.map.meanSquare).squareRoot()
    loss.scale(dual, targets, beta: beta, largest: largest)
    return (dual, loss.dualValue(dual, targets))
  }

  func evaluated(_ blocks: [ConeBlocks]) -> (predictions: Matrix, loss: Double) {
    let predictions = model.predictions(blocks, on: model.data)
    return (predictions, loss.value(predictions, targets))
  }

  func sparse(_ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort)
    -> [ConeBlocks]
  {
    let blocks = point.blocks
    let rebuilt = blocks.map { ConeBlocks($0.rows, $0.columns) }
    let largest = blocks.map { judge.largestEigenvalue($0) }
    guard largest.contains(where: { $0 > 0 }) else { return rebuilt }
    let (shares, slack) = effort.cutoffs
    for share in shares {
      for c in 0..<blocks.count where largest[c] > 0 {
        NeuralDecomposition.rebuild(
          blocks[c], order: program.order, cutoff: share * largest[c],
          isEven: program.map.activation.isEven, into: rebuilt[c])
      }
      if share == shares.last { break }
      if judge.objective(rebuilt, beta: beta).primal <= point.primal + slack * abs(point.primal) {
        break
      }
    }
    return rebuilt
  }
}
