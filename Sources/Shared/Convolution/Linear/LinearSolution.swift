import Convex
import LinearAlgebra
import Schema
import Tensors

/// What a linear program found: a primal and a feasible dual point with their values.
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
  /// The network that is zero, of `width` weights an output, and the dual point that is zero.
  package init(zero targets: Targets, width: Int) {
    let zero = Matrix(targets.values.rows, targets.values.columns)
    let loss = targets.loss.loss
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
    let shape =
      data.regions > 1 ? [outputs, 1, data.regions, d] : outputs > 1 ? [outputs, 1, d] : [1, d]
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    bundle.tensors["w"] = Tensor(solution.weights.values, shape: shape)
    bundle.metadata[.activation] = program.activation
    bundle.metadata[.norm] = .nuclear
    bundle.metadata[.group] = program.grouping
    return bundle
  }

  /// The weights of a warm start, C × Rd.
  package static func linearStart(
    _ bundle: Bundle, data: LinearData, outputs: Int, program: LinearProgram
  ) throws -> Matrix {
    try bundle.expect(.solution)
    let theirs = try bundle.value("activation", "a word") { $0.isEmpty ? nil : $0 }
    guard theirs == program.activation.text else {
      throw Failure.data(
        "the warm start \(bundle.name) has the activation \(quoted(theirs)), expected "
          + quoted(program.activation.text))
    }
    let w = try bundle.require("w", [.f64], ["[C, 1, R, d]", "[C, 1, d]", "[1, d]"])
    guard w.count == outputs * data.features.columns, w.shape.last == data.dimension else {
      throw Failure.data(
        "tensor \"w\" of the warm start is \(w.summary), expected weights of \(outputs) outputs, "
          + "\(data.regions) regions and \(data.dimension) features")
    }
    try w.expectFinite("w")
    return Matrix(outputs, data.features.columns, w.doubles)
  }
}
