import Glibc
import LinearAlgebra

/// Solves min ℓ(Σ_i D_i X W_i) + β Σ_i ‖W_i‖_F by Newton's method in the weights of the members that carry some, for a
/// differentiable loss of one output, or for the squared loss of C outputs that share their groups. The objective is
/// smooth there: these are proximal Newton steps on the active manifold, each by preconditioned conjugate gradients that
/// stop early (Lee, Sun and Saunders 2014).
///
/// No matrix of n × n or A·d × A·d is made: a step costs some twenty products with Fᵀ diag(h) F, h being the second
/// derivatives of the loss. So it suits many samples with few features, and few active members; `EtaNewton` (squared
/// loss) and `LossInteriorPoint`, which factor, suit the other cases.
///
/// Y, ν and ŷ are C × n here, with a row for each output; weights are A·C × d, row k·C + c for the k-th active member.
final class WeightNewton {
  private let products: PatternProducts
  private let features: ActiveFeatures
  private let preconditioner: GroupPreconditioner
  private let pricing: PatternPricing
  private let rounding: RoundingBound
  private let loss: any Loss
  private let outputs: Int
  private let interruption: Interruption

  // The current point.
  private var weights = Matrix(0, 0)
  /// T_ic = Xᵀ D_i ν_c of the active members.
  private var correlations = Matrix(0, 0)
  /// ‖W_i‖, and W_i/‖W_i‖.
  private var lengths: [Double] = []
  private var directions = Matrix(0, 0)
  private let fitted: Matrix
  /// ν = −∇ℓ(ŷ).
  private let nu: Matrix
  /// h = ∂²ℓ/∂ŷ² unless it is 1 everywhere.
  private let curvature: Matrix?
  /// Where a loss is linear, a small second derivative stands for it.
  private let leastCurvature: Double
  /// The products that the last step took.
  private var lastProducts = 0
  private var primal = 0.0

  /// The most products with FᵀF that a step takes, and the most that it may take while the gap is above 10⁻²: if a step
  /// takes more so early, conjugate gradients converge too slowly for this method.
  private static let (mostProducts, usualProducts) = (100, 60)
  /// The Gram matrices of the preconditioner have the second derivatives of an earlier step until a step takes more
  /// products than this.
  private static let freshProducts = 30
  /// A member whose weight along its direction shrinks to this share leaves.
  private static let leastShare = 1e-3

  init(
    _ products: PatternProducts, outputs: Int, loss: any Loss, interruption: Interruption
  ) {
    self.products = products
    self.outputs = outputs
    self.loss = loss
    self.interruption = interruption
    features = ActiveFeatures(products, outputs: outputs)
    preconditioner = GroupPreconditioner(features)
    pricing = PatternPricing(products, outputs: outputs)
    rounding = RoundingBound(products.x)
    fitted = Matrix(outputs, products.samples)
    nu = Matrix(outputs, products.samples)
    curvature = loss is SquaredLoss ? nil : Matrix(outputs, products.samples)
    leastCurvature = loss.pieces == nil ? 0 : 0.01 * loss.typicalCurvature
    precondition(curvature == nil || outputs == 1, "second derivatives are those of one output")
    features.take(curvature: curvature)
  }

