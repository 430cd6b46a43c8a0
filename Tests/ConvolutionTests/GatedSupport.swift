import Convex
import LinearAlgebra
import Patches
import Schema
import Tensors

@testable import Convolution

/// A small convolutional problem with features that are computed here by definition.
struct PooledProblem {
  var n = 40
  var patches = 6
  var d = 3
  var regions = 2
  var gates = 8
  var outputs = 2
  var seed = 1
  var threshold = 0.0
  var isPatterned = true
  /// Numbers are multiples of ½: products meet thresholds exactly.
  var isGrid = false

  /// Patch k belongs to region k mod R: regions are interleaved in x.
  var pool: [Int] { (0..<patches).map { $0 % regions } }
  var size: Int { regions * d }

  func draw() -> (bundle: Bundle, targets: Matrix) {
    var random = RandomSource(seed: seed)
    func number() -> Double {
      let value = random.gaussian()
      return isGrid ? (2 * value).rounded() / 2 : value
    }
    // Off centre, as features of images are.
    let x = (0..<n * patches * d).map { _ in number() + 0.5 }
    let g = (0..<gates * d).map { _ in number() }
    let y = (0..<n * outputs).map { _ in random.gaussian() + 0.5 }
    var tensors = [
      "x": Tensor(x, shape: [n, patches, d]), "pool": Tensor(pool.map { Int32($0) }),
      "gates": Tensor(g, shape: [gates, d]),
      "targets": Tensor(y, shape: [n, outputs]),
    ]
    if threshold != 0 {
      tensors["thresholds"] = Tensor(Array(repeating: threshold, count: gates))
    }
    if isPatterned {
      let stride = Patterns.stride(n * patches)
      var bits = [UInt8](repeating: 0, count: gates * stride)
      for i in 0..<gates {
        for j in 0..<n * patches where isOpen(x, g, gate: i, row: j) {
          bits[i * stride + j / 8] |= 1 << UInt8(j % 8)
        }
      }
      tensors["patterns"] = Tensor(bits, shape: [gates, stride])
    }
    return (
      Bundle(kind: .arrangements, tensors: tensors, metadata: [:]), Matrix(n, outputs, y)
    )
  }

  func isOpen(_ x: [Double], _ g: [Double], gate: Int, row: Int) -> Bool {
    (0..<d).reduce(0) { $0 + x[row * d + $1] * g[gate * d + $1] } >= threshold
  }

  /// F, n × PRd, by its definition.
  func features(_ bundle: Bundle) -> Matrix {
    let (x, g) = (bundle.tensors["x"]!.doubles, bundle.tensors["gates"]!.doubles)
    let count = bundle.tensors["x"]!.shape[0]
    let result = Matrix(count, gates * size)
    for j in 0..<count {
      for k in 0..<patches {
        let r = pool[k]
        let share = 1 / Double(pool.filter { $0 == r }.count)
        for i in 0..<gates where isOpen(x, g, gate: i, row: j * patches + k) {
          for a in 0..<d {
            result[j, i * size + r * d + a] += share * x[(j * patches + k) * d + a]
          }
        }
      }
    }
    return result
  }
}

/// What a solution claims, recomputed from features: its values, and how far the dual point is from feasible.
struct Recomputed {
  var primal = 0.0
  var dual = 0.0
  /// max ‖T_i‖ / β.
  var largest = 0.0
  var predictionError = 0.0

  init(
    _ solution: ArrangementSolution, features f: Matrix, targets y: Matrix, beta: Double,
    size: Int, grouping: WeightGrouping
  ) {
    let outputs = y.columns
    let groups =
      grouping == .perPattern ? [Array(0..<outputs)] : (0..<outputs).map { [$0] }
    for i in 0..<y.rows {
      for c in 0..<outputs {
        var fitted = 0.0
        for (k, gate) in solution.index.enumerated() {
          for a in 0..<size { fitted += f[i, gate * size + a] * solution.positive[c][k, a] }
        }
        predictionError = max(predictionError, abs(fitted - solution.predictions[i, c]))
        primal += 0.5 * (fitted - y[i, c]) * (fitted - y[i, c])
        dual += solution.dual[i, c] * (y[i, c] - 0.5 * solution.dual[i, c])
      }
    }
    for group in groups {
      for k in solution.index.indices {
        var sum = 0.0
        for c in group {
          for a in 0..<size { sum += solution.positive[c][k, a] * solution.positive[c][k, a] }
        }
        primal += beta * sum.squareRoot()
      }
      for gate in 0..<f.columns / size {
        var sum = 0.0
        for c in group {
          for a in 0..<size {
            var t = 0.0
            for i in 0..<y.rows { t += f[i, gate * size + a] * solution.dual[i, c] }
            sum += t * t
          }
        }
        largest = max(largest, sum.squareRoot() / beta)
      }
    }
  }

  var gap: Double { (primal - dual) / primal }
}
