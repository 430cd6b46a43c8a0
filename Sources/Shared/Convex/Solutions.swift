import LinearAlgebra
import Schema
import Tensors

/// The result of a program's solver, whatever its variables: a feasible dual point, the network's predictions, and the
/// values of both points.
package protocol CertifiedSolution: Bounded {
  /// ν and ŷ, n × C; of sums over samples (`sums` is not nil) the coefficients U of ν, Q × C, and no predictions.
  var dual: Matrix { get }
  var predictions: Matrix { get }
  var sums: DualSums? { get }
  var status: Status { get }
  var primal: Double { get }
  var dualValue: Double { get }
  var iterations: Int { get }
  /// Whether something that was asked for, besides the gap, is not reached.
  var lacksProof: Bool { get }
}

extension CertifiedSolution {
  package var dualBound: Double { dualValue }
  package var lacksProof: Bool { false }
  package var sums: DualSums? { nil }

  /// The dual point as a bundle holds it.
  fileprivate var dualTensors: DualTensors {
    guard let sums else { return .samples(dual: dual.tensor, predictions: predictions.tensor) }
    return .sums(
      coefficients: dual.tensor, scale: Tensor(sums.scale), samples: sums.samples)
  }
}

/// What a dual point ν_c = s_c y_c − F u_c of sums over samples has beside its coefficients U.
package struct DualSums: Sendable {
  /// s.
  package let scale: [Double]
  /// n, and the features F.
  package var samples: Int { statistics.samples }
  package var design: FeatureDesign { statistics.design }
  private let statistics: StatisticsTensors

  package init(scale: [Double], of statistics: StatisticsTensors) {
    (self.scale, self.statistics) = (scale, statistics)
  }

  /// Puts the features, and what tells the sums from others, into a solution.
  fileprivate func write(to bundle: inout Bundle) {
    DualFeatures.write(design, to: &bundle)
    let probe = Matrix(statistics.order, 1, StatisticsTensors.probe(statistics.order))
    bundle[.dualCheck] = Tensor(statistics.gramTimes(probe).values)
  }
}

