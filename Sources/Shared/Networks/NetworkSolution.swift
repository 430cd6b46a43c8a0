import Convex
import Convolution
import LinearAlgebra
import Patches
import Schema
import Tensors

/// A ReLU network that was trained over all patterns, with its certificate over those that were found.
package struct NetworkSolution: CertifiedSolution {
  /// The solution over the patterns of `data`.
  package var solution: ArrangementSolution
  /// The training data with the patterns that were found, and the bundle of these.
  package let data: ConvolutionalData
  package let list: Bundle
  /// The largest price found over β, at the dual point before it was scaled, and the number of searches for it; nil if
  /// there was no time.
  package var violation: Double?
  package var searches = 0
  /// The bound of all prices over β that was proved, and the seconds that took; nil if none was tried.
  package var proof: (bound: Double, seconds: Double)?
  /// Whether the dual point was proved to be feasible for all neurons.
  package private(set) var isGlobal = false

  package var dual: Matrix { solution.dual }
  package var predictions: Matrix { solution.predictions }
  package var primal: Double { solution.primal }
  package var dualValue: Double { solution.dualValue }
  package var iterations: Int { solution.iterations }
  package var status: Status {
    get { solution.status }
    set { solution.status = newValue }
  }

  /// `list` is of kind `arrangements`.
  package init(_ solution: ArrangementSolution, list: Bundle) throws {
    (self.solution, self.list) = (solution, list)
    data = try ConvolutionalData(list)
  }

  init(_ solution: ArrangementSolution, _ data: ConvolutionalData, list: Bundle) {
    (self.solution, self.data, self.list) = (solution, data, list)
  }

  /// Takes a dual point that is feasible for all neurons.
  mutating func take(dual: Matrix, value: Double) {
    (solution.dual, solution.dualValue, isGlobal) = (dual, value, true)
  }

  /// The neurons, one for each pattern, sign and output.
  var neurons: Neurons {
    let d = data.dimension
    var rows: [Double] = []
    var (signs, outputs): ([Double], [Int]) = ([], [])
    for (sign, weights) in [(1.0, solution.positive), (-1.0, solution.negative)] {
      for (c, matrix) in weights.enumerated() {
        for k in 0..<matrix.rows where norm(d, matrix.row(k)) > 0 {
          rows += UnsafeBufferPointer(start: matrix.row(k), count: d)
          signs.append(sign)
          outputs.append(c)
        }
      }
    }
    return Neurons(filters: Matrix(signs.count, d, rows), signs: signs, outputs: outputs)
  }
}

extension NetworkSolution {
  /// The zero network, and a list of the one pattern that is 1 everywhere.
  package init(zero targets: Targets, source: Bundle, patches: PatchSource) throws {
    let (rows, d) = (patches.count * patches.patchCount, patches.dimension)
    var bits = [UInt8](repeating: 255, count: Patterns.stride(rows))
    if rows % 8 > 0 { bits[bits.count - 1] = UInt8(1 << (rows % 8) - 1) }
    let list = source.listing(
      gates: Tensor(type: .f64, shape: [1, d]), patterns: Tensor(bits, shape: [1, bits.count]))
    try self.init(
      ArrangementSolution(zero: targets, width: d, activation: .relu), list: list)
  }
}

extension Bundle {
  /// This dataset with a list of patterns that training found. Deferred data have gates alone.
  func listing(gates: Tensor, patterns: Tensor) -> Bundle {
    var result = self
    result.metadata["kind"] = Kind.arrangements.rawValue
    result.metadata[.exact] = false
    GateTensors(vectors: gates, thresholds: nil).write(to: &result)
    if self[.x] != nil { result[.patterns] = patterns }
    return result
  }
}

extension Solutions {
  /// The bundle of a network that was trained over all patterns; `source` is the dataset. It holds the list of the
  /// patterns that were found, and `index` says which of these carry weight.
  package static func bundle(
    _ solution: NetworkSolution, targets: Targets, beta: Double, betaMax: Double?, source: Bundle,
    notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    let program = ArrangementProgram(
      activation: .relu, norm: .group, grouping: .perClass, loss: targets.loss)
    var bundle = bundle(
      solution.solution, data: solution.data, targets: targets, program: program, beta: beta,
      betaMax: betaMax, source: source, notes: notes, metadata: metadata)
    let listed = solution.data.listed
    listed.gates.write(to: &bundle)
    bundle[.patterns] = listed.patterns
    bundle.metadata[.list] = .found
    // What the search has proved: evaluate proves it again.
    if solution.isGlobal { bundle.metadata[.certificate] = .global }
    bundle.metadata[.violation] = solution.violation
    if solution.searches > 0 { bundle.metadata[.searches] = solution.searches }
    return bundle
  }
}
