import Convex
import LinearAlgebra
import Schema
import Tensors

/// The result of a linear program: a primal and a feasible dual point with their values.
package struct LinearSolution: CertifiedSolution {
  /// C × Rd.
  package var weights: Matrix
  /// ν and ŷ, n × C.
  package var dual: Matrix
  package var predictions: Matrix
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
}

extension Solutions {
  /// The bundle of a linear network: `w` F64 [C, 1, R, d], or [C, 1, d] and [1, d] as for other networks.
  package static func bundle(
    _ solution: LinearSolution, data: LinearSource, targets: Targets, program: LinearProgram,
    beta: Double, betaMax: Double?, source: Bundle, notes: [String: String],
    metadata: [String: String]
  ) -> Bundle {
    let (d, outputs) = (data.dimension, targets.values.columns)
    let shape = PatternVariables.shape(
      outputs: outputs, patterns: 1, regions: data.regions, dimension: d)
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
    _ bundle: Bundle, data: LinearData, outputs: Int, program: LinearProgram
  ) throws -> Matrix {
    try expectActivation(program.activation, ofStart: bundle)
    let w = try PatternVariables(
      bundle, program.activation, outputs: outputs, regions: data.regions, dimension: data.dimension
    ).positive
    return Matrix(outputs, data.features.columns, w.doubles)
  }
}