  /// Whether to try it first for a β that is `share` of its largest: either its step costs less than one factorisation of
  /// n × n numbers, or few members carry weight, as is the case for large β.
  ///
  /// Squared loss, n = 8,000, d = 100, 0.05 β_max: a tenth of the time of `EtaNewton` with 50 or 200 patterns; at 0.001
  /// β_max with 200 it does not converge in twice that time. n = 2,000, d = 193, 100 patterns, gap 1e-6: 0.10 against
  /// 0.24 s at 0.5 β_max, 0.77 against 0.33 at 0.1. n = 500, d = 400: slower at every β. Against `LossInteriorPoint` and
  /// ADMM: n = 2,000, d = 193, logistic loss, 0.11 against 0.87 s at 0.5 β_max, 0.26 against 0.94 at 0.2, 0.77 against
  /// 0.73 at 0.1; n = 8,000, d = 20, 50 patterns, huber loss, 0.05 against 12 s at 0.5 β_max, 0.3 against 14 at 0.05;
  /// n = 569, d = 31, 100 patterns, logistic loss, 0.022 against 0.068 s at 0.05 β_max, 0.078 against 0.074 at 0.01.
  static func suits(
    _ products: PatternProducts, outputs: Int, loss: any Loss, share: Double
  ) -> Bool {
    let (n, d) = (Double(products.samples), Double(products.dimension))
    // One Gram matrix has to be made in a fraction of a second, and sixty of them with factors have to fit into memory.
    guard n * d * d < 5e9, 60 * 16 * d * d < Double(GroupPreconditioner.memory) else {
      return false
    }
    let weights = Double(products.count) * d
    // Some sixty members, each with twenty products with FᵀF and a factor.
    let isCheap = 60 * (80 * n * d + d * d * d) < n * n * n / 6
    if isCheap, share >= 0.01 || weights <= mostWeights * n { return true }
    guard outputs == 1, 2 * d <= n else { return false }
    let isSmooth = loss.pieces == nil && !(loss is SquaredLoss)
    return share >= (weights > 3 * mostWeights * n ? 0.15 : isSmooth ? 0.02 : 0.1)
  }

  /// The weights per sample beyond which conjugate gradients become slow.
  private static let mostWeights = 2.0

  /// Improves `point`, from its own weights, until its gap is at most `tolerance`; asks `proceed` before each step, and
  /// tells `report` the number of active members at each.
  func solve(
    _ y: Matrix, beta: Double, tolerance: Double, point: PatternIncumbent, proceed: () -> Bool,
    report: (Int) -> Void
  ) -> EtaNewton.End {
    begin(point)
    locate(y, beta)
    let (n, d) = (Double(products.samples), Double(products.dimension))
    // `work` is the number of multiplications left, at first those of a few factorisations.
    var (best, idle, work) = (Double.infinity, 0, curvature == nil ? n * n * n : 10 * n * n * n)
    while true {
      let entering = judge(y, beta, point)
      report(features.active.count)
      if point.gap <= tolerance { return .reached }
      idle = point.gap < 0.9 * best ? 0 : idle + 1
      best = min(best, point.gap)
      let isLarge = Double(features.active.count) * d > WeightNewton.mostWeights * n
      if idle > 10 || work < 0 || isLarge && point.gap > 1e-2 { return .stalled }
      if interruption.isOutOfTime || !proceed() { return .interrupted }
      if !entering.isEmpty { enter(entering, y, beta) }
      guard !features.active.isEmpty else { return .stalled }
      switch advance(y, beta, gap: point.gap) {
      case nil: return interruption.isOutOfTime ? .interrupted : .stalled
      case let taken? where taken > WeightNewton.usualProducts && point.gap > 1e-2: return .stalled
      case let taken?: work -= 4 * n * Double(taken * features.count)
      }
    }
  }

  // MARK: A point

  /// Takes the weights of `point`.
  private func begin(_ point: PatternIncumbent) {
    let (count, d) = (point.active.count, products.dimension)
    features.take(point.active)
    weights = Matrix(count * outputs, d)
    for k in 0..<count {
      for c in 0..<outputs {
        weights.row(k * outputs + c).update(from: point.weights.rows.row(c * count + k), count: d)
      }
    }
    leaveOut { _ in false }
  }

  /// Leaves out the members without weight, and those for whose places `isLeaving` is true.
  private func leaveOut(_ isLeaving: (Int) -> Bool) {
    let (width, d) = (outputs * products.dimension, products.dimension)
    let sizes = features.active.indices.map { norm(width, weights.row($0 * outputs)) }
    let kept = sizes.indices.filter { sizes[$0] > 0 && !isLeaving($0) }
    if kept.count < sizes.count {
      let rest = Matrix(kept.count * outputs, d)
      for (k, place) in kept.enumerated() {
        rest.row(k * outputs).update(from: weights.row(place * outputs), count: width)
      }
      features.take(kept.map { features.active[$0] })
      weights = rest
    }
    lengths = kept.map { sizes[$0] }
  }

  /// Computes ŷ, ν, T and the objective of the weights.
  private func locate(_ y: Matrix, _ beta: Double) {
    features.apply(weights.base, into: fitted)
    loss.residual(fitted, y, into: nu)
    primal = loss.value(fitted, y) + beta * lengths.reduce(0, +)
    correlate()
  }

