import LinearAlgebra
import Schema
import Tensors

/// The neurons of a program for several outputs with weight decay on both layers: unit vectors u of the cells' cones, and rows a
/// of output weights.
package struct FactoredSolution: CertifiedSolution {
  struct Neuron {
    let cell: Int
    /// d numbers of length 1.
    let direction: [Double]
    /// R·C numbers, those of region 0 first.
    var output: [Double]
  }

  var neurons: [Neuron]
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  /// The zero network, and the zero dual point.
  package init(zero targets: Targets) {
    let zero = Matrix(targets.values.rows, targets.values.columns)
    let loss = targets.loss.loss
    neurons = []
    (dual, predictions, status, iterations) = (zero, zero, .stalled, 0)
    primal = loss.value(zero, targets.values)
    dualValue = loss.dualValue(zero, targets.values)
  }

  init(
    _ neurons: [Neuron], dual: Matrix, predictions: Matrix, status: Status, primal: Double,
    dualValue: Double, iterations: Int
  ) {
    (self.neurons, self.dual, self.predictions) = (neurons, dual, predictions)
    (self.status, self.primal, self.dualValue) = (status, primal, dualValue)
    self.iterations = iterations
  }

  /// The shape of the output weights of m neurons.
  static func shape(_ m: Int, _ regions: Int, _ outputs: Int) -> [Int] {
    regions == 1 ? [m, outputs] : [m, regions, outputs]
  }

  func with(_ status: Status) -> FactoredSolution {
    var result = self
    result.status = status
    return result
  }
}

extension Solutions {
  /// The bundle of a program for several outputs over `data`; `source` is the training data's bundle.
  package static func bundle(
    _ solution: FactoredSolution, data: FaceData, targets: Targets, beta: Double,
    betaMax: Double?, source: Bundle, notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    let neurons = solution.neurons
    data.rows.listed.gates.rows(neurons.map(\.cell)).write(to: &bundle)
    bundle[.index] = Tensor(neurons.map { Int32($0.cell) })
    bundle[.neuronsHidden] = Tensor(
      neurons.flatMap(\.direction), shape: [neurons.count, data.rows.dimension])
    bundle[.neuronsOutput] = Tensor(
      neurons.flatMap(\.output),
      shape: FactoredSolution.shape(neurons.count, data.regions, targets.values.columns))
    bundle.metadata[.activation] = .relu
    bundle.metadata[.norm] = .nuclear
    bundle.metadata[.group] = .perPattern
    bundle.metadata[.exact] = data.rows.listed.isExact
    return bundle
  }

  /// The neurons of `bundle` as a start. Throws `Failure.data` if they do not fit the data.
  package static func factoredStart(
    _ bundle: Bundle, data: FaceData, outputs: Int
  ) throws -> FactoredSolution {
    try expectActivation(.relu, ofStart: bundle)
    let index = try bundle.require(.index).withElements(of: Int32.self) { $0.map(Int.init) }
    let (m, d, width) = (index.count, data.rows.dimension, data.regions * outputs)
    let hidden = try bundle.require(.neuronsHidden, shape: [m, d]).doubles
    let output = try bundle.require(
      .neuronsOutput, shape: FactoredSolution.shape(m, data.regions, outputs)
    ).doubles
    let points = try bundle.solutionPoints()
    guard points.dual.shape == [data.samples, outputs],
      index.allSatisfy({ (0..<data.rows.patterns.count).contains($0) })
    else { throw Failure.data("the warm start \(bundle.name) is for other data") }
    return FactoredSolution(
      index.indices.map {
        FactoredSolution.Neuron(
          cell: index[$0], direction: Array(hidden[$0 * d..<($0 + 1) * d]),
          output: Array(output[$0 * width..<($0 + 1) * width]))
      }, dual: Matrix(points.dual), predictions: Matrix(points.predictions), status: .stalled,
      primal: .infinity, dualValue: -.infinity, iterations: 0)
  }
}

/// The network of such a solution: each neuron with √‖a‖ u and a/√‖a‖, the largest first. With several regions a neuron is written for
/// each in which it has weight, all in one group.
package struct FactoredNetwork {
  private let neurons: [NetworkNeuron]
  private let features, outputs, regions: Int
  package var count: Int { neurons.count }

  /// Neurons below `tolerance` times the largest are dropped; by default only those that are rounding. Throws
  /// `Failure.data` if the tensors do not fit each other.
  package init(_ solution: Bundle, tolerance: Double?) throws {
    let output = try solution.require(.neuronsOutput)
    let (m, r) = (output.shape[0], output.shape.count == 2 ? 1 : output.shape[1])
    let outputs = output.shape.last!
    let c = r * outputs
    let hidden = try solution.require(.neuronsHidden)
    guard hidden.shape[0] == m else {
      throw Failure.data(
        "tensor \"neurons.hidden\" of \(solution.name) is \(hidden.summary), but \"neurons.output\" is \(output.summary)"
      )
    }
    try hidden.expectFinite("neurons.hidden", of: solution.name)
    try output.expectFinite("neurons.output", of: solution.name)
    let d = hidden.shape[1]
    let (u, a) = (hidden.doubles, output.doubles)
    let sizes = (0..<m).map { j in
      norm(d, Array(u[j * d..<(j + 1) * d])) * norm(c, Array(a[j * c..<(j + 1) * c]))
    }
    let cutoff = (tolerance ?? 1e-15) * (sizes.max() ?? 0)
    (features, regions, self.outputs) = (d, r, outputs)
    neurons = sizes.indices.sorted { (sizes[$1], $0) < (sizes[$0], $1) }
      .filter { sizes[$0] > 0 && sizes[$0] >= cutoff }.enumerated().flatMap { place, j in
        let (direction, row) = (Array(u[j * d..<(j + 1) * d]), Array(a[j * c..<(j + 1) * c]))
        let balance = (norm(c, row) / norm(d, direction)).squareRoot()
        return (0..<r).compactMap { region -> NetworkNeuron? in
          let own = row[region * outputs..<(region + 1) * outputs].map { $0 / balance }
          guard r == 1 || own.contains(where: { $0 != 0 }) else { return nil }
          return NetworkNeuron(
            filter: direction.map { balance * $0 }, output: own, region: region, group: place)
        }
      }
  }

  /// The bundle of kind `network`.
  package func bundle(from source: Bundle, metadata: [String: String]) -> Bundle {
    var network = NetworkTensors(neurons, features: features, outputs: outputs)
    var program = NetworkTensors.program(of: source)
    if regions > 1 {
      (network.hasRegions, network.hasGroups) = (true, true)
      program[.regions] = regions
    }
    return network.bundle(program: program, from: source, metadata: metadata)
  }
}
