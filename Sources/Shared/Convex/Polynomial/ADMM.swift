import LinearAlgebra

/// The alternating direction method of multipliers for squared loss, all classes at once.
///
/// The losses' half of a step (`BlockSplitting` is the cones'), with V± of the splitting and ρ its penalty:
///
///     h = argmin ½ hᵀGh − Rᵀh + (ρ/4) ‖h − (V₊ − V₋)‖² over ⟨J, h_r⟩ = 0.
///
/// One Cholesky factorisation of G + ρ/2 for each ρ serves all classes; an iteration is two triangular
/// solves and 2CR small eigendecompositions. Best for moderate β and many classes.
final class ADMM {
  private let program: PolynomialProgram
  private let gram: GramSystem
  private let m: Int
  private let regions: Int
  private let classes: Int
  private let width: Int
  private let ridge: ConstrainedRidge
  private let splitting: BlockSplitting
  /// R in raw coordinates, C × Q.
  private let right: Matrix
  private let h: Matrix
  /// Whether the factor is that of the penalty.
  private var isFactored = false
  private var previousBeta = 0.0

  init(_ program: PolynomialProgram) {
    self.program = program
    gram = program.gram
    m = program.order
    regions = program.regions
    classes = program.classes
    width = program.map.count
    ridge = ConstrainedRidge(program)
    splitting = BlockSplitting(program)
    right = Matrix(classes, width)
    for c in 0..<classes { gram.basis.expand(gram.correlations.row(c), into: right.row(c)) }
    program.map.unwhiten.applyInParallel(classes * regions, right.base)
    h = Matrix(classes, width)
  }

  /// Goes on from the iterate of the last β if there is one; else starts from blocks that another method or run found,
  /// or from the least-squares solution split by sign.
  func start(from results: [ClassResult], beta: Double) {
    defer { previousBeta = beta }
    if splitting.rho > 0 {
      if beta != previousBeta {
        splitting.scalePenalty(beta / previousBeta)
        isFactored = false
      }
      return
    }
    guard results.map(\.blocks).areZero else { return splitting.start(from: results.map(\.blocks)) }
    for c in 0..<classes { gram.basis.expand(gram.leastSquares.row(c), into: h.row(c)) }
    program.map.unwhitenVariable.applyInParallel(classes * regions, h.base)
    // The norm costs at most the loss of the zero network: a large β needs a smaller start.
    splitting.start(splitting: h, limits: gram.squares.map { 0.1 * $0 / beta })
  }

  /// Sets ρ, and factors; ρ Λ stays unchanged.
  private func adapt(beta: Double) -> Bool {
    let rho = splitting.rho
    let wanted = splitting.wantedPenalty(beta: beta) ?? (rho > 0 ? rho : beta)
    if isFactored, wanted < 1.5 * rho, wanted > 0.67 * rho { return true }
    splitting.set(penalty: wanted)
    isFactored = ridge.factor(0.5 * wanted)
    return isFactored
  }

  /// Runs until the gap of `results` is at most `tolerance`, or progress ends. It asks `proceed` after every iteration,
  /// and tells `report` the number of the points' neurons after every check.
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
      // Leave if the gap does not move any more.
      if iteration % 100 == 0 {
        slow = results.gap > 0.9 * previous ? slow + 1 : 0
        if slow >= 3 { return }
        previous = results.gap
      }
    }
  }

  private func iterate(beta: Double) {
    // R + (ρ/2)(V₊ − V₋)
    splitting.prepare(difference: h)
    for i in 0..<h.count { h.base[i] = right.base[i] + 0.5 * splitting.rho * h.base[i] }
    ridge.solve(h)
    splitting.step(h, beta: beta)
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
    // γ = R − Gη, so G⁻¹γ is the least-squares solution minus η.
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
          self.splitting.unpack(c, into: blocks[c])
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

extension [ConeBlocks] {
  /// Whether the blocks are those of the zero network.
  var areZero: Bool {
    allSatisfy { blocks in (0..<blocks.count).allSatisfy { blocks.base[$0] == 0 } }
  }
}
