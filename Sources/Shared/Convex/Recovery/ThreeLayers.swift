import Glibc
import LinearAlgebra
import Schema
import Tensors

/// The network of three layers that a solution stands for, of gated neurons over product gates or of ReLU neurons: neurons k of the
/// second layer with o_k, and below them neurons of the first with w_kj and a_kj.
///
/// With v_j the weights of a unit, s_j their signs and c = Σ_j ‖v_j‖ it has w_j = v_j/√(c ‖v_j‖), a_j = s_j √(‖v_j‖/c) and ± c, so
/// that ‖W‖_F and ‖a‖ are 1 (Ergen and Pilanci 2021); here all three layers have the length c^(1/3), and (1/3) of the sum of
/// their cubes is c.
package struct ThreeLayers {
  /// A neuron of the first layer: v = length · direction, its sign, and its gate.
  private struct Member {
    let direction: [Double]
    let length: Double
    let sign: Double
    let gate: Int
  }

  /// A neuron of the second layer: its output, the sign of its weight there, and c.
  private struct Unit {
    let output: Int
    let sign: Double
    var size = 0.0
    var members: [Member] = []

    mutating func append(_ member: Member) {
      members.append(member)
      size += member.length
    }
  }

  private let units: [Unit]
  private let features, outputs: Int
  /// Of gated neurons.
  private let gates: GateTensors?

  /// The number of neurons of the first layer.
  package var count: Int { units.reduce(0) { $0 + $1.members.count } }

  /// Of a gated solution over product gates: for each unit of theirs and each output one neuron of the second layer. Weights below
  /// `tolerance` times the largest are dropped; by default only those that are rounding, below 10⁻¹⁵ of it. Throws
  /// `Failure.data` if the solution is of another program.
  package init(_ solution: WrittenSolution, tolerance: Double?) throws {
    guard let own = solution.gates.units, solution.activation == .gatedReLU,
      solution.norm == .group, !solution.hasGroups
    else {
      throw Failure.data(
        "--depth 3 is for linear networks, and for gated-relu over product gates with norm group, a group a class and one "
          + "pooling region")
    }
    let neurons = solution.weights.neurons(.group)
    let cutoff = (tolerance ?? 1e-15) * (neurons.map { $0.weight(.group) }.max() ?? 0)
    var places: [SIMD2<Int>: Int] = [:]
    var units: [Unit] = []
    for neuron in neurons where neuron.weight(.group) >= cutoff {
      guard let output = neuron.output.firstIndex(where: { $0 != 0 }) else { continue }
      let key = SIMD2(own.index[neuron.pattern], output)
      if places[key] == nil {
        places[key] = units.count
        units.append(Unit(output: output, sign: 1))
      }
      // A gated neuron of negative weight is one of the opposite direction.
      let weight = neuron.output[output]
      units[places[key]!].append(
        Member(
          direction: neuron.direction.map { weight < 0 ? -$0 : $0 }, length: abs(weight), sign: 1,
          gate: neuron.pattern))
    }
    self.units = ThreeLayers.sorted(units)
    (features, outputs) = (solution.features, solution.weights.positive.count)
    gates = solution.gates
  }

  /// Of a ReLU solution of three layers. Throws `Failure.data` if its tensors do not fit each other.
  package init(_ solution: Bundle, tolerance: Double?) throws {
    let written = try UnitTensors(solution, samples: solution.solutionPoints().dual.shape[0])
    let d = written.weights.shape[1]
    let values = written.weights.doubles
    let rows = written.owner.indices.map { Array(values[$0 * d..<($0 + 1) * d]) }
    let lengths = rows.map { norm(d, $0) }
    let cutoff = (tolerance ?? 1e-15) * (lengths.max() ?? 0)
    var units = written.units.map { Unit(output: 0, sign: $0.sign) }
    for (j, unit) in written.owner.enumerated() where lengths[j] >= cutoff && lengths[j] > 0 {
      units[unit].append(
        Member(
          direction: rows[j].map { $0 / lengths[j] }, length: lengths[j], sign: written.sign[j],
          gate: 0))
    }
    self.units = ThreeLayers.sorted(units.filter { !$0.members.isEmpty })
    (features, outputs, gates) = (d, 1, nil)
  }

  /// The largest first.
  private static func sorted(_ units: [Unit]) -> [Unit] {
    units.indices.sorted { (units[$1].size, $0) < (units[$0].size, $1) }.map { units[$0] }
  }

  /// The bundle of kind `network`; `source` hands on its metadata and its whitening.
  package func bundle(from source: Bundle, metadata: [String: String]) -> Bundle {
    var (neurons, middle): ([NetworkNeuron], [Double]) = ([], [])
    for (number, unit) in units.enumerated() {
      let length = cbrt(unit.size)
      for member in unit.members {
        let share = length * (member.length / unit.size).squareRoot()
        neurons.append(
          NetworkNeuron(
            filter: member.direction.map { share * $0 },
            output: (0..<outputs).map { $0 == unit.output ? unit.sign * length : 0 },
            group: number, gate: member.gate))
        middle.append(member.sign * share)
      }
    }
    var network = NetworkTensors(neurons, features: features, outputs: outputs)
    network.hasGroups = true
    network.gates = gates
    var bundle = network.bundle(
      program: NetworkTensors.program(of: source), from: source, metadata: metadata)
    bundle[.middleWeight] = Tensor(middle, shape: [1, middle.count])
    bundle.metadata[.layers] = 3
    return bundle
  }
}
