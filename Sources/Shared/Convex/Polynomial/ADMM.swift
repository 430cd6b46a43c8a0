import Glibc
import LinearAlgebra

/// The alternating direction method of multipliers in raw coordinates, all classes at once.
///
/// Splitting: X± satisfies the linear constraints, Z± the cones, Λ± are the scaled multipliers. With
/// V± = Z± − Λ±, P the projection off J and ρ the penalty,
///
///     s = P(V₊ + V₋) − (β/ρ) P svec I,
///     h = argmin ½ hᵀGh − Rᵀh + (ρ/4) ‖h − (V₊ − V₋)‖² over ⟨J, h_r⟩ = 0,
///     X± = (s ± h)/2,  H± = α X± + (1 − α) Z± + Λ±,  Z± = H± made positive semidefinite,  Λ± = H± − Z±.
///
/// One Cholesky factorisation of G + ρ/2 for each ρ serves all classes; an iteration is two triangular
/// solves and 2CR small eigendecompositions. Best for moderate β and many classes.
final class ADMM {
  private let program: PolynomialProgram
  private let gram: GramSystem
  private let m: Int
  private let q: Int
  private let regions: Int
  private let classes: Int
  private let width: Int
  /// Upper triangle: the raw Gram matrix; lower: the factor of G + ρ/2; the diagonal of G apart.
  private let matrix: Matrix
  private let diagonal: [Double]
  /// R in raw coordinates, C × Q.
  private let right: Matrix
  /// svec J / ‖J‖ of one region, and svec I less its part along J.
  private let j: [Double]
  private let identity: [Double]
  /// (G + ρ/2)⁻¹J for the R regions (R × Q), and the inverse of Jᵀ(G + ρ/2)⁻¹J (R × R).
  private let solvedJ: Matrix
  private let schurInverse: Matrix
  /// One for each thread that decompositions of this size are worth waking.
  private let projections: [SemidefiniteProjection]
  private var rho = 0.0
  /// Whether the factor is that of `rho`.
  private var isFactored = false
  private var previousBeta = 0.0

  // Per class: the two signs of all regions, one after the other (C × 2Q).
  private let z, multiplier: Matrix
  private let v, x: Matrix
  private let h: Matrix

  /// Over-relaxation.
  private let alpha = 1.7
  /// ρ = κ β / z₄.
  private let kappa = 30.0

  init(_ program: PolynomialProgram) {
    self.program = program
    gram = program.gram
    m = program.order
    q = program.map.packing.count
    regions = program.regions
    classes = program.classes
    width = program.map.count
    matrix = gram.expandedGram()
    ADMM.unwhitenGram(matrix, program.map)
    diagonal = { matrix in (0..<matrix.rows).map { matrix[$0, $0] } }(matrix)
    right = Matrix(classes, width)
    for c in 0..<classes { gram.basis.expand(gram.correlations.row(c), into: right.row(c)) }
    program.map.unwhiten.applyInParallel(classes * regions, right.base)
    var j = [Double](repeating: 0, count: q)
    var identity = j
    for i in 0..<m {
      j[program.map.packing.diagonal(i)] = (i == m - 1 ? -1 : 1) / Double(m).squareRoot()
      identity[program.map.packing.diagonal(i)] = 1
    }
    let along = zip(j, identity).reduce(0) { $0 + $1.0 * $1.1 }
    for p in 0..<q { identity[p] -= along * j[p] }
    self.j = j
    self.identity = identity
    solvedJ = Matrix(regions, width)
    schurInverse = Matrix(regions, regions)
    let perThread = max(1, 500_000 / (m * m * m))
    projections = (0..<max(1, min(Threads.count, classes * 2 * regions / perThread))).map {
      [order = m] _ in SemidefiniteProjection(order: order)
    }
    z = Matrix(classes, 2 * width)
    multiplier = Matrix(classes, 2 * width)
    v = Matrix(classes, 2 * width)
    x = Matrix(classes, 2 * width)
    h = Matrix(classes, width)
  }

  /// G in raw coordinates from G in whitened ones: the congruence on its rows, then on its columns.
  private static func unwhitenGram(_ gram: Matrix, _ map: FeatureMap) {
    map.unwhiten.applyInParallel(gram.rows * map.regions, gram.base)
    gram.transpose()
    map.unwhiten.applyInParallel(gram.rows * map.regions, gram.base)
    gram.symmetrize()
  }

