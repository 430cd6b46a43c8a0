import LinearAlgebra

/// The primal–dual interior-point method for any loss, all classes at once, for programs of few samples.
///
/// Variables: ν (n per class) and ρ± per region, slacks S± = (β/2) I + ρ± J ∓ mat(Fᵀν), and Z±, all matrices in
/// whitened coordinates. Eliminating Z and S leaves for each class
///
///     (W⁻¹ + F(W₊ ⊗ W₊ + W₋ ⊗ W₋)Fᵀ) Δν + C Δρ = …,
///
/// of order n, with W⁻¹ the loss's part (`LossTerms`). S follows from ν and ρ, except for what `LossTerms` rounds off a
/// step of ν; predictions follow from ν only at the end. Cross-entropy has one more variable per sample, the common
/// part of the classes: it takes one more system of order n, Σ over the classes of these matrices' inverses.
final class SplitInteriorPoint {
  private let program: PolynomialProgram
  private let products: FeatureProducts
  private let loss: any Loss
  private let targets: Matrix
  private let judge: LossJudge
  /// F, n × Q, whitened.
  private let features: Matrix
  private let classes: [SplitClass]
  private let m: Int
  /// The factor of Σ of the classes' inverses.
  private let common: Matrix?

  private static let mostIterations = 100
  /// The number of iterations without a smaller gap before it gives up.
  private static let patience = 12

  init(
    _ program: PolynomialProgram, _ model: PolynomialModel, _ products: FeatureProducts,
    loss: any Loss, targets: Matrix, judge: LossJudge
  ) {
    self.program = program
    self.products = products
    self.loss = loss
    self.targets = targets
    self.judge = judge
    m = program.order
    let map = program.map
    let features = Matrix(targets.rows, map.count)
    model.data.forEachBlock { range, rows in
      map.whitenedFeatures(
        range.count, rows, rowLength: model.data.rowLength, into: features.row(range.lowerBound),
        scratch: map.whiten.makeScratch())
    }
    self.features = features
    classes = (0..<targets.columns).map { _ in SplitClass(program, features: features) }
    common = !loss.isSeparable ? Matrix(targets.rows, targets.rows) : nil
  }

  /// Whether an iteration is cheap: it takes n numbers per class, and n congruences of order m.
  static func suits(_ program: PolynomialProgram, _ targets: Matrix) -> Bool {
    let (n, m, c) = (Double(targets.rows), Double(program.order), Double(targets.columns))
    let width = Double(program.map.count)
    return c * (n * n * n / 3 + n * n * width + 4 * n * width * m) < 2e8
  }

  /// Improves `best` until its gap is at most `tolerance` or no progress is possible.
  func solve(
    beta: Double, tolerance: Double, best: PolynomialIncumbent, proceed: () -> Bool,
    report: () -> Void
  ) {
    let zero = Matrix(targets.rows, targets.columns)
    let value = loss.value(zero, targets)
    // Begins with a norm that costs as much as the zero network.
    let count = Double(2 * program.regions * classes.count)
    let size = value > 0 ? value / (beta * count * Double(m)) : 1
    for part in classes { part.blocks.start(size) }
    let terms = start(beta: beta, mu: 0.5 * beta * size)
    let predictions = Matrix(classes.count, targets.rows)
    var stalled = 0
    for iteration in 0..<SplitInteriorPoint.mostIterations {
      let before = best.gap
      for (c, part) in classes.enumerated() { part.predict(into: predictions.row(c)) }
      terms.refresh(predictions)
      for (c, part) in classes.enumerated() {
        part.refresh(terms.nu.row(c), beta, isFirst: iteration == 0)
      }
      offer(terms, beta: beta, to: best)
      report()
      if best.gap <= tolerance || !proceed() { return }
      stalled = best.gap < 0.9 * before ? 0 : stalled + 1
      if stalled >= SplitInteriorPoint.patience { return }
      guard step(terms) else { return }
    }
  }

  /// Moves ν towards the slope at 0 as far as leaves half of each slack.
  private func start(beta: Double, mu: Double) -> any LossTerms {
    let slope = Matrix(targets.rows, targets.columns)
    loss.residual(Matrix(targets.rows, targets.columns), targets, into: slope)
    let nu = slope.transposed
    let packed = Matrix(classes.count, program.map.count)
    products.adjoint(slope, into: packed)
    let eigen = SymmetricEigensolver(order: m)
    let full = Matrix(m, m)
    var largest = 0.0
    for c in classes.indices {
      for r in 0..<program.regions {
        program.map.packing.unpack(packed.row(c) + r * program.map.packing.count, into: full.base)
        guard eigen.decompose(full.base, vectors: false) else { continue }
        largest = max(largest, abs(eigen.values[0]), abs(eigen.values[m - 1]))
      }
    }
    scale(nu.count, largest > 0 ? min(0.5, 0.25 * beta / largest) : 0.5, nu.base)
    return BoxLossTerms(loss, targets.transposed, start: nu, mu: mu)
      ?? SmoothLossTerms(loss, targets.transposed, start: nu)
  }

