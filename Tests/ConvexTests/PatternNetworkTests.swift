import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

/// Data, patterns, and a solution that somebody might have found for them.
private struct Fixture {
  var n: Int
  var d: Int
  var classes: Int
  var x: [Double]
  var gates: [Double]
  var norm = "group"
  var isGated: Bool
  var index: [Int]
  /// [C][A][d].
  var v: [[[Double]]]
  var w: [[[Double]]]

  func row(_ j: Int) -> [Double] { Array(x[j * d..<(j + 1) * d]) }
  func gate(_ i: Int) -> [Double] { Array(gates[i * d..<(i + 1) * d]) }
  func isActive(_ i: Int, _ j: Int) -> Bool { inner(row(j), gate(i)) >= 0 }

  /// Σ_i D_i X (v_i − w_i), or Σ D_i X w_i of a gated network, n × C.
  var predictions: [Double] {
    var result = [Double](repeating: 0, count: n * classes)
    for c in 0..<classes {
      for (a, i) in index.enumerated() {
        for j in 0..<n where isActive(i, j) {
          result[j * classes + c] +=
            isGated ? inner(row(j), w[c][a]) : inner(row(j), v[c][a]) - inner(row(j), w[c][a])
        }
      }
    }
    return result
  }

  /// The norm of the weights, for the group norm.
  var size: Double {
    (isGated ? [w] : [v, w]).joined().joined().reduce(0) { $0 + inner($1, $1).squareRoot() }
  }

  var arrangements: Bundle {
    let count = gates.count / d
    let patterns = Tensor(type: .u8, shape: [count, (n + 7) / 8])
    patterns.withMutableElements(of: UInt8.self) { bits in
      for i in 0..<count {
        for j in 0..<n where isActive(i, j) { bits[i * ((n + 7) / 8) + j / 8] |= 1 << UInt8(j % 8) }
      }
    }
    return Bundle(
      kind: .arrangements,
      tensors: [
        "x": Tensor(x, shape: [n, d]), "gates": Tensor(gates, shape: [count, d]),
        "patterns": patterns, "targets": Tensor(type: .f64, shape: [n, classes]),
      ])
  }

  var solution: Bundle {
    let shape = classes == 1 ? [index.count, d] : [classes, index.count, d]
    var tensors = [
      "w": Tensor(Array(w.joined().joined()), shape: shape),
      "gates": Tensor(index.flatMap(gate), shape: [index.count, d]),
      "index": Tensor(index.map { Int32($0) }),
      "predictions": Tensor(predictions, shape: [n, classes]),
      "dual": Tensor(type: .f64, shape: [n, classes]), "mean": Tensor([0.5]),
    ]
    if !isGated { tensors["v"] = Tensor(Array(v.joined().joined()), shape: shape) }
    return Bundle(
      kind: .solution, tensors: tensors,
      metadata: [
        "activation": isGated ? "gated-relu" : "relu", "norm": norm, "loss": "squared",
        "group": "class", "beta": "0.1", "status": "optimal", "primal_objective": "1.0",
        "dual_objective": "1.0", "relative_gap": "0.0", "iterations": "3", "scale": "-1.0,1.0",
      ])
  }

  /// Weights that lie in the cones: positive combinations of a gate with others of the same pattern.
  init(
    n: Int, d: Int, classes: Int = 1, gates count: Int, gated: Bool, seed: Int
  ) {
    var random = RandomSource(seed: seed, stream: 11)
    (self.n, self.d, self.classes, isGated) = (n, d, classes, gated)
    x = random.signed(n * d)
    gates = random.signed(count * d)
    index = Array(0..<count)
    (v, w) = ([], [])
    for _ in 0..<classes {
      var sides: [[[Double]]] = [[], []]
      for side in 0..<2 {
        for i in 0..<count {
          var weight = gated ? random.signed(d) : gate(i)
          if !gated {
            // A step that is small enough stays in the cone.
            let step = random.signed(d)
            for size in [0.5, 0.1, 0.02] {
              let next = zip(weight, step).map { $0 + size * $1 }
              if (0..<n).allSatisfy({ (inner(row($0), next) >= 0) == isActive(i, $0) }) {
                weight = next
                break
              }
            }
          }
          let factor = random.uniform(in: 0.1..<2)
          sides[side].append(weight.map { factor * $0 })
        }
      }
      v.append(sides[0])
      w.append(sides[1])
    }
  }
}

