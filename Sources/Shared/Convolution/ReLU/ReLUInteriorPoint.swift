import Convex
import Glibc
import LinearAlgebra

/// The interior-point method for ReLU programs over pooled features,
///
///   min ℓ(ŷ) + β Σ_j ‖v_j‖,  ŷ = Σ_j ± F_i v_j,  B_i v_jk ≥ 0,
///
/// with groups j = (i, ±), of one output or of all; their slots k of d weights each lie in the cone of pattern i by its
/// working rows. It is infeasible and primal–dual, with Nesterov–Todd scaling for the norms' second-order cones and
/// Mehrotra's predictor and corrector. Rows may join between iterations.
///
/// A slot adds D_jk = B_iᵀ diag(λ/s) B_i + η_j⁻² I to the Newton matrix of its group, the scaling a rank-one term; (W⁻¹
/// + Σ_j F_i H_j⁻¹ F_iᵀ) dν = r remains: n × n for each output, coupled by a rank-one term per group. Multipliers λ ≥ 0
/// bound the projections of the dual constraint, ‖P(±F_iᵀν)‖ ≤ ‖±F_iᵀν + B_iᵀλ_j‖.
final class ReLUInteriorPoint {
  let cones: WorkingCones
  let beta: Double
  let terms: any LossTerms
  /// The working groups, whose cones have an interior, and their numbers.
  var numbers: [Int]
  var groups: [ReLUGroup]
  let map: ReLUOperator
  let targets: Matrix
  let loss: any Loss
  let (n, d): (Int, Int)
  /// C, C·R and C·R·d.
  let outputs: Int
  let slots: Int
  let length: Int

  /// A row for each group: v, and the dual point of its norm; s and λ of a group are slots × rows.
  var v: Matrix
  var g: Matrix
  var s: [Matrix] = []
  var lambda: [Matrix] = []
  var tau: [Double]
  /// ŷ, C × n.
  let predictions: Matrix
  /// ± F_iᵀν + B_iᵀλ and its norm.
  var bounded = Matrix(0, 0)
  var bounds: [Double] = []
  var primal = Double.infinity
  var mu = 0.0
  var iterations = 0
  /// The sum of all products that are to be μ: the distance of the values for a feasible pair.
  var complementarity = 0.0

  /// The largest norm of a group's ± F_iᵀν + B_iᵀλ + g.
  var dualResidual = Double.infinity

  let correlations: Matrix
  var ratio: [Matrix] = []
  var primalGap: [Matrix] = []
  var cross: [Matrix] = []
  let factors: ReLUFactors
  var scalings: [SecondOrderScaling] = []
  var scalingStorage = Matrix(0, 0)
  var scaled = Matrix(0, 0)
  var scaledFirst: [Double] = []
  /// The gap before the last iteration.
  var gapBefore = Double.infinity
  var lower = Matrix(0, 0)
  var residual = Matrix(0, 0)
  var affine = Direction(0, 0, 0, 0)
  var step = Direction(0, 0, 0, 0)

  /// A change of the iterate.
  final class Direction {
    var tau: [Double]
    let v: Matrix
    let g: Matrix
    var s: [Matrix] = []
    var lambda: [Matrix] = []
    let nu: Matrix
    init(_ groups: Int, _ length: Int, _ outputs: Int, _ n: Int) {
      tau = Array(repeating: 0, count: groups)
      v = Matrix(groups, length)
      g = Matrix(groups, length)
      nu = Matrix(outputs, n)
    }
  }

