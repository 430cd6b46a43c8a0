import LinearAlgebra

/// The best feasible primal and dual points that a nuclear-norm solve has come by, with their values.
final class BestPoint {
  let beta: Double
  private let data: ArrangementData
  /// Y, n × C, and Yᵀ.
  private let targets: Matrix
  private let rows: Matrix
  private(set) var primal: Double
  private(set) var dualValue = -Double.infinity
  private(set) var rank = 0
  private var dual: Matrix
  /// Which patterns the weights are of, the weights (P·C × d), and what they predict (C × n).
  private var patterns: [Int] = []
  private var weights = Matrix(0, 0)
  private var fitted: Matrix

  /// Begins with the network that is zero.
  init(_ data: ArrangementData, targets: Matrix, beta: Double) {
    self.data = data
    self.targets = targets
    self.beta = beta
    rows = targets.transposed
    let zero = Matrix(targets.columns, targets.rows)
    primal = SquaredLoss().value(zero, rows)
    (dual, fitted) = (zero, zero)
    dualValue = 0
  }

  var gap: Double { relativeGap(primal: primal, dual: dualValue) }
  var isZero: Bool { patterns.isEmpty }

  func offerPrimal(_ check: NuclearNormADMM.Check, _ admm: NuclearNormADMM) {
    guard check.primal < primal else { return }
    primal = check.primal
    rank = check.rank
    if weights.rows != admm.weights.rows { weights = Matrix(copying: admm.weights) }
    weights.copy(from: admm.weights)
    patterns = admm.patterns
    fitted = admm.fitted
  }

  /// Scales ν, C × n, until ‖Xᵀ D_i ν‖₂ ≤ β for all patterns; `kappa` is the largest of these norms.
  func offerDual(_ nu: Matrix, kappa: Double) {
    let loss = SquaredLoss()
    // A hair inside, for whoever computes the norms with other roundings.
    let bound = kappa > 0 ? (1 - 1e-12) * beta / kappa : .greatestFiniteMagnitude
    let scaled = Matrix(copying: nu)
    scale(scaled.count, loss.scaling(nu, rows, bound: bound), scaled.base)
    let value = loss.dualValue(scaled, rows)
    if value > dualValue { (dualValue, dual) = (value, scaled) }
  }

  /// The best point as it is, for a solve over more patterns.
  var start: ArrangementSolution {
    solution(status: .stalled, gap: 0, iterations: 0)
  }

  /// The points with their values recomputed; `status`, unless the gap is reached.
  func solution(status: Status, gap: Double, iterations: Int) -> ArrangementSolution {
    let (classes, d) = (targets.columns, data.dimension)
    let active = patterns.indices.filter { i in
      (0..<classes * d).contains { weights.row(i * classes)[$0] != 0 }
    }
    let positive = (0..<classes).map { c in
      let matrix = Matrix(active.count, d)
      for (k, i) in active.enumerated() {
        matrix.row(k).update(from: weights.row(i * classes + c), count: d)
      }
      return matrix
    }
    var result = ArrangementSolution(
      index: active.map { patterns[$0] }, positive: positive, dual: dual.transposed,
      predictions: fitted.transposed, status: status, primal: primal, dualValue: dualValue,
      iterations: iterations)
    // Singular values from Gram matrices have half the digits where they are small.
    let norm = result.neurons(.nuclear).reduce(0) { $0 + $1.weight(.nuclear) }
    result.primal = SquaredLoss().value(result.predictions, targets) + beta * norm
    if result.gap <= gap { result.status = .optimal }
    return result
  }
}
