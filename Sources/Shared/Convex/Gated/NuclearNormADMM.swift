import LinearAlgebra

/// ADMM for min ½‖Σ_i D_i X W_i − Y‖² + β Σ_i ‖Z_i‖_* with W = Z (Boyd et al. 2011, over-relaxed), scaled
/// duals U and the step ρ.
///
/// With A = [D_1 X … D_P X] the kernel identity A Aᵀ = (X Xᵀ) ∘ (D Dᵀ) makes the least-squares step one
/// solve of order n, and one Cholesky factor serves all classes:
///
///     V = Z − U,  q = (A Aᵀ + ρ I)⁻¹ (Y − A V),  W = V + Aᵀ q,  A W = Y − ρ q.
///
/// ρ q is the residual at W and with it a candidate for ν, whose constraint ‖Xᵀ D_i ν‖₂ needs the Aᵀ q that
/// is there anyway. Weights are kept as rows: row i·C + c is column c of pattern i.
final class NuclearNormADMM {
  /// How much of a step goes beyond: 1.6 of the usual range 1.5 to 1.8.
  private let relaxation = 1.6

  private let data: ArrangementData
  /// The patterns that the program has.
  let patterns: [Int]
  private let n: Int
  private let d: Int
  private let classes: Int
  private let beta: Double
  /// Yᵀ, A Z and A U, C × n.
  private let targets: Matrix
  private(set) var fitted: Matrix
  private var fittedDual: Matrix
  /// Z and U, P·C × d.
  let weights: Matrix
  private let duals: Matrix
  /// q, C × n.
  private let solved: Matrix
  private let system: RidgeSystem
  private let parts: [Part]

  /// What one step finds.
  struct Check {
    /// ½‖A Z − Y‖² + β Σ ‖Z_i‖_*.
    var primal = 0.0
    var nuclearNorm = 0.0
    /// Singular values of the Z_i that are not zero.
    var rank = 0
    /// max_i ‖Xᵀ D_i ν‖₂ for ν = ρ q.
    var kappa = 0.0
    /// ‖W − Z‖/‖Z‖ and ‖Z − Z before‖/‖U‖.
    var primalResidual = 0.0
    var dualResidual = 0.0
  }

  /// Begins at Z = 0, U = 0. `targets` is C × n; the kernel of `system` is that of these patterns.
  init(
    _ data: ArrangementData, patterns: [Int], targets: Matrix, beta: Double, system: RidgeSystem
  ) {
    self.data = data
    self.patterns = patterns
    (n, d, classes) = (data.samples, data.dimension, targets.rows)
    self.targets = targets
    self.beta = beta
    self.system = system
    (fitted, fittedDual, solved) = (
      Matrix(classes, n), Matrix(classes, n), Matrix(classes, n)
    )
    weights = Matrix(patterns.count * classes, d)
    duals = Matrix(patterns.count * classes, d)
    let count = patterns.count
    let workers = max(1, min(Threads.count, count))
    let (samples, features, outputs) = (n, d, classes)
    parts = (0..<workers).map { part in
      Part(
        patterns: count * part / workers..<count * (part + 1) / workers, samples: samples,
        features: features, classes: outputs)
    }
  }

  /// Begins at Z = `start` (P·C × d) with the duals that belong to the dual point `dual` (C × n).
  func begin(at start: Matrix, dual: Matrix) {
    weights.copy(from: start)
    // At the optimum ρ U = Aᵀ ν.
    for k in 0..<solved.count { solved.base[k] = dual.base[k] / system.ridge }
    run { part in self.begin(part) }
    fitted = sum(\.fitted)
    fittedDual = sum(\.fittedDual)
  }

  /// ν = ρ q of the last step, C × n.
  var residual: Matrix {
    let result = Matrix(copying: solved)
    scale(result.count, system.ridge, result.base)
    return result
  }

  /// Changes ρ, and U = λ/ρ with it. Returns `false` where the system cannot be factored.
  func changeRidge(to ridge: Double) -> Bool {
    let factor = system.ridge / ridge
    guard system.factor(ridge: ridge) else { return false }
    scale(duals.count, factor, duals.base)
    scale(fittedDual.count, factor, fittedDual.base)
    return true
  }

  /// One iteration.
  func step() -> Check {
    let (rho, alpha) = (system.ridge, relaxation)
    for k in 0..<solved.count {
      solved.base[k] = targets.base[k] - fitted.base[k] + fittedDual.base[k]
    }
    system.solve(solved)
    run { part in self.step(part) }

    let next = sum(\.fitted)
    var check = Check()
    for k in 0..<next.count {
      // A U' = A U + α A W + (1 − α) A Z − A Z'.
      fittedDual.base[k] +=
        alpha * (targets.base[k] - rho * solved.base[k]) + (1 - alpha) * fitted.base[k]
        - next.base[k]
      let difference = next.base[k] - targets.base[k]
      check.primal += 0.5 * difference * difference
    }
    fitted = next
    var (split, weight, change, dual) = (0.0, 0.0, 0.0, 0.0)
    for part in parts {
      check.nuclearNorm += part.nuclearNorm
      check.rank += part.rank
      check.kappa = max(check.kappa, rho * part.kappa)
      split += part.split
      weight += part.weight
      change += part.change
      dual += part.dual
    }
    check.primal += beta * check.nuclearNorm
    check.primalResidual = weight > 0 ? (split / weight).squareRoot() : .infinity
    check.dualResidual = dual > 0 ? (change / dual).squareRoot() : .infinity
    return check
  }

  private func run(_ body: (Part) -> Void) {
    Threads.perform(parts.count) { body(parts[$0]) }
  }

