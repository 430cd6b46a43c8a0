import Glibc
import LinearAlgebra
import Schema
import Tensors

/// The losses that networks are trained on, for the certificate.
extension LossName {
  /// ℓ(ŷ) for n × C outputs and targets; that of each sample is multiplied by its weight, if there are `weights`. Of a
  /// constraint it is what outputs miss, beyond the share of the largest target that counts as rounding.
  package func value(_ outputs: Matrix, _ expected: Matrix, weights: [Double]? = nil) -> Double {
    if isConstraint { return missed(outputs, expected) }
    var sum = CompensatedSum()
    for i in 0..<outputs.rows {
      let (z, y, w) = (outputs.row(i), expected.row(i), weights?[i] ?? 1)
      if self == .crossEntropy {
        addCrossEntropy(z, y, outputs.columns, times: w, to: &sum)
      } else {
        for c in 0..<outputs.columns { add(z[c], y[c], times: w, to: &sum) }
      }
    }
    return sum.value
  }

  private func add(
    _ output: Double, _ target: Double, times w: Double, to sum: inout CompensatedSum
  ) {
    switch self {
    case .squared, .crossEntropy:
      sum.add(w * 0.5 * (output - target), times: output - target)
    case .logistic:
      let margin = target * output
      // log(1 + e^(−m)) = −m + log(1 + e^m)
      sum.add(margin < 0 ? -w * margin : 0)
      sum.add(w * log1p(exp(-abs(margin))))
    case .hinge:
      sum.add(w * max(0, 1 - target * output))
    case .interpolation, .margin: preconditionFailure("a constraint")
    case .huber:
      let error = abs(output - target)
      if error <= 1 { sum.add(w * 0.5 * error, times: error) } else { sum.add(w * (error - 0.5)) }
    case .quantile(let level):
      let error = target - output
      sum.add(w * (error > 0 ? level : level - 1), times: error)
    }
  }

  private func missed(_ outputs: Matrix, _ expected: Matrix) -> Double {
    let largest = (0..<expected.count).reduce(0) { max($0, abs(expected.base[$1])) }
    let rounding = Claim.feasibilityTolerance * largest
    var sum = CompensatedSum()
    for k in 0..<outputs.count {
      let (output, target) = (outputs.base[k], expected.base[k])
      let own = self == .margin ? 1 - target * output : abs(output - target)
      if !(own <= rounding) { sum.add(own) }
    }
    return sum.value
  }

  /// How far outputs are from a constraint that they have to satisfy: |ŷ − y| or 1 − yŷ, relative to the largest |y|, or to the
  /// largest output that the network can have on the sample, `reach`, if that is smaller: where it is small a sample is not
  /// fitted yet by what is rounding elsewhere. 0 for losses that are no constraint.
  func shortfall(_ outputs: Matrix, _ expected: Matrix, reach: [Double]) -> Double {
    guard isConstraint else { return 0 }
    let largest = (0..<expected.count).reduce(0) { max($0, abs(expected.base[$1])) }
    var worst = 0.0
    for i in 0..<outputs.rows {
      for c in 0..<outputs.columns {
        let (output, target) = (outputs[i, c], expected[i, c])
        let own = self == .margin ? 1 - target * output : abs(output - target)
        if own.isNaN { return .infinity }
        if own > 0 { worst = max(worst, own / min(largest, reach[i])) }
      }
    }
    return worst
  }

  private func addCrossEntropy(
    _ z: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ classes: Int,
    times w: Double, to sum: inout CompensatedSum
  ) {
    var top = 0
    for c in 1..<classes where z[c] > z[top] { top = c }
    // log Σ e^z = z_top + log(1 + Σ' e^(z − z_top))
    var others = 0.0
    for c in 0..<classes where c != top { others += exp(z[c] - z[top]) }
    sum.add(w * log1p(others))
    for c in 0..<classes where y[c] != 0 { sum.add(w * y[c], times: z[top] - z[c]) }
  }

  /// Throws if the loss is not defined for such targets (n × C) of the bundle `name`.
  func expect(_ targets: Matrix, name: String) throws {
    if hasSigns {
      for k in 0..<targets.count where abs(targets.base[k]) != 1 {
        throw Failure.data(
          "the targets of \(name) hold \(targets.base[k]) for sample \(k / targets.columns), "
            + "expected -1 or 1 for the \(rawValue) loss")
      }
    }
    guard self == .crossEntropy else { return }
    guard targets.columns > 1 else {
      throw Failure.data(
        "the targets of \(name) have one column, expected one for each class for the "
          + "cross-entropy loss")
    }
    for i in 0..<targets.rows {
      var sum = 0.0
      var least = 0.0
      for c in 0..<targets.columns {
        sum += targets[i, c]
        least = min(least, targets[i, c])
      }
      guard least >= 0, abs(sum - 1) <= 1e-12 else {
        throw Failure.data(
          "the targets of sample \(i) of \(name) are no distribution, as the cross-entropy loss needs"
        )
      }
    }
  }
}
