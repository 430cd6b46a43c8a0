import LinearAlgebra
import Schema
import Tensors

/// Trains ReLU networks of several outputs with weight decay on both layers over the cells of data of rank at most 4, or of at most 8 independent rows (Sahiner,
/// Ergen, Pauly and Pilanci 2021): min ℓ(Σ D_i X V_i) + β Σ ‖V_i‖_{K_i}, the gauge ‖V‖_K being the least Σ ‖u_k‖ ‖a_k‖ of
/// V = Σ u_k a_kᵀ with u_k ∈ K.
///
/// Column generation: the master is a group lasso over the rows a_k of the neurons (X u_k)₊ so far, and those of the largest price
/// ‖Nᵀ (X u)₊‖ above β enter.
package final class FaceSolver: RegularizedSolver {
  package let betaMax: Double
  private let faces: FaceData
  private let targets: Matrix
  private let loss: any Loss
  private let pricing: FacePricing
  private var data: ArrangementData { faces.rows }

  /// `targets` are n × C. With several patches a sample the cells are those of all patches, and neurons have output weights for each
  /// region. Returns nil if the rank is above 4 (8 for independent rows), if gates have thresholds, or if a gate does not attain its
  /// pattern strictly.
  package init?(_ faces: FaceData, targets: Matrix, loss: LossName) {
    guard let cells = LowRankCells(faces.rows, allowsIndependentRows: true) else { return nil }
    (self.faces, self.targets, self.loss) = (faces, targets, loss.loss)
    pricing = FacePricing(cells, patterns: faces.rows.patterns)
    let slope = Matrix(targets.rows, targets.columns)
    self.loss.residual(Matrix(targets.rows, targets.columns), targets, into: slope)
    betaMax = withRoom(pricing.neurons(faces.spread(slope), above: 0).largest)
  }

  package func start(at point: FactoredSolution) -> FactoredSolution? { point }

  /// `data` are the patches of any samples as rows.
  package func predictions(_ point: FactoredSolution, on data: Matrix) -> Matrix {
    let outputs = targets.columns
    let result = Matrix(data.rows * faces.samples / self.data.samples, outputs)
    var values = [Double](repeating: 0, count: data.rows)
    for neuron in point.neurons {
      gemv(data.rows, data.columns, data.base, .plain, neuron.direction, &values)
      faces.pool(values.map { max(0, $0) }) { i, r, mean in
        for c in 0..<outputs { result[i, c] += mean * neuron.output[r * outputs + c] }
      }
    }
    return result
  }

  /// Neurons that enter in a round, and rounds without a smaller gap after which the numbers are at their end.
  private static let (entering, patience) = (30, 12)
  /// How accurate the weights of the neurons so far are, relative to the gap: at first, and in the end if no others are found.
  private static let accuracies = 1e-5...0.05

  package func point(
    beta: Double, from start: FactoredSolution?, rule: StoppingRule, budget: Budget,
    trace: (TraceRow) -> Void
  ) -> FactoredSolution {
    let point = Incumbent<[FactoredSolution.Neuron]>(loss, targets: targets, beta: beta, zero: [])
    var neurons = start?.neurons ?? []
    let nu = Matrix(targets.rows, targets.columns)
    func compose(_ status: Status) -> FactoredSolution {
      FactoredSolution(
        point.weights, dual: Matrix(copying: point.dual),
        predictions: Matrix(copying: point.predictions), status: status, primal: point.primal,
        dualValue: point.dualValue, iterations: budget.iterations)
    }
    loss.residual(nu, targets, into: nu)
    var accuracy = FaceSolver.accuracies.upperBound
    func refit() {
      neurons = fit(neurons, point, nu, accuracy: accuracy, rule: rule, budget: budget)
    }
    if !neurons.isEmpty { refit() }
    var (best, idle) = (Double.infinity, 0)
    while true {
      let (found, largest) = pricing.neurons(faces.spread(nu), above: beta)
      point.offer(dual: nu, largest: withRoom(largest))
      trace(
        TraceRow(
          iteration: budget.iterations, seconds: budget.seconds, primal: point.primal,
          dual: point.dualValue, neurons: point.weights.count))
      budget.publish { compose(.stalled) }
      // A tenth is left for the rounding of anyone who recomputes the gap.
      if point.gap <= 0.9 * rule.gap || beta >= betaMax { return compose(.optimal) }
      if let limit = budget.exhausted { return compose(limit) }
      idle = point.gap < 0.9 * best ? 0 : idle + 1
      best = min(best, point.gap)
      let new = found.filter { neuron in !neurons.contains { $0.isParallel(to: neuron) } }
      if idle > FaceSolver.patience || new.isEmpty {
        // A more accurate ν tells directions apart that are one so far.
        guard accuracy > FaceSolver.accuracies.lowerBound else { return compose(.stalled) }
        (accuracy, idle) = (0.1 * accuracy, 0)
      }
      neurons += new.prefix(FaceSolver.entering).map {
        FactoredSolution.Neuron(
          cell: $0.cell, direction: $0.direction,
          output: Array(repeating: 0, count: faces.regions * targets.columns))
      }
      refit()
    }
  }

  /// The best output weights of `neurons`, which it offers to `point`; those without any are left out. `nu` ← the dual point.
  private func fit(
    _ neurons: [FactoredSolution.Neuron], _ point: Incumbent<[FactoredSolution.Neuron]>,
    _ nu: Matrix, accuracy: Double, rule: StoppingRule, budget: Budget
  ) -> [FactoredSolution.Neuron] {
    let (n, m, outputs) = (targets.rows, neurons.count, targets.columns)
    let regions = faces.regions
    let images = Matrix(n, m * regions)
    for (k, neuron) in neurons.enumerated() {
      let values = (0..<data.samples).map { j in
        data.patterns.isActive(neuron.cell, row: j)
          ? dot(data.dimension, data.features.row(j), neuron.direction) : 0
      }
      faces.pool(values) { i, r, mean in images[i, k * regions + r] = mean }
    }
    let features = ExplicitFeatures(images, groups: m)
    let program = SplitProgram(
      0..<outputs, of: targets, features, loss: loss,
      regularizer: WeightNorm.group.regularizer(
        .perPattern, outputs: outputs, regions: regions, dimension: 1))
    let master = program.point(beta: point.beta)
    var inner = rule
    inner.gap = max(1e-13, accuracy * min(rule.gap, point.gap))
    let start = ArrangementSolution(
      index: Array(0..<m),
      positive: (0..<outputs).map { c in
        Matrix(
          m, regions, neurons.flatMap { own in (0..<regions).map { own.output[$0 * outputs + c] } })
      },
      dual: nu, predictions: Matrix(n, outputs), status: .stalled, primal: 0, dualValue: 0,
      iterations: 0)
    _ = program.solve(
      master, members: Array(0..<m), system: SplitSystem(features), from: start, rule: inner,
      budget: budget, report: {})
    var result: [FactoredSolution.Neuron] = []
    let weights = master.weights
    for (place, k) in weights.members.enumerated() {
      let row = (0..<regions).flatMap { r in
        (0..<outputs).map { weights.rows[place * outputs + $0, r] }
      }
      guard row.contains(where: { $0 != 0 }) else { continue }
      var neuron = neurons[k]
      neuron.output = row
      result.append(neuron)
    }
    point.offer(primal: master.primal, predictions: master.predictions) { $0 = result }
    // The residual would have the error of the weights times that of β: the master's own dual point is feasible for its neurons.
    nu.copy(from: master.dual)
    return result
  }
}

extension FactoredSolution.Neuron {
  fileprivate func isParallel(to other: CellNeuron) -> Bool {
    cell == other.cell && dot(direction.count, direction, other.direction) > 1 - 1e-15
  }
}