  private func sum(_ path: KeyPath<Part, Matrix>) -> Matrix {
    let result = Matrix(copying: parts[0][keyPath: path])
    for part in parts.dropFirst() {
      axpy(result.count, 1, part[keyPath: path].base, result.base)
    }
    return result
  }

  // MARK: The work of one thread

  /// A range of the patterns and the memory to work through it.
  private final class Part {
    let patterns: Range<Int>
    let columns: PatternColumns
    /// T_i = Xᵀ D_i q of a block, and H.
    let products: Matrix
    let before: Matrix
    let gram: Matrix
    let eigen: SymmetricEigensolver
    let shrinkage: Matrix
    /// This range's share of A Z and A U, C × n.
    let fitted: Matrix
    let fittedDual: Matrix
    var nuclearNorm = 0.0
    var rank = 0
    var kappa = 0.0
    var split = 0.0
    var weight = 0.0
    var change = 0.0
    var dual = 0.0

    init(patterns: Range<Int>, samples: Int, features: Int, classes: Int) {
      self.patterns = patterns
      columns = PatternColumns(samples: samples, classes: classes, patterns: patterns.count)
      products = Matrix(columns.block * classes, features)
      before = Matrix(classes, features)
      gram = Matrix(classes, classes)
      shrinkage = Matrix(classes, classes)
      eigen = SymmetricEigensolver(order: classes)
      (fitted, fittedDual) = (Matrix(classes, samples), Matrix(classes, samples))
    }

    func reset() {
      fitted.fill(0)
      fittedDual.fill(0)
      (nuclearNorm, rank, kappa) = (0, 0, 0)
      (split, weight, change, dual) = (0, 0, 0, 0)
    }
  }

  private func begin(_ part: Part) {
    part.reset()
    forEachBlock(part) { block in
      part.columns.transposedProduct(
        block.map { patterns[$0] }, data, solved, into: part.products.base)
      let rows = block.count * classes
      let place = block.lowerBound * classes
      duals.row(place).update(from: part.products.base, count: rows * d)
      let numbers = block.map { patterns[$0] }
      part.columns.addProduct(numbers, data, weights.row(place), to: part.fitted)
      part.columns.addProduct(numbers, data, duals.row(place), to: part.fittedDual)
    }
  }

  private func step(_ part: Part) {
    part.reset()
    forEachBlock(part) { block in
      let numbers = block.map { patterns[$0] }
      part.columns.transposedProduct(numbers, data, solved, into: part.products.base)
      for i in block { shrink(i, part, part.products.row((i - block.lowerBound) * classes)) }
      part.columns.addProduct(
        numbers, data, weights.row(block.lowerBound * classes), to: part.fitted)
    }
  }

  private func forEachBlock(_ part: Part, _ body: (Range<Int>) -> Void) {
    let step = part.columns.block
    for first in stride(from: part.patterns.lowerBound, to: part.patterns.upperBound, by: step) {
      body(first..<min(first + step, part.patterns.upperBound))
    }
  }

  /// Z_i and U_i after H = α W + (1 − α) Z + U, by singular-value thresholding at β/ρ; `t` is T_i, C × d.
  private func shrink(_ i: Int, _ part: Part, _ t: UnsafeMutablePointer<Double>) {
    let (z, u) = (weights.row(i * classes), duals.row(i * classes))
    let size = classes * d
    let gram = part.gram.base
    syrkRowsUpper(classes, d, t, gram)
    if part.eigen.decompose(gram, vectors: false) {
      part.kappa = max(part.kappa, max(0, part.eigen.values[classes - 1]).squareRoot())
    } else {
      part.kappa = .infinity
    }

    // H = Z + α T + (1 − α) U takes the place of U, W = Z − U + T that of T, and Z is kept.
    let alpha = relaxation
    let before = part.before.base
    for k in 0..<size {
      let h = z[k] + alpha * t[k] + (1 - alpha) * u[k]
      t[k] += z[k] - u[k]
      before[k] = z[k]
      u[k] = h
    }
    threshold(u, into: z, part)
    var (split, weight, change, dual) = (0.0, 0.0, 0.0, 0.0)
    for k in 0..<size {
      u[k] -= z[k]
      split += (t[k] - z[k]) * (t[k] - z[k])
      weight += z[k] * z[k]
      change += (z[k] - before[k]) * (z[k] - before[k])
      dual += u[k] * u[k]
    }
    part.split += split
    part.weight += weight
    part.change += change
    part.dual += dual
  }

  /// Z ← Σ_k (s_k − β/ρ)₊ g_k u_kᵀ for H = Σ_k s_k g_k u_kᵀ, both C × d: with the eigenvectors g_k of
  /// H Hᵀ it is Σ_k (1 − β/(ρ s_k))₊ g_k g_kᵀ H.
  private func threshold(
    _ h: UnsafePointer<Double>, into z: UnsafeMutablePointer<Double>, _ part: Part
  ) {
    let c = classes
    let limit = beta / system.ridge
    syrkRowsUpper(c, d, h, part.gram.base)
    guard part.eigen.decompose(part.gram.base) else {
      // Entries that are not finite: the objective says so.
      part.nuclearNorm = .nan
      return
    }
    part.shrinkage.fill(0)
    var rank = 0
    for k in 0..<c {
      let value = max(0, part.eigen.values[k]).squareRoot()
      guard value > limit else { continue }
      rank += 1
      part.nuclearNorm += value - limit
      let (g, factor) = (part.gram.row(k), 1 - limit / value)
      for a in 0..<c { axpy(c, factor * g[a], g, part.shrinkage.row(a)) }
    }
    part.rank += rank
    if rank == 0 {
      z.update(repeating: 0, count: c * d)
    } else {
      gemm(c, d, c, part.shrinkage.base, .plain, h, .plain, z)
    }
  }
}
