import Glibc
import LinearAlgebra

/// A group of variables of the ReLU program: the weights of the neurons with one pattern and one sign of
/// the output.
package struct ConeBlock: Hashable {
  package let pattern: Int
  /// 1 for v, −1 for w.
  package let sign: Double

  package init(pattern: Int, sign: Double) {
    self.pattern = pattern
    self.sign = sign
  }
}

/// The interior-point method for the ReLU program with scalar output over some of its blocks j = (i, ±),
///
///   min ½ ‖ν‖² + β Σ ‖v_j‖,  ν = y − Σ A_j v_j,  A_j = ± D_i X,  s_j = B_j v_j ≥ 0,  B_j = (2D_i − I) N,
///
/// with N the unit rows of X: infeasible, primal–dual, Nesterov–Todd scaling for the norms' second-order
/// cones, Mehrotra's predictor and corrector. The Newton matrix of a block is
///
///   H_j = (reduced block of the norm) + Nᵀ diag(λ/s) N   (d × d),
///
/// and the system (I + Σ A_j H_j⁻¹ A_jᵀ) dν = r (n × n) remains for ν, in which each pattern touches only its active
/// rows. Multipliers λ_j ≥ 0 bound the norms of the dual constraint's projections, ‖P_{K_j}(A_jᵀν)‖ ≤ ‖A_jᵀν +
/// B_jᵀλ_j‖, so a certificate needs no projection.
final class ConeInteriorPoint {
  let x: Matrix
  let cone: ConeRows
  let y: [Double]
  let beta: Double
  let n: Int
  let d: Int
  let c: Int

  /// The remaining blocks and their state: row j belongs to blocks[j].
  var blocks: [ConeBlock]
  var v: Matrix
  var g: Matrix
  var s: Matrix
  var lambda: Matrix
  var tau: [Double]
  /// The distinct patterns of the blocks, the blocks of each pattern, and the place of each block's pattern.
  var patterns: [Int] = []
  var members: [[Int]] = []
  var slot: [Int] = []
  let source: Patterns

  var nu: [Double]
  /// A_jᵀν + B_jᵀλ_j and its norm.
  var bounded: Matrix
  var bounds: [Double] = []
  var primal = Double.infinity
  /// The largest |s − B v|; the rows of N have unit norm.
  var primalResidual = Double.infinity
  var mu = 0.0
  var iterations = 0

  /// Whether there is time to go on.
  let proceed: () -> Bool
  var work: Workspace
  let sum: ActiveRowsSum

  /// Buffers for the current number of blocks and patterns.
  struct Workspace {
    let masks: Matrix
    let signs: Matrix
    let factors: Matrix
    let scaling: Matrix
    let ratio: Matrix
    let wide: Matrix
    let wide2: Matrix
    let outputs: Matrix
    let features: Matrix
    let combined: Matrix
    let residual: Matrix
    let lower: Matrix
    let scaled: Matrix
    let primalGap: Matrix

    init(blocks: Int, patterns: Int, n: Int, d: Int, c: Int) {
      masks = Matrix(patterns, n)
      signs = Matrix(patterns, c)
      factors = Matrix(blocks, d * d)
      scaling = Matrix(blocks, d)
      ratio = Matrix(blocks, c)
      wide = Matrix(blocks, c)
      wide2 = Matrix(blocks, c)
      outputs = Matrix(patterns, n)
      features = Matrix(patterns, d)
      combined = Matrix(patterns, d)
      residual = Matrix(blocks, d)
      lower = Matrix(blocks, d)
      scaled = Matrix(blocks, d)
      primalGap = Matrix(blocks, c)
    }
  }