  /// Goes on from where the last β was left; else starts from blocks that another method or run found,
  /// or from the least-squares solution split by sign.
  func start(from results: [ClassResult], beta: Double) {
    defer { previousBeta = beta }
    if rho > 0 {
      // The slacks ρΛ shrink with β, and so does ρ: Λ stays.
      if beta != previousBeta {
        rho *= beta / previousBeta
        isFactored = false
      }
      return
    }
    multiplier.fill(0)
    let cold = results.allSatisfy { result in
      (0..<result.blocks.count).allSatisfy { result.blocks.base[$0] == 0 }
    }
    guard cold else {
      for c in 0..<classes {
        for block in 0..<2 * regions {
          program.map.packing.pack(results[c].blocks.row(block), into: z.row(c) + block * q)
        }
      }
      return
    }
    for c in 0..<classes { gram.basis.expand(gram.leastSquares.row(c), into: h.row(c)) }
    program.map.unwhitenVariable.applyInParallel(classes * regions, h.base)
    for c in 0..<classes {
      for i in 0..<width {
        v[c, i] = h[c, i]
        v[c, width + i] = -h[c, i]
      }
    }
    project(v, into: z, keepingMultipliers: false)
    // The norm costs at most what the loss of the zero network is: a large β needs a smaller start.
    for c in 0..<classes {
      let limit = 0.1 * gram.squares[c] / beta
      let size = corner(c)
      if size > limit { scale(2 * width, limit / size, z.row(c)) }
    }
  }

  /// ½ tr(Z + Z') of a class over its regions: its share of the norm.
  private func corner(_ c: Int) -> Double {
    var sum = 0.0
    for block in 0..<2 * regions {
      for i in 0..<m { sum += 0.5 * z.row(c)[block * q + program.map.packing.diagonal(i)] }
    }
    return sum
  }

  /// Sets ρ = κ β / geometric mean of the classes' z₄, and factors; ρ Λ stays what it is.
  private func adapt(beta: Double) -> Bool {
    // A class that has next to nothing must not set the scale of the others.
    let corners = (0..<classes).map(corner)
    let floor = 1e-6 * corners.max()!
    guard floor > 0 else { return isFactored || factor(rho > 0 ? rho : beta) }
    let counted = corners.filter { $0 > floor }
    let logarithm = counted.reduce(0) { $0 + log($1) } / Double(counted.count)
    let wanted = kappa * beta / exp(logarithm)
    if isFactored, wanted < 1.5 * rho, wanted > 0.67 * rho { return true }
    if rho > 0 { scale(multiplier.count, rho / wanted, multiplier.base) }
    return factor(wanted)
  }

  private func factor(_ penalty: Double) -> Bool {
    rho = penalty
    // A ← G + ρ/2 in the lower triangle.
    matrix.mirrorUpper()
    for i in 0..<width { matrix[i, i] = diagonal[i] + 0.5 * rho }
    isFactored = choleskyLower(width, matrix.base)
    guard isFactored else { return false }
    solvedJ.fill(0)
    for r in 0..<regions { for p in 0..<q { solvedJ[r, r * q + p] = j[p] } }
    choleskySolve(width, matrix.base, solvedJ.base, count: regions)
    for r in 0..<regions {
      for t in 0..<regions { schurInverse[t, r] = dot(q, j, solvedJ.row(r) + t * q) }
    }
    schurInverse.symmetrize()
    isFactored = choleskyLower(regions, schurInverse.base)
    choleskyInverseLower(regions, schurInverse.base)
    schurInverse.mirrorLower()
    return isFactored
  }

  /// Runs until the gap of `results` is at most `tolerance`, or progress ends. `proceed` is asked after
  /// every iteration, `report` told after every check, with the neurons that the points stand for.
  func solve(
    beta: Double, tolerance: Double, limit: Int, judges: [Judge],
    results: inout [ClassResult], proceed: () -> Bool, report: ([ClassResult], Int) -> Void
  ) {
    let gamma = Matrix(classes, gram.order)
    let blocks = (0..<classes).map { _ in ConeBlocks(2 * regions, m * m) }
    var previous = Double.infinity
    var slow = 0
    var iteration = 0
    while iteration < limit {
      iteration += 1
      if [1, 3, 6, 12, 25, 50, 100, 200, 400].contains(iteration) {
        guard adapt(beta: beta) else { return }
      }
      iterate(beta: beta)
      let go = proceed()
      guard iteration % 10 == 0 || !go || iteration == limit else { continue }

      check(beta: beta, judges: judges, gamma: gamma, blocks: blocks, results: &results)
      report(results, judges[0].rankSum(results))
      if results.gap <= tolerance || !go { return }
      // Leave where the gap does not move any more.
      if iteration % 100 == 0 {
        slow = results.gap > 0.9 * previous ? slow + 1 : 0
        if slow >= 3 { return }
        previous = results.gap
      }
    }
  }

