import LinearAlgebra
import Schema
import Tensors

/// A program over patterns whose optimum is planted, as for `PlantedProblem`: choose ν, let β be the
/// largest of its constraints, and put all weight where that is attained. All by plain loops; cone
/// projections by trying all faces.
struct PlantedPatterns {
  enum Variant: String, CaseIterable {
    case gated, nuclear, relu
  }

  let variant: Variant
  let n: Int
  let d: Int
  let outputs: Int
  let beta = 0.7
  /// n × d.
  var x: [[Double]]
  var gates: [[Double]]
  /// P × n.
  var patterns: [[Bool]]
  /// The patterns with weight, and their weights of each class.
  var index: [Int] = []
  var positive: [[[Double]]]
  var negative: [[[Double]]]
  /// n × C.
  var dual: [[Double]]
  var predictions: [[Double]]
  var targets: [[Double]]
  var objective = 0.0

  init(
    _ variant: Variant, n: Int = 9, d: Int = 3, outputs: Int = 1, gates count: Int = 25,
    seed: UInt64 = 1, edit: (inout [[Double]]) -> Void = { _ in }
  ) {
    var generator = SeededGenerator(seed)
    (self.variant, self.n, self.d, self.outputs) = (variant, n, d, outputs)
    var rows = (0..<n).map { _ in generator.signed(d) }
    edit(&rows)
    x = rows
    gates = []
    patterns = []
    for _ in 0..<count {
      let gate = generator.signed(d)
      let pattern = rows.map { product($0, gate) >= 0 }
      if !patterns.contains(pattern) {
        gates.append(gate)
        patterns.append(pattern)
      }
    }
    positive = Array(repeating: [], count: outputs)
    negative = positive
    predictions = Array(repeating: Array(repeating: 0, count: outputs), count: n)
    dual = (0..<n).map { _ in generator.signed(outputs) }
    targets = dual
    plant(&generator)
    targets = zip(predictions, dual).map { zip($0, $1).map(+) }
    objective += 0.5 * dual.joined().reduce(0) { $0 + $1 * $1 }
  }

  private mutating func plant(_ generator: inout SeededGenerator) {
    if variant == .nuclear {
      var best = (value: 0.0, pattern: 0, left: [Double](), right: [Double]())
      for pattern in patterns.indices {
        let (value, left, right) = leadingPair((0..<outputs).map { sum(pattern, $0) })
        if value > best.value { best = (value, pattern, left, right) }
      }
      scaleDual(beta / best.value, classes: 0..<outputs)
      index = [best.pattern]
      positive = best.right.map { g in [best.left.map { 1.5 * g * $0 }] }
      objective = beta * 1.5
    } else {
      // For each class the best pattern, sign and direction.
      for c in 0..<outputs {
        var best = (value: 0.0, pattern: 0, sign: 1.0, direction: [Double]())
        for pattern in patterns.indices {
          for sign in variant == .relu ? [1.0, -1] : [1.0] {
            var t = sum(pattern, c).map { sign * $0 }
            if variant == .relu { t = project(t, cone(pattern)) }
            let value = length(t)
            if value > best.value { best = (value, pattern, sign, t.map { $0 / value }) }
          }
        }
        scaleDual(beta / best.value, classes: c..<c + 1)
        let weight = 1.5 + Double(c)
        objective += beta * weight
        for k in 0..<outputs {
          let own = k == c ? best.direction.map { weight * $0 } : Array(repeating: 0, count: d)
          let none = [Double](repeating: 0, count: d)
          if let place = index.firstIndex(of: best.pattern) {
            for l in 0..<d {
              if best.sign > 0 {
                positive[k][place][l] += own[l]
              } else {
                negative[k][place][l] += own[l]
              }
            }
          } else {
            positive[k].append(best.sign > 0 ? own : none)
            negative[k].append(best.sign > 0 ? none : own)
          }
        }
        if !index.contains(best.pattern) { index.append(best.pattern) }
      }
    }
    if variant != .relu { negative = [] }
    predictions = computedPredictions
  }

  private mutating func scaleDual(_ factor: Double, classes: Range<Int>) {
    for i in 0..<n { for c in classes { dual[i][c] *= factor } }
  }

  /// Σ_i D_i X (v_ic − w_ic).
  var computedPredictions: [[Double]] {
    (0..<n).map { j in
      (0..<outputs).map { c in
        var output = 0.0
        for (place, pattern) in index.enumerated() where patterns[pattern][j] {
          output += product(x[j], positive[c][place])
          if variant == .relu { output -= product(x[j], negative[c][place]) }
        }
        return output
      }
    }
  }

  /// Xᵀ D ν_c.
  func sum(_ pattern: Int, _ c: Int) -> [Double] {
    (0..<d).map { k in
      (0..<n).reduce(0) { $0 + (patterns[pattern][$1] ? dual[$1][c] * x[$1][k] : 0) }
    }
  }

  /// (2D − I)X.
  func cone(_ pattern: Int) -> [[Double]] {
    zip(x, patterns[pattern]).map { row, active in active ? row : row.map { -$0 } }
  }

  // MARK: Bundles