  /// A change of the iterate, or the right-hand side for its cones.
  final class Direction {
    var tau: [Double]
    let v: Matrix
    let g: Matrix
    let s: Matrix
    let lambda: Matrix
    init(_ blocks: Int, _ d: Int, _ c: Int) {
      tau = Array(repeating: 0, count: blocks)
      v = Matrix(blocks, d)
      g = Matrix(blocks, d)
      s = Matrix(blocks, c)
      lambda = Matrix(blocks, c)
    }
  }
  var affine: Direction
  var step: Direction
  var scalings: [SecondOrderScaling] = []
  /// β of the dual point, scaled.
  var scaledFirst: [Double] = []

  /// Starts at `radius` times the unit `gates` (a row for each pattern), which lie in the cones' interiors.
  init(
    _ x: Matrix, cone: ConeRows, y: [Double], beta: Double, patterns source: Patterns,
    blocks: [ConeBlock], gates: (Int, UnsafeMutablePointer<Double>) -> Void, radius: Double,
    proceed: @escaping () -> Bool = { true }
  ) {
    self.proceed = proceed
    self.x = x
    self.cone = cone
    self.y = y
    self.beta = beta
    self.source = source
    self.blocks = blocks
    (n, d, c) = (x.rows, x.columns, cone.rows.rows)
    let count = blocks.count
    v = Matrix(count, d)
    g = Matrix(count, d)
    s = Matrix(count, c)
    lambda = Matrix(count, c)
    bounded = Matrix(count, d)
    bounds = Array(repeating: .infinity, count: count)
    tau = Array(repeating: 2 * radius, count: count)
    nu = y
    sum = ActiveRowsSum(x.rows, width: 2 * x.columns, scratch: (cone.rows.rows + 1) / 2)
    work = Workspace(blocks: 0, patterns: 0, n: n, d: d, c: c)
    affine = Direction(0, d, c)
    step = Direction(0, d, c)
    reindex()
    let mu = beta * radius
    for j in 0..<count {
      gates(blocks[j].pattern, v.row(j))
      LinearAlgebra.scale(d, radius / max(norm(d, v.row(j)), 1e-300), v.row(j))
    }
    products(of: v, into: s)
    let floor = 0.3 * radius / Double(d).squareRoot()
    for i in 0..<s.count {
      s.base[i] = max(s.base[i], floor)
      lambda.base[i] = mu / s.base[i]
    }
    refresh()
  }

  // MARK: Blocks

  /// Collects the patterns of `blocks` and fits the buffers to them.
  func reindex() {
    patterns = []
    members = []
    slot = []
    var places: [Int: Int] = [:]
    for (j, block) in blocks.enumerated() {
      if let place = places[block.pattern] {
        members[place].append(j)
        slot.append(place)
      } else {
        places[block.pattern] = patterns.count
        slot.append(patterns.count)
        patterns.append(block.pattern)
        members.append([j])
      }
    }
    work = Workspace(blocks: blocks.count, patterns: patterns.count, n: n, d: d, c: c)
    affine = Direction(blocks.count, d, c)
    step = Direction(blocks.count, d, c)
    for (p, pattern) in patterns.enumerated() {
      source.expand(pattern, into: work.masks.row(p))
      cone.signs(source, pattern, into: work.signs.row(p))
    }
    scaledFirst = Array(repeating: 0, count: blocks.count)
    scalings = (0..<blocks.count).map { SecondOrderScaling(d, storage: work.scaling.row($0)) }
  }

  /// Keeps only the blocks `kept` (in ascending order).
  func keep(_ kept: [Int]) {
    take(state.rows(kept))
  }

  /// The state that a block carries from one iteration to the next.
  struct State {
    var blocks: [ConeBlock]
    var tau: [Double]
    var v: Matrix
    var g: Matrix
    var s: Matrix
    var lambda: Matrix

    /// A copy of the blocks `kept`.
    func rows(_ kept: [Int]) -> State {
      func cut(_ matrix: Matrix) -> Matrix {
        let result = Matrix(kept.count, matrix.columns)
        for (k, j) in kept.enumerated() {
          result.row(k).update(from: matrix.row(j), count: matrix.columns)
        }
        return result
      }
      return State(
        blocks: kept.map { blocks[$0] }, tau: kept.map { tau[$0] }, v: cut(v), g: cut(g), s: cut(s),
        lambda: cut(lambda))
    }
  }

