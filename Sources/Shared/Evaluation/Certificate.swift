import LinearAlgebra
import Schema

/// The proof that a solution is optimal, recomputed from the data: only the primal and the dual point are taken from
/// the solver.
package struct Certificate: Sendable {
  /// The networks that the dual objective bounds.
  package let scope: Scope
  /// ℓ(ŷ) + β · norm, from the variables and the data.
  package let primalObjective: Double
  /// −ℓ*(−ν), for squared loss νᵀy − ½‖ν‖², for ν scaled down until it is feasible: a lower bound of the optimum.
  package let dualObjective: Double
  /// The value of ν scaled down until its constraint holds for every neuron on the data, where the patterns are all those of a
  /// truncation of the data: a lower bound of the objective of every network.
  package var globalDualObjective: Double?
  /// (primal − dual)/primal; 0 if both are 0.
  package let relativeGap: Double
  /// How far, relative to β, the largest dual constraint exceeds β before ν is scaled, or how far ν is outside the
  /// domain of the conjugate, if that is more.
  package let dualInfeasibility: Double
  /// How far the variables are from their cones, relative to their size.
  package let primalInfeasibility: Double
  /// The largest difference between what the variables predict and the solution's predictions.
  package let predictionError: Double
  /// The dual infeasibility that rounding ν to double precision may cause, for a ν of the size that a solver writes: no
  /// tensor can make it larger.
  package let dualRounding: Double
  /// Other facts that contradict the solution.
  package private(set) var objections: [String]

  /// The share of β up to which rounding may move the dual constraints. Beyond it nothing is proved: features may
  /// cancel in ways that double precision does not show.
  private static let roundingLimit = 1e-4

  /// Whether β is too small beside the data for double precision to judge the dual point, or too small or too large for
  /// squares of numbers of its size to be numbers of double precision.
  package let isBeyondPrecision: Bool
  /// The sizes of β whose squares, and those of numbers a thousandth of it, neither underflow nor overflow.
  private static let sizes = 0x1p-490...0x1p490

  /// - Parameters:
  ///   - largestConstraint: an upper bound of what must not exceed β.
  ///   - rounding: the change of it that storing ν in double precision may cause.
  init(
    _ dual: DualPoint, scope: Scope, beta: Double, primalObjective: Double,
    primalInfeasibility: Double, predictionError: Double, largestConstraint: Double,
    rounding: Double, objections: [String] = []
  ) {
    self.init(
      scope: scope, beta: beta, primalObjective: primalObjective,
      primalInfeasibility: primalInfeasibility, predictionError: predictionError,
      largestConstraint: largestConstraint, rounding: rounding * dual.honestShare,
      violation: dual.violation, objections: objections, dualValue: dual.value(scaledBy:))
  }

  /// - Parameters:
  ///   - violation: how far the dual point is outside the domain of the conjugate.
  ///   - dualValue: the value of a multiple, of 0 … 1, of the dual point.
  init(
    scope: Scope, beta: Double, primalObjective: Double, primalInfeasibility: Double,
    predictionError: Double, largestConstraint: Double, rounding: Double, violation: Double = 0,
    objections: [String] = [], dualValue: (Double) -> Double
  ) {
    self.scope = scope
    self.primalObjective = primalObjective
    self.primalInfeasibility = primalInfeasibility
    self.predictionError = predictionError
    dualInfeasibility = max(0, largestConstraint / beta - 1, violation)
    let feasible = largestConstraint > beta ? beta / largestConstraint : 1
    dualObjective = dualValue(feasible)
    relativeGap = Certificate.gap(primal: primalObjective, dual: dualObjective)
    dualRounding = rounding / beta
    let isLost = dualRounding > Certificate.roundingLimit
    let isSized = Certificate.sizes.contains(beta)
    isBeyondPrecision = isLost || !isSized
    self.objections = objections
    if isLost {
      self.objections.append(
        "beta is too small beside these data: rounding alone may move the dual constraint by \(dualRounding) of it"
      )
    }
    if !isSized {
      self.objections.append(
        "squares of numbers as \(beta < 1 ? "small" : "large") as beta = \(beta) are lost in double precision: scale features or "
          + "targets, and beta with them")
    }
  }

  /// The same proof with further objections.
  func adding(_ more: [String]) -> Certificate {
    var result = self
    result.objections += more
    return result
  }

  /// (P − D)/P; 0 if both are 0.
  static func gap(primal: Double, dual: Double) -> Double {
    let scale = primal > 0 ? primal : max(abs(primal), abs(dual))
    return scale == 0 ? 0 : (primal - dual) / scale
  }
}

/// The largest |a − b|; infinite if one of them is not a number.
package func largestDifference(_ a: Matrix, _ b: Matrix) -> Double {
  var largest = 0.0
  for k in 0..<a.count {
    let difference = abs(a.base[k] - b.base[k])
    if difference.isNaN { return .infinity }
    largest = max(largest, difference)
  }
  return largest
}
