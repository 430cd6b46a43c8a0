import Convex
import Glibc
import LinearAlgebra
import Patches
import Schema
import Tensors

/// Trains convolutional ReLU networks with average pooling over given patterns to a certified optimum of
///
///   min ℓ(Σ_i Σ_r F_ir (v_ir − w_ir)) + β Σ (‖v_i‖ + ‖w_i‖),  F_ir = (1/P_r) Σ_{k in r} D_i^k X_k,
///
/// with every v_ir and w_ir in the cone of pattern i over all n·K patches (Ergen and Pilanci 2021), by
/// `ReLUInteriorPoint` over the rows of the cones that matter. With K = 1 it is the fully-connected program.
package final class ConvolutionalReLUSolver: ConvolutionalSolver {
  package let betaMax: Double
  private let data: ConvolutionalData
  private let loss: any Loss
  private let features: ReLUFeatures
  private let cones: WorkingCones
  private let progress: (String) -> Void
  /// Programs that share no variables: one per class, or one for all.
  private let parts: [Part]

  private struct Part {
    let classes: [Int]
    /// y, n × C.
    let targets: Matrix
    let map: ReLUOperator
    let pricing: ReLUPricing
    let betaMax: Double
  }

  /// `targets` is n × C. If `budget` ends the work on the cones, `betaMax` is only a bound.
  package init(
    _ data: ConvolutionalData, targets: Matrix, loss name: LossName = .squared,
    weighting: ClassWeighting? = nil, grouping: WeightGrouping = .perClass, budget: Budget? = nil,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    let proceed = { !(budget?.isOutOfTime ?? false) }
    self.data = data
    self.progress = progress
    let loss = name.loss(weighting)
    self.loss = loss
    let (n, outputs) = (targets.rows, targets.columns)
    let joint =
      grouping == .perPattern || !loss.isSeparable ? Double(outputs) : 1
    try expectMemory(
      8 * Double(n) * Double(n) * (joint + 1 + Double(data.patches.patchCount == 1 ? 3 : 0))
        + 16 * Double(data.gates.shape[0] * data.dimension * data.dimension * data.regions)
        * joint,
      for: "a ReLU program of \(n) samples and \(data.gates.shape[0]) patterns")
    progress("features of \(data.gates.shape[0]) patterns")
    let features = try ReLUFeatures(
      data.patches, gates: data.gates, thresholds: data.thresholds?.doubles,
      patterns: data.patterns)
    self.features = features
    let gates = Matrix(data.gates.shape[0], data.dimension)
    data.gates.copyDoubles(0..<gates.count, into: gates.base)
    let cones = WorkingCones(features, gates: gates, proceed: proceed, progress: progress)
    self.cones = cones
    let together = grouping == .perPattern
    // Classes are separate if neither the norm nor the loss joins them.
    let groups =
      together || !loss.isSeparable
      ? [Array(0..<outputs)] : (0..<outputs).map { [$0] }
    parts = groups.map { classes in
      let part = Matrix(n, classes.count)
      for i in 0..<n { for (k, c) in classes.enumerated() { part[i, k] = targets[i, c] } }
      let map = ReLUOperator(features, outputs: classes.count, together: together)
      let pricing = ReLUPricing(cones, map: map)
      let slope = Matrix(n, classes.count)
      loss.residual(Matrix(n, classes.count), part, into: slope)
      let name = classes.count == 1 ? "output \(classes[0])" : "all outputs"
      return Part(
        classes: classes, targets: part, map: map, pricing: pricing,
        betaMax: pricing.largest(slope.transposed, proceed: proceed) {
          progress("beta_max of \(name): \($0) cones")
        })
    }
    betaMax = parts.reduce(0) { max($0, $1.betaMax) }
  }

  package func predictions(_ point: ArrangementSolution, on data: PatchSource) -> Matrix {
    point.pooledReLUPredictions(on: data)
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    let points = parts.map {
      ReLUIncumbent(
        loss, targets: $0.targets, beta: beta,
        zero: ReLUWeights(rows: Matrix($0.map.groups.count, $0.map.length)))
    }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue },
          neurons: points.reduce(0) { $0 + $1.weights.active.count }))
      budget.publish { compose(points, iterations: budget.iterations) }
    }
    for (part, point) in zip(parts, points) {
      offerSlope(part, to: point)
      if let start {
        offer(start, part, beta: beta, to: point) { !budget.isOutOfTime }
      }
    }
    report()
    var status = Status.optimal
    for (part, point) in zip(parts, points) where point.gap > rule.gap && beta < part.betaMax {
      if let limit = budget.exhausted {
        status = limit
        break
      }
      let solve = ReLUSolve(
        cones, loss: loss, targets: part.targets, map: part.map, pricing: part.pricing, beta: beta,
        point: point)
      solve.run(tolerance: 0.9 * rule.gap, budget: budget, report: report)
      if point.gap > rule.gap { status = budget.exhausted ?? .stalled }
    }
    var solution = compose(points, iterations: budget.iterations)
    solution.status = solution.gap <= rule.gap ? .optimal : status
    return solution
  }

  /// Offers ν of the zero network, which is the optimum for β ≥ β_max.
  private func offerSlope(_ part: Part, to point: ReLUIncumbent) {
    let slope = Matrix(part.targets.rows, part.targets.columns)
    loss.residual(Matrix(slope.rows, slope.columns), part.targets, into: slope)
    point.offer(dual: slope, largest: withRoom(part.betaMax))
  }

  /// Offers both points of an earlier solution.
  private func offer(
    _ start: ArrangementSolution, _ part: Part, beta: Double, to point: ReLUIncumbent,
    while proceed: () -> Bool
  ) {
    let length = features.regions * features.dimension
    let groups = part.map.groups
    let weights = Matrix(groups.each * start.index.count, part.map.length)
    var list: [Int] = []
    for (a, i) in start.index.enumerated() where cones.cones[i].isOpen {
      for (range, outputs) in groups.ranges.enumerated() {
        for (sign, matrices) in [start.positive, start.negative].enumerated() {
          for (k, c) in outputs.enumerated() {
            (weights.row(list.count) + k * length).update(
              from: matrices[part.classes[c]].row(a), count: length)
          }
          list.append(groups.number(i, range: range, sign: sign))
        }
      }
    }
    let solve = ReLUSolve(
      cones, loss: loss, targets: part.targets, map: part.map, pricing: part.pricing, beta: beta,
      point: point)
    if !list.isEmpty { _ = solve.offer(weights, list) }
    let dual = Matrix(part.targets.rows, part.classes.count)
    for j in 0..<dual.rows {
      for (k, c) in part.classes.enumerated() { dual[j, k] = start.dual[j, c] }
    }
    point.offer(
      dual: dual,
      largest: withRoom(part.pricing.largest(dual.transposed, above: beta, proceed: proceed)))
  }

  /// The solution of all classes.
  private func compose(_ points: [ReLUIncumbent], iterations: Int) -> ArrangementSolution {
    let (n, length) = (features.samples, features.regions * features.dimension)
    let outputs = parts.reduce(0) { $0 + $1.classes.count }
    let used = Set(
      zip(parts, points).flatMap { part, point in
        point.weights.active.map { part.map.groups.pattern($0) }
      }
    ).sorted()
    let predictions = Matrix(n, outputs)
    let dual = Matrix(n, outputs)
    var weights = (0..<2).map { _ in [Matrix]() }
    for (part, point) in zip(parts, points) {
      for (k, c) in part.classes.enumerated() {
        for sign in 0..<2 {
          let matrix = Matrix(used.count, length)
          for (a, i) in used.enumerated() {
            let groups = part.map.groups
            let range = k / groups.width
            let row = point.weights.rows.row(groups.number(i, range: range, sign: sign))
            matrix.row(a).update(from: row + (k - range * groups.width) * length, count: length)
          }
          weights[sign].append(matrix)
        }
        for j in 0..<n {
          predictions[j, c] = point.predictions[j, k]
          dual[j, c] = point.dual[j, k]
        }
      }
    }
    return ArrangementSolution(
      index: used, positive: weights[0], negative: weights[1], dual: dual,
      predictions: predictions, status: .optimal, primal: points.reduce(0) { $0 + $1.primal },
      dualValue: points.reduce(0) { $0 + $1.dualValue }, iterations: iterations)
  }
}
