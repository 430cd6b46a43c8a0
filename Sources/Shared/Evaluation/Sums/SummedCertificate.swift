import LinearAlgebra
import Schema
import Tensors

/// Sums over samples as data that a solution and a network are judged on.
package struct JudgedSums: JudgedData, Sendable {
  package let sums: StatisticsTensors
  let statistics: FittedStatistics
  let classes: [String]?
  var name: String { sums.name }
  var metadata: [String: String] { sums.common.metadata }
  var listsAllPatterns: Bool { false }

  package init(_ bundle: Bundle) throws {
    sums = try StatisticsTensors(bundle)
    statistics = try FittedStatistics(bundle)
    classes = try bundle.classNames()
  }

  /// Throws if `solution` is not one of these sums.
  func check(_ solution: any Solution) throws {
    let program = solution.program
    guard let dual = program.sums else {
      throw Failure.data(
        "\(program.name) was found from samples, not from sums: its certificate needs the samples")
    }
    guard program.loss == .squared, program.judgedLoss.weights == nil else {
      throw Failure.data("\(program.name) is for a loss that needs the samples")
    }
    guard program.samples == sums.samples else {
      throw Failure.data(
        "\(name) is of \(sums.samples) samples, but \(program.name) of \(program.samples)")
    }
    guard dual.features.design.isSame(as: sums.design), dual.features.regions == sums.regions,
      dual.coefficients.rows == sums.order, program.outputs == sums.outputs
    else {
      throw Failure.data(
        "\(program.name) is of other features or outputs than \(name): another activation, other gates or another T"
      )
    }
    try expectProduct()
    try expectSame(dual)
    if sums.counts != nil {
      let values = try sums.common.targetValues(outputs: sums.outputs, loss: .squared)
      guard program.targets == values else {
        throw Failure.data("the targets of \(program.name) are not those of \(name)")
      }
    }
    try expect(classes: program.classes, of: program.name)
  }
}

extension JudgedSums {
  /// By how much of the largest entry sums of the same samples may differ, in another order or with other kernels.
  private static let tolerance = (double: 1e-12, single: 1e-4)

  /// Throws unless FᵀF is what the dual point was found from, as far as its product with some signs tells.
  fileprivate func expectSame(_ dual: SummedDual) throws {
    let products = SummedProducts(sums)
    let probe = Matrix(sums.order, 1, StatisticsTensors.probe(sums.order))
    let (high, low) = products.gramTimes(probe)
    let largest = products.lengths.reduce(0) { max($0, $1 * $1) }
    let tolerance = JudgedSums.tolerance
    let limit = largest * (sums.gram.type == .f32 ? tolerance.single : tolerance.double)
    for j in 0..<sums.order {
      let difference = abs(high[j, 0] + low[j, 0] - dual.check[j])
      guard difference <= limit else {
        throw Failure.data(
          "tensor \"gram\" of \(name) is not what the solution was found from: row \(j) differs by \(difference)"
        )
      }
    }
  }
}

/// The proof that a solution is optimal for all samples that some sums are of, recomputed from these alone.
struct SummedCertificate {
  let certificate: Certificate
  /// The gap if the rounding of every sum had gone against it.
  let gapForSamples: Double
  /// The length of all outputs of the solution.
  let outputSize: Double

  /// `check` of the sums must have passed. Throws if a number overflows.
  init(
    _ solution: any Solution, _ products: SummedProducts, _ space: FeatureSpace,
    weights: SummedPoint, dual: SummedPoint
  ) throws {
    let (sums, program) = (products.statistics, solution.program)
    let scale = program.sums!.scale
    outputSize = weights.curvatures.reduce(0, +).squareRoot()
    let primal =
      SummedCertificate.loss(weights, products).reduce(0, +) + program.beta * solution.penalty
    let judge = SummedDualJudge(solution, products, space)
    let point = try judge.point(dual, scale: scale)
    let stored = SummedDual.stored(
      program.sums!, lengths: products.lengths,
      squares: sums.squares.indices.map { scale[$0] * scale[$0] * sums.squares[$0] })
    certificate = Certificate(
      scope: try solution.summedScope, beta: program.beta, primalObjective: primal,
      primalInfeasibility: solution.primalInfeasibility, predictionError: 0,
      largestConstraint: point.constraint, rounding: try judge.bound(stored)
    ) { point.value(scaledBy: $0) }
    let rounding = SummedRounding(products, weights: weights.x, coefficients: dual.x, scale: scale)
    gapForSamples = Certificate.gap(
      primal: primal + rounding.primal, dual: try judge.worstValue(dual, scale: scale))
  }

  /// ½yᵀy − hᵀr + ½hᵀGh of each output; at least 0, as every loss is, whatever is rounded away.
  static func loss(_ point: SummedPoint, _ products: SummedProducts) -> [Double] {
    let squares = products.statistics.squares
    return squares.indices.map { c in
      var sum = CompensatedSum()
      sum.add(0.5, times: squares[c])
      point.add(to: &sum, c, products.right, linear: -1, quadratic: 0.5)
      return max(0, sum.value)
    }
  }
}

/// Judges dual points ν = s Y − F U of sums.
private struct SummedDualJudge {
  private let solution: any Solution
  private let products: SummedProducts
  private let space: FeatureSpace
  private var beta: Double { solution.program.beta }

  init(_ solution: any Solution, _ products: SummedProducts, _ space: FeatureSpace) {
    (self.solution, self.products, self.space) = (solution, products, space)
  }

  /// What a point is worth: νᵀy, ‖ν‖² and its largest constraint.
  struct Point {
    let product, square, constraint: Double

