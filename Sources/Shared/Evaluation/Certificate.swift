import LinearAlgebra

/// The proof that a solution is optimal, recomputed from the data: nothing in it is taken from the
/// solver but its primal and its dual point. Squared loss.
package struct Certificate: Sendable {
  /// ½ ‖ŷ − y‖² + β · norm, from the variables and the data.
  package let primalObjective: Double
  /// νᵀy − ½‖ν‖² for ν scaled down until it is feasible: a lower bound of the optimum.
  package let dualObjective: Double
  /// (primal − dual)/primal; 0 where both are 0.
  package let relativeGap: Double
  /// By how much, relative to β, the largest dual constraint exceeds β before ν is scaled.
  package let dualInfeasibility: Double
  /// How far the variables are from their cones, relative to their size.
  package let primalInfeasibility: Double
  /// The largest difference between what the variables predict and the solution's predictions.
  package let predictionError: Double
  /// The dual infeasibility that rounding ν to double precision may cause.
  package let dualRounding: Double
  /// The change of the dual objective that `dualRounding` can mean.
  package let dualObjectiveRounding: Double
  /// What else contradicts the solution.
  package let objections: [String]
  /// What is only worth knowing.
  package let warnings: [String]

  /// `largestConstraint` is an upper bound of what must not exceed β, `rounding` the change of it that
  /// storing ν in double precision may cause.
  init(
    _ program: SolvedProgram, expected: Matrix, primalObjective: Double,
    primalInfeasibility: Double,
    predictionError: Double, largestConstraint: Double, rounding: Double, objections: [String] = [],
    warnings: [String] = []
  ) {
    let (dual, beta) = (program.dual, program.beta)
    self.primalObjective = primalObjective
    self.primalInfeasibility = primalInfeasibility
    self.predictionError = predictionError
    self.objections = objections
    self.warnings = warnings
    dualInfeasibility = max(0, largestConstraint / beta - 1)
    let feasible = largestConstraint > beta ? beta / largestConstraint : 1
    // νᵀy and ‖ν‖²
    var linear = CompensatedSum()
    var square = CompensatedSum()
    for k in 0..<dual.count {
      linear.add(dual.base[k], times: expected.base[k])
      square.add(dual.base[k], times: dual.base[k])
    }
    dualObjective = feasible * linear.value - 0.5 * feasible * feasible * square.value
    relativeGap = Certificate.gap(primal: primalObjective, dual: dualObjective)
    dualRounding = rounding / beta
    dualObjectiveRounding = dualRounding * abs(linear.value - square.value)
  }

  /// (P − D)/P; 0 where both are 0.
  static func gap(primal: Double, dual: Double) -> Double {
    let scale = primal > 0 ? primal : max(abs(primal), abs(dual))
    return scale == 0 ? 0 : (primal - dual) / scale
  }
}

/// The largest |a − b|; infinite where one of them is not a number.
package func largestDifference(_ a: Matrix, _ b: Matrix) -> Double {
  var largest = 0.0
  for k in 0..<a.count {
    let difference = abs(a.base[k] - b.base[k])
    if difference.isNaN { return .infinity }
    largest = max(largest, difference)
  }
  return largest
}
