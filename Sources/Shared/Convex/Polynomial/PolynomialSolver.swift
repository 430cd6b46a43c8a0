import LinearAlgebra
import Schema
import Tensors

/// The algorithms for polynomial activations.
package enum PolynomialMethod: String, CaseIterable, Sendable {
  case auto, admm
  case interiorPoint = "interior-point"
}

/// The result of `PolynomialSolver.solve`: points in the program's own variables.
package struct PolynomialSolution: CertifiedSolution {
  /// Z of every class: 2R rows (Z of each region, then Z' of each) of m × m.
  package let blocks: [Matrix]
  /// ν and ŷ, n × C; with `sums` U, Q × C, and nothing.
  package let dual: Matrix
  package let predictions: Matrix
  package var sums: DualSums?
  package let status: Status
  package let primal: Double
  package let dualValue: Double
  package let iterations: Int
}

/// A search for the optimum of one program: the part of the solver that depends on the loss.
protocol PolynomialSearch: AnyObject {
  /// The smallest β for which the zero network is optimal.
  var betaMax: Double { get }
  var method: PolynomialMethod { get set }

  /// Brings the gap to `tolerance`, or reports what prevented it. `tell` is called at each check, and can ask for the
  /// best points so far.
  func improve(
    _ start: PolynomialSolver.Start, beta: Double, tolerance: Double, budget: Budget,
    tell: (TraceRow, () -> PolynomialSolver.Point) -> Void
  ) -> PolynomialSolver.Point

  /// ŷ on the data, if there are any, and the loss.
  func evaluated(_ blocks: [ConeBlocks]) -> (predictions: Matrix, loss: Double)

  /// ν (n × C), feasible on the data themselves, or its coefficients over sums; and its value.
  func certifiedDual(
    _ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort
  ) -> (dual: Matrix, value: Double)

  /// The point's blocks with as many small eigenvalues dropped as `effort` allows, rebuilt from their neurons.
  func sparse(_ point: PolynomialSolver.Point, beta: Double, _ effort: CertificateEffort)
    -> [ConeBlocks]
}

/// How much work a certificate is worth.
enum CertificateEffort {
  /// A few products with the data: for a point that the search may leave behind.
  case once
  /// ν is corrected until it is feasible, and small eigenvalues are dropped while the objective grows by at most
  /// `slack` of its value.
  case thoroughly(slack: Double)

  /// Corrections of ν.
  var corrections: Int { if case .once = self { 0 } else { 3 } }

  /// The shares of the largest eigenvalue to try to drop, the largest share first, and the relative growth of the
  /// objective that is allowed; the last share is taken whatever it costs.
  var cutoffs: (shares: [Double], slack: Double) {
    switch self {
    case .once: ([NeuralDecomposition.cutoffs.last!], 0)
    case .thoroughly(let slack): (NeuralDecomposition.cutoffs, slack)
    }
  }
}