    func value(scaledBy s: Double) -> Double { s * product - 0.5 * s * s * square }
  }

  /// A bound of the largest constraint for bounds of the entries of Fᵀν.
  func bound(_ entries: Matrix) throws -> Double {
    guard let bound = space.largestConstraint(entries, of: solution, .bounds) else {
      throw overflow
    }
    return bound
  }

  private var overflow: Failure {
    .data("the numbers of \(solution.program.name) overflow on \(products.statistics.name)")
  }

  /// νᵀy = s yᵀy − uᵀR, ‖ν‖² = s²yᵀy − 2s uᵀR + uᵀGu and Fᵀν = sR − GU.
  func point(_ dual: SummedPoint, scale: [Double]) throws -> Point {
    let squares = products.statistics.squares
    var (product, square) = (CompensatedSum(), CompensatedSum())
    for c in squares.indices {
      let s = scale[c]
      product.add(s, times: squares[c])
      dual.add(to: &product, c, products.right, linear: -1, quadratic: 0)
      let size = s * s
      square.add(size, times: squares[c])
      square.add((-size).addingProduct(s, s), times: squares[c])
      dual.add(to: &square, c, products.right, linear: -2 * s, quadratic: 1)
    }
    guard
      let constraint = space.largestConstraint(
        dual.residuals(products.right, scale: scale), of: solution)
    else { throw overflow }
    return Point(product: product.value, square: square.value, constraint: constraint)
  }

  /// The least value that ν can have, once it satisfies the constraints whatever the rounding of the sums was.
  func worstValue(_ dual: SummedPoint, scale: [Double]) throws -> Double {
    func worst(_ dual: SummedPoint) throws -> (
      point: Point, rounding: SummedRounding, constraint: Double
    ) {
      let rounding = SummedRounding(products, weights: dual.x, coefficients: dual.x, scale: scale)
      let point = try point(dual, scale: scale)
      return (point, rounding, point.constraint + (try bound(rounding.directions)))
    }
    func value(
      _ found: (point: Point, rounding: SummedRounding, constraint: Double)
    ) -> Double {
      let s = found.constraint > beta ? beta / found.constraint : 1
      return found.point.value(scaledBy: s) - s * found.rounding.product
        - 0.5 * s * s * found.rounding.square
    }
    let own = try worst(dual)
    guard own.constraint > beta, scale.allSatisfy({ $0 == 1 }), let u = products.leastSquares()
    else { return value(own) }
    // On the way from ν to the residual ν₀ = Y − F U₀ of least squares, whose Fᵀν₀ is 0 but for rounding, ν becomes
    // smaller where the constraints see it, and keeps its value elsewhere.
    let (high, low) = products.gramTimes(u)
    let residual = SummedPoint(x: u, high: high, low: low)
    let floor = try worst(residual).constraint
    guard floor < beta else { return value(own) }
    let share = (beta - floor) / (own.constraint - floor)
    return max(value(own), value(try worst(dual.mixed(with: residual, share: share))))
  }
}

extension SummedDual {
  /// About how far storing U in double precision moves Fᵀν: ½ε g_j times the root of the sum of (u g)² and of what s Y
  /// adds, `squares` of each output; g are the `lengths` of the features.
  static func stored(_ dual: SummedDual, lengths g: [Double], squares: [Double]) -> Matrix {
    let (u, result) = (dual.coefficients, Matrix(dual.coefficients.rows, squares.count))
    for c in squares.indices {
      var square = squares[c]
      for j in g.indices { square += (u[j, c] * g[j]) * (u[j, c] * g[j]) }
      for j in g.indices { result[j, c] = 0x1p-53 * g[j] * square.squareRoot() }
    }
    return result
  }
}

/// Bounds of what the rounding of sums over samples may have moved: each product x_iᵀx_j is wrong by at most
/// `roundingUnit` ‖x_i‖ ‖x_j‖.
private struct SummedRounding {
  /// Of the loss at the weights, of νᵀy, of ‖ν‖², and of Fᵀν (Q × C).
  private(set) var primal = 0.0
  private(set) var product = 0.0
  private(set) var square = 0.0
  let directions: Matrix

  init(_ products: SummedProducts, weights: Matrix, coefficients: Matrix, scale: [Double]) {
    let (sums, g) = (products.statistics, products.lengths)
    let unit = Double(StatisticsTensors.blockRows + sums.blocks) * 0x1p-53
    // In single precision the products of features less the centre are.
    let gramUnit = sums.roundingUnit
    directions = Matrix(g.count, sums.outputs)
    for c in 0..<sums.outputs {
      let y = sums.squares[c].squareRoot()
      let (a, u) = g.indices.reduce(into: (0.0, 0.0)) { sum, j in
        sum.0 += abs(weights[j, c]) * g[j]
        sum.1 += abs(coefficients[j, c]) * g[j]
      }
      let s = abs(scale[c])
      primal += unit * (y * y / 2 + a * y) + gramUnit * a * a / 2
      product += unit * (s * y * y + u * y)
      square += unit * (s * s * y * y + 2 * s * u * y) + gramUnit * u * u
      for j in g.indices { directions[j, c] = g[j] * (unit * s * y + gramUnit * u) }
    }
  }
}

extension Solution {
  /// The networks that a certificate of sums bounds.
  var summedScope: Scope {
    get throws {
      let scope: Scope =
        program.kind == .gatedReLU ? .gates : .global
      return scope.byStatistics
    }
  }

  /// How far the variables are from their cones.
  var primalInfeasibility: Double {
    (self as? PolynomialSolution).map { PrimalPoint($0).infeasibility } ?? 0
  }
}