/// The outputs of a network bundle, n × C, by its definition; and its share of the objective.
private func outputs(_ network: Bundle, _ fixture: Fixture) -> [Double] {
  let (hidden, output) = (network.tensors["hidden.weight"]!, network.tensors["output.weight"]!)
  let m = hidden.shape[0]
  let (u, a, gates) = (hidden.doubles, output.doubles, network.tensors["hidden.gate"]?.doubles)
  var result = [Double](repeating: 0, count: fixture.n * fixture.classes)
  for i in 0..<fixture.n {
    for j in 0..<m {
      let range = j * fixture.d..<(j + 1) * fixture.d
      let product = inner(fixture.row(i), u[range])
      let isOpen = inner(fixture.row(i), gates?[range] ?? u[range]) >= 0
      for c in 0..<fixture.classes where isOpen {
        result[i * fixture.classes + c] += a[c * m + j] * product
      }
    }
  }
  return result
}

/// ½ Σ (‖u_j‖² + ‖a_j‖_p²).
private func penalty(_ network: Bundle, _ norm: WeightNorm) -> Double {
  let (hidden, output) = (network.tensors["hidden.weight"]!, network.tensors["output.weight"]!)
  let (m, d, classes) = (hidden.shape[0], hidden.shape[1], output.shape[0])
  let (u, a) = (hidden.doubles, output.doubles)
  var sum = inner(u, u)
  for j in 0..<m {
    let column = (0..<classes).map { a[$0 * m + j] }
    let one = column.reduce(0) { $0 + abs($1) }
    sum += norm == .group ? one * one : inner(column, column)
    // Both layers bear the same.
    let length = inner(u[j * d..<(j + 1) * d], u[j * d..<(j + 1) * d])
    let other = norm == .group ? one * one : inner(column, column)
    #expect(abs(length - other) <= 1e-13 * length)
  }
  return sum / 2
}

