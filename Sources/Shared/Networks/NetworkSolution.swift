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
  /// The training data with the patterns that were found.
  package let data: ConvolutionalData
  /// The largest price found over β, at the dual point before it was scaled, and the number of searches for it; nil if
  /// there was no time.
  package var violation: Double?
  package var searches = 0
  /// The bound of all prices over β that was proved, and the seconds that took; nil if none was tried.
  package var proof: (bound: Double, seconds: Double)?
  /// Whether the dual point was proved to be feasible for all neurons.
  package private(set) var isGlobal = false
  /// Whether that was asked for and is still to be proved.
  package var lacksProof = false

  package var dual: Matrix { solution.dual }
  package var predictions: Matrix { solution.predictions }
  package var primal: Double { solution.primal }
  package var dualValue: Double { solution.dualValue }
  package var iterations: Int { solution.iterations }
  package var status: Status {
    get { solution.status }
    set { solution.status = newValue }
  }

  package init(_ solution: ArrangementSolution, _ data: ConvolutionalData) {
    (self.solution, self.data) = (solution, data)
  }

  /// Takes a dual point that is feasible for all neurons.
  mutating func take(_ bound: NetworkSearch.DualBound) {
    (solution.dual, solution.dualValue) = (bound.dual, bound.value)
    (isGlobal, lacksProof) = (true, false)
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
  package init(zero targets: Targets, patches: PatchSource) {
    let (rows, d) = (patches.count * patches.patchCount, patches.dimension)
    var bits = [UInt8](repeating: 255, count: Patterns.stride(rows))
    if rows % 8 > 0 { bits[bits.count - 1] = UInt8(1 << (rows % 8) - 1) }
    let listed = PatternTensors(
      gates: GateTensors(vectors: Tensor(type: .f64, shape: [1, d]), thresholds: nil),
      patterns: Tensor(bits, shape: [1, bits.count]))
    self.init(
      ArrangementSolution(zero: targets, width: d, activation: .relu),
      ConvolutionalData(patches, listed))
  }

  /// The zero network in place of this one.
  mutating func dropNeurons(loss: Double) {
    for k in solution.positive.indices { solution.positive[k].fill(0) }
    for k in solution.negative.indices { solution.negative[k].fill(0) }
    solution.predictions.fill(0)
    solution.primal = loss
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
      activation: .relu, norm: .group, grouping: .perClass, loss: targets.loss,
      weighting: targets.weighting)
    var bundle = bundle(
      solution.solution, data: solution.data, targets: targets, program: program, beta: beta,
      betaMax: betaMax, source: source, notes: notes, metadata: metadata)
    let listed = solution.data.listed
    listed.gates.write(to: &bundle)
    // The gates of deferred data imply their patterns.
    if source[.x] != nil { bundle[.patterns] = listed.patterns }
    bundle.metadata[.list] = .found
    // What the search has proved: evaluate proves it again.
    if solution.isGlobal { bundle.metadata[.certificate] = .global }
    bundle.metadata[.violation] = solution.violation
    if !solution.isGlobal { bundle.metadata[.violationBound] = solution.proof?.bound }
    if solution.searches > 0 { bundle.metadata[.searches] = solution.searches }
    return bundle
  }
}
