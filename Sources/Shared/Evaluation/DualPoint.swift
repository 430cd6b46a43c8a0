import Glibc
import LinearAlgebra
import Schema

/// A dual point ν, n × C, in the domain of the conjugate of a loss, and its value.
///
/// A sample of weight w has the term −w ℓ_i*(−ν_i/w), which is what follows with ν_i/w in place of ν_i.
///
/// −ℓ*(−sν) bounds the optimum from below for every s in 0 … 1 that brings sν into the constraints of the
/// norm: the domains of all losses contain 0 and are convex, so that sν stays in them.
struct DualPoint {
  let loss: LossName
  /// ν.
  let values: Matrix
  /// How far the solver's point was outside the domain.
  let violation: Double
  /// y.
  private let expected: Matrix
  /// The weight of each sample; nil if all count alike.
  private let weights: [Double]?

  /// Takes `written`, and moves into the domain what is outside it.
  init(_ written: Matrix, _ judged: JudgedLoss, expected: Matrix) {
    let loss = judged.name
    self.loss = loss
    self.expected = expected
    let weights = judged.rows(expected)
    self.weights = weights
    var violation = 0.0
    switch loss {
    case .squared, .interpolation:
      values = written
    case .margin:
      // y ν ≥ 0
      values = Matrix(copying: written)
      for k in 0..<written.count where expected.base[k] * written.base[k] < 0 {
        violation = max(violation, abs(written.base[k]))
        values.base[k] = 0
      }
    case .logistic, .hinge, .huber, .quantile:
      // y ν in [0, 1]; |ν| ≤ 1; ν in [τ − 1, τ]
      values = Matrix(copying: written)
      let (least, most) =
        switch loss {
        case .huber: (-1.0, 1.0)
        case .quantile(let level): (level - 1, level)
        default: (0.0, 1.0)
        }
      for k in 0..<written.count {
        let (sign, w) = (
          loss.hasSigns ? expected.base[k] : 1, weights?[k / written.columns] ?? 1
        )
        let value = sign * written.base[k]
        violation = max(violation, (w * least - value) / w, (value - w * most) / w)
        values.base[k] = sign * min(w * most, max(w * least, value))
      }
    case .crossEntropy:
      values = Matrix(copying: written)
      for i in 0..<written.rows {
        violation = max(
          violation,
          DualPoint.moveRow(
            values.row(i), expected.row(i), written.columns, weight: weights?[i] ?? 1))
      }
    }
    self.violation = violation
  }

  /// Moves y − ν/w into the simplex unless rounding explains that it is outside. Returns how far it was.
  private static func moveRow(
    _ nu: UnsafeMutablePointer<Double>, _ y: UnsafePointer<Double>, _ classes: Int,
    weight w: Double
  ) -> Double {
    var least = 0.0
    var (sum, kept) = (CompensatedSum(), 0.0)
    for c in 0..<classes {
      sum.add(y[c])
      sum.add(-nu[c] / w)
      least = min(least, y[c] - nu[c] / w)
      kept += max(0, y[c] - nu[c] / w)
    }
    let error = max(-least, abs(sum.value - 1))
    guard least < 0 || error > Double(classes) * .ulpOfOne else { return error }
    for c in 0..<classes {
      nu[c] = kept > 0 ? w * (y[c] - max(0, y[c] - nu[c] / w) / kept) : 0
    }
    return error
  }

  /// −ℓ*(−sν), for s in 0 … 1.
  func value(scaledBy s: Double) -> Double {
    var sum = CompensatedSum()
    if loss == .squared || loss == .huber {
      // sνᵀy − ½s² Σ ν²/w
      var square = CompensatedSum()
      for k in 0..<values.count {
        sum.add(values.base[k], times: expected.base[k])
        square.add(values.base[k] / weight(k), times: values.base[k])
      }
      return s * sum.value - 0.5 * s * s * square.value
    }
    for k in 0..<values.count {
      let w = weight(k)
      let (nu, y) = (s * values.base[k] / w, expected.base[k])
      switch loss {
      case .logistic:
        sum.add(-w * entropyTerm(y * nu))
        sum.add(-w * entropyTerm(1 - y * nu, complement: y * nu))
      case .hinge:
        sum.add(w * y * nu)
      case .quantile, .interpolation, .margin:
        sum.add(w * nu, times: y)
      default:
        sum.add(-w * (y == 1 ? entropyTerm(1 - nu, complement: nu) : entropyTerm(y - nu)))
      }
    }
    return sum.value
  }

  /// The weight of the sample of entry `k`.
  private func weight(_ k: Int) -> Double { weights?[k / values.columns] ?? 1 }

  /// The factor, at most 1, by which an honest ν is smaller than this one: for squared loss a ν that is worth more than
  /// ν = 0 has ‖ν‖ ≤ 2 ‖y‖, with weights at most max w times as much, and other losses bound each of its entries.
  var honestShare: Double {
    guard loss == .squared else { return 1 }
    let size = norm(values.count, values.base)
    let limit = 2 * (weights?.max() ?? 1) * norm(expected.count, expected.base)
    return size > limit ? limit / size : 1
  }

  /// q log q; 0 for q = 0. `complement` is 1 − q, if it is known more accurately.
  private func entropyTerm(_ q: Double, complement: Double? = nil) -> Double {
    guard q > 0 else { return 0 }
    if let complement, complement < 0.5 { return q * log1p(-complement) }
    return q * log(q)
  }
}