  private func offer(_ terms: any LossTerms, beta: Double, to best: PolynomialIncumbent) {
    let nu = terms.nu.transposed
    let packed = Matrix(classes.count, program.map.count)
    products.adjoint(nu, into: packed)
    let constraint = judge.constraint(packed)
    if constraint.isFinite { best.offer(dual: nu, largest: constraint) }
    let raw = classes.map { $0.raw() }
    judge.offer(raw, to: best)
  }

  /// One predictor–corrector step; false if the numbers allow none.
  private func step(_ terms: any LossTerms) -> Bool {
    let others = terms.complementarity
    let sum = classes.reduce(others.sum) { $0 + $1.blocks.complementarity }
    let mu = sum / (others.count + Double(classes.count * 2 * program.regions * m))
    guard mu > 0, mu.isFinite else { return false }
    for (c, part) in classes.enumerated() {
      guard part.blocks.update(), part.factor(terms.inverse.row(c)) else { return false }
    }
    if let common {
      common.fill(0)
      for part in classes { part.addInverse(to: common) }
      guard choleskyLower(common.rows, common.base) else { return false }
    }
    let nu = Matrix(classes.count, targets.rows)
    func reach() -> Double {
      classes.reduce(terms.stepLength(nu)) { min($0, $1.blocks.stepLength()) }
    }
    for part in classes {
      part.blocks.predict()
      part.blocks.absorbMissing()
    }
    terms.rightHandSide(target: 0, isCorrector: false, into: nu)
    direction(nu)
    terms.complete(nu, target: 0, isCorrector: false)
    let affine = min(1, reach())
    let after = classes.reduce(terms.complementarity(after: affine, nu)) {
      $0 + $1.blocks.complementarity(after: affine)
    }
    let ratio = min(1, max(0, after / sum))
    let target = max(ratio * ratio * ratio, 1e-6) * mu

    for part in classes {
      for i in 0..<part.blocks.count { part.blocks.correct(i, target: target) }
      part.blocks.absorbMissing()
    }
    terms.rightHandSide(target: target, isCorrector: true, into: nu)
    direction(nu)
    terms.complete(nu, target: target, isCorrector: true)
    let length = min(1, 0.98 * reach())
    guard length > 1e-8, length.isFinite else { return false }
    for part in classes { part.move(length) }
    terms.move(length, nu)
    return true
  }

  /// `nu` holds the loss's right-hand sides on entry and Δν on return.
  private func direction(_ nu: Matrix) {
    for (c, part) in classes.enumerated() { part.reduce(nu.row(c)) }
    let right = Matrix(copying: nu)
    for (c, part) in classes.enumerated() { part.solve(nu.row(c)) }
    if let common {
      // Σ over the classes of Δν is 0.
      let n = targets.rows
      let shift = Matrix(1, n)
      for c in classes.indices { axpy(n, 1, nu.row(c), shift.base) }
      choleskySolve(n, common.base, shift.base, count: 1)
      nu.copy(from: right)
      for (c, part) in classes.enumerated() {
        axpy(n, -1, shift.base, nu.row(c))
        part.solve(nu.row(c))
      }
    }
    for (c, part) in classes.enumerated() { part.complete(nu.row(c)) }
  }
}

/// The part of `SplitInteriorPoint` for one class.
private final class SplitClass {
  let blocks: ScaledBlocks
  private let program: PolynomialProgram
  private let features: Matrix
  private let (n, m): (Int, Int)
  private var rho, stepRho, second: [Double]
  /// The factor of the system of ν; the columns C, and M⁻¹C; E − CᵀM⁻¹C.
  private let matrix, columns, solved, schur: Matrix
  private let images, packed: Matrix

  init(_ program: PolynomialProgram, features: Matrix) {
    self.program = program
    self.features = features
    blocks = ScaledBlocks(program)
    (n, m) = (features.rows, program.order)
    rho = Array(repeating: 0, count: blocks.count)
    (stepRho, second) = (rho, rho)
    matrix = Matrix(n, n)
    columns = Matrix(blocks.count, n)
    solved = Matrix(blocks.count, n)
    schur = Matrix(blocks.count, blocks.count)
    images = Matrix(n, program.map.count)
    packed = Matrix(1, program.map.count)
  }

  /// Sets the slacks from ν if `isFirst`; stores how the slacks that ν implies differ from the current ones.
  func refresh(_ nu: UnsafePointer<Double>, _ beta: Double, isFirst: Bool) {
    if isFirst { for i in rho.indices { rho[i] = 0 } }
    gemv(n, features.columns, features.base, .transposed, nu, packed.base)
    if isFirst { blocks.updateSlacks(beta: beta, packed.base, rho: rho) }
    blocks.compareSlacks(beta: beta, packed.base, rho: rho)
  }

