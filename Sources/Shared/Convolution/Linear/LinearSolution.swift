import Convex
import LinearAlgebra
import Schema
import Tensors

/// The result of a linear program: a primal and a feasible dual point with their values.
package struct LinearSolution: CertifiedSolution {
  /// C × Rd.
  package var weights: Matrix
  /// ν and ŷ, n × C; with `sums` U, Rd × C, and nothing.
  package var dual: Matrix
  package var predictions: Matrix
  package var sums: DualSums?
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var neurons: Int
  package var iterations: Int
}

extension LinearSolution {
  /// The zero network, with `width` weights per output, and the zero dual point.
  package init(zero targets: Targets, width: Int) {
    let zero = Matrix(targets.values.rows, targets.values.columns)
    let loss = targets.function
    self.init(
      weights: Matrix(targets.values.columns, width), dual: zero, predictions: zero,
      status: .stalled, primal: loss.value(zero, targets.values),
      dualValue: loss.dualValue(zero, targets.values), neurons: 0, iterations: 0)
  }

  /// The same over sums: U = 0 and s = 0.
  package init(zero statistics: StatisticsTensors) {
    let outputs = statistics.outputs
    self.init(
      weights: Matrix(outputs, statistics.order), dual: Matrix(statistics.order, outputs),
      predictions: Matrix(0, outputs), status: .stalled,
      primal: 0.5 * statistics.squares.reduce(0, +), dualValue: 0, neurons: 0, iterations: 0)
    sums = DualSums(scale: Array(repeating: 0, count: outputs), of: statistics)
  }
}

extension Solutions {
  /// The bundle of a linear network: `w` F64 [C, 1, R, d], or [C, 1, d] and [1, d] as for other networks.
  package static func bundle(
    _ solution: LinearSolution, regions: Int, targets: Targets, program: LinearProgram,
    beta: Double, betaMax: Double?, source: Bundle, notes: [String: String],
    metadata: [String: String]
  ) -> Bundle {
    let shape = PatternVariables.shape(
      outputs: solution.weights.rows, patterns: 1, regions: regions,
      dimension: solution.weights.columns / regions)
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    bundle[.w] = Tensor(solution.weights.values, shape: shape)
    bundle.metadata[.activation] = program.activation
    bundle.metadata[.norm] = .nuclear
    bundle.metadata[.group] = program.grouping
    return bundle
  }

  /// The weights of a warm start, C × Rd.
  package static func linearStart(
    _ bundle: Bundle, regions: Int, dimension: Int, outputs: Int, program: LinearProgram
  ) throws -> Matrix {
    try expectActivation(program.activation, ofStart: bundle)
    let w = try PatternVariables(
      bundle, program.activation, outputs: outputs, regions: regions, dimension: dimension
    ).positive
    return Matrix(outputs, regions * dimension, w.doubles)
  }
}
