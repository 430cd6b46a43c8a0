import LinearAlgebra

/// The losses' half of a step to high accuracy: min ℓ(Fh) + (ρ/4) ‖h − V‖² over ⟨J, h_r⟩ = 0, by Newton's method
/// with conjugate gradients.
///
/// At its stationary point ν = −∇ℓ(Fh) satisfies Fᵀν = (ρ/2)(h − V) up to the residual, so it is as feasible as the
/// multipliers of the cones. So the method turns an iterate into a dual point, for which the residual must be small
/// relative to β, whatever the size of the features' sums (about 10⁻⁶ of them for n = 50,000).
///
/// The preconditioner is the alternating direction method's factor of r G + ρ/2. For cross-entropy diag(p) − ppᵀ
/// vanishes along the common part of all classes, where it is 2/ρ instead. The few samples at the kinks of a loss,
/// different ones for each class, have factors of their own.
final class LossNewton {
  private let program: PolynomialProgram
  private let products: FeatureProducts
  private let ridge: ConstrainedRidge
  /// One for each class, if the loss has kinks.
  private var kinkRidges: [ConstrainedRidge] = []
  private let isCentered: Bool
  // All are C × Q, except ν, which is n × C.
  private let gradient, residual, direction, search, image, preconditioned, trial: Matrix
  /// −∇ℓ(Fh) at the last h.
  let dual: Matrix

  init(
    _ program: PolynomialProgram, _ products: FeatureProducts, ridge: ConstrainedRidge,
    isCentered: Bool
  ) {
    self.program = program
    self.products = products
    self.ridge = ridge
    self.isCentered = isCentered
    let (classes, width) = (products.classes, products.map.count)
    func make() -> Matrix { Matrix(classes, width) }
    (gradient, residual, direction, search) = (make(), make(), make(), make())
    (image, preconditioned, trial) = (make(), make(), make())
    dual = Matrix(products.samples, classes)
  }

  /// The accuracy that the half step is to reach.
  struct Goal {
    var rho: Double
    /// r of the factor of r G + ρ/2.
    var penalty: Double
    /// The largest constraint that the residual may have.
    var tolerance: Double
    /// The most products with the Hessian.
    var limit: Int
  }

  /// Improves `h` (C × Q). `constraint` returns the largest constraint of packed dual matrices C × Q; `visit` is given
  /// each dual point and the constraint of its Fᵀν; `proceed` is asked after every product of conjugate gradients.
  /// Returns the number of products, and the last answer of `proceed`.
  func solve(
    _ h: Matrix, near v: Matrix, _ smooth: SmoothLoss, _ goal: Goal,
    constraint: (Matrix) -> Double, visit: (Matrix, Double) -> Void, proceed: () -> Bool
  ) -> (products: Int, goes: Bool) {
    let half = 0.5 * goal.rho
    var products = 1
    var goes = true
    var value = evaluate(h, near: v, smooth, goal.rho)
    // Newton's method needs two or three steps; if twenty are not enough, it will not converge.
    for step in 0..<20 {
      visit(dual, constraint(gradient))
      // r = P(Fᵀν − (ρ/2)(h − V))
      for i in 0..<h.count {
        residual.base[i] = gradient.base[i] - half * (h.base[i] - v.base[i])
      }
      ridge.project(residual)
      if constraint(residual) <= goal.tolerance || products >= goal.limit { break }
      smooth.prepareCurvature()
      guard prepareKinks(smooth, goal) else { break }
      let taken: Int
      (taken, goes) = conjugateGradients(
        smooth, goal, reduction: step == 0 ? 1e-2 : 1e-3, limit: goal.limit - products, proceed)
      products += taken
      var slope = 0.0
      for i in 0..<h.count {
        slope += direction.base[i] * (gradient.base[i] - half * (h.base[i] - v.base[i]))
      }
      var t = 1.0
      var isLower = false
      for _ in 0..<12 {
        for i in 0..<h.count { trial.base[i] = h.base[i] + t * direction.base[i] }
        products += 1
        let candidate = evaluate(trial, near: v, smooth, goal.rho)
        // Near the end the decrease is smaller than the rounding of the values.
        if candidate <= value - 1e-4 * t * slope + 1e-12 * abs(value) {
          isLower = true
          value = candidate
          break
        }
        t *= 0.4
      }
      guard isLower else {
        products += 1
        _ = evaluate(h, near: v, smooth, goal.rho)
        break
      }
      h.copy(from: trial)
      if !goes {
        visit(dual, constraint(gradient))
        break
      }
    }
    kinkRidges = []
    return (products, goes)
  }