  private func correlate() {
    if correlations.rows != features.rows {
      correlations = Matrix(features.rows, products.dimension)
    }
    features.adjoint(nu, into: correlations.base)
  }

  /// Offers the weights and the dual point of ν to `point`; returns the members that should enter.
  private func judge(
    _ y: Matrix, _ beta: Double, _ point: PatternIncumbent
  ) -> [(member: Int, norm: Double)] {
    let (active, width) = (features.active, outputs * products.dimension)
    let parts = (0..<outputs).map { c in
      weights.selecting(active.indices.map { $0 * outputs + c })
    }
    point.offer(
      primal: primal, active: active, directions: parts,
      predictions: fitted)
    var largest = active.indices.reduce(0) {
      max($0, norm(width, correlations.row($1 * outputs)))
    }
    let open = pricing.open(nu, above: beta, besides: active)
    if open < products.count - active.count { largest = max(largest, beta) }
    var entering: [(member: Int, norm: Double)] = []
    if open > 0 {
      largest = max(
        largest,
        pricing.price(nu, above: beta * (1 + 1e-9)) { !self.interruption.isOutOfTime })
      entering = pricing.violators
    }
    point.offer(dual: nu, largest: largest + rounding(nu))
    return entering
  }

  /// Gives the worst violators the weights s_i T_i that are best for each alone, scaled by one factor that is best for
  /// all of them together.
  private func enter(
    _ violators: [(member: Int, norm: Double)], _ y: Matrix, _ beta: Double
  ) {
    prepareCurvature(y)
    // Few at a time: most that violate now will no longer do so once the first have entered.
    let chosen = violators.sorted { ($0.norm, $1.member) > ($1.norm, $0.member) }
      .prefix(max(10, features.active.count))
    let (before, d, width) = (features.active, products.dimension, outputs * products.dimension)
    features.take(chosen.map(\.member))
    let added = Matrix(features.rows, d)
    features.adjoint(nu, into: added.base)
    let product = Matrix(outputs, d)
    var penalty = 0.0
    for (k, violator) in chosen.enumerated() {
      let t = added.row(k * outputs)
      // Once time is out, it enters without weight and is then left out.
      guard !interruption.isOutOfTime else {
        scale(width, 0, t)
        continue
      }
      gemm(
        outputs, d, d, t, .plain, preconditioner.gram(violator.member).base, .plain, product.base)
      let curvature = dot(width, t, product.base)
      let size = norm(width, t)
      let step = curvature > 0 ? max(0, size - beta) * size / curvature : 0
      scale(width, step, t)
      penalty += step * size
    }
    let image = Matrix(outputs, products.samples)
    features.apply(added.base, into: image)
    let slope = dot(image.count, image.base, nu.base) - beta * penalty
    var curvature = 0.0
    for j in 0..<image.count {
      curvature += image.base[j] * image.base[j] * (self.curvature?.base[j] ?? 1)
    }
    scale(added.count, curvature > 0 ? max(0, slope) / curvature : 0, added.base)
    join(added, before, y, beta)
  }

  /// Takes the weights `added` of the active members beside those of the members `before`. If the loss is not quadratic,
  /// they become smaller until the objective is no larger than it was.
  private func join(_ added: Matrix, _ before: [Int], _ y: Matrix, _ beta: Double) {
    let (members, own, start) = (before + features.active, weights, primal)
    for _ in 0..<20 {
      let all = Matrix(own.rows + added.rows, added.columns)
      all.base.update(from: own.base, count: own.count)
      (all.base + own.count).update(from: added.base, count: added.count)
      weights = all
      features.take(members)
      // Members ascend, like those of `point`.
      sortMembers()
      leaveOut { _ in false }
      locate(y, beta)
      if curvature == nil || primal <= start { return }
      scale(added.count, 0.25, added.base)
    }
  }

  /// Prepares the second derivatives at ŷ.
  private func prepareCurvature(_ y: Matrix) {
    guard let curvature else { return }
    loss.curvature(fitted, y, into: curvature)
    for j in 0..<curvature.count { curvature.base[j] = max(leastCurvature, curvature.base[j]) }
    if lastProducts > WeightNewton.freshProducts {
      preconditioner.forget()
      lastProducts = 0
    }
  }