  private func iterate(beta: Double) {
    let total = width
    // V and, in h, R + (ρ/2)(V₊ − V₋).
    for c in 0..<classes {
      let (zc, lc, vc, hc, rc) = (z.row(c), multiplier.row(c), v.row(c), h.row(c), right.row(c))
      for i in 0..<2 * total { vc[i] = zc[i] - lc[i] }
      for i in 0..<total { hc[i] = rc[i] + 0.5 * rho * (vc[i] - vc[total + i]) }
    }
    choleskySolve(width, matrix.base, h.base, count: classes)
    Threads.split(classes) { part in
      for c in part { self.relax(c, beta: beta) }
    }
    project(x, into: z, keepingMultipliers: true)
  }

  /// The constraint on h, then X± and H± (into `x`) of one class.
  private func relax(_ c: Int, beta: Double) {
    let total = width
    let (vc, hc, xc, zc, lc) = (v.row(c), h.row(c), x.row(c), z.row(c), multiplier.row(c))
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * regions) { buffer in
      let excess = buffer.baseAddress!
      let weights = excess + regions
      for r in 0..<regions { excess[r] = dot(q, j, hc + r * q) }
      gemv(regions, regions, schurInverse.base, .plain, excess, weights)
      for r in 0..<regions { axpy(total, -weights[r], solvedJ.row(r), hc) }
    }
    let shift = beta / rho
    for r in 0..<regions {
      let o = r * q
      var along = 0.0
      for p in 0..<q { along += j[p] * (vc[o + p] + vc[total + o + p]) }
      for p in 0..<q {
        let sum = vc[o + p] + vc[total + o + p] - along * j[p] - shift * identity[p]
        let (i, k) = (o + p, total + o + p)
        xc[i] = alpha * 0.5 * (sum + hc[i]) + (1 - alpha) * zc[i] + lc[i]
        xc[k] = alpha * 0.5 * (sum - hc[i]) + (1 - alpha) * zc[k] + lc[k]
      }
    }
  }

  /// Positive semidefinite parts of all blocks of `source` into `target`; what is cut off becomes Λ.
  private func project(_ source: Matrix, into target: Matrix, keepingMultipliers: Bool) {
    let total = classes * 2 * regions
    let workers = projections.count
    Threads.perform(workers) { worker in
      for block in total * worker / workers..<total * (worker + 1) / workers {
        let from = source.base + block * self.q
        let to = target.base + block * self.q
        self.projections[worker].apply(from, into: to)
        if keepingMultipliers {
          let lambda = self.multiplier.base + block * self.q
          for p in 0..<self.q { lambda[p] = from[p] - to[p] }
        }
      }
    }
  }

  /// Judges the iterate: Z for the primal, h for the dual.
  private func check(
    beta: Double, judges: [Judge], gamma: Matrix, blocks: [ConeBlocks],
    results: inout [ClassResult]
  ) {
    let n = gram.order
    let white = Matrix(classes, width)
    white.copy(from: h)
    program.map.whitenVariable.applyInParallel(classes * regions, white.base)
    let eta = Matrix(classes, n)
    for c in 0..<classes { gram.basis.project(white.row(c), into: eta.row(c)) }
    gram.multiply(eta.base, count: classes, into: gamma.base)
    // γ = R − Gη, so G⁻¹γ is the least-squares solution less η.
    for i in 0..<classes * n {
      gamma.base[i] = gram.correlations.base[i] - gamma.base[i]
      eta.base[i] = gram.leastSquares.base[i] - eta.base[i]
    }
    var judged = [(primal: Double, dual: Double)](
      repeating: (.infinity, -.infinity), count: classes)
    judged.withUnsafeMutableBufferPointer { judged in
      let judged = judged.baseAddress!
      let workers = judges.count
      Threads.perform(workers) { worker in
        for c in stride(from: worker, to: self.classes, by: workers) {
          let judge = judges[worker]
          for block in 0..<2 * self.regions {
            self.program.map.packing.unpack(
              self.z.row(c) + block * self.q, into: blocks[c].row(block))
          }
          judge.makeFeasible(blocks[c])
          judged[c].primal = judge.objective(c, blocks[c], beta: beta)
          judged[c].dual = judge.dualValue(
            c, gamma.row(c), solved: eta.row(c), beta: beta)
        }
      }
    }
    for c in 0..<classes {
      if judged[c].primal < results[c].primal {
        results[c].primal = judged[c].primal
        results[c].blocks.copy(from: blocks[c])
      }
      if judged[c].dual > results[c].dual {
        results[c].dual = judged[c].dual
        results[c].gamma.base.update(from: gamma.row(c), count: n)
      }
    }
  }
}
