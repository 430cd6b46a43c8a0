import LinearAlgebra
import Schema
import Tensors

/// SplitMix64: the same numbers on every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in -1 ... 1.
  mutating func signed() -> Double { Double.random(in: -1...1, using: &self) }
  mutating func signed(_ count: Int) -> [Double] { (0..<count).map { _ in signed() } }

  /// A point of the unit sphere, not quite uniform.
  mutating func unit(_ d: Int) -> [Double] {
    let v = signed(d)
    let length = v.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return v.map { $0 / length }
  }
}

/// Patches with pooling regions, as plain arrays.
struct Samples {
  let n: Int
  let pool: [Int]
  let d: Int
  /// n × K × d.
  let x: [Double]

  init(_ n: Int, pool: [Int], _ d: Int, _ generator: inout SeededGenerator) {
    (self.n, self.pool, self.d) = (n, pool, d)
    x = generator.signed(n * pool.count * d).map { Double(Float($0)) }
  }

  var regions: Int { (pool.max() ?? 0) + 1 }

  func patch(_ i: Int, _ k: Int) -> ArraySlice<Double> {
    let start = (i * pool.count + k) * d
    return x[start..<start + d]
  }

  /// (1/P_r) Σ_k σ(x_ik · u) over the patches of a region, as the definition says.
  func neuron(_ i: Int, _ region: Int, _ u: [Double], _ s: (a: Double, b: Double, c: Double))
    -> Double
  {
    var sum = 0.0
    var count = 0.0
    for k in pool.indices where pool[k] == region {
      let t = zip(patch(i, k), u).reduce(0) { $0 + $1.0 * $1.1 }
      sum += s.a * t * t + s.b * t + s.c
      count += 1
    }
    return sum / count
  }

  /// n × R × (d(d+1)/2 + d).
  var moments: [Double] {
    var result: [Double] = []
    for i in 0..<n {
      for region in 0..<regions {
        let members = pool.indices.filter { pool[$0] == region }
        let rows = members.map { Array(patch(i, $0)) }
        let weight = 1 / Double(rows.count)
        for j in 0..<d {
          for k in j..<d {
            let mean = rows.reduce(0) { $0 + $1[j] * $1[k] } * weight
            result.append(j == k ? mean : mean * 2.0.squareRoot())
          }
        }
        for j in 0..<d { result.append(rows.reduce(0) { $0 + $1[j] } * weight) }
      }
    }
    return result
  }

  func dataset(
    _ answers: [String: Tensor], _ metadata: [String: String] = [:], single: Bool = false
  )
    -> Bundle
  {
    var tensors = answers
    let shape = [n, pool.count, d]
    tensors["x"] = single ? Tensor(x.map { Float($0) }, shape: shape) : Tensor(x, shape: shape)
    tensors["pool"] = Tensor(pool.map { Int32($0) })
    return Bundle(kind: .dataset, tensors: tensors, metadata: metadata)
  }

  func momentBundle(_ answers: [String: Tensor], _ metadata: [String: String] = [:]) -> Bundle {
    var tensors = answers
    tensors["moments"] = Tensor(moments, shape: [n, regions, d * (d + 1) / 2 + d])
    return Bundle(kind: .moments, tensors: tensors, metadata: metadata)
  }
}

let coefficients = (a: 0.09, b: 0.5, c: 0.47)

/// A network bundle.
func networkBundle(
  filters: [[Double]], weights: [[Double]], regions: [Int]?, d: Int,
  metadata: [String: String] = [:]
) -> Bundle {
  var tensors = [
    "hidden.weight": Tensor(filters.flatMap(\.self), shape: [filters.count, d]),
    "output.weight": Tensor(weights.flatMap(\.self), shape: [weights.count, filters.count]),
  ]
  if let regions { tensors["hidden.region"] = Tensor(regions.map { Int32($0) }) }
  let common = ["activation": "0.09,0.5,0.47", "loss": "squared"]
  return Bundle(
    kind: .network, tensors: tensors, metadata: common.merging(metadata) { $1 })
}

/// A training problem whose optimum is known, with certificate: choose ν, let β be the largest value
/// of its constraint, put all weight where that is attained, and let the targets be what makes this
/// optimal.
struct PlantedProblem {
  let samples: Samples
  let targets: [Double]
  let beta = 0.3
  var z: [Double]
  var dual: [Double]
  var predictions: [Double]
  var objective: Double
  let network: Bundle
  let outputs: Int

