import LinearAlgebra
import Schema
import Tensors

extension PolynomialSolution {
  package func certificate(
    on examples: Examples, expected: Matrix, with network: (any NetworkFunction)?
  ) throws -> (proof: Certificate, outputs: Matrix?) {
    // Primal: from the data and Z alone.
    let outputs = try functional().values(on: examples)
    let primal = PrimalPoint(self)

    // Dual: S = Σ ν Φ for every class and region, and its largest value on the sphere.
    let point = DualPoint(program.dual, program.judgedLoss, expected: expected)
    let dual = point.values
    let sums = try weightedMoments(dual, of: examples)
    var largest = 0.0
    for c in 0..<program.outputs {
      var total = CompensatedSum()
      for i in 0..<dual.rows { total.add(dual[i, c]) }
      for region in 0..<regionCount {
        let width = momentCount(dimension: dimension)
        guard
          let bound = dualNorm(
            sums.row(c) + region * width, sumOfDual: total.value, activation,
            dimension: dimension)
        else {
          throw Failure.data(
            "the dual constraint of class \(c), region \(region) of \(program.name) overflows")
        }
        largest = max(largest, bound)
      }
    }
    // Storing ν in double precision moves S by about ε ‖ν‖ ‖Φ‖: no solver can do better.
    let norms = (0..<dual.columns).map { c in
      (0..<dual.rows).reduce(0) { $0 + dual[$1, c] * dual[$1, c] }.squareRoot()
    }
    let proof = Certificate(
      point, scope: .global, beta: program.beta,
      primalObjective: program.judgedLoss.value(outputs, expected) + program.beta * penalty,
      primalInfeasibility: primal.infeasibility,
      predictionError: largestDifference(outputs, program.predictions), largestConstraint: largest,
      rounding: 0.5 * Double.ulpOfOne * (norms.max() ?? 0) * featureScale(on: examples))
    return (proof, nil)
  }

  package func scope(on examples: Examples) -> Scope { .global }

  /// The root mean square over samples and regions of a bound of |[u;1]ᵀ Φ [u;1]| on the sphere, from
  /// some of the samples: |a| tr M + |b| ‖μ‖ + |c|.
  package func featureScale(on examples: Examples) -> Double {
    let d = examples.dimension
    let width = momentCount(dimension: d)
    let reader = MomentReader(examples.features, limit: 1)
    let row = Matrix(1, examples.regionCount * width)
    let step = max(1, examples.count / 256)
    var sum = 0.0
    var terms = 0.0
    for i in stride(from: 0, to: examples.count, by: step) {
      guard reader.read(i..<i + 1, into: row.base) else { continue }
      for region in 0..<examples.regionCount {
        var moment = row.base + region * width
        var trace = 0.0
        for j in 0..<d {
          trace += moment[0]
          moment += d - j
        }
        let bound =
          abs(activation.a) * abs(trace) + abs(activation.b) * norm(d, moment) + abs(activation.c)
        sum += bound * bound
        terms += 1
      }
    }
    return terms > 0 ? (sum / terms).squareRoot() : 0
  }
}

/// Feasibility of the matrices Z and Z′.
struct PrimalPoint {
  let infeasibility: Double

  init(_ solution: PolynomialSolution) {
    let d = solution.dimension
    let eigensolver = SymmetricEigensolver(order: d + 1)
    var largestCorner = 0.0
    var largestEntry = 0.0
    var violation = 0.0
    for c in 0..<solution.program.outputs {
      for region in 0..<solution.regionCount {
        for sign in 0..<2 {
          let z = solution.matrix(class: c, region: region, sign: sign)
          largestCorner = max(largestCorner, z[d, d])
          var trace = CompensatedSum()
          for j in 0..<d { trace.add(z[j, j]) }
          trace.add(-z[d, d])
          violation = max(violation, abs(trace.value))
          for j in 0...d {
            for k in 0...d {
              largestEntry = max(largestEntry, abs(z[j, k]))
              violation = max(violation, abs(z[j, k] - z[k, j]))
            }
          }
          z.symmetrize()
          // Entries are finite, so that LAPACK converges; if it did not, nothing would be proved.
          let found = eigensolver.decompose(z.base, vectors: false)
          violation = max(violation, found ? -eigensolver.values[0] : .greatestFiniteMagnitude)
        }
      }
    }
    let scale = largestCorner > 0 ? largestCorner : largestEntry
    infeasibility = scale > 0 ? violation / scale : 0
  }
}

/// An upper bound of max |[u;1]ᵀ S [u;1]| over ‖u‖ = 1 for S = Σ_i ν_i Φ_i of one class and region, from Σ_i ν_i
/// moments_i and Σ_i ν_i. `nil` if it is not a finite number.
package func dualNorm(
  _ sums: UnsafePointer<Double>, sumOfDual: Double, _ activation: PolynomialActivation,
  dimension d: Int
) -> Double? {
  // On the sphere [u;1]ᵀ S [u;1] = uᵀ(S₁ + s₄ I)u + 2 s₂ᵀu with S₁ = a Σ ν M, s₂ = (b/2) Σ ν μ and s₄ = c Σ ν: s₄ is
  // added before anything rounds, because it may be far larger than the result.
  let matrix = Matrix(d, d)
  var source = sums
  for j in 0..<d {
    matrix[j, j] = activation.a * source[0] + activation.c * sumOfDual
    for k in j + 1..<max(j + 1, d) {
      matrix[j, k] = activation.a * source[k - j] / 2.0.squareRoot()
    }
    source += d - j
  }
  return sphereNorm(matrix, linear: (0..<d).map { 0.5 * activation.b * source[$0] })
}

/// An upper bound of max |uᵀA u + 2 gᵀu| over ‖u‖ = 1, for A of which the upper triangle is given, and which is used up.
/// `nil` if it is not a finite number.
func sphereNorm(_ matrix: Matrix, linear: [Double]) -> Double? {
  let d = matrix.rows
  let eigensolver = SymmetricEigensolver(order: d)
  guard eigensolver.decompose(matrix.base) else { return nil }
  let values = Array(UnsafeBufferPointer(start: eigensolver.values, count: d))
  let weights = (0..<d).map { dot(d, matrix.row($0), linear) }
  let upper = SphereBound(
    top: values[d - 1], gaps: values.map { values[d - 1] - $0 }, weights: weights)
  let lower = SphereBound(
    top: -values[0], gaps: values.map { $0 - values[0] }, weights: weights)
  guard upper.value.isFinite, lower.value.isFinite else { return nil }
  return max(upper.value, lower.value)
}