  /// `targets` is n × C. Every weight begins at `radius` times the centre of its cone, v and w alike, so that ŷ is 0.
  /// `first` are the numbers of the working groups, ascending; all by default.
  init(
    _ cones: WorkingCones, map: ReLUOperator, loss: any Loss, targets: Matrix, beta: Double,
    radius: Double, first: [Int]? = nil, proceed: @escaping () -> Bool = { true }
  ) {
    self.cones = cones
    self.map = map
    self.loss = loss
    self.targets = targets
    self.beta = beta
    n = cones.features.samples
    d = cones.features.dimension
    outputs = targets.columns
    slots = map.slots
    length = map.length
    let size = radius * Double(slots).squareRoot()
    let most = cones.cones.reduce(1) { max($0, $1.matrix.rows) }
    let mu = beta * size / Double(slots * most)
    numbers = (first ?? Array(0..<map.groups.count)).filter {
      cones.cones[map.groups.pattern($0)].isOpen
    }
    groups = numbers.map { map.groups[$0] }
    let count = groups.count
    v = Matrix(count, length)
    g = Matrix(count, length)
    tau = Array(repeating: 0, count: count)
    predictions = Matrix(outputs, n)
    correlations = Matrix(
      cones.features.patterns, targets.columns * cones.features.regions * cones.features.dimension)
    factors = ReLUFactors(
      cones, groups: groups, outputs: outputs, isCoupled: !loss.isSeparable,
      proceed: proceed)
    let start = ReLUInteriorPoint.start(map, groups, loss, targets, beta: beta, into: correlations)
    terms =
      BoxLossTerms(loss, targets.transposed, start: start, mu: mu)
      ?? SmoothLossTerms(loss, targets.transposed, start: start)
    let centres = exactCentres()
    for (j, group) in groups.enumerated() {
      let centre = centres[group.pattern]!
      for k in 0..<slots { axpy(d, radius, centre, v.row(j) + k * d) }
      let rows = cones.cones[group.pattern].matrix
      let (slack, multipliers) = (Matrix(slots, rows.rows), Matrix(slots, rows.rows))
      gemm(slots, rows.rows, d, v.row(j), .plain, rows.base, .transposed, slack.base)
      for i in 0..<slack.count { multipliers.base[i] = mu / slack.base[i] }
      // The point of the norm's cone whose product with (β, g) is also μ.
      let share = mu / beta
      tau[j] = 0.5 * (share + (share * share + 4 * size * size).squareRoot())
      axpy(length, -beta / tau[j], v.row(j), g.row(j))
      s.append(slack)
      lambda.append(multipliers)
    }
    makeRoomForGroups()
    refresh()
  }

  /// The analytic centres of the working rows, by pattern.
  func exactCentres() -> [Int: [Double]] {
    let patterns = Set(groups.map(\.pattern)).sorted()
    let result = Matrix(patterns.count, d)
    Threads.perform(patterns.count) { k in
      let cone = self.cones.cones[patterns[k]]
      let centre = cone.analyticCentre(from: cone.centre, exactly: true)
      result.row(k).update(from: centre, count: self.d)
    }
    return Dictionary(
      uniqueKeysWithValues: patterns.indices.map {
        (patterns[$0], Array(UnsafeBufferPointer(start: result.row($0), count: d)))
      })
  }

  /// The first ν, C × n: the multiple of the slope at 0 whose ‖F_iᵀν‖ are at most half of β, so that the dual residual
  /// is small from the first step on; but no less than a share of the slope, so that no slope begins close to a bound
  /// (hinge, n = 1,000, 30 patterns, β = 1: 221 iterations and no end without it, 20 with it).
  private static func start(
    _ map: ReLUOperator, _ groups: [ReLUGroup], _ loss: any Loss, _ targets: Matrix, beta: Double,
    into correlations: Matrix
  ) -> Matrix {
    let slope = Matrix(targets.rows, targets.columns)
    loss.residual(Matrix(targets.rows, targets.columns), targets, into: slope)
    let result = slope.transposed
    map.correlate(result, into: correlations)
    let largest = groups.reduce(0) { max($0, norm(map.length, map.part($1, correlations))) }
    let least = loss.pieces == nil ? 0.1 : 0.25
    let share = largest > 0 ? min(0.5, max(least, 0.5 * beta / largest)) : 0.5
    scale(result.count, share, result.base)
    return result
  }