  private func sortMembers() {
    let (active, width) = (features.active, outputs * products.dimension)
    let order = active.indices.sorted { active[$0] < active[$1] }
    let sorted = Matrix(weights.rows, products.dimension)
    for (k, place) in order.enumerated() {
      sorted.row(k * outputs).update(from: weights.row(place * outputs), count: width)
    }
    weights = sorted
    features.take(order.map { active[$0] })
  }

  // MARK: The step

  /// Moves the weights by a step that lowers the objective; returns the products that it took, or nil if there is none.
  private func advance(_ y: Matrix, _ beta: Double, gap: Double) -> Int? {
    let (count, width) = (features.active.count, outputs * products.dimension)
    directions = Matrix(copying: weights)
    for k in 0..<count { scale(width, 1 / lengths[k], directions.row(k * outputs)) }
    let curvatures = lengths.map { beta / $0 }
    prepareCurvature(y)
    guard
      preconditioner.take(
        directions, curvatures: curvatures, proceed: { !interruption.isOutOfTime })
    else { return nil }
    // −gradient = T − β u.
    let descent = Matrix(copying: correlations)
    axpy(descent.count, -beta, directions.base, descent.base)
    let step = Matrix(weights.rows, products.dimension)
    let accuracy = min(0.1, max(1e-3, 0.1 * gap.squareRoot()))
    let taken = conjugateGradients(descent, curvatures, accuracy: accuracy, into: step)
    lastProducts = taken
    let slope = dot(step.count, descent.base, step.base)
    guard slope > 0, slope.isFinite else { return nil }
    let (start, before, members, sizes) = (
      primal, Matrix(copying: weights), features.active, lengths
    )
    var length = 1.0
    for _ in 0..<20 {
      if length < 1 {
        weights = Matrix(copying: before)
        features.take(members)
      }
      axpy(step.count, length, step.base, weights.base)
      leaveOut { k in
        dot(width, self.weights.row(k * self.outputs), self.directions.row(k * self.outputs))
          <= WeightNewton.leastShare * sizes[k]
      }
      locate(y, beta)
      if primal <= start - 1e-4 * length * slope || abs(primal - start) <= 1e-13 * abs(start) {
        return taken
      }
      if interruption.isOutOfTime { break }
      length *= 0.5
    }
    (weights, lengths) = (before, sizes)
    features.take(members)
    locate(y, beta)
    return nil
  }

  /// step ← an approximate solution of (Fᵀ diag(h) F + diag(κ_i (I − u_i u_iᵀ))) step = right; returns the number of products.
  private func conjugateGradients(
    _ right: Matrix, _ curvatures: [Double], accuracy: Double, into step: Matrix
  ) -> Int {
    let (count, width) = (right.count, outputs * products.dimension)
    let residual = Matrix(copying: right)
    let (conditioned, image) = (
      Matrix(right.rows, right.columns), Matrix(right.rows, right.columns)
    )
    preconditioner.apply(residual.base, directions, into: conditioned.base)
    let search = Matrix(copying: conditioned)
    var size = dot(count, residual.base, conditioned.base)
    let goal = accuracy * accuracy * size
    for taken in 1...WeightNewton.mostProducts {
      features.normal(search.base, into: image.base)
      for (k, curvature) in curvatures.enumerated() {
        let (from, u, target) = (
          search.row(k * outputs), directions.row(k * outputs), image.row(k * outputs)
        )
        axpy(width, curvature, from, target)
        axpy(width, -curvature * dot(width, u, from), u, target)
      }
      let bend = dot(count, search.base, image.base)
      guard bend > 0, bend.isFinite else { return taken }
      axpy(count, size / bend, search.base, step.base)
      axpy(count, -size / bend, image.base, residual.base)
      if interruption.isOutOfTime { return taken }
      preconditioner.apply(residual.base, directions, into: conditioned.base)
      let next = dot(count, residual.base, conditioned.base)
      if next <= goal || !(next > 0) { return taken }
      scale(count, next / size, search.base)
      axpy(count, 1, conditioned.base, search.base)
      size = next
    }
    return WeightNewton.mostProducts
  }
}
