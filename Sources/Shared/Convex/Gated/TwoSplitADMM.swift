import LinearAlgebra

/// ADMM for min ℓ(A W) + β Σ ‖W_g‖ over groups g of any norm, split twice: Z₁ = A W and Z₂ = W, with penalties r₁, r₂
/// and scaled duals U₁, U₂ (Boyd et al. 2011), over-relaxed and accelerated.
///
/// The step in W is a least-squares problem that one factor of order n solves for all outputs: with
/// V = Z₂ − U₂ and k = r₂/r₁,
///
///     y = (A Aᵀ + k I)⁻¹ (Z₁ − U₁ − A V),  W = V + Aᵀ y,  A W = A V + A Aᵀ y.
///
/// As a fixed-point iteration its state is S = Z + U: Z₂ is the norm's prox of S₂ with β/r₂, Z₁ is the loss's prox
/// of S₁, and S grows by α (W − Z₂) and α (A W − Z₁). −r₁U₁ = −∇ℓ(Z₁) lies in the conjugate's domain, so that a
/// multiple of it is a dual point. Weights are kept as rows: row i·C + c is the weights of group i and output c;
/// quantities of n numbers per output are C × n.
package final class TwoSplitADMM {
  /// The over-relaxation α: 1.6 of the usual range 1.5 to 1.8.
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
  /// Whether the loss stays in the least-squares step: then Z₁ − U₁ = Y, and r₁ is 1.
  private let isQuadratic: Bool

  /// r₁ and r₂.
  package private(set) var lossPenalty: Double
  package private(set) var normPenalty: Double

  /// S₂ (PC × Q), A S₂ and S₁ (C × n).
  private let sums: MixingTrack
  private let images: MixingTrack
  private let copies: MixingTrack
  private let mixing = AndersonMixing()
  /// Z₂ (PC × Q), A Z₂ and Z₁ (C × n).
  package let weights: Matrix
  private var fitted: Matrix
  private let split: Matrix
  /// y and A Aᵀ y, C × n; the residual that y leaves, and its correction of y.
  private let solution: Matrix
  private var solutionImage: Matrix
  private let rest: Matrix
  private let step: Matrix
  /// The arguments of the loss, n × C.
  private let point: Matrix
  private let image: Matrix
  private let parts: [Part]

  /// The factor of β at Z₂, Σ ‖Z_g‖, and the number of groups that are not zero.
  package private(set) var penalty = 0.0
  package private(set) var active = 0
  private var normResiduals = Residuals()
  private var lossResiduals = Residuals()

  /// The primal and the dual residual, each relative to the quantity it belongs to.
  private struct Residuals {
    private var primal = 0.0
    private var dual = 0.0

    init() {}

    /// Takes squares: ‖W − Z‖², ‖Z‖², ‖Z' − Z‖² and ‖U‖².
    init(split: Double, weight: Double, moved: Double, dual: Double) {
      primal = (split / max(weight, 1e-300)).squareRoot()
      self.dual = (moved / max(dual, 1e-300)).squareRoot()
    }

    /// The factor of the penalty that brings them nearer to each other.
    var ratio: Double { min(5, max(0.2, (primal / max(dual, 1e-300)).squareRoot())) }
    var areUneven: Bool { ratio > 1.6 || ratio < 0.62 }
  }

  /// Begins at zero. `targets` is n × C; the kernel of `system` is that of `features`.
  package init(
    _ features: any GroupedFeatures, system: SplitSystem, targets: Matrix, loss: any Loss,
    regularizer: any Regularizer, beta: Double, penalties: (loss: Double, norm: Double)? = nil
  ) {
    self.features = features
    self.system = system
    self.targets = targets
    self.loss = loss
    self.beta = beta
    let (n, width, outputs) = (features.samples, features.width, targets.columns)
    (self.n, self.width, self.outputs) = (n, width, outputs)
    groupSize = regularizer.size
    isQuadratic = loss is SquaredLoss
    lossPenalty = penalties?.loss ?? loss.typicalCurvature
    normPenalty = penalties?.norm ?? lossPenalty * max(system.scale, 1e-300) / 100
    sums = MixingTrack(features.groups * outputs, width)
    images = MixingTrack(outputs, n, isFollowing: true)
    copies = MixingTrack(outputs, n)
    weights = Matrix(features.groups * outputs, width)
    func rows() -> Matrix { Matrix(outputs, n) }
    (fitted, split, solution) = (rows(), rows(), rows())
    (solutionImage, rest, step) = (rows(), rows(), rows())
    (point, image) = (Matrix(n, outputs), Matrix(n, outputs))
    let (count, workers) = (features.groups, max(1, min(Threads.count, features.groups)))
    parts = (0..<workers).map { part in
      let groups = count * part / workers..<count * (part + 1) / workers
      let products = features.products(outputs: outputs, groups: groups.count)
      return Part(
        groups, products, regularizer.copy(), samples: n, width: width, outputs: outputs)
    }
    if isQuadratic {
      transpose(targets, into: split)
      copies.state.copy(from: split)
    }
  }

  /// Bytes that it takes.
  package static func memory(samples: Int, groups: Int, width: Int, outputs: Int) -> Double {
    let (rows, weights) = (Double(samples * outputs), Double(groups * width) * Double(outputs))
    return MixingTrack.memory(weights + 2 * rows) + 8 * (weights + 12 * rows)
  }

  /// Factors for the current penalties; false if rounding prevents it.
  package func prepare() -> Bool { system.factor(ridge: normPenalty / lossPenalty) }

  /// Begins at the weights `start` (PC × Q) with the duals that belong to the dual point `dual` (n × C).
  package func begin(at start: Matrix, dual: Matrix) {
    // At the optimum r₂U₂ = Aᵀν, U₁ = −ν/r₁ and y = ν/r₂.
    for j in 0..<n { for c in 0..<outputs { solution[c, j] = dual[j, c] / normPenalty } }
    run { part in
      part.reset()
      part.products.forEachBlock(part.groups) { groups in
        let (first, rows) = (groups.lowerBound * outputs, groups.count * outputs)
        let sum = sums.state.row(first)
        part.products.correlate(groups, solution, into: sum)
        part.products.add(groups, sum, to: part.image)
        part.products.add(groups, start.row(first), to: part.fitted)
        axpy(rows * width, 1, start.row(first), sum)
      }
    }
    weights.copy(from: start)
    fitted = sum(\.fitted)
    solutionImage = sum(\.image)
    for j in 0..<n {
      for c in 0..<outputs {
        if !isQuadratic {
          split[c, j] = fitted[c, j]
          copies.state[c, j] = fitted[c, j] - dual[j, c] / lossPenalty
        }
        images.state[c, j] = fitted[c, j] + solutionImage[c, j]
      }
    }
    mixing.forget()
  }

  /// One iteration.
  package func iterate() {
    let (alpha, ridge, count) = (relaxation, system.ridge, fitted.count)
    for k in 0..<count {
      // A V = 2 A Z₂ − A S₂, Z₁ − U₁ = 2 Z₁ − S₁.
      rest.base[k] =
        2 * (split.base[k] - fitted.base[k]) - copies.state.base[k] + images.state.base[k]
        - solutionImage.base[k] - ridge * solution.base[k]
      step.base[k] = rest.base[k]
    }
    // y changes by the residual's solution, so that the factor's errors fade as the changes do.
    system.solve(step)
    for k in 0..<count {
      solution.base[k] += step.base[k]
      solutionImage.base[k] += rest.base[k] - ridge * step.base[k]
    }

    run { part in self.residuals(part) }
    var lossSplit = 0.0
    for k in 0..<count {
      let dual = images.state.base[k] - fitted.base[k]
      images.residual.base[k] = alpha * (solutionImage.base[k] - dual)
      if isQuadratic { continue }
      let difference = fitted.base[k] - dual + solutionImage.base[k] - split.base[k]
      copies.residual.base[k] = alpha * difference
      lossSplit += difference * difference
    }
    var products = AndersonMixing.Products()
    for part in parts { products.add(part.inner, times: normPenalty) }
    let normSplit = parts.reduce(0) { $0 + $1.inner.square } / (alpha * alpha)
    if !isQuadratic {
      var own = AndersonMixing.Products()
      copies.products(mixing, 0, count, into: &own)
      products.add(own, times: lossPenalty)
    }

    let slot = mixing.hasPrevious ? mixing.slot : nil
    let move = mixing.decide(products)
    if !isQuadratic { copies.advance(move, slot: slot, 0, count) }
    images.advance(move, slot: slot, 0, count)
    run { part in self.advance(move, slot: slot, part) }
    fitted = sum(\.fitted)
    if !isQuadratic { shift(lossSplit) }

    var (weight, moved, dual) = (0.0, 0.0, 0.0)
    (penalty, active) = (0, 0)
    for part in parts {
      penalty += part.penalty
      active += part.active
      weight += part.weight
      moved += part.moved
      dual += part.dual
    }
    normResiduals = Residuals(split: normSplit, weight: weight, moved: moved, dual: dual)
  }

  /// Z₁ ← the prox of S₁.
  private func shift(_ distance: Double) {
    transpose(copies.state, into: point)
    transpose(split, into: image)
    loss.prox(point, targets, penalty: lossPenalty, into: image)
    var (weight, moved, dual) = (0.0, 0.0, 0.0)
    for j in 0..<n {
      for c in 0..<outputs {
        let (k, z) = (c * n + j, image.base[j * outputs + c])
        let (u, change) = (copies.state.base[k] - z, z - split.base[k])
        weight += z * z
        moved += change * change
        dual += u * u
        split.base[k] = z
      }
    }
    lossResiduals = Residuals(split: distance, weight: weight, moved: moved, dual: dual)
  }

  /// Adapts the penalties so that primal and dual residuals fall alike. `hasChanged` tells whether a penalty changed,
  /// and `isSound` whether the system can be factored.
  package func adaptPenalties() -> (hasChanged: Bool, isSound: Bool) {
    let isLossUneven = !isQuadratic && lossResiduals.areUneven
    guard normResiduals.areUneven || isLossUneven else { return (false, true) }
    // Z stays unchanged, and U = S − Z is in units of the penalty.
    func rescale(_ state: Matrix, _ z: Matrix, _ factor: Double) {
      for k in 0..<z.count {
        state.base[k] = z.base[k] + (state.base[k] - z.base[k]) / factor
      }
    }
    if normResiduals.areUneven {
      let factor = normResiduals.ratio
      normPenalty *= factor
      rescale(sums.state, weights, factor)
      rescale(images.state, fitted, factor)
    }
    if isLossUneven {
      let factor = lossResiduals.ratio
      lossPenalty *= factor
      rescale(copies.state, split, factor)
    }
    mixing.forget()
    return (true, prepare())
  }

  /// Computes A S₂ and A Aᵀ y anew if a factor in single precision made them drift.
  package func refresh() {
    guard system.isSingle else { return }
    run { part in
      part.reset()
      part.products.forEachBlock(part.groups) { groups in
        part.products.correlate(groups, solution, into: part.correlations.base)
        part.products.add(groups, part.correlations.base, to: part.image)
        part.products.add(groups, sums.state.row(groups.lowerBound * outputs), to: part.fitted)
      }
    }
    solutionImage = sum(\.image)
    images.state.copy(from: sum(\.fitted))
  }

  /// `nu` (n × C) ← −r₁U₁; for a quadratic loss r₂y, the residual at W.
  package func dual(into nu: Matrix) {
    if isQuadratic {
      transpose(solution, into: nu)
      scale(nu.count, normPenalty, nu.base)
      return
    }
    for j in 0..<n {
      for c in 0..<outputs { nu[j, c] = lossPenalty * (split[c, j] - copies.state[c, j]) }
    }
  }

  /// `predictions` (n × C) ← A Z₂.
  package func predictions(into predictions: Matrix) { transpose(fitted, into: predictions) }

  // MARK: The work of one thread

  /// A range of the groups and the memory to work through it.
  private final class Part {
    let groups: Range<Int>
    let products: any GroupedProducts
    let regularizer: any Regularizer
    /// Aᵀ y of a block.
    let correlations: Matrix
    /// This range's share of A Z₂ and of another product, C × n.
    let fitted: Matrix
    let image: Matrix
    /// Z of a group before a step.
    var before: [Double]
    var inner = AndersonMixing.Products()
    var penalty = 0.0
    var active = 0
    var weight = 0.0
    var moved = 0.0
    var dual = 0.0

    init(
      _ groups: Range<Int>, _ products: any GroupedProducts, _ regularizer: any Regularizer,
      samples: Int, width: Int, outputs: Int
    ) {
      self.groups = groups
      self.regularizer = regularizer
      before = [Double](repeating: 0, count: regularizer.size)
      self.products = products
      correlations = Matrix(products.block * outputs, width)
      (fitted, image) = (Matrix(outputs, samples), Matrix(outputs, samples))
    }

    func reset() {
      fitted.fill(0)
      image.fill(0)
      (penalty, active) = (0, 0)
      (weight, moved, dual) = (0, 0, 0)
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

  /// Computes α (W − Z₂) = α (Aᵀ y − U₂) for a range.
  private func residuals(_ part: Part) {
    part.inner = AndersonMixing.Products()
    part.products.forEachBlock(part.groups) { groups in
      let first = groups.lowerBound * outputs * width
      let count = groups.count * outputs * width
      let f = sums.residual.base + first
      part.products.correlate(groups, solution, into: f)
      let (s, z) = (sums.state.base + first, weights.base + first)
      for k in 0..<count { f[k] = relaxation * (f[k] - s[k] + z[k]) }
      sums.products(mixing, first, count, into: &part.inner)
    }
  }

  /// Moves S₂, Z₂ and A Z₂ of a range.
  private func advance(_ move: AndersonMixing.Move, slot: Int?, _ part: Part) {
    part.reset()
    let limit = beta / normPenalty
    part.products.forEachBlock(part.groups) { groups in
      let first = groups.lowerBound * outputs * width
      let count = groups.count * outputs * width
      sums.advance(move, slot: slot, first, count)
      for place in stride(from: first, to: first + count, by: groupSize) {
        shrink(sums.state.base + place, into: weights.base + place, limit, part)
      }
      part.products.add(groups, weights.base + first, to: part.fitted)
    }
  }

  /// Computes Z for a group.
  private func shrink(
    _ s: UnsafePointer<Double>, into z: UnsafeMutablePointer<Double>, _ limit: Double, _ part: Part
  ) {
    for k in 0..<groupSize { part.before[k] = z[k] }
    let (value, neurons) = part.regularizer.prox(s, threshold: limit, into: z)
    var (moved, weight, dual) = (0.0, 0.0, 0.0)
    for k in 0..<groupSize {
      let (change, u) = (z[k] - part.before[k], s[k] - z[k])
      moved += change * change
      weight += z[k] * z[k]
      dual += u * u
    }
    part.moved += moved
    part.weight += weight
    part.dual += dual
    part.penalty += value
    part.active += neurons
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
