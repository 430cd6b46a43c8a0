import Glibc
import LinearAlgebra
import Schema
import Tensors

/// A program over patterns with any loss, norm, groups and regions, with a primal and a dual point that are just
/// feasible, and what they are worth: all by plain loops over the definitions.
struct PatternProgram {
  enum Kind: String, CaseIterable {
    case gated, relu, nuclear, linear, circular
  }

  let kind: Kind
  let group: String
  let loss: String
  let pool: [Int]
  let n: Int
  let d: Int
  let outputs: Int
  /// n × K × d.
  var x: [[[Double]]]
  var gates: [[Double]] = []
  var thresholds: [Double] = []
  /// P × nK.
  var patterns: [[Bool]]
  var index: [Int] = []
  /// C × A × R × d; negative for ReLU.
  var positive: [[[[Double]]]] = []
  var negative: [[[[Double]]]] = []
  /// n × C.
  var targets: [[Double]] = []
  var dual: [[Double]] = []
  /// The largest constraint of the dual point as it was made, and `room` times it.
  var attained = 0.0
  var beta = 1.0

  var regions: Int { pool.max()! + 1 }
  var isSigned: Bool { ["logistic", "hinge"].contains(loss) }

  init(
    _ kind: Kind, group: String = "class", loss: String = "squared", outputs: Int = 1,
    pool: [Int] = [0, 1, 0], room: Double = 1, n: Int = 5, d: Int = 3, seed: UInt64 = 1,
    cut: Double = 0
  ) {
    var generator = SeededGenerator(seed)
    (self.kind, self.group, self.loss, self.outputs) = (kind, group, loss, outputs)
    (self.pool, self.n, self.d) = (pool, n, d)
    x = (0..<n).map { _ in pool.map { _ in generator.signed(d) } }
    patterns = []
    while kind != .linear, kind != .circular, patterns.count < (kind == .relu ? 4 : 6) {
      let gate = generator.signed(d)
      let threshold = cut * length(gate)
      let pattern = x.joined().map { product($0, gate) >= threshold }
      if patterns.contains(pattern) { continue }
      gates.append(gate)
      thresholds.append(threshold)
      patterns.append(pattern)
    }
    if patterns.isEmpty { patterns = [x.joined().map { _ in true }] }
    index = gates.isEmpty ? [0] : [1, 2, 3]
    func weights() -> [[[[Double]]]] {
      (0..<outputs).map { _ in
        index.map { i in
          (0..<regions).map { _ in
            // A positive multiple of a gate is in the cone of its pattern.
            let scale = 0.1 + abs(generator.signed())
            return kind == .relu ? gates[i].map { $0 * scale } : generator.signed(d)
          }
        }
      }
    }
    positive = weights()
    if kind == .relu { negative = weights() }
    for _ in 0..<n {
      switch loss {
      case "logistic", "hinge":
        let y = (0..<outputs).map { _ in generator.signed() > 0 ? 1.0 : -1 }
        targets.append(y)
        dual.append(y.map { $0 * (0.5 + 0.45 * generator.signed()) })
      case "cross-entropy":
        let label = Int.random(in: 0..<outputs, using: &generator)
        let q = (0..<outputs).map { _ in exp(generator.signed()) }
        let total = q.reduce(0, +)
        targets.append((0..<outputs).map { $0 == label ? 1 : 0 })
        dual.append((0..<outputs).map { ($0 == label ? 1 : 0) - q[$0] / total })
      case "quantile-0.7":
        targets.append(generator.signed(outputs).map { 3 * $0 })
        dual.append(generator.signed(outputs).map { 0.2 + 0.49 * $0 })
      default:
        targets.append(generator.signed(outputs).map { 3 * $0 })
        dual.append(generator.signed(outputs).map { 0.9 * $0 })
      }
    }
    attained = largestConstraint
    beta = attained * room
  }

  // MARK: The definitions

  /// Σ_i Σ_r (1/P_r) Σ_k D_i^k x_k · (v − w).
  var predictions: [[Double]] {
    (0..<n).map { j in
      (0..<outputs).map { c in
        var sum = 0.0
        for (a, i) in index.enumerated() {
          for r in 0..<regions {
            let members = pool.indices.filter { pool[$0] == r }
            for k in members where patterns[i][j * pool.count + k] {
              var value = product(x[j][k], positive[c][a][r])
              if kind == .relu { value -= product(x[j][k], negative[c][a][r]) }
              sum += value / Double(members.count)
            }
          }
        }
        return sum
      }
    }
  }