  init(n: Int = 40, pool: [Int] = [0, 1, 0, 1, 1], d: Int = 3, outputs: Int = 2, seed: UInt64 = 1) {
    var generator = SeededGenerator(seed)
    let beta = beta
    let samples = Samples(n, pool: pool, d, &generator)
    self.samples = samples
    self.outputs = outputs
    let order = d + 1
    z = Array(repeating: 0, count: outputs * samples.regions * 2 * order * order)
    dual = Array(repeating: 0, count: n * outputs)
    predictions = dual
    objective = 0
    var targets = dual
    var filters: [[Double]] = []
    var weights = (0..<outputs).map { _ in [Double](repeating: 0, count: outputs) }
    var regions: [Int] = []
    for c in 0..<outputs {
      var nu = generator.signed(n)
      var best = (value: 0.0, u: [Double](), region: 0)
      for region in 0..<samples.regions {
        let (value, u) = samples.largestConstraint(nu, region, &generator)
        if abs(value) > abs(best.value) { best = (value, u, region) }
      }
      nu = nu.map { $0 * beta / abs(best.value) }
      let weight = 2.5 + Double(c)
      let sign = best.value > 0 ? 1.0 : -1.0
      for i in 0..<n {
        let output = sign * weight * samples.neuron(i, best.region, best.u, coefficients)
        dual[i * outputs + c] = nu[i]
        predictions[i * outputs + c] = output
        targets[i * outputs + c] = output + nu[i]
      }
      // Z (or Z′) = α p pᵀ with p = [u; 1].
      let p = best.u + [1]
      let block = ((c * samples.regions + best.region) * 2 + (sign > 0 ? 0 : 1)) * order * order
      for j in 0..<order { for k in 0..<order { z[block + j * order + k] = weight * p[j] * p[k] } }
      objective += 0.5 * nu.reduce(0) { $0 + $1 * $1 } + beta * weight
      filters.append(best.u)
      regions.append(best.region)
      weights[c][c] = sign * weight
    }
    self.targets = targets
    network = networkBundle(filters: filters, weights: weights, regions: regions, d: d)
  }

  var answers: [String: Tensor] { ["targets": Tensor(targets, shape: [samples.n, outputs])] }

  func solution(gap: Double = 1e-12, changes: [String: String] = [:]) -> Bundle {
    let (d, n) = (samples.d, samples.n)
    let metadata = [
      "activation": "0.09,0.5,0.47", "loss": "squared", "beta": "\(beta)", "status": "optimal",
      "primal_objective": "\(objective)", "dual_objective": "\(objective)",
      "relative_gap": "\(gap)", "gap": "1e-4", "iterations": "1",
    ]
    return Bundle(
      kind: .solution,
      tensors: [
        "z": Tensor(z, shape: [outputs, samples.regions, 2, d + 1, d + 1]),
        "dual": Tensor(dual, shape: [n, outputs]),
        "predictions": Tensor(predictions, shape: [n, outputs]),
      ], metadata: metadata.merging(changes) { $1 })
  }
}

extension Samples {
  /// The value Σ_i ν_i neuron_i(u) of largest magnitude over the sphere, and its u: many starts of
  /// u ← (A + τI)u + g, which climbs for τ large enough.
  func largestConstraint(_ nu: [Double], _ region: Int, _ generator: inout SeededGenerator)
    -> (value: Double, u: [Double])
  {
    var matrix = [[Double]](repeating: Array(repeating: 0, count: d), count: d)
    var linear = [Double](repeating: 0, count: d)
    let members = pool.indices.filter { pool[$0] == region }
    for i in 0..<n {
      for k in members {
        let row = Array(patch(i, k))
        let weight = nu[i] / Double(members.count)
        for j in 0..<d {
          linear[j] += 0.5 * coefficients.b * weight * row[j]
          for l in 0..<d { matrix[j][l] += coefficients.a * weight * row[j] * row[l] }
        }
      }
    }
    let shift = matrix.flatMap(\.self).reduce(0) { $0 + abs($1) } + 1e-3
    func value(_ u: [Double]) -> Double {
      (0..<n).reduce(0) { $0 + nu[$1] * neuron($1, region, u, coefficients) }
    }
    var best = (value: 0.0, u: [Double]())
    for sign in [1.0, -1.0] {
      for _ in 0..<12 {
        var u = generator.unit(d)
        for _ in 0..<2000 {
          var next = (0..<d).map { j in
            shift * u[j] + sign * (linear[j] + zip(matrix[j], u).reduce(0) { $0 + $1.0 * $1.1 })
          }
          let length = next.reduce(0) { $0 + $1 * $1 }.squareRoot()
          for j in 0..<d { next[j] /= length }
          u = next
        }
        let found = value(u)
        if abs(found) > abs(best.value) { best = (found, u) }
      }
    }
    return best
  }
}
