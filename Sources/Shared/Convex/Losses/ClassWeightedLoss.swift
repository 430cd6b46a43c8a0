import LinearAlgebra
import Schema

/// How the losses of samples are multiplied by weights of their classes.
///
/// Weights travel with the targets, so that whatever cuts, exchanges or transposes these needs to know nothing of them.
/// For cross-entropy a sample's targets add up to its weight: ℓ = Σ_i (w_i log Σ_c e^(ŷ_ic) − Σ_c y_ic ŷ_ic). Of other
/// losses an entry of the targets is the number of a case, of which each has its target and its weight.
package struct ClassWeighting: Sendable {
  package let weights: ClassWeights
  package let targets: TargetValues

  package init(_ weights: ClassWeights, _ targets: TargetValues) {
    (self.weights, self.targets) = (weights, targets)
  }

  /// The entry of a sample of class `label` whose target is the second of the two values, or the first.
  package func entry(_ label: Int, isSecond: Bool, _ loss: LossName) -> Double {
    if loss == .crossEntropy { return isSecond ? weights.values[label] : 0 }
    return Double(2 * label + (isSecond ? 1 : 0))
  }

  /// The cases in the order of their numbers.
  fileprivate var cases: [(target: Double, weight: Double)] {
    weights.values.flatMap { [(targets.first, $0), (targets.second, $0)] }
  }
}

/// ℓ = Σ w_k ℓ_k(ŷ_k) for a loss Σ ℓ_k(ŷ_k), whose targets are numbers of cases; −ℓ*(−ν) = −Σ w_k ℓ_k*(−ν_k/w_k).
struct ClassWeightedLoss<Base: ScalarLoss>: ScalarLoss {
  private let base: Base
  private let cases: [(target: Double, weight: Double)]

  init(_ base: Base, _ weighting: ClassWeighting) {
    self.base = base
    cases = weighting.cases
  }

  var name: LossName { base.name }
  var pieces: LinearPieces? { base.pieces }
  var typicalCurvature: Double {
    base.typicalCurvature * cases.reduce(0) { $0 + $1.weight } / Double(cases.count)
  }

  func target(_ entry: Double) -> Double { cases[Int(entry)].target }
  func weight(_ entry: Double) -> Double { cases[Int(entry)].weight }

  func value(_ z: Double, _ y: Double) -> Double { weight(y) * base.value(z, target(y)) }
  func slope(_ z: Double, _ y: Double) -> Double { weight(y) * base.slope(z, target(y)) }
  func curvature(_ z: Double, _ y: Double) -> Double { weight(y) * base.curvature(z, target(y)) }

  func dualRange(_ y: Double) -> ClosedRange<Double> {
    let (range, w) = (base.dualRange(target(y)), weight(y))
    return w * range.lowerBound...w * range.upperBound
  }

  func prox(_ v: Double, _ y: Double, penalty r: Double, from start: Double) -> Double {
    base.prox(v, target(y), penalty: r / weight(y), from: start)
  }

  func dualValue(_ nu: Double, _ y: Double) -> Double {
    let w = weight(y)
    // A bound of the range, divided by w, may be beyond the base's by a rounding.
    let range = base.dualRange(target(y))
    guard dualRange(y).contains(nu) else { return -.infinity }
    return w * base.dualValue(min(range.upperBound, max(range.lowerBound, nu / w)), target(y))
  }

  func dualSlope(_ nu: Double, _ y: Double) -> Double { base.dualSlope(nu / weight(y), target(y)) }

  func scaling(_ direction: Matrix, _ targets: Matrix, bound: Double) -> Double {
    for sign in [1.0, -1.0] {
      var upper = bound
      for k in 0..<direction.count {
        let (nu, range) = (sign * direction.base[k], dualRange(targets.base[k]))
        let room = nu > 0 ? range.upperBound : -range.lowerBound
        // Rounded down, so that s ν itself is in the domain.
        if nu != 0 { upper = min(upper, room / abs(nu) * (1 - 4 * Double.ulpOfOne)) }
      }
      func slope(_ s: Double) -> Double {
        var sum = 0.0
        for k in 0..<direction.count where direction.base[k] != 0 {
          let nu = sign * direction.base[k]
          sum += nu * dualSlope(s * nu, targets.base[k])
        }
        return sum
      }
      // A bound far beyond the maximum would cost the search its digits.
      var last = min(1, upper)
      while last < upper, slope(last) > 0 { last = min(upper, 16 * last) }
      let s = maximizer(upTo: last, slope: slope)
      if s > 0 { return sign * s }
    }
    return 0
  }
}
