import LinearAlgebra
import Schema
import Tensors

extension Solutions {
  /// The bundle of a network over patterns; `source` is the training data's bundle. Weights are [A, d] for one output,
  /// [C, A, d] for more, and [C, A, R, d] if there is more than one region.
  package static func bundle(
    _ solution: ArrangementSolution, data: some PatternedData, targets: Targets,
    program: ArrangementProgram, beta: Double, betaMax: Double?, source: Bundle,
    notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    let (d, outputs) = (data.dimension, targets.values.columns)
    let shape = PatternVariables.shape(
      outputs: outputs, patterns: solution.index.count, regions: data.regions, dimension: d)
    func weights(_ matrices: [Matrix]) -> Tensor {
      Tensor(matrices.flatMap(\.values), shape: shape)
    }
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    data.listed.gates.rows(solution.index).write(to: &bundle)
    bundle[.index] = Tensor(solution.index.map { Int32($0) })
    if program.activation == .relu { bundle[.v] = weights(solution.positive) }
    bundle[.w] = weights(program.activation == .relu ? solution.negative : solution.positive)
    bundle.metadata[.activation] = program.activation
    bundle.metadata[.norm] = program.norm
    bundle.metadata[.group] = program.grouping
    bundle.metadata[.exact] = data.listed.isExact
    return bundle
  }

  /// The solution of `bundle` as a start for a program over the patterns of `data`. Its gates must be among those of
  /// `data`, or have a pattern that is. Weights of the same pattern are added up.
  package static func start(
    _ bundle: Bundle, data: any PatternedData, outputs: Int, activation: Activation
  ) throws -> ArrangementSolution {
    try expectActivation(activation, ofStart: bundle)
    let d = data.dimension
    let variables = try PatternVariables(
      bundle, activation, outputs: outputs, regions: data.regions, dimension: d)
    let points = try points(bundle, data: data, outputs: outputs)
    let active = variables.index.count
    let places = try PatternLookup(data).places(of: variables.gates, near: variables.index)
    let size = data.regions * d
    let kept = Set(places).sorted()
    let row = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
    func gathered(_ tensor: Tensor) -> [Matrix] {
      tensor.withElements(of: Double.self) { values in
        (0..<outputs).map { c in
          let matrix = Matrix(kept.count, size)
          for (k, place) in places.enumerated() {
            let source = values.baseAddress! + (c * active + k) * size
            axpy(size, 1, source, matrix.row(row[place]!))
          }
          return matrix
        }
      }
    }
    return ArrangementSolution(
      index: kept, positive: gathered(variables.positive),
      negative: variables.negative.map(gathered) ?? [],
      dual: points.dual, predictions: points.predictions,
      status: .stalled, primal: .infinity, dualValue: -.infinity, iterations: 0)
  }

  /// ν and ŷ of a warm start; empty for sums over samples, which start from the weights alone.
  private static func points(
    _ bundle: Bundle, data: any PatternedData, outputs: Int
  ) throws -> (dual: Matrix, predictions: Matrix) {
    let points = try DualTensors(bundle)
    if data is SummedGates, points.outputs == outputs {
      return (Matrix(0, outputs), Matrix(0, outputs))
    }
    guard case .samples(let dual, let predictions) = points else {
      throw Failure.data("the warm start \(bundle.name) was found from sums, not from samples")
    }
    guard dual.shape == [data.samples, outputs] else {
      throw Failure.data(
        "tensor \"dual\" of the warm start is \(dual.summary), expected F64 "
          + "[\(data.samples), \(outputs)]")
    }
    return (Matrix(dual), Matrix(predictions))
  }

  /// Throws unless `bundle`, a warm start, is a solution of this activation.
  package static func expectActivation(_ activation: Activation, ofStart bundle: Bundle) throws {
    try bundle.expect(.solution)
    guard !JointBundle.isJoint(bundle) else {
      throw Failure.data(
        "the warm start \(bundle.name) has several parts, expected a solution of one")
    }
    let theirs = try bundle.value("activation", "a word") { $0.isEmpty ? nil : $0 }
    guard theirs == activation.text else {
      throw Failure.data(
        "the warm start \(bundle.name) has the activation \(quoted(theirs)), expected "
          + quoted(activation.text))
    }
  }
}