  /// The predictions of Z.
  func predict(into predictions: UnsafeMutablePointer<Double>) {
    blocks.right.fill(0)
    blocks.reduce(into: packed.base, &second)
    gemv(n, features.columns, features.base, .plain, packed.base, predictions)
  }

  /// Z in raw coordinates.
  func raw() -> ConeBlocks {
    let result = ConeBlocks(blocks.count, m * m)
    let scratch = Matrix(m, m)
    for i in 0..<blocks.count {
      program.map.unwhitenVariable.apply(
        full: blocks.z.row(i), result.row(i), scratch: scratch.base)
    }
    return result
  }

  /// Factors the system for the scalings; `inverse` is the diagonal of W⁻¹.
  func factor(_ inverse: UnsafePointer<Double>) -> Bool {
    let q = program.map.packing.count
    images.fill(0)
    for i in 0..<blocks.count {
      let transform = Matrix(m, m)
      transform.base.update(from: blocks.w.row(i), count: m * m)
      let form = Congruence(transform)
      let start = (i % program.regions) * q
      let (scratch, image) = (form.makeScratch(), Matrix(1, q))
      for k in 0..<n {
        form.apply(1, features.row(k) + start, image.base, scratch: scratch)
        axpy(q, 1, image.base, images.row(k) + start)
      }
    }
    gemm(
      n, n, features.columns, images.base, .plain, features.base, .transposed, matrix.base)
    for k in 0..<n { matrix[k, k] += inverse[k] }
    guard choleskyLower(n, matrix.base) else { return false }
    for i in 0..<blocks.count {
      packed.fill(0)
      program.map.packing.pack(
        blocks.wjw.row(i), into: packed.base + (i % program.regions) * q)
      gemv(
        n, features.columns, alpha: -blocks.sign(i), features.base, .plain, packed.base,
        columns.row(i))
    }
    solved.copy(from: columns)
    choleskySolve(n, matrix.base, solved.base, count: blocks.count)
    gemm(
      blocks.count, blocks.count, n, alpha: -1, columns.base, .plain, solved.base, .transposed,
      schur.base)
    for i in 0..<blocks.count {
      schur[i, i] += dot(m * m, blocks.wjw.row(i), program.traceForm.base)
    }
    return true
  }

  /// Adds the inverse, as `solve` applies it, to `target`.
  func addInverse(to target: Matrix) {
    let rows = Matrix.identity(n)
    choleskySolve(n, matrix.base, rows.base, count: n)
    for k in 0..<n {
      var rho = (0..<blocks.count).map { -solved[$0, k] }
      let copy = Matrix(copying: schur)
      rho.withUnsafeMutableBufferPointer {
        _ = solveGeneral(blocks.count, copy.base, $0.baseAddress!)
      }
      for i in 0..<blocks.count { axpy(n, -rho[i], solved.row(i), rows.row(k)) }
    }
    axpy(target.count, 1, rows.base, target.base)
  }

  /// Subtracts from `nu` the contribution of the blocks' right-hand sides.
  func reduce(_ nu: UnsafeMutablePointer<Double>) {
    blocks.reduce(into: packed.base, &second)
    // The predictions of Z, a part of Σ ± (Z + right), are in the loss's right-hand side already.
    let present = Matrix(1, program.map.count)
    let q = program.map.packing.count
    let block = Matrix(1, q)
    for i in 0..<blocks.count {
      program.map.packing.pack(blocks.z.row(i), into: block.base)
      axpy(q, blocks.sign(i), block.base, present.base + (i % program.regions) * q)
    }
    axpy(packed.count, -1, present.base, packed.base)
    gemv(n, features.columns, alpha: -1, features.base, .plain, packed.base, beta: 1, nu)
  }

  /// `x` ← Δν, with Δρ, for the right-hand side `x`.
  func solve(_ x: UnsafeMutablePointer<Double>) {
    choleskySolve(n, matrix.base, x, count: 1)
    for i in 0..<blocks.count { stepRho[i] = second[i] - dot(n, columns.row(i), x) }
    let copy = Matrix(copying: schur)
    stepRho.withUnsafeMutableBufferPointer {
      _ = solveGeneral(blocks.count, copy.base, $0.baseAddress!)
    }
    for i in 0..<blocks.count { axpy(n, -stepRho[i], solved.row(i), x) }
  }

  /// ΔS and ΔZ for Δν.
  func complete(_ nu: UnsafePointer<Double>) {
    gemv(n, features.columns, features.base, .transposed, nu, packed.base)
    blocks.complete(packed.base, stepRho)
  }

  func move(_ length: Double) {
    for i in rho.indices { rho[i] += length * stepRho[i] }
    blocks.move(length)
  }
}
