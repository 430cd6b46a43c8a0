import LinearAlgebra

/// ADMM for min ℓ(A W) + β Σ ‖W_g‖ over groups g, split twice: Z₁ = A W and Z₂ = W, with penalties r₁, r₂ and
/// scaled duals U₁, U₂ (Boyd et al. 2011, over-relaxed).
///
/// The step in W is a least-squares problem that one factor of order n solves for all outputs: with
/// V = Z₂ − U₂ and k = r₂/r₁,
///
///     y = (A Aᵀ + k I)⁻¹ (Z₁ − U₁ − A V),  W = V + Aᵀ y,  A W = A V + A Aᵀ y;
///
/// Z₂ shrinks the groups of W + U₂ by β/r₂, Z₁ is the loss's prox of A W + U₁. −r₁U₁ = −∇ℓ(Z₁) lies in the
/// conjugate's domain, so that a multiple of it is a dual point. Weights are kept as rows: row i·C + c is the
/// weights of group i and output c; what has n numbers an output is C × n.
package final class TwoSplitADMM {
  /// How much of a step goes beyond: 1.6 of the usual range 1.5 to 1.8.
  private let relaxation = 1.6

  private let features: any GroupedFeatures
  private let system: SplitSystem
  private let loss: any Loss
  private let beta: Double
  /// n × C.
  private let targets: Matrix
  private let (n, width, outputs): (Int, Int, Int)
  /// Numbers in a group of the norm.
  private let groupSize: Int

  /// r₁ and r₂.
  package private(set) var lossPenalty: Double
  package private(set) var normPenalty: Double

  /// Z₂ and U₂, PC × Q.
  package let weights: Matrix
  private let duals: Matrix
  /// A Z₂ and A U₂, C × n.
  package private(set) var fitted: Matrix
  private var fittedDual: Matrix
  /// Z₁ and U₁, C × n.
  private let copy: Matrix
  private let copyDual: Matrix
  /// y and A Aᵀ y, C × n.
  private let solution: Matrix
  private var solutionImage: Matrix
  private let change: Matrix
  private let step: Matrix
  /// What the loss is asked with, n × C.
  private let point: Matrix
  private let image: Matrix
  private let parts: [Part]

  /// What the last step found.
  package private(set) var penalty = 0.0
  /// Groups that are not zero.
  package private(set) var active = 0
  private var normResiduals = Residuals()
  private var lossResiduals = Residuals()

  /// How far primal and dual residual are, relative to what they are residuals of.
  private struct Residuals {
    var primal = 0.0
    var dual = 0.0

    /// What brings them nearer to each other, as a factor of the penalty.
    var ratio: Double { min(5, max(0.2, (primal / max(dual, 1e-300)).squareRoot())) }
    var areUneven: Bool { ratio > 1.6 || ratio < 0.62 }
  }

  /// Begins at zero. `targets` is n × C; the kernel of `system` is that of `features`.
  package init(
    _ features: any GroupedFeatures, system: SplitSystem, targets: Matrix, loss: any Loss,
    grouping: WeightGrouping, beta: Double, penalties: (loss: Double, norm: Double)? = nil
  ) {
    self.features = features
    self.system = system
    self.targets = targets
    self.loss = loss
    self.beta = beta
    let (n, width, outputs) = (features.samples, features.width, targets.columns)
    (self.n, self.width, self.outputs) = (n, width, outputs)
    groupSize = grouping == .perClass ? width : width * outputs
    // About the curvature of the loss.
    lossPenalty = penalties?.loss ?? (loss.name == .squared || loss.name == .huber ? 1 : 0.25)
    normPenalty = penalties?.norm ?? lossPenalty * max(system.scale, 1e-300) / 100
    weights = Matrix(features.groups * outputs, width)
    duals = Matrix(features.groups * outputs, width)
    func rows() -> Matrix { Matrix(outputs, n) }
    (fitted, fittedDual, copy, copyDual) = (rows(), rows(), rows(), rows())
    (solution, solutionImage, change, step) = (rows(), rows(), rows(), rows())
    (point, image) = (Matrix(n, outputs), Matrix(n, outputs))
    let (count, workers) = (features.groups, max(1, min(Threads.count, features.groups)))
    parts = (0..<workers).map { part in
      let groups = count * part / workers..<count * (part + 1) / workers
      return Part(
        groups: groups, features.products(outputs: outputs, groups: groups.count), n, width, outputs
      )
    }
  }

  /// Factors for the penalties as they are; `false` where rounding prevents it.
  package func prepare() -> Bool { system.factor(ridge: normPenalty / lossPenalty) }

  /// Begins at the weights `start` (PC × Q) with the duals that belong to the dual point `dual` (n × C).
  package func begin(at start: Matrix, dual: Matrix) {
    weights.copy(from: start)
    // At the optimum r₂U₂ = Aᵀν, U₁ = −ν/r₁ and y = ν/r₂.
    for j in 0..<n {
      for c in 0..<outputs {
        solution[c, j] = dual[j, c] / normPenalty
        copyDual[c, j] = -dual[j, c] / lossPenalty
      }
    }
    run { part in
      part.reset()
      part.products.forEachBlock(part.groups) { groups in
        let first = groups.lowerBound * outputs
        part.products.correlate(groups, solution, into: duals.row(first))
        part.products.add(groups, weights.row(first), to: part.fitted)
        part.products.add(groups, duals.row(first), to: part.image)
      }
    }
    fitted = sum(\.fitted)
    fittedDual = sum(\.image)
    solutionImage.copy(from: fittedDual)
    copy.copy(from: fitted)
  }

  /// One iteration.
  package func iterate() {
    let (alpha, ridge) = (relaxation, system.ridge)
    for k in 0..<change.count {
      change.base[k] =
        copy.base[k] - copyDual.base[k] - fitted.base[k] + fittedDual.base[k]
        - solutionImage.base[k] - ridge * solution.base[k]
      step.base[k] = change.base[k]
    }
    // y changes by what it leaves of the right-hand side, so that the factor's errors fade with the change.
    system.solve(step)
    for k in 0..<step.count {
      solution.base[k] += step.base[k]
      solutionImage.base[k] += change.base[k] - ridge * step.base[k]
    }
    run { part in self.shrink(part) }

    let next = sum(\.fitted)
    for k in 0..<next.count {
      let own = fitted.base[k] - fittedDual.base[k] + solutionImage.base[k]
      // A U₂' = A U₂ + α A W + (1 − α) A Z₂ − A Z₂'.
      fittedDual.base[k] += alpha * own + (1 - alpha) * fitted.base[k] - next.base[k]
      step.base[k] = own
      change.base[k] = alpha * own + (1 - alpha) * copy.base[k] + copyDual.base[k]
    }
    fitted = next
    shift()

    var (split, weight, moved, dual) = (0.0, 0.0, 0.0, 0.0)
    (penalty, active) = (0, 0)
    for part in parts {
      penalty += part.penalty
      active += part.active
      split += part.split
      weight += part.weight
      moved += part.moved
      dual += part.dual
    }
    normResiduals = TwoSplitADMM.residuals(split, weight, moved, dual)
  }

  /// Z₁ and U₁ from A W + U₁, which is in `change`; A W is in `step`.
  private func shift() {
    transpose(change, into: point)
    transpose(copy, into: image)
    loss.prox(point, targets, penalty: lossPenalty, into: image)
    var (split, weight, moved, dual) = (0.0, 0.0, 0.0, 0.0)
    for j in 0..<n {
      for c in 0..<outputs {
        let (k, z) = (c * n + j, image.base[j * outputs + c])
        let u = change.base[k] - z
        split += (step.base[k] - z) * (step.base[k] - z)
        weight += z * z
        moved += (z - copy.base[k]) * (z - copy.base[k])
        dual += u * u
        copy.base[k] = z
        copyDual.base[k] = u
      }
    }
    lossResiduals = TwoSplitADMM.residuals(split, weight, moved, dual)
  }

  private static func residuals(
    _ split: Double, _ weight: Double, _ moved: Double, _ dual: Double
  ) -> Residuals {
    Residuals(
      primal: (split / max(weight, 1e-300)).squareRoot(),
      dual: (moved / max(dual, 1e-300)).squareRoot())
  }

  /// Brings the penalties to where the residuals fall alike; `false` where the system cannot be factored.
  package func adaptPenalties() -> (hasChanged: Bool, isSound: Bool) {
    guard normResiduals.areUneven || lossResiduals.areUneven else { return (false, true) }
    if normResiduals.areUneven {
      let factor = normResiduals.ratio
      normPenalty *= factor
      scale(duals.count, 1 / factor, duals.base)
      scale(fittedDual.count, 1 / factor, fittedDual.base)
    }
    if lossResiduals.areUneven {
      let factor = lossResiduals.ratio
      lossPenalty *= factor
      scale(copyDual.count, 1 / factor, copyDual.base)
    }
    return (true, prepare())
  }

  /// Computes A U₂ and A Aᵀ y anew where a factor in single precision made them drift.
  package func refresh() {
    guard system.isSingle else { return }
    run { part in
      part.reset()
      part.products.forEachBlock(part.groups) { groups in
        part.products.correlate(groups, solution, into: part.correlations.base)
        part.products.add(groups, part.correlations.base, to: part.image)
        part.products.add(groups, duals.row(groups.lowerBound * outputs), to: part.fitted)
      }
    }
    solutionImage = sum(\.image)
    fittedDual = sum(\.fitted)
  }

  /// `nu` (n × C) ← −r₁U₁.
  package func dual(into nu: Matrix) {
    transpose(copyDual, into: nu)
    scale(nu.count, -lossPenalty, nu.base)
  }

  /// `predictions` (n × C) ← Z₁.
  package func splitPredictions(into predictions: Matrix) { transpose(copy, into: predictions) }

  /// `predictions` (n × C) ← A Z₂.
  package func predictions(into predictions: Matrix) { transpose(fitted, into: predictions) }

  // MARK: The work of one thread

  /// A range of the groups and the memory to work through it.
  private final class Part {
    let groups: Range<Int>
    let products: any GroupedProducts
    /// Aᵀ y of a block.
    let correlations: Matrix
    /// This range's share of A Z₂ and of another product, C × n.
    let fitted: Matrix
    let image: Matrix
    var penalty = 0.0
    var active = 0
    var split = 0.0
    var weight = 0.0
    var moved = 0.0
    var dual = 0.0

    init(
      groups: Range<Int>, _ products: any GroupedProducts, _ samples: Int, _ width: Int,
      _ outputs: Int
    ) {
      self.groups = groups
      self.products = products
      correlations = Matrix(products.block * outputs, width)
      (fitted, image) = (Matrix(outputs, samples), Matrix(outputs, samples))
    }

    func reset() {
      fitted.fill(0)
      image.fill(0)
      (penalty, active) = (0, 0)
      (split, weight, moved, dual) = (0, 0, 0, 0)
    }
  }

  private func run(_ body: (Part) -> Void) { Threads.perform(parts.count) { body(parts[$0]) } }

  private func sum(_ path: KeyPath<Part, Matrix>) -> Matrix {
    let result = Matrix(copying: parts[0][keyPath: path])
    for part in parts.dropFirst() {
      axpy(result.count, 1, part[keyPath: path].base, result.base)
    }
    return result
  }

  /// Z₂ and U₂ of a range, and its share of A Z₂.
  private func shrink(_ part: Part) {
    part.reset()
    part.products.forEachBlock(part.groups) { groups in
      part.products.correlate(groups, solution, into: part.correlations.base)
      let (first, count) = (groups.lowerBound * outputs, groups.count * outputs * width)
      let (t, z, u) = (part.correlations.base, weights.row(first), duals.row(first))
      for place in stride(from: 0, to: count, by: groupSize) {
        shrink(z + place, u + place, t + place, part)
      }
      part.products.add(groups, z, to: part.fitted)
    }
  }

  /// Z and U of a group after H = αW + (1 − α)Z + U; `t` is that of Aᵀ y.
  private func shrink(
    _ z: UnsafeMutablePointer<Double>, _ u: UnsafeMutablePointer<Double>,
    _ t: UnsafeMutablePointer<Double>, _ part: Part
  ) {
    let (size, alpha) = (groupSize, relaxation)
    // W = Z − U + T takes the place of T, H = Z + αT + (1 − α)U that of U.
    for k in 0..<size {
      let h = z[k] + alpha * t[k] + (1 - alpha) * u[k]
      t[k] += z[k] - u[k]
      u[k] = h
    }
    let length = norm(size, u)
    let limit = beta / normPenalty
    let share = length > limit ? 1 - limit / length : 0
    var (split, moved) = (0.0, 0.0)
    for k in 0..<size {
      let next = share * u[k]
      u[k] -= next
      split += (t[k] - next) * (t[k] - next)
      moved += (next - z[k]) * (next - z[k])
      z[k] = next
    }
    part.split += split
    part.moved += moved
    part.weight += share * share * length * length
    part.dual += (1 - share) * (1 - share) * length * length
    part.penalty += share * length
    part.active += share > 0 ? 1 : 0
  }
}

/// `target` ← `source`ᵀ.
func transpose(_ source: Matrix, into target: Matrix) {
  let (m, n) = (source.rows, source.columns)
  guard m > 1, n > 1 else {
    target.base.update(from: source.base, count: m * n)
    return
  }
  for i in 0..<m {
    let row = source.row(i)
    for j in 0..<n { target.base[j * m + i] = row[j] }
  }
}