/// Trains polynomial-activation networks to a certified optimum: it reads the data into a Gram matrix, solves for any
/// number of β, and reads the data again for the final certificate. For squared loss these are the only readings; for
/// other losses every iteration reads the data.
package final class PolynomialSolver {
  private let map: FeatureMap
  /// The sums that it was made from, if there are no samples.
  private let statistics: StatisticsTensors?
  private let search: any PolynomialSearch
  /// The power of two by which the activation is divided inside: the program of σ/u with β/u has the optimum u Z. So
  /// the features in the search are of size about one, and no rounding is added.
  private let unit: Double

  /// The smallest β for which the zero network is optimal.
  package var betaMax: Double { unit * search.betaMax }
  /// The algorithm for the following solves; only for squared loss is there a choice.
  package var method: PolynomialMethod {
    get { search.method }
    set { search.method = newValue }
  }

  /// `targets` is n × C. Throws if the data hold a value that is not finite. With `splitsLoss`, squared loss is also
  /// solved by the algorithm for all losses.
  package init(
    _ data: MomentData, targets: Matrix, activation: PolynomialActivation,
    loss name: LossName = .squared, weighting: ClassWeighting? = nil, splitsLoss: Bool = false,
    progress: (String) -> Void = { _ in }
  ) throws {
    let splits = splitsLoss || name != .squared || weighting != nil
    try PolynomialSolver.expectMemory(
      for: data, classes: targets.columns, splitting: splits ? name : nil)
    let data = splits ? data.resident : data
    for coefficient in [activation.a, activation.b, activation.c] {
      try Magnitudes.expect(abs(coefficient), "the coefficients of the activation")
    }
    var map = FeatureMap(data, activation: activation)
    try Magnitudes.expect(
      (Double(data.samples) * map.meanSquare).squareRoot(), "the moments of the features")
    unit = PolynomialSolver.unit(map.meanSquare.squareRoot())
    if unit != 1 { map = FeatureMap(data, activation: activation.divided(by: unit)) }
    self.map = map
    statistics = nil
    let model = PolynomialModel(data: data, map: map)
    let gram = try GramSystem(data, map: map, targets: targets, progress: progress)
    let program = PolynomialProgram(map: map, gram: gram, classes: targets.columns)
    search =
      splits
      ? LossSearch(program, model: model, loss: name.loss(weighting), targets: targets)
      : SquaredSearch(
        program, witness: SampleWitness(program: program, model: model, targets: targets),
        targets: targets)
  }

  /// For squared loss, from sums over the samples. Throws if they are of another design, or the machine lacks the
  /// memory.
  package init(_ statistics: StatisticsTensors) throws {
    guard case .polynomial(let activation, let whitening) = statistics.design else {
      throw Failure.data(
        "\(statistics.name) has the design \(statistics.design.name.text), expected polynomial")
    }
    let (q, classes) = (statistics.order, statistics.outputs)
    try Tensors.expectMemory(
      8 * 4 * Double(q) * Double(q), for: "a program of \(q) features and \(classes) outputs")
    guard
      let given = FeatureMap(
        whitening: Matrix(whitening), regions: statistics.regions, activation: activation)
    else { throw Failure.data("tensor \"whitening\" of \(statistics.name) is singular") }
    unit = PolynomialSolver.unit(of: statistics, given)
    map = unit == 1 ? given : given.divided(by: unit)
    self.statistics = statistics
    let gram = try GramSystem(
      gram: statistics.triangle.full(mirrored: false), right: statistics.right.transposed,
      squares: statistics.squares, map: map)
    let program = PolynomialProgram(map: map, gram: gram, classes: classes)
    search = SquaredSearch(
      program, witness: SumWitness(program: program), targets: Matrix(0, classes))
  }

  /// The power of 4 nearest to the length of the mean features of a region; 1 if that is near enough to one.
  private static func unit(of statistics: StatisticsTensors, _ map: FeatureMap) -> Double {
    let mean = Matrix(1, map.count)
    statistics.sums.copyDoubles(0..<map.count, into: mean.base)
    map.unwhiten.apply(map.regions, mean.base, mean.base, scratch: map.unwhiten.makeScratch())
    let length =
      norm(map.count, mean.base) / (Double(statistics.samples) * Double(map.regions).squareRoot())
    let unit = unit(length)
    return unit.exponent % 2 == 0 ? unit : 2 * unit
  }

  /// The largest power of two up to `length`, the root of the mean square of features; 1 if that is near enough to one.
  private static func unit(_ length: Double) -> Double {
    guard length.isNormal, abs(length.exponent) > 10 else { return 1 }
    return Double(sign: .plus, exponent: length.exponent, significand: 1)
  }

  /// Refuses, before any work, a program whose matrices exceed the machine's memory: the Gram matrix or kernel, its
  /// factor or inverse, and an algorithm's copies of them; for each class z, which is held at least three times, and
  /// the columns of y, ŷ and ν. If the loss is split off, also the moments in double precision, and more columns.
  private static func expectMemory(
    for data: MomentData, classes: Int, splitting loss: LossName?
  ) throws {
    let m = Double(data.features + 1)
    let q = Double(data.regions) * m * (m + 1) / 2
    let n = Double(data.samples)
    var system = n < q ? 3 * n * q + 2 * n * n : 3 * q * q
    var variables = Double(classes) * (3 * 2 * Double(data.regions) * m * m + 3 * n)
    if let loss {
      // The Gram matrix in raw coordinates with its factor; for a loss with kinks each class has its own.
      system += (n < q ? 3 : 1) * q * q + data.residentSize / 8
      if !loss.loss.isDifferentiable { system += Double(classes) * q * q }
      variables *= 4
    }
    let outputs = "\(classes) output\(classes == 1 ? "" : "s")"
    try Tensors.expectMemory(
      8 * (system + variables),
      for: "a program of \(data.regions) region\(data.regions == 1 ? "" : "s"), "
        + "\(data.features) features and \(outputs) (patchify --pool, --whiten with --components "
        + "make it smaller)")
  }

  // MARK: Solving

  /// The best primal and dual points for one β, not yet certified on the data.
  package struct Point: Bounded {
    enum Best {
      case squared([ClassResult])
      case any(PolynomialIncumbent)
    }
    let best: Best
    let status: Status

    package var blocks: [Matrix] {
      switch best {
      case .squared(let results): results.map(\.blocks)
      case .any(let best): best.weights.blocks
      }
    }
    package var primal: Double {
      switch best {
      case .squared(let results): results.primal
      case .any(let best): best.primal
      }
    }
    package var dual: Double {
      switch best {
      case .squared(let results): results.dual
      case .any(let best): best.dualValue
      }
    }
    package var dualBound: Double { dual }
  }

  /// The start of a solve.
  package enum Start {
    case cold
    /// Z of every class, 2R rows of m × m.
    case blocks([Matrix])
    /// An earlier result, for this β or another.
    case point(Point)
  }

  /// Solves for one β and certifies the solution on the data.
  package func solution(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> PolynomialSolution {
    var tolerance = 0.8 * rule.gap
    func improve(_ start: Start) -> Point {
      improved(start, beta: beta, tolerance: tolerance, budget: budget, trace: trace)
    }
    var point = improve(start)
    while true {
      let solution = certified(point, beta: beta, rule: rule, budget: budget)
      if solution.gap <= rule.gap { return solution.with(.optimal) }
      if point.status != .optimal || tolerance < 1e-3 * rule.gap {
        return solution.with(point.status == .optimal ? .stalled : point.status)
      }
      // On the data the gap is slightly larger than the Gram matrix promised: go on.
      tolerance *= 0.1
      point = improve(.point(point))
    }
  }

  /// The best points for one β without the passes over the data that certify them: for the β of a path, most of which
  /// are not chosen.
  package func point(
    beta: Double, from start: Start, rule: StoppingRule, budget: Budget, trace: (TraceRow) -> Void
  ) -> Point {
    improved(start, beta: beta, tolerance: 0.8 * rule.gap, budget: budget, trace: trace)
  }

  private func improved(
    _ start: Start, beta: Double, tolerance: Double, budget: Budget, trace: (TraceRow) -> Void
  ) -> Point {
    var start = start
    if case .blocks(let blocks) = start { start = .blocks(scaled(blocks, by: unit)) }
    return search.improve(start, beta: beta / unit, tolerance: tolerance, budget: budget) {
      row, point in
      trace(row)
      budget.publish { judged(point(), beta: beta, .once, budget) }
    }
  }

  // MARK: The certificate

  package func certified(
    _ point: Point, beta: Double, rule: StoppingRule, budget: Budget
  ) -> PolynomialSolution {
    judged(point, beta: beta, .thoroughly(slack: 0.1 * rule.gap), budget)
  }

  /// Converts the best points to the program's own variables and evaluates them on the data.
  private func judged(
    _ point: Point, beta: Double, _ effort: CertificateEffort, _ budget: Budget
  ) -> PolynomialSolution {
    let beta = beta / unit
    let (dual, dualValue) = search.certifiedDual(point, beta: beta, effort)
    // Primal: as few neurons as the objective allows, and Z as their sum.
    let blocks = search.sparse(point, beta: beta, effort)
    let (predictions, loss) = search.evaluated(blocks)
    var regularizer = 0.0
    let corner = map.order * map.order - 1
    for block in blocks { for b in 0..<block.rows { regularizer += block[b, corner] } }
    return PolynomialSolution(
      blocks: scaled(blocks, by: 1 / unit), dual: dual, predictions: predictions,
      sums: statistics.map { DualSums(scale: Array(repeating: 1, count: blocks.count), of: $0) },
      status: point.status, primal: loss + beta * regularizer, dualValue: dualValue,
      iterations: budget.iterations)
  }
}

extension PolynomialSolver: RegularizedSolver {
  package func start(at point: Point) -> Start { .point(point) }

  package func predictions(_ point: Point, on data: MomentData) -> Matrix {
    map.predictions(packed: map.packed(point.blocks), on: data)
  }

  package func loss(_ point: Point, over sums: StatisticsTensors) -> Double {
    let whitened = map.packed(point.blocks)
    map.whitenVariable.applyInParallel(whitened.rows * map.regions, whitened.base)
    return sums.loss(of: whitened.transposed)
  }

  /// ŷ (n × C) of the network with Z and Z' of every class.
  package func predictions(_ blocks: [Matrix], on data: MomentData) -> Matrix {
    map.predictions(packed: map.packed(scaled(blocks, by: unit)), on: data)
  }

  private func scaled(_ blocks: [Matrix], by factor: Double) -> [Matrix] {
    guard factor != 1 else { return blocks }
    return blocks.map { block in
      let result = Matrix(copying: block)
      scale(result.count, factor, result.base)
      return result
    }
  }
}

extension PolynomialSolution {
  /// The zero network, and the zero dual point.
  package init(zero targets: Targets, like data: MomentData) {
    let zero = Matrix(targets.values.rows, targets.values.columns)
    let loss = targets.function
    self.init(
      blocks: PolynomialSolution.zeros(targets, regions: data.regions, dimension: data.features),
      dual: zero, predictions: zero, status: .stalled, primal: loss.value(zero, targets.values),
      dualValue: loss.dualValue(zero, targets.values), iterations: 0)
  }

  /// The same over sums: U = 0 and s = 0.
  package init(zero targets: Targets, of statistics: StatisticsTensors) {
    let outputs = targets.values.columns
    self.init(
      blocks: PolynomialSolution.zeros(
        targets, regions: statistics.regions, dimension: statistics.dimension),
      dual: Matrix(statistics.order, outputs), predictions: Matrix(0, outputs),
      sums: DualSums(scale: Array(repeating: 0, count: outputs), of: statistics), status: .stalled,
      primal: 0.5 * statistics.squares.reduce(0, +), dualValue: 0, iterations: 0)
  }

  private static func zeros(_ targets: Targets, regions: Int, dimension: Int) -> [Matrix] {
    (0..<targets.values.columns).map { _ in
      Matrix(2 * regions, (dimension + 1) * (dimension + 1))
    }
  }

  func with(_ status: Status) -> PolynomialSolution {
    PolynomialSolution(
      blocks: blocks, dual: dual, predictions: predictions, sums: sums, status: status,
      primal: primal, dualValue: dualValue, iterations: iterations)
  }
}