  /// The iterate, not copied.
  var state: State {
    State(blocks: blocks, tau: tau, v: v, g: g, s: s, lambda: lambda)
  }

  func take(_ state: State) {
    blocks = state.blocks
    tau = state.tau
    (v, g, s, lambda) = (state.v, state.g, state.s, state.lambda)
    bounded = Matrix(blocks.count, d)
    bounds = Array(repeating: .infinity, count: blocks.count)
    reindex()
    refresh()
  }

  /// Goes on with more blocks.
  func restart(
    adding added: [ConeBlock], gates: (Int, UnsafeMutablePointer<Double>) -> Void
  ) {
    let old = blocks.count
    var all = state
    func extend(_ matrix: Matrix) -> Matrix {
      let result = Matrix(old + added.count, matrix.columns)
      result.base.update(from: matrix.base, count: matrix.count)
      return result
    }
    all.blocks += added
    (all.v, all.g, all.s, all.lambda) = (extend(v), extend(g), extend(s), extend(lambda))
    // Large enough to move, small compared to the blocks that carry the network.
    var largest = 0.0
    for j in 0..<old { largest = max(largest, norm(d, v.row(j))) }
    let radius = max(Double(c + 1) * mu / beta, 0.02 * largest)
    let mu = beta * radius / Double(c + 1)
    for j in old..<all.blocks.count {
      gates(all.blocks[j].pattern, all.v.row(j))
      LinearAlgebra.scale(d, radius / max(norm(d, all.v.row(j)), 1e-300), all.v.row(j))
      all.tau.append(2 * radius)
    }
    // The old blocks move away from the boundary, so far that they do not stop the first steps.
    for j in 0..<old {
      let slack = min(0.5, mu / (beta * max(all.tau[j], radius)))
      all.tau[j] = max(all.tau[j], norm(d, all.v.row(j)) + mu / beta)
      let length = norm(d, all.g.row(j))
      if length > beta * (1 - slack) {
        LinearAlgebra.scale(d, beta * (1 - slack) / length, all.g.row(j))
      }
    }
    take(all)
    products(of: v, into: work.wide)
    let floor = 0.3 * radius / Double(d).squareRoot()
    for i in 0..<s.count {
      if i >= old * c { s.base[i] = max(work.wide.base[i], floor) }
      if s.base[i] > lambda.base[i] {
        lambda.base[i] = max(lambda.base[i], mu / s.base[i])
      } else {
        s.base[i] = max(s.base[i], mu / lambda.base[i])
      }
    }
    refresh()
  }

  /// The blocks that carry weight or are about to: for one that ends at 0, ‖v‖ is about c μ/(β − ‖P‖). Blocks in
  /// `returned` (rows of pricing) stay. Returns nil if few blocks would go, or all.
  func carrying(gap: Double, besides returned: Set<Int> = []) -> [Int]? {
    let factor = gap < 0.01 ? 12.0 : gap < 0.03 ? 6 : gap < 0.1 ? 3 : 0
    let floor = factor * Double(c + 1) * mu / beta
    let kept = blocks.indices.filter {
      norm(d, v.row($0)) > floor || returned.contains(ConePricing.row(blocks[$0]))
    }
    return kept.count < blocks.count * 9 / 10 && !kept.isEmpty ? kept : nil
  }

  /// Bᵀλ of block `j`.
  func withMultipliers(of j: Int, _ body: (UnsafePointer<Double>) -> Void) {
    let row = work.residual.row(j)
    let feature = work.features.row(slot[j])
    for k in 0..<d { row[k] = bounded[j, k] - blocks[j].sign * feature[k] }
    body(row)
  }

