import Convex
import LinearAlgebra
import Schema
import Tensors

/// ReLU neurons, each of which belongs to one output: ŷ_c = Σ_j s_j (1/K) Σ_k (x_k · w_j)₊ over the neurons j of output c,
/// with the penalty β Σ ‖w_j‖. Balanced weights are u = w/√‖w‖ and a = s √‖w‖.
struct Neurons {
  /// w, m × d.
  var filters: Matrix
  /// s, 1 or −1.
  var signs: [Double]
  /// c.
  var outputs: [Int]

  var count: Int { signs.count }

  init(dimension: Int) { (filters, signs, outputs) = (Matrix(0, dimension), [], []) }

  init(filters: Matrix, signs: [Double], outputs: [Int]) {
    (self.filters, self.signs, self.outputs) = (filters, signs, outputs)
  }

  /// Σ ‖w_j‖.
  var norm: Double {
    (0..<count).reduce(0) { $0 + LinearAlgebra.norm(filters.columns, filters.row($1)) }
  }

  func selecting(_ chosen: [Int]) -> Neurons {
    Neurons(
      filters: filters.selecting(chosen), signs: chosen.map { signs[$0] },
      outputs: chosen.map { outputs[$0] })
  }

  static func + (a: Neurons, b: Neurons) -> Neurons {
    let d = a.filters.columns
    let all = Matrix(a.count + b.count, d)
    all.base.update(from: a.filters.base, count: a.filters.count)
    if b.count > 0 { all.row(a.count).update(from: b.filters.base, count: b.filters.count) }
    return Neurons(filters: all, signs: a.signs + b.signs, outputs: a.outputs + b.outputs)
  }
}

/// Neurons of a warm start, in the coordinates of the data.
extension Neurons {
  /// Those of a `solution` of a ReLU program.
  init(solution bundle: Bundle, dimension d: Int, outputs: Int) throws {
    try Solutions.expectActivation(.relu, ofStart: bundle)
    let variables = try PatternVariables(
      bundle, .relu, outputs: outputs, regions: 1, dimension: d)
    var (rows, signs, owners): ([Double], [Double], [Int]) = ([], [], [])
    for (sign, tensor) in [(1.0, variables.positive), (-1.0, variables.negative)] {
      guard let values = tensor?.doubles else { continue }
      for k in 0..<values.count / d {
        let row = values[k * d..<(k + 1) * d]
        guard row.contains(where: { $0 != 0 }) else { continue }
        rows += row
        signs.append(sign)
        owners.append(k / max(1, variables.index.count))
      }
    }
    self.init(filters: Matrix(signs.count, d, rows), signs: signs, outputs: owners)
  }

  /// Those of a `network` of ReLU neurons, one for each output weight.
  init(network bundle: Bundle, dimension d: Int, outputs: Int) throws {
    let activation = try bundle.read(.activation)
    guard activation == .relu else {
      throw Failure.data(
        "the warm start \(bundle.name) has the activation \(quoted(activation.text)), expected \"relu\""
      )
    }
    guard bundle[.hiddenRegion] == nil else {
      throw Failure.data(
        "the warm start \(bundle.name) has neurons of several pooling regions (tensor \"hidden.region\"), expected one region"
      )
    }
    let m = try bundle.require(.hiddenWeight).shape[0]
    let hidden = try bundle.require(.hiddenWeight, shape: [m, d]).doubles
    let weights = try bundle.require(.outputWeight, shape: [outputs, m]).doubles
    var (rows, signs, owners): ([Double], [Double], [Int]) = ([], [], [])
    for c in 0..<outputs {
      for j in 0..<m where weights[c * m + j] != 0 {
        let a = weights[c * m + j]
        let row = hidden[j * d..<(j + 1) * d].map { abs(a) * $0 }
        guard row.contains(where: { $0 != 0 }), row.allSatisfy(\.isFinite) else { continue }
        rows += row
        signs.append(a > 0 ? 1 : -1)
        owners.append(c)
      }
    }
    self.init(filters: Matrix(signs.count, d, rows), signs: signs, outputs: owners)
  }
}