private func recover(
  _ fixture: Fixture, minimal: Bool = false, tolerance: Double? = nil
) throws -> Bundle {
  var written = try WrittenSolution(fixture.solution)
  if minimal { #expect(try written.minimize(on: fixture.arrangements)) }
  return PatternNetwork(written, tolerance: tolerance)
    .bundle(from: fixture.solution, metadata: ["producer": "test"])
}

private func expectSame(_ a: [Double], _ b: [Double], _ tolerance: Double) {
  let size = b.reduce(0) { max($0, abs($1)) }
  #expect(a.count == b.count)
  #expect(zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * size })
}

@Suite struct PatternNetworkTests {
  @Test(arguments: [false, true], [1, 3])
  func hasThePredictionsAndTheNormOfTheSolution(gated: Bool, classes: Int) throws {
    let fixture = Fixture(n: 9, d: 4, classes: classes, gates: 6, gated: gated, seed: 5)
    let network = try recover(fixture)
    #expect(network.kind == .network)
    #expect(network.tensors["hidden.weight"]?.shape == [(gated ? 6 : 12) * classes, 4])
    #expect((network.tensors["hidden.gate"] != nil) == gated)
    expectSame(outputs(network, fixture), fixture.predictions, 1e-13)
    #expect(abs(penalty(network, .group) - fixture.size) <= 1e-13 * fixture.size)
    #expect(network.metadata["activation"] == (gated ? "gated-relu" : "relu"))
    #expect(network.metadata["scale"] == "-1.0,1.0" && network.metadata["status"] == nil)
    #expect(network.tensors["mean"]?.doubles == [0.5])
  }

  /// Equations (6a, 6b).
  @Test func oneNeuronByHand() throws {
    var fixture = Fixture(n: 3, d: 2, gates: 1, gated: false, seed: 1)
    fixture.v = [[[0, 0]]]
    fixture.w = [[[3, 4]]]
    let network = try recover(fixture)
    let root = 5.0.squareRoot()
    expectSame(network.tensors["hidden.weight"]!.doubles, [3 / root, 4 / root], 1e-15)
    expectSame(network.tensors["output.weight"]!.doubles, [-root], 1e-15)
  }

  @Test func singularVectorsAreTheNeuronsOfTheNuclearNorm() throws {
    var fixture = Fixture(n: 9, d: 4, classes: 3, gates: 5, gated: true, seed: 6)
    fixture.norm = "nuclear"
    // One pattern of rank one, the others of rank three.
    for c in 0..<3 { fixture.w[c][2] = [1, -2, 3, 0.5].map { Double(c + 1) * $0 } }
    let network = try recover(fixture)
    #expect(network.tensors["hidden.weight"]?.shape == [13, 4])
    expectSame(outputs(network, fixture), fixture.predictions, 1e-13)
    var nuclear = 0.0
    for a in 0..<5 {
      let gram = Matrix(3, 3)
      for c in 0..<3 { for e in 0..<3 { gram[c, e] = inner(fixture.w[c][a], fixture.w[e][a]) } }
      nuclear += eigenvalues(gram).reduce(0) { $0 + max(0, $1).squareRoot() }
    }
    #expect(abs(penalty(network, .nuclear) - nuclear) <= 1e-7 * nuclear)
  }

  @Test func multiplesBecomeOne() throws {
    // In two dimensions a gate on the boundary of two cones: v of both patterns is that ray.
    var fixture = Fixture(n: 2, d: 2, gates: 2, gated: false, seed: 1)
    fixture.x = [1, 0, 0, 1]
    fixture.gates = [1, 1, 1, -1]
    fixture.v = [[[2, 0], [3, 0]]]
    fixture.w = [[[0, 1], [0, 0]]]
    let network = try recover(fixture)
    #expect(network.tensors["hidden.weight"]?.shape == [2, 2])
    expectSame(outputs(network, fixture), fixture.predictions, 1e-15)
    #expect(abs(penalty(network, .group) - 6) < 1e-14)
    // Opposite signs cancel as far as they go: v = 2, w = 0.5.
    fixture.w = [[[0.5, 0], [0, 0]]]
    let less = try recover(fixture)
    let root = (4.5 as Double).squareRoot()
    expectSame(less.tensors["output.weight"]!.doubles, [root], 1e-15)
    expectSame(outputs(less, fixture), fixture.predictions, 1e-14)
    fixture.w = [[[5, 0], [0, 0]]]
    #expect(try recover(fixture).tensors["hidden.weight"]?.shape == [0, 2])
  }

  @Test func neuronsOfSeveralClassesAreShared() throws {
    var fixture = Fixture(n: 7, d: 3, classes: 3, gates: 2, gated: true, seed: 8)
    // Class 1 the double of class 0, class 2 the opposite of both; the second pattern stays apart.
    for a in 0..<2 {
      fixture.w[1][a] = fixture.w[0][a].map { 2 * $0 }
      fixture.w[2][a] = fixture.w[0][a].map { -0.5 * $0 }
    }
    fixture.w[0][1] = fixture.w[0][0]
    let network = try recover(fixture)
    #expect(network.tensors["hidden.weight"]?.shape == [3, 3])
    expectSame(outputs(network, fixture), fixture.predictions, 1e-14)
    #expect(abs(penalty(network, .group) - fixture.size) <= 1e-14 * fixture.size)
    // Opposite ReLU neurons are different functions.
    var relu = Fixture(n: 7, d: 3, classes: 2, gates: 1, gated: false, seed: 8)
    relu.v[1][0] = relu.v[0][0].map { -$0 }
    relu.w = [[[0, 0, 0]], [[0, 0, 0]]]
    #expect(try recover(relu).tensors["hidden.weight"]?.shape == [2, 3])
  }

  @Test func toleranceDropsTheSmall() throws {
    var fixture = Fixture(n: 4, d: 2, gates: 3, gated: true, seed: 3)
    fixture.w = [[[1, 0], [0, 0.1], [1e-17, 0]]]
    #expect(try recover(fixture).tensors["hidden.weight"]?.shape == [2, 2])
    #expect(try recover(fixture, tolerance: 0.5).tensors["hidden.weight"]?.shape == [1, 2])
    fixture.w = [[[0, 0], [0, 0], [0, 0]]]
    let zero = try recover(fixture)
    #expect(zero.tensors["hidden.weight"]?.shape == [0, 2])
    #expect(zero.tensors["output.weight"]?.shape == [1, 0])
    #expect(zero.tensors["hidden.gate"]?.shape == [0, 2])
  }

  @Test(arguments: 0..<16)
  func minimalKeepsPredictionsAndNeverRaisesTheNorm(seed: Int) throws {
    var random = RandomSource(seed: seed, stream: 5)
    let classes = 1 + seed % 3
    let n = 2 + random.below(6)
    let fixture = Fixture(
      n: n, d: 2 + random.below(3), classes: classes, gates: 3 + random.below(12),
      gated: seed % 2 == 0, seed: seed)
    #expect(try WrittenSolution(fixture.solution).hasSpareNeurons == (spare(fixture)))
    let network = try recover(fixture, minimal: true)
    expectSame(outputs(network, fixture), fixture.predictions, 1e-10)
    #expect(penalty(network, .group) <= fixture.size * (1 + 1e-12))
    let weights = network.tensors["output.weight"]!
    for c in 0..<classes {
      let m = weights.shape[1]
      #expect(weights.doubles[c * m..<(c + 1) * m].count { $0 != 0 } <= n)
    }
  }

  private func spare(_ fixture: Fixture) -> Bool {
    fixture.index.count * (fixture.isGated ? 1 : 2) > fixture.n
  }

  @Test func minimalForTheNuclearNorm() throws {
    // Two samples, two classes: four numbers, so at most four neurons.
    var fixture = Fixture(n: 2, d: 3, classes: 2, gates: 5, gated: true, seed: 2)
    fixture.norm = "nuclear"
    fixture.gates = [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    let all = try recover(fixture)
    let network = try recover(fixture, minimal: true)
    #expect(all.tensors["hidden.weight"]!.shape[0] > 4)
    #expect(network.tensors["hidden.weight"]!.shape[0] <= 4)
    expectSame(outputs(network, fixture), fixture.predictions, 1e-10)
    #expect(penalty(network, .nuclear) <= penalty(all, .nuclear) * (1 + 1e-12))
  }

  @Test func minimalRefusesOtherData() throws {
    let fixture = Fixture(n: 4, d: 2, gates: 5, gated: true, seed: 3)
    func expectRefusal(_ part: String, _ change: (inout Fixture) -> Void) {
      var other = fixture
      change(&other)
      do {
        var written = try WrittenSolution(fixture.solution)
        _ = try written.minimize(on: other.arrangements)
        Issue.record("accepted: \(part)")
      } catch {
        #expect("\(error)".contains(part), "\(error)")
      }
    }
    expectRefusal("gates") { $0.gates[0] += 1e-9 }
    expectRefusal("names pattern 4") { $0.gates.removeLast(2) }
    expectRefusal("predictions") { $0.x[0] *= 3 }
    expectRefusal("4 samples of 3 features") {
      $0 = Fixture(n: 4, d: 3, gates: 5, gated: true, seed: 3)
    }
  }
}