  func lossValue(_ outputs: [[Double]]) -> Double {
    var sum = 0.0
    for (z, y) in zip(outputs, targets) {
      switch loss {
      case "cross-entropy": sum += log(z.reduce(0) { $0 + exp($1) }) - product(z, y)
      case "logistic": sum += zip(z, y).reduce(0) { $0 + log(1 + exp(-$1.0 * $1.1)) }
      case "hinge": sum += zip(z, y).reduce(0) { $0 + max(0, 1 - $1.0 * $1.1) }
      case "huber":
        sum += zip(z, y).reduce(0) {
          let e = abs($1.0 - $1.1)
          return $0 + (e <= 1 ? e * e / 2 : e - 0.5)
        }
      case "quantile-0.7":
        sum += zip(z, y).reduce(0) {
          let e = $1.1 - $1.0
          return $0 + max(0.7 * e, -0.3 * e)
        }
      default: sum += zip(z, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) / 2 }
      }
    }
    return sum
  }

  /// −ℓ*(−sν).
  func dualValue(_ s: Double) -> Double {
    func entropy(_ q: Double) -> Double { q > 0 ? -q * log(q) : 0 }
    var sum = 0.0
    for (nu, y) in zip(dual, targets) {
      for (v, y) in zip(nu.map { s * $0 }, y) {
        switch loss {
        case "cross-entropy": sum += entropy(y - v)
        case "logistic": sum += entropy(y * v) + entropy(1 - y * v)
        case "hinge", "quantile-0.7": sum += y * v
        default: sum += v * y - v * v / 2
        }
      }
    }
    return sum
  }

  /// (1/P_r) Σ_j Σ_{k in r} D_i^k x_jk ν_jc.
  func sum(_ i: Int, _ c: Int, _ r: Int) -> [Double] {
    var result = [Double](repeating: 0, count: d)
    let members = pool.indices.filter { pool[$0] == r }
    for j in 0..<n {
      for k in members where patterns[i][j * pool.count + k] {
        for l in 0..<d { result[l] += dual[j][c] * x[j][k][l] / Double(members.count) }
      }
    }
    return result
  }

  /// |ζ_k| over all rows.
  private func frequencies(_ rows: [[Double]]) -> [Double] {
    (0..<d).map { k in
      var square = 0.0
      for row in rows {
        var (a, b) = (0.0, 0.0)
        for j in 0..<d {
          let angle = 2 * Double.pi * Double(j * k) / Double(d)
          a += row[j] * cos(angle)
          b += row[j] * sin(angle)
        }
        square += (a * a + b * b) / Double(d)
      }
      return square.squareRoot()
    }
  }

  /// The sets of classes that share groups.
  private var sets: [[Int]] {
    group == "pattern" ? [Array(0..<outputs)] : (0..<outputs).map { [$0] }
  }

  /// The sets of classes whose weights are one matrix of the nuclear norm.
  private var blocks: [[Int]] {
    kind == .nuclear && group == "class" && regions > 1 ? sets : [Array(0..<outputs)]
  }

  var norm: Double {
    var sum = 0.0
    for a in index.indices {
      for weights in [positive, negative] where !weights.isEmpty {
        switch kind {
        case .gated, .relu:
          for set in sets { sum += length(set.flatMap { weights[$0][a].flatMap(\.self) }) }
        case .nuclear, .linear:
          for set in blocks {
            let rows = set.flatMap { weights[$0][a] }
            let block = Matrix(rows.count, d, rows.flatMap(\.self))
            sum += SingularValues(block)!.values.reduce(0, +)
          }
        case .circular:
          for set in sets {
            sum += frequencies(set.map { weights[$0][a][0] }).reduce(0, +) / Double(d).squareRoot()
          }
        }
      }
    }
    return sum
  }

  /// (2D − I)X over all patches.
  func cone(_ i: Int) -> [[Double]] {
    zip(x.joined(), patterns[i]).map { row, active in active ? row : row.map { -$0 } }
  }

  var largestConstraint: Double {
    var largest = 0.0
    for i in patterns.indices {
      let parts = (0..<outputs).map { c in (0..<regions).map { sum(i, c, $0) } }
      switch kind {
      case .gated:
        for set in sets {
          largest = max(largest, length(set.flatMap { parts[$0].flatMap(\.self) }))
        }
      case .relu:
        for sign in [1.0, -1] {
          for set in sets {
            let projections = set.flatMap { c in
              parts[c].flatMap { t in project(t.map { sign * $0 }, cone(i)) }
            }
            largest = max(largest, length(projections))
          }
        }
      case .nuclear, .linear:
        for set in blocks {
          let rows = set.flatMap { parts[$0] }
          largest = max(
            largest,
            SingularValues(Matrix(rows.count, d, rows.flatMap(\.self)))!.values[0])
        }
      case .circular:
        for set in sets {
          largest = max(
            largest, frequencies(set.map { parts[$0][0] }).max()! * Double(d).squareRoot())
        }
      }
    }
    return largest
  }

  var objective: Double { lossValue(predictions) + beta * norm }

  // MARK: Bundles

  var activation: String {
    switch kind {
    case .gated, .nuclear: "gated-relu"
    case .relu: "relu"
    case .linear: "linear"
    case .circular: "circular"
    }
  }

  var data: Bundle {
    let rows = n * pool.count
    let stride = (rows + 7) / 8
    var bytes = [UInt8](repeating: 0, count: patterns.count * stride)
    for (p, pattern) in patterns.enumerated() {
      for j in 0..<rows where pattern[j] { bytes[p * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
    var tensors = [
      "x": Tensor(x.flatMap { $0.flatMap(\.self) }, shape: [n, pool.count, d]),
      "pool": Tensor(pool.map { Int32($0) }),
      "targets": Tensor(targets.flatMap(\.self), shape: [n, outputs]),
    ]
    if !gates.isEmpty {
      tensors["gates"] = Tensor(gates.flatMap(\.self), shape: [gates.count, d])
      tensors["patterns"] = Tensor(bytes, shape: [patterns.count, stride])
      if thresholds.contains(where: { $0 != 0 }) { tensors["thresholds"] = Tensor(thresholds) }
    }
    return Bundle(
      kind: gates.isEmpty ? .dataset : .arrangements, tensors: tensors,
      metadata: ["exact": "false"])
  }

  func solution(_ changes: [String: String] = [:]) -> Bundle {
    func weights(_ values: [[[[Double]]]]) -> Tensor {
      Tensor(
        values.flatMap { $0.flatMap { $0.flatMap(\.self) } },
        shape: regions > 1
          ? [outputs, index.count, regions, d]
          : (outputs > 1 ? [outputs] : []) + [index.count, d])
    }
    var tensors = [
      "dual": Tensor(dual.flatMap(\.self), shape: [n, outputs]),
      "predictions": Tensor(predictions.flatMap(\.self), shape: [n, outputs]),
    ]
    if !gates.isEmpty {
      tensors["index"] = Tensor(index.map { Int32($0) })
      tensors["gates"] = Tensor(index.flatMap { gates[$0] }, shape: [index.count, d])
      if thresholds.contains(where: { $0 != 0 }) {
        tensors["thresholds"] = Tensor(index.map { thresholds[$0] })
      }
    }
    tensors[kind == .relu ? "v" : "w"] = weights(positive)
    if kind == .relu { tensors["w"] = weights(negative) }
    let (primal, dual) = (objective, dualValue(min(1, beta / attained)))
    let metadata = [
      "activation": activation, "loss": loss, "group": group, "beta": "\(beta)",
      "norm": ["gated", "relu"].contains(kind.rawValue) ? "group" : "nuclear",
      "status": "optimal", "primal_objective": "\(primal)", "dual_objective": "\(dual)",
      "relative_gap": "\((primal - dual) / primal)", "iterations": "1",
      // The points are no optimum: whoever asks for no more has reached it.
      "gap": "2",
    ]
    return Bundle(
      kind: .solution, tensors: tensors, metadata: metadata.merging(changes) { $1 })
  }

  /// The network by the definition: a neuron for each weight, and the singular vectors for the nuclear norm.
  var network: Bundle {
    var rows: [(u: [Double], a: [Double], region: Int, group: Int, pattern: Int)] = []
    var group = 0
    for a in index.indices {
      if kind == .nuclear || kind == .linear {
        for set in blocks {
          let block = set.flatMap { positive[$0][a] }
          let singular = SingularValues(Matrix(block.count, d, block.flatMap(\.self)))!
          for (k, s) in singular.values.enumerated() {
            for r in 0..<regions {
              let output = (0..<outputs).map { c in
                set.firstIndex(of: c).map { s.squareRoot() * singular.left[k, $0 * regions + r] }
                  ?? 0
              }
              rows.append(
                ((0..<d).map { s.squareRoot() * singular.right[k, $0] }, output, r, group, a))
            }
            group += 1
          }
        }
        continue
      }
      for (sign, weights) in [(1.0, positive), (-1, negative)] where !weights.isEmpty {
        for set in sets {
          let size = length(set.flatMap { weights[$0][a].flatMap(\.self) })
          for c in set {
            for r in 0..<regions {
              rows.append(
                (
                  weights[c][a][r].map { $0 / size.squareRoot() },
                  (0..<outputs).map { $0 == c ? sign * size.squareRoot() : 0 }, r, group, a
                ))
            }
          }
          group += 1
        }
      }
    }
    let m = rows.count
    var tensors = [
      "hidden.weight": Tensor(rows.flatMap(\.u), shape: [m, d]),
      "output.weight": Tensor(
        (0..<outputs).flatMap { c in rows.map { $0.a[c] } }, shape: [outputs, m]),
      "hidden.region": Tensor(rows.map { Int32($0.region) }),
      "hidden.group": Tensor(rows.map { Int32($0.group) }),
    ]
    if activation == "gated-relu" {
      tensors["hidden.gate"] = Tensor(rows.flatMap { gates[index[$0.pattern]] }, shape: [m, d])
      tensors["hidden.threshold"] = Tensor(rows.map { thresholds[index[$0.pattern]] })
    }
    return Bundle(
      kind: .network, tensors: tensors,
      metadata: [
        "activation": activation, "loss": loss, "group": self.group,
        "norm": ["gated", "relu"].contains(kind.rawValue) ? "group" : "nuclear",
      ])
  }
}
