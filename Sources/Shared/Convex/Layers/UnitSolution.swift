import LinearAlgebra
import Schema
import Tensors

/// The weights of a ReLU network of three layers, and multipliers that prove its dual point feasible.
package struct UnitSolution: CertifiedSolution {
  /// A neuron of the second layer with its weights v_j, none of them zero.
  struct Unit {
    let block: UnitBlock
    /// v of each member of the block.
    var weights: [[Double]]
  }

  var units: [Unit]
  /// The blocks of the last master, from which another search may begin.
  var blocks: [UnitBlock] = []
  /// λ of each set of samples, and of blocks with their own, for the dual point.
  var multipliers: [[Double]]
  var exceptions: [(block: UnitBlock, multipliers: [Double])] = []
  package var dual: Matrix
  package var predictions: Matrix
  package var status: Status
  package var primal: Double
  package var dualValue: Double
  package var iterations: Int

  /// The number of neurons of the first layer.
  var neurons: Int { units.reduce(0) { $0 + $1.weights.count } }

  /// The zero network, and the zero dual point.
  package init(zero targets: Matrix) {
    let (n, zero) = (targets.rows, Matrix(targets.rows, 1))
    units = []
    multipliers = Array(
      repeating: Array(repeating: 0, count: n), count: SampleSet.count(samples: n))
    (dual, predictions, status, iterations, dualValue) = (zero, zero, .stalled, 0, 0)
    primal = SquaredLoss().value(zero, targets)
  }

  /// Σ_k o_k (Σ_j s_j (x · v_j)₊)₊ for the rows of x.
  func predictions(on x: Matrix) -> Matrix {
    let result = Matrix(x.rows, 1)
    for i in 0..<x.rows {
      for unit in units {
        var sum = 0.0
        for (member, v) in zip(unit.block.members, unit.weights) {
          sum += UnitProgram.sign(member) * max(0, dot(v.count, x.row(i), v))
        }
        result[i, 0] += unit.block.set.sign * max(0, sum)
      }
    }
    return result
  }
}

extension Solutions {
  /// The bundle of a program of three layers over `data`; `source` is the training data's bundle.
  package static func bundle(
    _ solution: UnitSolution, data: ArrangementData, targets: Targets, width: Int, beta: Double,
    betaMax: Double?, source: Bundle, notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    let (n, d) = (data.samples, data.dimension)
    let members = solution.units.flatMap(\.block.members)
    let index = members.map { $0 / 2 }
    data.listed.gates.rows(index).write(to: &bundle)
    bundle[.index] = Tensor(index.map { Int32($0) })
    bundle[.layersUnit] = Tensor(solution.units.map { Int32($0.block.set.number) })
    bundle[.layersOwner] = Tensor(
      solution.units.enumerated().flatMap { k, unit in unit.weights.map { _ in Int32(k) } })
    bundle[.layersSign] = Tensor(members.map { Int32($0 % 2 == 0 ? 1 : -1) })
    bundle[.layersWeight] = Tensor(
      solution.units.flatMap { $0.weights.flatMap(\.self) }, shape: [members.count, d])
    bundle[.layersMultipliers] = Tensor(
      solution.multipliers.flatMap(\.self), shape: [solution.multipliers.count, n])
    let exceptions = solution.exceptions
    let rows = exceptions.map { [$0.block.set.number] + $0.block.members }
    bundle[.layersExceptions] = Tensor(rows.flatMap { $0.map { Int32($0) } })
      .reshaped([rows.count, rows.first?.count ?? width + 1])
    bundle[.layersExceptionMultipliers] = Tensor(
      exceptions.flatMap(\.multipliers), shape: [exceptions.count, n])
    bundle.metadata[.activation] = .relu
    bundle.metadata[.norm] = .group
    bundle.metadata[.group] = .perClass
    bundle.metadata[.layers] = 3
    bundle.metadata[.unitWidth] = width
    bundle.metadata[.exact] = data.listed.isExact
    return bundle
  }
}

extension Tensor {
  /// The same numbers in another shape.
  fileprivate func reshaped(_ shape: [Int]) -> Tensor {
    Tensor(type: type, shape: shape, bytes: bytes)
  }
}
