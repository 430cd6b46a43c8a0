import LinearAlgebra
import Schema
import Tensors
import Testing

@testable import Convex

extension RandomSource {
  mutating func signed() -> Double { uniform(in: -1..<1) }
  mutating func signed(_ count: Int) -> [Double] { (0..<count).map { _ in signed() } }
  mutating func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    Matrix(rows, columns, signed(rows * columns))
  }

  mutating func symmetric(_ n: Int) -> Matrix {
    let a = matrix(n, n)
    a.symmetrize()
    return a
  }

  /// Uniform on the unit sphere.
  mutating func unit(_ d: Int) -> [Double] {
    let v = (0..<d).map { _ in gaussian() }
    let length = inner(v, v).squareRoot()
    return v.map { $0 / length }
  }

  /// Positive semidefinite of the given rank, with tr Z₁ = z₄.
  mutating func feasible(_ m: Int, rank: Int) -> Matrix {
    let p = matrix(rank, m)
    var (first, last) = (0.0, 0.0)
    for k in 0..<rank {
      for i in 0..<m - 1 { first += p[k, i] * p[k, i] }
      last += p[k, m - 1] * p[k, m - 1]
    }
    for k in 0..<rank { p[k, m - 1] *= (first / last).squareRoot() }
    let z = product(p, .transposed, p, .plain)
    z.symmetrize()
    return z
  }
}

func inner(_ x: some Sequence<Double>, _ y: some Sequence<Double>) -> Double {
  zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }
}

/// xᵀ A y.
func bilinear(_ x: [Double], _ a: Matrix, _ y: [Double]) -> Double {
  var sum = 0.0
  for i in 0..<a.rows { for j in 0..<a.columns { sum += x[i] * a[i, j] * y[j] } }
  return sum
}

func copied(_ pointer: UnsafePointer<Double>, _ count: Int) -> [Double] {
  Array(UnsafeBufferPointer(start: pointer, count: count))
}

/// The largest difference over the largest entry of `b`; NaN where there is one.
func relativeDistance(_ a: Matrix, _ b: Matrix) -> Double {
  guard a.rows == b.rows, a.columns == b.columns else { return .nan }
  var (largest, size) = (0.0, 1e-300)
  for i in 0..<a.count {
    let difference = abs(a.base[i] - b.base[i])
    if !(difference <= largest) { largest = difference }
    size = max(size, abs(b.base[i]))
  }
  return largest / size
}

func largestEntry(_ a: Matrix) -> Double { a.values.reduce(0) { max($0, abs($1)) } }

func packed(_ a: Matrix) -> [Double] {
  let packing = SymmetricVectors(order: a.rows)
  var result = [Double](repeating: .nan, count: packing.count)
  withExtendedLifetime(a) { packing.pack(a.base, into: &result) }
  return result
}

func unpacked(_ vector: [Double], order: Int) -> Matrix {
  let result = Matrix(order, order)
  SymmetricVectors(order: order).unpack(vector, into: result.base)
  return result
}

/// Ascending eigenvalues.
func eigenvalues(_ a: Matrix) -> [Double] {
  let copy = Matrix(copying: a)
  let eigen = SymmetricEigensolver(order: a.rows)
  guard eigen.decompose(copy.base, vectors: false) else { return [.nan] }
  return copied(eigen.values, a.rows)
}

let activations = [
  PolynomialActivation(a: 0.09, b: 0.5, c: 0.47), PolynomialActivation(a: 1, b: 0, c: 0),
  PolynomialActivation(a: 0, b: 1, c: 0), PolynomialActivation(a: 0.2, b: -0.3, c: 0),
  PolynomialActivation(a: -0.5, b: 1, c: 0.1),
]
let usual = activations[0]

/// A training problem as plain numbers, and what the definitions say of it.
struct Problem: Sendable {
  var n: Int
  var pool: [Int]
  var d: Int
  /// n × K × d.
  var x: [Double]
  /// n × C.
  var y: [Double]
  var classes: Int

  var regions: Int { pool.max()! + 1 }
  var patches: Int { pool.count }
  var order: Int { d + 1 }

  /// Patches uniform in [−1, 1), single-precision numbers, targets normal.
  init(n: Int, pool: [Int] = [0, 0], d: Int = 4, classes: Int = 1, seed: Int = 0) {
    var random = RandomSource(seed: seed, stream: 77)
    (self.n, self.pool, self.d, self.classes) = (n, pool, d, classes)
    x = random.signed(n * pool.count * d).map { Double(Float($0)) }
    y = (0..<n * classes).map { _ in random.gaussian() }
  }

  func patch(_ i: Int, _ k: Int) -> ArraySlice<Double> {
    let start = (i * patches + k) * d
    return x[start..<start + d]
  }