  /// Buffers for the current groups, a row for each; then those of slots × rows.
  func makeRoomForGroups() {
    let count = groups.count
    bounded = Matrix(count, length)
    bounds = Array(repeating: .infinity, count: count)
    scalingStorage = Matrix(count, length)
    scaled = Matrix(count, length)
    scaledFirst = Array(repeating: 0, count: count)
    lower = Matrix(count, length)
    residual = Matrix(count, length)
    affine = Direction(count, length, outputs, n)
    step = Direction(count, length, outputs, n)
    scalings = (0..<count).map { SecondOrderScaling(length, storage: scalingStorage.row($0)) }
    makeRoom()
  }

  /// Buffers of slots × rows.
  func makeRoom() {
    func fresh() -> [Matrix] { s.map { Matrix($0.rows, $0.columns) } }
    (ratio, primalGap, cross) = (fresh(), fresh(), fresh())
    (affine.s, affine.lambda) = (fresh(), fresh())
    (step.s, step.lambda) = (fresh(), fresh())
  }

  func matrix(_ j: Int) -> Matrix { cones.cones[groups[j].pattern].matrix }

  /// Calls `body` with each group, on all threads.
  func forEachGroup(_ body: (Int) -> Void) {
    Threads.perform(groups.count, body)
  }

  // MARK: Rows

  /// Whether rows have joined the working cones that this method has not taken yet.
  var isBehind: Bool { groups.indices.contains { s[$0].columns < matrix($0).rows } }

  /// Moves every weight by `shifts` (slots per group) times the centre of its cone, and takes the rows that joined the
  /// working cones.
  func extend(shifts: Matrix) {
    for (j, group) in groups.enumerated() {
      let rows = matrix(j)
      let (old, new) = (s[j].columns, rows.rows)
      let centre = cones.centres.row(group.pattern)
      var size = 0.0
      for k in 0..<slots {
        axpy(d, shifts[j, k], centre, v.row(j) + k * d)
        size = max(size, norm(d, v.row(j) + k * d))
      }
      let (slack, multipliers) = (Matrix(slots, new), Matrix(slots, new))
      gemm(slots, new, d, v.row(j), .plain, rows.base, .transposed, slack.base)
      var depths = [Double](repeating: 0, count: new)
      gemv(new, d, rows.base, .plain, centre, &depths)
      for k in 0..<slots {
        for i in 0..<old {
          slack[k, i] = s[j][k, i] + shifts[j, k] * depths[i]
          multipliers[k, i] = lambda[j][k, i]
        }
        for i in old..<max(old, new) {
          slack[k, i] = max(slack[k, i], 1e-3 * size * depths[i])
          multipliers[k, i] = mu / slack[k, i]
        }
      }
      (s[j], lambda[j]) = (slack, multipliers)
      tau[j] = max(tau[j], norm(length, v.row(j)) + 0.5 * mu / beta)
    }
    makeRoom()
    refresh()
  }

  // MARK: Groups

  /// The relative gap of the program of these groups alone, by their multipliers.
  var gap: Double {
    let dual = loss.dualValue(
      of: terms.nu.transposed, targets, beta: beta, largest: bounds.max() ?? 0)
    return relativeGap(primal: primal, dual: dual)
  }

  /// The groups that carry weight or are about to, by their places: for one that ends at 0, ‖v‖ is about c μ/(β − ‖P‖)
  /// with c multipliers. `returned` (numbers) stay. Returns nil if few groups would go, or if it is too early to tell:
  /// after an iteration that closed much of the gap, weights need another one to follow.
  func carrying(besides returned: Set<Int>) -> [Int]? {
    let gap = max(self.gap, gapBefore)
    let factor = gap < 0.01 ? 12.0 : gap < 0.03 ? 6 : gap < 0.1 ? 3 : 0
    guard factor > 0 else { return nil }
    let kept = groups.indices.filter {
      norm(length, v.row($0)) > factor * Double(s[$0].count + 1) * mu / beta
        || returned.contains(numbers[$0])
    }
    return kept.count < groups.count * 9 / 10 && !kept.isEmpty ? kept : nil
  }

