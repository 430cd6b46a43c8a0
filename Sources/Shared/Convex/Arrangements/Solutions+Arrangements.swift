import LinearAlgebra
import Schema
import Tensors

extension Solutions {
  /// The bundle of a network over patterns; `source` is the training data's bundle. Weights are [A, d]
  /// for one output, [C, A, d] for more, and [C, A, R, d] where there is more than one region.
  package static func bundle(
    _ solution: ArrangementSolution, data: some PatternedData, targets: Targets,
    program: ArrangementProgram, beta: Double, betaMax: Double?, source: Bundle,
    notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    let (d, outputs) = (data.dimension, targets.values.columns)
    let active = solution.index.count
    func weights(_ matrices: [Matrix]) -> Tensor {
      Tensor(
        matrices.flatMap(\.values),
        shape: data.regions > 1
          ? [outputs, active, data.regions, d] : (outputs == 1 ? [] : [outputs]) + [active, d])
    }
    var gates: [Double] = []
    gates.reserveCapacity(active * d)
    for i in solution.index { gates += data.gates.rows(i..<i + 1).doubles }
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    bundle.tensors["gates"] = Tensor(gates, shape: [active, d])
    bundle.tensors["index"] = Tensor(solution.index.map { Int32($0) })
    if let thresholds = data.thresholds?.doubles {
      bundle.tensors["thresholds"] = Tensor(solution.index.map { thresholds[$0] })
    }
    if program.activation == .relu {
      bundle.tensors["v"] = weights(solution.positive)
      bundle.tensors["w"] = weights(solution.negative)
    } else {
      bundle.tensors["w"] = weights(solution.positive)
    }
    bundle.metadata[.activation] = program.activation
    bundle.metadata[.norm] = program.norm
    bundle.metadata[.group] = program.grouping
    bundle.metadata[.exact] = data.isExact
    return bundle
  }

  /// The solution of `bundle` as a start for a program over the patterns of `data`: its gates must be
  /// among theirs, or have a pattern that is. Weights of one pattern are added up.
  package static func start(
    _ bundle: Bundle, data: any PatternedData, outputs: Int, activation: Activation
  ) throws -> ArrangementSolution {
    try bundle.expect(.solution)
    let theirs = try bundle.value("activation", "a word") { $0.isEmpty ? nil : $0 }
    guard theirs == activation.text else {
      throw Failure.data(
        "the warm start \(bundle.name) has the activation \(quoted(theirs)), "
          + "expected \(quoted(activation.text))")
    }
    let gates = try bundle.require("gates", [.f64], ["[A, d]"])
    let (active, d) = (gates.shape[0], data.dimension)
    func expect(_ name: String, _ tensor: Tensor, _ shape: [Int]) throws {
      guard tensor.shape == shape else {
        throw Failure.data(
          "tensor \(quoted(name)) of the warm start is \(tensor.summary), "
            + "expected \(tensor.type.rawValue) \(shape)")
      }
      try tensor.expectFinite(name)
    }
    try expect("gates", gates, [active, d])
    let index = try bundle.require("index", [.i32], ["[A]"])
    try expect("index", index, [active])
    let thresholds = try bundle.optional("thresholds", [.f64], ["[A]"])
    if let thresholds { try expect("thresholds", thresholds, [active]) }
    let names = activation == .relu ? ["v", "w"] : ["w"]
    let weights = try names.map { name in
      let tensor = try bundle.require(name, [.f64], ["[A, d]", "[C, A, d]", "[C, A, R, d]"])
      try expect(
        name, tensor,
        data.regions > 1
          ? [outputs, active, data.regions, d] : (outputs == 1 ? [] : [outputs]) + [active, d])
      return tensor
    }
    let shape = [data.samples, outputs]
    let dual = try bundle.require("dual", [.f64], ["[n, C]"])
    try expect("dual", dual, shape)
    let predictions = try bundle.require("predictions", [.f64], ["[n, C]"])
    try expect("predictions", predictions, shape)

    let places = try PatternLookup(data).places(
      of: gates, thresholds: thresholds, near: index.doubles.map { Int($0) })
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
      index: kept, positive: gathered(weights[0]),
      negative: weights.count > 1 ? gathered(weights[1]) : [],
      dual: Matrix(shape[0], shape[1], dual.doubles),
      predictions: Matrix(shape[0], shape[1], predictions.doubles),
      status: .stalled, primal: .infinity, dualValue: -.infinity, iterations: 0)
  }
}