  func members(_ region: Int) -> [Int] { pool.indices.filter { pool[$0] == region } }

  /// (1/P_r) Σ σ(x_ik · u) over the patches of a region.
  func neuron(_ i: Int, _ region: Int, _ u: [Double], _ s: PolynomialActivation) -> Double {
    let members = members(region)
    return members.reduce(0) { sum, k in
      let t = inner(patch(i, k), u)
      return sum + s.a * t * t + s.b * t + s.c
    } / Double(members.count)
  }

  /// Φ_ir.
  func feature(_ i: Int, _ region: Int, _ s: PolynomialActivation) -> Matrix {
    let result = Matrix(d + 1, d + 1)
    let members = members(region)
    for k in members {
      let x = Array(patch(i, k))
      let weight = 1 / Double(members.count)
      for j in 0..<d {
        for l in 0..<d { result[j, l] += s.a * weight * x[j] * x[l] }
        result[j, d] += s.b / 2 * weight * x[j]
        result[d, j] += s.b / 2 * weight * x[j]
      }
    }
    result[d, d] = s.c
    return result
  }

  /// The features svec(Φ_ir) of all regions, n × Q, in whitened form.
  func features(_ map: FeatureMap, _ s: PolynomialActivation) -> Matrix {
    let result = Matrix(n, map.count)
    for i in 0..<n {
      for r in 0..<regions {
        let inside = product(feature(i, r, s), .plain, map.whitening, .plain)
        let full = product(map.whitening, .transposed, inside, .plain)
        full.symmetrize()
        for (p, value) in packed(full).enumerated() {
          result[i, r * map.packing.count + p] = value
        }
      }
    }
    return result
  }

  var targets: Matrix { Matrix(n, classes, y) }

  private var answers: [String: Tensor] { ["targets": Tensor(y, shape: [n, classes])] }

  func dataset(single: Bool = false) -> Bundle {
    var tensors = answers
    let shape = [n, patches, d]
    tensors["x"] = single ? Tensor(x.map { Float($0) }, shape: shape) : Tensor(x, shape: shape)
    tensors["pool"] = Tensor(pool.map { Int32($0) })
    return Bundle(kind: .dataset, tensors: tensors)
  }

  /// n × R × (d(d+1)/2 + d).
  var moments: [Double] {
    var result: [Double] = []
    for i in 0..<n {
      for region in 0..<regions {
        let members = members(region)
        let weight = 1 / Double(members.count)
        for j in 0..<d {
          for l in j..<d {
            let mean = members.reduce(0) { sum, k in
              let x = Array(patch(i, k))
              return sum + weight * x[j] * x[l]
            }
            result.append(j == l ? mean : mean * 2.0.squareRoot())
          }
        }
        for j in 0..<d {
          result.append(members.reduce(0) { $0 + weight * Array(patch(i, $1))[j] })
        }
      }
    }
    return result
  }

  func momentBundle(single: Bool = false) -> Bundle {
    var tensors = answers
    let shape = [n, regions, d * (d + 3) / 2]
    tensors["moments"] =
      single ? Tensor(moments.map { Float($0) }, shape: shape) : Tensor(moments, shape: shape)
    return Bundle(kind: .moments, tensors: tensors)
  }

  func solver(_ s: PolynomialActivation = usual, bundle: Bundle? = nil) throws -> PolynomialSolver {
    try PolynomialSolver(MomentData(bundle ?? dataset()), targets: targets, activation: s)
  }

  func solve(
    _ s: PolynomialActivation = usual, beta: Double, gap: Double = 1e-7,
    method: PolynomialMethod = .auto, bundle: Bundle? = nil
  ) throws -> PolynomialSolution {
    try solver(s, bundle: bundle).solve(beta: beta, gap: gap, method: method)
  }
}

extension PolynomialSolver {
  func solve(
    beta: Double, gap: Double = 1e-7, method: PolynomialMethod = .auto,
    from start: PolynomialSolver.Start = .cold, iterations: Int? = nil, seconds: Double? = nil,
    trace: (TraceRow) -> Void = { _ in }
  ) -> PolynomialSolution {
    var rule = StoppingRule()
    rule.gap = gap
    if let iterations { rule.maximumIterations = iterations }
    if let seconds { rule.maximumSeconds = seconds }
    self.method = method
    return solution(
      beta: beta, from: start, rule: rule,
      budget: Budget(rule, startedAt: Budget.now()), trace: trace)
  }
}

/// Z (or Z') of a region from the rows of a class's blocks.
func zMatrix(_ block: Matrix, row: Int, order: Int) -> Matrix {
  Matrix(order, order, copied(block.row(row), order * order))
}