  /// Factors the systems of the samples at kinks; false if one is singular in double precision.
  private func prepareKinks(_ smooth: SmoothLoss, _ goal: Goal) -> Bool {
    guard smooth.hasKinks else { return true }
    kinkRidges = (0..<products.classes).map { c in
      ConstrainedRidge(program, gram: products.gram { smooth.isCurved($0, c) })
    }
    return kinkRidges.allSatisfy { $0.factor(0.5 * goal.rho / goal.penalty) }
  }

  /// Returns ℓ(Fh) + (ρ/4) ‖h − V‖²; writes Fᵀν into `gradient`, ν into `dual`.
  private func evaluate(_ h: Matrix, near v: Matrix, _ smooth: SmoothLoss, _ rho: Double) -> Double
  {
    products.pass(h, adjoint: gradient) { _, range, block in
      smooth.move(range, block)
      self.dual.row(range.lowerBound).update(from: block.base, count: block.count)
    }
    var square = 0.0
    for i in 0..<h.count {
      let e = h.base[i] - v.base[i]
      square += e * e
    }
    return smooth.value + 0.25 * rho * square
  }

  /// `direction` ← an approximate solution of P(FᵀHF + ρ/2)P d = r. Overwrites `residual`.
  private func conjugateGradients(
    _ smooth: SmoothLoss, _ goal: Goal, reduction: Double, limit: Int, _ proceed: () -> Bool
  ) -> (products: Int, goes: Bool) {
    let count = residual.count
    direction.fill(0)
    applyPreconditioner(goal)
    search.copy(from: preconditioned)
    let first = dot(count, residual.base, preconditioned.base)
    var product = first
    var taken = 0
    while taken < max(1, limit), product > reduction * reduction * first, product > 0 {
      products.pass(search, adjoint: image) { _, range, block in
        smooth.hessianProduct(range, block)
      }
      taken += 1
      axpy(count, 0.5 * goal.rho, search.base, image.base)
      ridge.project(image)
      let step = product / dot(count, search.base, image.base)
      guard step.isFinite else { break }
      axpy(count, step, search.base, direction.base)
      axpy(count, -step, image.base, residual.base)
      applyPreconditioner(goal)
      let next = dot(count, residual.base, preconditioned.base)
      for i in 0..<count {
        search.base[i] = preconditioned.base[i] + next / product * search.base[i]
      }
      product = next
      if !proceed() { return (taken, false) }
    }
    return (taken, true)
  }

  /// `preconditioned` ← (r G + ρ/2)⁻¹ r; along the common part of the classes (2/ρ) r, if the loss does not depend on
  /// that part.
  private func applyPreconditioner(_ goal: Goal) {
    let (classes, width) = (residual.rows, residual.columns)
    preconditioned.copy(from: residual)
    if isCentered { centerClasses(preconditioned, mean: trial.base) }
    if kinkRidges.isEmpty {
      ridge.solve(preconditioned)
    } else {
      for c in 0..<classes { kinkRidges[c].solve(preconditioned.slice(c..<c + 1)) }
    }
    scale(preconditioned.count, 1 / goal.penalty, preconditioned.base)
    if isCentered {
      for c in 0..<classes { axpy(width, 2 / goal.rho, trial.base, preconditioned.row(c)) }
    }
  }
}

/// Subtracts from each row the mean of all rows, and writes it to `mean`.
func centerClasses(_ rows: Matrix, mean: UnsafeMutablePointer<Double>) {
  let (classes, width) = (rows.rows, rows.columns)
  mean.update(repeating: 0, count: width)
  for c in 0..<classes { axpy(width, 1 / Double(classes), rows.row(c), mean) }
  for c in 0..<classes { axpy(width, -1, mean, rows.row(c)) }
}
