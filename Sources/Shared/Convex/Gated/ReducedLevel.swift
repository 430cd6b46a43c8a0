import LinearAlgebra

/// The problem with the r features in which the rows of X are longest: a fraction of the cost, and weights
/// for it are weights for X with the same objective. What its dual point lacks shows in the norms
/// ‖Xᵀ D_i ν‖ of all features.
final class ReducedLevel {
  private let subspace: PrincipalSubspace
  private let level: GatedLevel
  private let loss: any Loss
  private let interruption: Interruption

  /// Where it pays, and how far it goes.
  struct Limits {
    /// Samples and features from which on it pays.
    var fewestSamples = 4000
    var fewestFeatures = 512
    /// Of the features at most this share is kept, and so many that what is lost of ‖X‖² is less than the
    /// tail.
    var share = 0.25
    var tail = 3e-3
    /// Samples up to which the kernel is factored.
    var kernelLimit = 6000
  }

  /// `nil` where it does not pay, or there is no time for it.
  init?(
    _ products: PatternProducts, outputs: Int, loss: any Loss, interruption: Interruption,
    limits: Limits
  ) {
    let d = products.dimension
    guard products.samples >= limits.fewestSamples, d >= limits.fewestFeatures,
      let subspace = PrincipalSubspace(
        products.x, limit: Int(limits.share * Double(d)), tail: limits.tail,
        proceed: { !interruption.isOutOfTime }), !interruption.isOutOfTime
    else { return nil }
    self.subspace = subspace
    self.loss = loss
    self.interruption = interruption
    level = GatedLevel(
      products.with(features: subspace.coordinates(products.x)), outputs: outputs,
      form: .automatic, loss: loss, interruption: interruption,
      kernelLimit: limits.kernelLimit)
  }

  /// η and ν where it stands.
  var eta: [Double] { level.newton.eta }
  var nu: Matrix { level.newton.nu }

  /// Improves `point`, which is one of all features, as far as these go: `.stalled` where more are needed.
  /// `full` knows all features.
  func solve(
    _ y: Matrix, beta: Double, from start: [Double]?, near: Matrix?, tolerance: Double,
    point: PatternIncumbent, full: EtaNewton, proceed: () -> Bool, report: (Int) -> Void
  ) -> EtaNewton.End {
    let own = PatternIncumbent(y, dimension: subspace.rank, loss: loss, beta: beta)
    var (lastGap, lastPrimal) = (Double.infinity, Double.infinity)
    var isOver = false
    // A pass over all features costs more than a step. At the end there is one, and time for it.
    func certify(_ nu: Matrix) {
      lastGap = own.gap
      let start = interruption.secondsLeft()
      full.offer(nu, y, beta: beta, to: point)
      if start.isFinite { interruption.reserve = start - interruption.secondsLeft() }
    }
    if interruption.secondsLeft().isFinite {
      interruption.reserve = full.secondsOfNorms()
    }
    defer { interruption.reserve = 0 }
    let end = level.solve(
      y, beta: beta, from: start, near: near, tolerance: 0.1 * tolerance, point: own,
      proceed: { !isOver && !interruption.isOutOfTime && proceed() },
      report: { active in
        if own.primal < lastPrimal {
          lastPrimal = own.primal
          self.lift(own, to: point)
        }
        if lastGap == .infinity || own.gap <= 0.2 * point.gap || own.gap <= tolerance,
          own.gap <= max(0.5 * lastGap, 0.5 * tolerance)
        {
          certify(nu)
          // What is left may be due to the features that are not here.
          isOver = point.gap <= tolerance || own.gap <= 0.2 * point.gap
        }
        // A start may have weights already that none of these features reach.
        isOver = isOver || own.dualValue > point.primal
        report(active)
      })
    if point.gap > tolerance, end == .interrupted, !isOver, own.gap < min(1, lastGap) {
      certify(own.dual)
    }
    if point.gap <= tolerance { return .reached }
    return end == .interrupted && !isOver ? .interrupted : .stalled
  }

  private func lift(_ own: PatternIncumbent, to point: PatternIncumbent) {
    let outputs = own.predictions.rows
    let count = own.active.count
    let lifted = subspace.lifted(own.weights.rows, count: outputs * count)
    let directions = (0..<outputs).map { c in
      let part = Matrix(count, lifted.columns)
      part.base.update(from: lifted.row(c * count), count: part.count)
      return part
    }
    point.offer(
      primal: own.primal, active: own.active,
      directions: directions, predictions: own.predictions)
  }
}