  /// The relative gap over these blocks, and the largest of their bounds.
  func gap(_ loss: any Loss, _ targets: Matrix) -> (gap: Double, largest: Double) {
    let largest = bounds.max() ?? 0
    let dual = loss.dualValue(of: Matrix(n, 1, nu), targets, beta: beta, largest: largest)
    return (relativeGap(primal: primal, dual: dual), largest)
  }

  var largestWeight: Double { blocks.indices.reduce(0) { max($0, norm(d, v.row($1))) } }

  // MARK: Products

  /// target_j ← diag(signs) N z_j, c numbers per block.
  func products(of z: Matrix, into target: Matrix) {
    gemm(blocks.count, c, d, z.base, .plain, cone.rows.base, .transposed, target.base)
    applySigns(target)
  }

  func applySigns(_ target: Matrix) {
    Threads.split(blocks.count, grain: max(1, 20_000 / max(1, c))) { range in
      for j in range {
        let (row, signs) = (target.row(j), self.work.signs.row(self.slot[j]))
        for k in 0..<self.c { row[k] *= signs[k] }
      }
    }
  }

  /// target_j ← target_j + Bᵀ z_j; z is overwritten.
  func addAdjoint(of z: Matrix, to target: Matrix) {
    applySigns(z)
    gemm(blocks.count, d, c, z.base, .plain, cone.rows.base, .plain, beta: 1, target.base)
  }

  /// result ← Σ A_j z_j.
  func outputs(_ z: Matrix, into result: inout [Double]) {
    work.combined.fill(0)
    for j in blocks.indices { axpy(d, blocks[j].sign, z.row(j), work.combined.row(slot[j])) }
    gemm(
      patterns.count, n, d, work.combined.base, .plain, x.base, .transposed, work.outputs.base)
    for i in 0..<n { result[i] = 0 }
    result.withUnsafeMutableBufferPointer { result in
      let result = result.baseAddress!
      for p in patterns.indices {
        let (row, mask) = (work.outputs.row(p), work.masks.row(p))
        for i in 0..<n { result[i] += mask[i] * row[i] }
      }
    }
  }

  /// work.features_p ← Xᵀ D_p ν.
  func correlate(_ nu: [Double]) {
    nu.withUnsafeBufferPointer { nu in
      let nu = nu.baseAddress!
      for p in patterns.indices {
        let (row, mask) = (work.outputs.row(p), work.masks.row(p))
        for i in 0..<n { row[i] = mask[i] * nu[i] }
      }
    }
    gemm(patterns.count, d, n, work.outputs.base, .plain, x.base, .plain, work.features.base)
  }

  // MARK: State

  /// ν, the residuals, the bounds, the objective and μ of the iterate.
  func refresh() {
    var outputs = [Double](repeating: 0, count: n)
    self.outputs(v, into: &outputs)
    for i in 0..<n { nu[i] = y[i] - outputs[i] }
    correlate(nu)
    work.wide.copy(from: lambda)
    for j in blocks.indices {
      let (row, feature) = (bounded.row(j), work.features.row(slot[j]))
      for k in 0..<d { row[k] = blocks[j].sign * feature[k] }
    }
    addAdjoint(of: work.wide, to: bounded)
    products(of: v, into: work.primalGap)
    primalResidual = 0
    var complementarity = 0.0
    for i in 0..<s.count {
      work.primalGap.base[i] = s.base[i] - work.primalGap.base[i]
      primalResidual = max(primalResidual, abs(work.primalGap.base[i]))
      complementarity += s.base[i] * lambda.base[i]
    }
    var loss = 0.0
    for value in nu { loss += value * value }
    var norms = 0.0
    for j in blocks.indices {
      bounds[j] = norm(d, bounded.row(j))
      norms += norm(d, v.row(j))
      complementarity += beta * tau[j] + dot(d, v.row(j), g.row(j))
    }
    primal = 0.5 * loss + beta * norms
    mu = complementarity / Double(max(1, blocks.count * (c + 1)))
  }
}