  /// Goes on with only the groups at the places `kept`, ascending.
  func keep(_ kept: [Int]) {
    func cut(_ matrix: Matrix) -> Matrix {
      let result = Matrix(kept.count, length)
      for (k, j) in kept.enumerated() { result.row(k).update(from: matrix.row(j), count: length) }
      return result
    }
    (v, g, tau) = (cut(v), cut(g), kept.map { tau[$0] })
    (s, lambda) = (kept.map { s[$0] }, kept.map { lambda[$0] })
    numbers = kept.map { numbers[$0] }
    groups = kept.map { groups[$0] }
    factors.take(groups)
    makeRoomForGroups()
    refresh()
  }

  /// Calls `body` with each group's multipliers z = Bᵀλ.
  func forEachMultiplier(_ body: (_ number: Int, _ z: UnsafePointer<Double>) -> Void) {
    var z = [Double](repeating: 0, count: length)
    for (j, group) in groups.enumerated() {
      let (t, row) = (map.part(group, correlations), bounded.row(j))
      for k in 0..<length { z[k] = row[k] - group.sign * t[k] }
      body(numbers[j], z)
    }
  }

  // MARK: State

  /// Adds Bᵀ z of slots × rows to `target`.
  func addAdjoint(_ z: Matrix, _ j: Int, to target: UnsafeMutablePointer<Double>) {
    let rows = matrix(j)
    for k in 0..<slots {
      gemv(rows.rows, d, rows.base, .transposed, z.row(k), beta: 1, target + k * d)
    }
  }

  func products(
    _ z: UnsafePointer<Double>, _ j: Int, into target: Matrix, beta: Double = 0, alpha: Double = 1
  ) {
    let rows = matrix(j)
    for k in 0..<slots {
      gemv(rows.rows, d, alpha: alpha, rows.base, .plain, z + k * d, beta: beta, target.row(k))
    }
  }

  /// Predictions, ν, the residuals, the bounds, the objective and μ of the iterate.
  func refresh() {
    map.outputs(groups, v, into: predictions)
    terms.refresh(predictions)
    map.correlate(terms.nu, into: correlations)
    var sums = [Double](repeating: 0, count: groups.count)
    sums.withUnsafeMutableBufferPointer { sums in
      nonisolated(unsafe) let sums = sums
      bounds.withUnsafeMutableBufferPointer { bounds in
        nonisolated(unsafe) let bounds = bounds
        forEachGroup { j in
          let row = self.bounded.row(j)
          row.update(from: self.map.part(self.groups[j], self.correlations), count: self.length)
          if self.groups[j].sign < 0 { scale(self.length, -1, row) }
          self.addAdjoint(self.lambda[j], j, to: row)
          let gap = self.primalGap[j]
          gap.copy(from: self.s[j])
          self.products(self.v.row(j), j, into: gap, beta: 1, alpha: -1)
          bounds[j] = norm(self.length, row)
          sums[j] =
            dot(gap.count, self.s[j].base, self.lambda[j].base) + self.beta * self.tau[j]
            + dot(self.length, self.v.row(j), self.g.row(j))
        }
      }
    }
    primal = loss.value(predictions.transposed, targets)
    dualResidual = 0
    for j in groups.indices {
      primal += beta * norm(length, v.row(j))
      var square = 0.0
      for k in 0..<length {
        let value = bounded[j, k] + g[j, k]
        square += value * value
      }
      dualResidual = max(dualResidual, square.squareRoot())
    }
    let products = (sum: sums.reduce(0, +), count: Double(productCount))
    let (sum, count) = terms.complementarity
    complementarity = products.sum + sum
    mu = complementarity / (products.count + count)
  }

  /// The number of products that are to be μ, without those of the loss.
  var productCount: Int { s.reduce(groups.count) { $0 + $1.count } }
}
