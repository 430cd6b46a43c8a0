import LinearAlgebra

/// The problem with the r features in which the rows of X are longest: it costs a fraction, and its weights are weights
/// for X with the same objective. The norms ‖Xᵀ D_i ν‖ of all features show what its dual point lacks.
final class ReducedLevel {
  private let subspace: PrincipalSubspace
  private let level: GatedLevel
  private let loss: any Loss
  private let interruption: Interruption

  /// When this level pays, and how far it goes.
  struct Limits {
    /// The fewest samples and features for which it pays.
    var fewestSamples = 4000
    var fewestFeatures = 512
    /// At most this share of the features is kept, and no more than are needed to lose less than the share `tail` of
    /// ‖X‖².
    var share = 0.25
    var tail = 3e-3
    /// The most samples for which the kernel is factored.
    var kernelLimit = 6000
  }

  /// Returns nil if it does not pay, or if there is no time for it.
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

  /// η and ν of its current point.
  var eta: [Double] { level.newton.eta }
  var nu: Matrix { level.newton.nu }

  /// Improves `point`, which is one of all features, as far as these features go; returns `.stalled` if more are
  /// needed. `full` knows all features.
  func solve(
    _ y: Matrix, beta: Double, from start: [Double]?, near: Matrix?, tolerance: Double,
    point: PatternIncumbent, full: EtaNewton, proceed: () -> Bool, report: (Int) -> Void
  ) -> EtaNewton.End {
    let own = PatternIncumbent(y, dimension: subspace.rank, loss: loss, beta: beta)
    var (lastGap, lastPrimal) = (Double.infinity, Double.infinity)
    var isOver = false
    // A pass over all features costs more than a step. Time is reserved for the one at the end.
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
          // The rest of the gap may be due to the features that are missing here.
          isOver = point.gap <= tolerance || own.gap <= 0.2 * point.gap
        }
        // The starting weights may already be better than any that these features allow.
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