/// Holds a solution against the definitions, with code that shares nothing with the solver but an
/// eigenvalue routine: feasibility of both points, both objectives, and the gap.
func expectCertified(
  _ solution: PolynomialSolution, _ problem: Problem, _ s: PolynomialActivation, beta: Double,
  gap: Double, sourceLocation: SourceLocation = #_sourceLocation
) {
  let (n, classes, regions, m) = (problem.n, problem.classes, problem.regions, problem.order)
  var random = RandomSource(seed: 5)
  // Primal: every Z is feasible, and the predictions and the objective are those of Z.
  var primal = 0.0
  let outputs = Matrix(n, classes)
  let features = (0..<n).map { i in (0..<regions).map { problem.feature(i, $0, s) } }
  for (c, block) in solution.blocks.enumerated() {
    for row in 0..<2 * regions {
      let z = zMatrix(block, row: row, order: m)
      let values = eigenvalues(z)
      let excess = (0..<m - 1).reduce(-z[m - 1, m - 1]) { $0 + z[$1, $1] }
      #expect(values[0] >= -1e-12 * max(0, values[m - 1]), sourceLocation: sourceLocation)
      #expect(abs(excess) <= 1e-11 * max(0, z[m - 1, m - 1]), sourceLocation: sourceLocation)
      primal += beta * z[m - 1, m - 1]
      let sign = row < regions ? 1.0 : -1.0
      for i in 0..<n {
        outputs[i, c] += sign * inner(features[i][row % regions].values, z.values)
      }
    }
  }
  for i in 0..<n * classes {
    primal += 0.5 * (outputs.base[i] - problem.y[i]) * (outputs.base[i] - problem.y[i])
  }
  let size = max(largestEntry(outputs), 1e-300)
  for i in 0..<n * classes {
    #expect(
      abs(outputs.base[i] - solution.predictions.base[i]) <= 1e-8 * size,
      sourceLocation: sourceLocation)
  }
  #expect(abs(primal - solution.primal) <= 1e-9 * primal, sourceLocation: sourceLocation)

  // Dual: no unit vector exceeds β, sampled and climbed to; the value is that of ν.
  var dual = 0.0
  for c in 0..<classes {
    for i in 0..<n {
      let nu = solution.dual[i, c]
      dual += nu * problem.y[i * classes + c] - 0.5 * nu * nu
    }
    for region in 0..<regions {
      let sum = Matrix(m, m)
      for i in 0..<n {
        for p in 0..<m * m { sum.base[p] += solution.dual[i, c] * features[i][region].base[p] }
      }
      var best = 0.0
      for sign in [1.0, -1.0] {
        for _ in 0..<6 {
          best = max(best, climb(sum, from: random.unit(m - 1), sign: sign))
        }
      }
      for _ in 0..<40 {
        let u = random.unit(m - 1)
        let value = (0..<n).reduce(0) {
          $0 + solution.dual[$1, c] * problem.neuron($1, region, u, s)
        }
        #expect(
          abs(value - bilinear(u + [1], sum, u + [1])) < 1e-9 * (1 + abs(value)),
          sourceLocation: sourceLocation)
        best = max(best, abs(value))
      }
      #expect(best <= beta * (1 + 1e-9), sourceLocation: sourceLocation)
    }
  }
  #expect(
    abs(dual - solution.dualValue) <= 1e-9 * max(primal, abs(dual)), sourceLocation: sourceLocation)
  #expect(primal - dual <= gap * primal + 1e-300, sourceLocation: sourceLocation)
  #expect(primal - dual >= -1e-12 * primal, sourceLocation: sourceLocation)
  #expect(solution.status == .optimal, sourceLocation: sourceLocation)
}

/// The value that ± [u; 1]ᵀ S [u; 1] reaches on the unit sphere by u ← (A + τI)u + g, which climbs for
/// τ large enough.
func climb(_ s: Matrix, from start: [Double], sign: Double) -> Double {
  let d = s.rows - 1
  var u = start
  let tau = s.values.reduce(0) { $0 + abs($1) } + 1e-300
  for _ in 0..<60 {
    var next = (0..<d).map { i in
      tau * u[i] + sign * ((0..<d).reduce(0) { $0 + s[i, $1] * u[$1] } + s[i, d])
    }
    let length = inner(next, next).squareRoot()
    guard length > 0 else { break }
    for i in 0..<d { next[i] /= length }
    u = next
  }
  return sign * bilinear(u + [1], s, u + [1])
}

/// The distinct patterns among those of `count` gates that are drawn.
func sampled(_ rows: DataRows, count: Int, sampler: GateSampler, cut: Double, seed: Int) throws
  -> GatedPatterns
{
  try GatedPatterns(
    of: SampledGates(rows, count: count, sampler: sampler, cut: cut, seed: seed), on: rows)
}