  var data: Bundle {
    let stride = (n + 7) / 8
    var bytes = [UInt8](repeating: 0, count: patterns.count * stride)
    for (p, pattern) in patterns.enumerated() {
      for j in 0..<n where pattern[j] { bytes[p * stride + j / 8] |= 1 << UInt8(j % 8) }
    }
    return Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor(x.flatMap(\.self), shape: [n, 1, d]),
        "targets": Tensor(targets.flatMap(\.self), shape: [n, outputs]),
        "gates": Tensor(gates.flatMap(\.self), shape: [gates.count, d]),
        "patterns": Tensor(bytes, shape: [patterns.count, stride]),
      ], metadata: ["exact": "false"])
  }

  func solution(_ changes: [String: String] = [:]) -> Bundle {
    func weights(_ values: [[[Double]]]) -> Tensor {
      let shape = [index.count, d]
      return Tensor(
        values.flatMap(\.self).flatMap(\.self), shape: outputs == 1 ? shape : [outputs] + shape)
    }
    var tensors = [
      "index": Tensor(index.map { Int32($0) }),
      "gates": Tensor(index.flatMap { gates[$0] }, shape: [index.count, d]),
      "dual": Tensor(dual.flatMap(\.self), shape: [n, outputs]),
      "predictions": Tensor(predictions.flatMap(\.self), shape: [n, outputs]),
    ]
    tensors[variant == .relu ? "v" : "w"] = weights(positive)
    if variant == .relu { tensors["w"] = weights(negative) }
    let metadata = [
      "activation": variant == .relu ? "relu" : "gated-relu", "loss": "squared",
      "norm": variant == .nuclear ? "nuclear" : "group", "group": "class", "beta": "\(beta)",
      "status": "optimal", "primal_objective": "\(objective)", "dual_objective": "\(objective)",
      "relative_gap": "1e-12", "gap": "1e-4", "iterations": "1",
    ]
    return Bundle(
      kind: .solution, tensors: tensors, metadata: metadata.merging(changes) { $1 })
  }

  /// The balanced neurons of the solution.
  var network: Bundle {
    var hidden: [Double] = []
    var gate: [Double] = []
    var output = [[Double]](repeating: [], count: outputs)
    func add(_ u: [Double], _ a: [Double], _ place: Int) {
      // ‖u‖ = ‖a‖ in the norm that goes with the program's.
      let size = variant == .nuclear ? length(a) : a.reduce(0) { $0 + abs($1) }
      let balance = (size / length(u)).squareRoot()
      hidden += u.map { $0 * balance }
      gate += gates[index[place]]
      for c in 0..<outputs { output[c].append(a[c] / balance) }
    }
    for place in index.indices {
      if variant == .nuclear {
        let (value, left, right) = leadingPair((0..<outputs).map { positive[$0][place] })
        add(left, right.map { $0 * value }, place)
        continue
      }
      for c in 0..<outputs {
        for (sign, weights) in [(1.0, positive), (-1.0, negative)] where !weights.isEmpty {
          let u = weights[c][place]
          if length(u) > 0 { add(u, (0..<outputs).map { $0 == c ? sign : 0 }, place) }
        }
      }
    }
    let m = hidden.count / d
    var tensors = [
      "hidden.weight": Tensor(hidden, shape: [m, d]),
      "output.weight": Tensor(output.flatMap(\.self), shape: [outputs, m]),
    ]
    if variant != .relu { tensors["hidden.gate"] = Tensor(gate, shape: [m, d]) }
    return Bundle(
      kind: .network, tensors: tensors,
      metadata: [
        "activation": variant == .relu ? "relu" : "gated-relu", "loss": "squared",
        "norm": variant == .nuclear ? "nuclear" : "group",
      ])
  }
}

func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
func length(_ a: [Double]) -> Double { product(a, a).squareRoot() }

/// The projection of t on {u : B u ≥ 0}: of all sets of at most d rows the one on whose orthogonal
/// complement lies the nearest feasible point.
func project(_ t: [Double], _ rows: [[Double]]) -> [Double] {
  var best = [Double](repeating: 0, count: t.count)
  var bestDistance = length(t)
  func visit(_ next: Int, _ basis: [[Double]], _ u: [Double]) {
    let distance = length(zip(t, u).map { $0 - $1 })
    if distance < bestDistance,
      rows.allSatisfy({ product($0, u) >= -1e-13 * length($0) * length(t) })
    {
      best = u
      bestDistance = distance
    }
    guard basis.count < t.count else { return }
    for row in next..<max(next, rows.count) {
      var q = rows[row]
      for _ in 0..<2 {
        for e in basis {
          let part = product(e, q)
          q = zip(q, e).map { $0 - part * $1 }
        }
      }
      let size = length(q)
      guard size > 1e-9 * length(rows[row]), size > 0 else { continue }
      q = q.map { $0 / size }
      let part = product(q, u)
      visit(row + 1, basis + [q], zip(u, q).map { $0 - part * $1 })
    }
  }
  visit(0, [], t)
  return best
}

/// The largest singular value of the matrix with these columns and its vectors, by power iteration.
func leadingPair(_ columns: [[Double]]) -> (value: Double, left: [Double], right: [Double]) {
  var right = columns.map { length($0) + 1e-3 }
  var left = columns[0]
  for _ in 0..<20000 {
    let size = length(right)
    right = right.map { $0 / size }
    left = columns[0].indices.map { k in
      zip(columns, right).reduce(0) { $0 + $1.0[k] * $1.1 }
    }
    right = columns.map { product($0, left) }
  }
  let size = length(right)
  right = right.map { $0 / size }
  left = columns[0].indices.map { k in zip(columns, right).reduce(0) { $0 + $1.0[k] * $1.1 } }
  let value = length(left)
  return (value, left.map { $0 / value }, right)
}
