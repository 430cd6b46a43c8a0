import Glibc
import LinearAlgebra
import Schema
import Tensors

/// The points that a solution has for the semidefinite programs that bound quantised networks, and the bounds that they
/// prove (Bartan and Pilanci 2021; docs/mathematics.md):
///
/// - below: ν with λ such that diag λ ± Σ ν_i x_i x_iᵀ ⪰ 0; then no signs u, v have |uᵀSv| > Σ λ;
/// - above: P, N ⪰ 0, whose value with the weight κ β d is at least that of the program, and so of the best network.
struct SignRelaxationPoints: Sendable {
  /// n × C, C × d, and of each output d × d.
  private let dual, lambda: Matrix
  private let positive, negative: [Matrix]
  /// What the solution says that the programs' values are.
  private let claimed: (lower: Double, upper: Double)

  private static let factor = Double.pi / (2 * log(1 + 2.0.squareRoot()))
  /// How far matrices may be from positive semidefinite, relative to their largest eigenvalue, before they are shifted.
  private static let rounding = 1e-12

  /// Nil if the bundle has none. Throws `Failure.data` if it has a part of them, or they do not fit.
  init?(_ bundle: Bundle, samples n: Int, outputs: Int, dimension d: Int) throws {
    guard
      RelaxationKey.tensors.contains(where: { bundle[$0] != nil })
        || bundle.metadata[RelaxationKey.lower] != nil
        || bundle.metadata[RelaxationKey.upper] != nil
    else { return nil }
    dual = Matrix(try bundle.require(.relaxationDual, shape: [n, outputs]))
    lambda = Matrix(try bundle.require(.relaxationLambda, shape: [outputs, d]))
    func matrices(_ key: TensorKey) throws -> [Matrix] {
      let values = try bundle.require(key, shape: [outputs, d, d]).doubles
      return (0..<outputs).map { c in
        Matrix(d, d, Array(values[c * d * d..<(c + 1) * d * d]))
      }
    }
    (positive, negative) = (
      try matrices(.relaxationPositive), try matrices(.relaxationNegative)
    )
    func number(_ key: String) throws -> Double {
      try bundle.value(key, "a number") { Double(decimal: $0).flatMap { $0.isFinite ? $0 : nil } }
    }
    claimed = (try number(RelaxationKey.lower), try number(RelaxationKey.upper))
    guard lambda.values.allSatisfy({ $0 >= 0 }) else {
      throw Failure.data("tensor \"relaxation.lambda\" of \(bundle.name) has numbers below 0")
    }
  }

  /// A bound of uᵀ S v over all signs: Σ λ, λ being shifted until diag λ ± S is positive semidefinite.
  func bound(of s: Matrix, output c: Int, in name: String) throws -> Double {
    let d = s.rows
    var (shift, size) = (0.0, 0.0)
    for sign in [1.0, -1.0] {
      let form = Matrix(d, d)
      for k in 0..<d * d { form.base[k] = sign * s.base[k] }
      for j in 0..<d { form[j, j] += lambda[c, j] }
      let values = try SignRelaxationPoints.eigenvalues(form, name)
      (shift, size) = (max(shift, -values[0]), max(size, abs(values[0]), abs(values[d - 1])))
    }
    let sum = (0..<d).reduce(0) { $0 + lambda[c, $1] }
    return sum + Double(d) * (shift + Double(d) * Double.ulpOfOne * size)
  }

  private static func eigenvalues(_ matrix: Matrix, _ name: String) throws -> [Double] {
    let eigen = SymmetricEigensolver(order: matrix.rows)
    guard eigen.decompose(matrix.base, vectors: false) else {
      throw Failure.data("LAPACK found no eigenvalues of the relaxation's matrices of \(name)")
    }
    return (0..<matrix.rows).map { eigen.values[$0] }
  }

  /// The values that the points prove: of ν scaled into the constraint, and of P and N.
  func values(
    _ x: Matrix, _ expected: Matrix, beta: Double, of name: String
  ) throws -> (lower: Double, upper: Double) {
    let (n, d) = (x.rows, x.columns)
    var (lower, upper) = (CompensatedSum(), CompensatedSum())
    for c in 0..<expected.columns {
      let (nu, y) = (dual.column(c), expected.column(c))
      let weight = beta * Double(d)
      let bound = try bound(of: QuantizedSolution.form(x, nu), output: c, in: name)
      let share = bound > weight ? weight / bound : 1
      lower.add(share * dot(n, nu, y) - 0.5 * share * share * dot(n, nu, nu))
      upper.add(try above(x, y, c, weight: SignRelaxationPoints.factor * weight, name))
    }
    return (lower.value, upper.value)
  }

  private func above(
    _ x: Matrix, _ y: [Double], _ c: Int, weight: Double, _ name: String
  ) throws -> Double {
    let d = x.columns
    var shift = 0.0
    for matrix in [positive[c], negative[c]] {
      for a in 0..<d {
        for b in 0..<a where matrix[a, b] != matrix[b, a] {
          throw Failure.data("a matrix of the relaxation of \(name) is not symmetric")
        }
      }
      let values = try SignRelaxationPoints.eigenvalues(Matrix(copying: matrix), name)
      guard values[0] >= -SignRelaxationPoints.rounding * max(values[d - 1], 0) else {
        throw Failure.data(
          "a matrix of the relaxation of \(name) has the eigenvalue \(values[0]), expected none below 0"
        )
      }
      shift = max(shift, -values[0])
    }
    var sum = CompensatedSum()
    for i in 0..<x.rows {
      var output = CompensatedSum()
      for a in 0..<d {
        for b in 0..<d {
          output.add((positive[c][a, b] - negative[c][a, b]) * x[i, a], times: x[i, b])
        }
      }
      let rest = y[i] - output.value
      sum.add(0.5 * rest, times: rest)
    }
    let largest = (0..<d).reduce(0) { max($0, positive[c][$1, $1] + negative[c][$1, $1]) }
    // Both matrices shifted alike have the same outputs.
    sum.add(weight * (largest + 2 * shift))
    return sum.value
  }

  /// Each way in which the bounds are not those of the data, or contradict the network's objective.
  func objections(
    _ x: Matrix, _ expected: Matrix, beta: Double, objective: Double, of name: String
  ) throws -> [String] {
    let found = try values(x, expected, beta: beta, of: name)
    var result: [String] = []
    for (key, claim, value) in [
      (RelaxationKey.lower, claimed.lower, found.lower),
      (RelaxationKey.upper, claimed.upper, found.upper),
    ] where !(abs(claim - value) <= Claim.objectiveTolerance * max(abs(value), abs(objective))) {
      result.append(
        "metadata \(quoted(key)) of \(name) is \(claim), but \(value) is what its points prove")
    }
    if found.lower > objective * (1 + Claim.objectiveTolerance) {
      result.append(
        "the relaxation's lower bound \(found.lower) is above the objective \(objective)")
    }
    return result
  }
}