/// Bundles of kind `solution`.
package enum Solutions {
  /// The bundle of a polynomial solution; `source` is the training data's bundle.
  package static func bundle(
    _ solution: PolynomialSolution, targets: Targets, activation: PolynomialActivation,
    beta: Double, betaMax: Double?, source: Bundle, notes: [String: String],
    metadata: [String: String]
  ) -> Bundle {
    let classes = solution.blocks.count
    let (regions, size) = (solution.blocks[0].rows / 2, solution.blocks[0].columns)
    let m = Int(Double(size).squareRoot())
    // z [C, R, 2, m, m] from blocks that hold Z of every region, then Z' of every region.
    var z: [Double] = []
    z.reserveCapacity(classes * 2 * regions * size)
    for block in solution.blocks {
      for r in 0..<regions {
        for row in [r, regions + r] {
          z += UnsafeBufferPointer(start: block.row(row), count: size)
        }
      }
    }
    var bundle = common(
      solution, targets: targets, beta: beta, betaMax: betaMax, source: source, notes: notes,
      metadata: metadata)
    bundle[.z] = Tensor(z, shape: [classes, regions, 2, m, m])
    bundle.metadata[.activation] = .polynomial(activation)
    return bundle
  }

  /// The part that the bundles of all solutions have in common; the program's variables and its choices are added to
  /// it.
  package static func common(
    _ solution: some CertifiedSolution, targets: Targets, beta: Double, betaMax: Double?,
    source: Bundle, notes: [String: String], metadata: [String: String]
  ) -> Bundle {
    // If the primal point is optimal, rounding can put the bound above it.
    let dual = solution.dualValue > solution.primal ? solution.primal : solution.dualValue
    var bundle = Bundle(
      solutionFrom: source, metadata: notes.merging(metadata) { $1 }, dual: solution.dualTensors,
      loss: targets.loss, targets: targets.targetValues, beta: beta, betaMax: betaMax,
      objectives: (solution.primal, dual),
      gap: relativeGap(primal: solution.primal, dual: dual), status: solution.status,
      iterations: solution.iterations)
    bundle.metadata[.classWeights] = targets.weighting?.weights
    solution.sums?.write(to: &bundle)
    return bundle
  }

  /// z of a solution as blocks of every class: 2R rows (Z of each region, then Z' of each) of m × m. Throws if a matrix
  /// is not symmetric.
  package static func blocks(_ bundle: Bundle) throws -> [Matrix] {
    try bundle.expect(.solution)
    let z = try bundle.solutionMatrices()
    let shape = z.shape
    let (regions, size) = (shape[1], shape[3] * shape[4])
    let blocks = z.withElements(of: Double.self) { values in
      (0..<shape[0]).map { c in
        let block = Matrix(2 * regions, size)
        for r in 0..<regions {
          for sign in 0..<2 {
            block.row(sign * regions + r).update(
              from: values.baseAddress! + ((c * regions + r) * 2 + sign) * size, count: size)
          }
        }
        return block
      }
    }
    try forEachMatrix(blocks) { name, matrix, order in
      var largest = 0.0
      for i in 0..<size { largest = max(largest, abs(matrix[i])) }
      for i in 0..<order {
        for j in 0..<i
        where abs(matrix[i * order + j] - matrix[j * order + i]) > tolerance * largest {
          throw Failure.data("tensor \"z\": \(name) is not symmetric")
        }
      }
    }
    return blocks
  }

  /// The relative error that feasible matrices may have; those of a solve have 10⁻¹³ at most.
  private static let tolerance = 1e-9

  /// Throws unless every matrix is positive semidefinite with tr Z₁ = z₄: others stand for no network.
  package static func expectFeasible(_ blocks: [Matrix]) throws {
    try forEachMatrix(blocks) { name, matrix, order in
      let copy = Matrix(order, order)
      copy.base.update(from: matrix, count: order * order)
      var excess = -2 * copy[order - 1, order - 1]
      for i in 0..<order { excess += copy[i, i] }
      let eigen = SymmetricEigensolver(order: order)
      guard eigen.decompose(copy.base, vectors: false) else {
        throw Failure.data("tensor \"z\": LAPACK found no eigenvalues of \(name)")
      }
      let (smallest, largest) = (eigen.values[0], eigen.values[order - 1])
      guard smallest >= -tolerance * max(largest, 0) else {
        throw Failure.data(
          "tensor \"z\": \(name) is not positive semidefinite: it has the eigenvalue \(smallest)")
      }
      guard abs(excess) <= tolerance * largest else {
        throw Failure.data(
          "tensor \"z\": the trace of \(name) less its last entry should be that entry, "
            + "but differs by \(excess)")
      }
    }
  }

  /// Calls `body` with a name for messages, the entries and the order of every Z and Z'.
  private static func forEachMatrix(
    _ blocks: [Matrix], _ body: (String, UnsafePointer<Double>, Int) throws -> Void
  ) rethrows {
    for (c, block) in blocks.enumerated() {
      let order = Int(Double(block.columns).squareRoot())
      for row in 0..<block.rows {
        let regions = block.rows / 2
        let name = "Z\(row < regions ? "" : "'") of class \(c), region \(row % regions)"
        try body(name, block.row(row), order)
      }
    }
  }

  /// `blocks`, for a program of the given shape.
  package static func blocks(
    _ bundle: Bundle, classes: Int, regions: Int, order: Int
  ) throws -> [Matrix] {
    let result = try blocks(bundle)
    guard result.count == classes, result[0].rows == 2 * regions,
      result[0].columns == order * order
    else {
      throw Failure.data(
        "tensor \"z\" of the warm start is \(bundle[.z]!.summary), "
          + "expected F64 [\(classes), \(regions), 2, \(order), \(order)]")
    }
    return result
  }
}
