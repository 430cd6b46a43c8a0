import LinearAlgebra
import Schema
import Tensors

/// Trains gated-ReLU networks with squared loss. If each pattern and output has a group, every output is a problem of
/// its own; these problems share the patterns and the kernel. If each pattern has a group, all outputs are one problem.
package final class GatedSolver: ArrangementSolver {
  package let betaMax: Double
  private let data: ArrangementData
  private let targets: Matrix
  private let grouping: WeightGrouping
  private let loss: any Loss = SquaredLoss()
  private let finest: GatedLevel
  private let problems: [Problem]
  private let interruption = Interruption()

  /// The outputs that share their groups, or a single one.
  private struct Problem {
    let outputs: Range<Int>
    /// The targets of the outputs, a row for each.
    let y: Matrix
    /// The largest ‖Xᵀ D_i y‖, or a bound of it: the network is zero for any larger β.
    let betaMax: Double
  }

  /// `targets` is n × C. If `budget` ends the work before the values of all outputs are found, `betaMax` is only a
  /// bound. Throws if the machine lacks the memory.
  package convenience init(
    _ data: ArrangementData, targets: Matrix, grouping: WeightGrouping = .perClass,
    form: GatedForm = .automatic, budget: Budget? = nil, progress: (String) -> Void = { _ in }
  ) throws {
    try self.init(
      data, targets: targets, grouping: grouping, form: form, reduction: .init(), budget: budget,
      progress: progress)
  }

  init(
    _ data: ArrangementData, targets: Matrix, grouping: WeightGrouping = .perClass,
    form: GatedForm = .automatic, reduction: ReducedLevel.Limits, budget: Budget? = nil,
    progress: (String) -> Void = { _ in }
  ) throws {
    self.data = data
    self.targets = targets
    self.grouping = grouping
    try GatedSolver.expectMemory(for: data, outputs: targets.columns, grouping: grouping)
    progress("looking for equal patterns")
    let members = DistinctPatterns(data.patterns, features: data.features).indices
    let shared = grouping == .perPattern ? targets.columns : 1
    let finest = GatedLevel(
      PatternProducts(data.features, data.patterns, members: members), outputs: shared,
      form: form, loss: loss, interruption: interruption,
      reduction: form == .automatic ? reduction : nil)
    self.finest = finest
    problems = stride(from: 0, to: targets.columns, by: shared).map { first in
      let outputs = first..<first + shared
      let y = Matrix(shared, targets.rows, outputs.flatMap { targets.column($0) })
      // ‖Xᵀ D_i y‖ ≤ ‖X‖ ‖y‖
      let bound =
        budget?.isOutOfTime ?? false
        ? norm(data.features.count, data.features.base) * norm(y.count, y.base) * (1 + 1e-9)
        : finest.products.norms(y, Array(members.indices)).max() ?? 0
      return Problem(outputs: outputs, y: y, betaMax: bound)
    }
    betaMax = problems.reduce(0) { max($0, $1.betaMax) }
  }

  /// Refuses, before any work, data that exceed the machine's memory: X twice, the kernel and its factor or the columns
  /// of it that precondition conjugate gradients, Gram matrices of members, the images of outputs that share their
  /// groups, and ŷ, ν and some weights of each output.
  private static func expectMemory(
    for data: ArrangementData, outputs: Int, grouping: WeightGrouping
  ) throws {
    let (n, d) = (Double(data.samples), Double(data.dimension))
    let shared = grouping == .perPattern ? Double(outputs) : 1
    let isKernel = data.samples <= AutomaticSystem.largestKernel
    let system =
      (isKernel ? 8 * n * n : 1.25 * NystromSystem.memory(samples: n, dimension: d))
      + min(Double(GroupPreconditioner.memory), 16 * 60 * d * d)
    let active = min(Double(data.patterns.count), shared > 1 ? 400 : 100)
    let images = shared * active * (2 * n + d)
    try Tensors.expectMemory(
      system + 8 * (2 * n * d + images + Double(outputs) * (4 * n + active * d)),
      for: "a gated network of \(data.samples) samples, \(data.dimension) features and "
        + "\(outputs) output\(outputs == 1 ? "" : "s")")
  }

  package func point(
    beta: Double, from start: ArrangementSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> ArrangementSolution {
    interruption.secondsLeft = { budget.secondsLeft }
    defer { interruption.secondsLeft = { .infinity } }
    let points = problems.map { incumbent(of: $0, beta: beta, start) }
    var counts = points.map { _ in 0 }
    func report() {
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds,
          primal: points.reduce(0) { $0 + $1.primal },
          dual: points.reduce(0) { $0 + $1.dualValue }, neurons: counts.reduce(0, +)))
      budget.publish { compose(points, beta: beta, iterations: budget.iterations) }
    }
    report()
    var status = Status.optimal
    for (k, problem) in problems.enumerated() where beta < problem.betaMax {
      guard points[k].gap > rule.gap else { continue }
      if let limit = budget.exhausted {
        status = limit
        break
      }
      let end = improve(
        points[k], of: problem, from: start, tolerance: 0.9 * rule.gap, budget
      ) { active in
        counts[k] = active
        report()
      }
      if points[k].gap > rule.gap, let end { status = end }
    }
    let solution = compose(points, beta: beta, iterations: budget.iterations)
    return solution.with(solution.gap <= rule.gap ? .optimal : status)
  }

  /// The points to begin with: the zero network, or `start` if the method goes on from weights.
  private func incumbent(
    of problem: Problem, beta: Double, _ start: ArrangementSolution?
  ) -> PatternIncumbent {
    let point = PatternIncumbent(problem.y, dimension: data.dimension, loss: loss, beta: beta)
    point.offer(dual: problem.y, largest: withRoom(problem.betaMax))
    if let start,
      problem.outputs.count > 1 || finest.prefersWeights(share: beta / problem.betaMax)
    {
      offer(start, problem, beta: beta, to: point)
    }
    return point
  }

  /// Improves `point` until its gap is at most `tolerance`; otherwise returns the reason for stopping.
  private func improve(
    _ point: PatternIncumbent, of problem: Problem, from start: ArrangementSolution?,
    tolerance: Double, _ budget: Budget, report: (Int) -> Void
  ) -> Status? {
    let beta = point.beta
    func proceed() -> Bool {
      if budget.exhausted != nil { return false }
      budget.count()
      return true
    }
    let begin = start.flatMap { self.begin($0, problem.outputs, beta: beta) }
    let end = finest.solve(
      problem.y, beta: beta, share: beta / problem.betaMax, from: begin?.eta,
      near: problem.outputs.count > 1 ? begin?.nu : nil, tolerance: tolerance,
      point: point, proceed: proceed, report: report)
    switch end {
    case .reached: return nil
    case .interrupted: return budget.exhausted ?? .timeLimit
    case .stalled:
      if problem.outputs.count == 1 {
        let fallback = GatedInteriorPoint(
          products: finest.products, patterns: data.patterns, loss: loss, gate: gate)
        fallback.solve(
          problem.y, beta: beta, tolerance: tolerance, point: point, proceed: proceed,
          report: report)
      }
      return budget.exhausted ?? .stalled
    }
  }

  private func gate(_ pattern: Int, _ target: UnsafeMutablePointer<Double>) {
    data.gates.copyDoubles(
      pattern * data.dimension..<(pattern + 1) * data.dimension, into: target)
  }

  package func predictions(_ point: ArrangementSolution, on data: Matrix) -> Matrix {
    point.predictions(on: data, of: .gatedReLU, gatesOf: self.data)
  }

  /// η of the weights of some outputs, and their ν: W_i = η_i T_i, and ‖T_i‖ is β at an optimum. Returns nil if all
  /// weights are zero.
  private func begin(
    _ start: ArrangementSolution, _ outputs: Range<Int>, beta: Double
  ) -> (eta: [Double], nu: Matrix)? {
    let members = finest.products.members
    var eta = [Double](repeating: 0, count: members.count)
    var place: [Int: Int] = [:]
    for (k, i) in members.enumerated() { place[i] = k }
    var any = false
    for (row, i) in start.index.enumerated() {
      guard let k = place[i] else { continue }
      eta[k] = frobenius(start.positive[outputs], row: row)
      any = any || eta[k] > 0
    }
    guard any else { return nil }
    let dual = Matrix(
      outputs.count, start.dual.rows, outputs.flatMap { start.dual.column($0) })
    let active = eta.indices.filter { eta[$0] > 0 }
    let largest = finest.products.norms(dual, active).max() ?? 0
    let length = largest > 0 ? largest : beta
    for k in active { eta[k] /= length }
    return (eta, dual)
  }

  /// Offers the weights and the dual point of a start unchanged: a solve that goes on from there does not end with
  /// worse ones.
  private func offer(
    _ start: ArrangementSolution, _ problem: Problem, beta: Double, to point: PatternIncumbent
  ) {
    let products = finest.products
    finest.newton.offer(
      Matrix(
        problem.outputs.count, data.samples, problem.outputs.flatMap { start.dual.column($0) }),
      problem.y, beta: beta, to: point)
    guard let active = start.members(among: products) else { return }
    _ = point.offer(Array(start.positive[problem.outputs]), of: active, products)
  }

  /// (Σ_c ‖w_c‖²)^½ over row `row` of the weights of some outputs.
  private func frobenius(_ weights: ArraySlice<Matrix>, row: Int) -> Double {
    if weights.count == 1 { return norm(data.dimension, weights.first!.row(row)) }
    var square = 0.0
    for w in weights { square += dot(data.dimension, w.row(row), w.row(row)) }
    return square.squareRoot()
  }

  /// The solution for all outputs, with objectives computed from the data.
  private func compose(
    _ points: [PatternIncumbent], beta: Double, iterations: Int
  ) -> ArrangementSolution {
    let members = finest.products.members
    let (n, d) = (data.samples, data.dimension)
    let index = Set(points.flatMap(\.active)).sorted()
    var row: [Int: Int] = [:]
    for (k, i) in index.enumerated() { row[i] = k }
    let dual = Matrix(n, targets.columns)
    let predictions = Matrix(n, targets.columns)
    let positive = (0..<targets.columns).map { _ in Matrix(index.count, d) }
    var penalty = 0.0
    for (problem, point) in zip(problems, points) {
      for (place, c) in problem.outputs.enumerated() {
        for (k, i) in point.active.enumerated() {
          let source = point.weights.rows.row(place * point.active.count + k)
          positive[c].row(row[i]!).update(from: source, count: d)
        }
        for j in 0..<n {
          dual[j, c] = point.dual[place, j]
          predictions[j, c] = point.predictions[place, j]
        }
      }
      for k in index.indices { penalty += frobenius(positive[problem.outputs], row: k) }
    }
    return ArrangementSolution(
      index: index.map { members[$0] }, positive: positive, dual: dual, predictions: predictions,
      status: .optimal, primal: loss.value(predictions, targets) + beta * penalty,
      dualValue: loss.dualValue(dual, targets), iterations: iterations)
  }
}

extension ArrangementSolution {
  package func with(_ status: Status) -> ArrangementSolution {
    var result = self
    result.status = status
    return result
  }
}
