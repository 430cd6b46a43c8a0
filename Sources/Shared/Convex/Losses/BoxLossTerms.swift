import LinearAlgebra

/// A loss whose slope stays in an interval, of pieces that are linear or quadratic: hinge, huber, quantile. With a
/// margin m, affine in ŷ, and its slope t,
///
///   m = κt + p − q,  p (h − t) = μ,  q (t − l) = μ,  l < t < h,  p, q > 0:
///
/// hinge has m = yŷ − 1, κ = 0 and t in (−1, 0); huber m = ŷ − y, κ = 1 and t in (−1, 1); quantile m = ŷ − y, κ = 0
/// and t in (−τ, 1 − τ). ν = −∂m/∂ŷ · t. Of a loss with the weight w the bounds are w times as large, and κ is κ/w.
package final class BoxLossTerms: LossTerms {
  package let nu: Matrix
  package let inverse: Matrix
  private let targets: Matrix
  private let isMargin: Bool
  private let curvature: [Double]
  private let low: [Double]
  private let high: [Double]
  private var margin: [Double]
  private var slope: [Double]
  private var above: [Double]
  private var below: [Double]
  /// dt, dp and dq of the last step.
  private var change: [(slope: Double, above: Double, below: Double)]

  /// Begins with ν = `start`, within the domain, and products of `mu`; `entries` are the loss's targets, C × n.
  package init?(_ loss: any Loss, _ entries: Matrix, start: Matrix, mu: Double) {
    guard let pieces = loss.pieces else { return nil }
    targets = Matrix(entries.rows, entries.columns, entries.values.map(loss.target))
    let weights = entries.values.map(loss.weight)
    isMargin = pieces.isMargin
    curvature = weights.map { pieces.curvature / $0 }
    low = weights.map { pieces.slopes.lowerBound * $0 }
    high = weights.map { pieces.slopes.upperBound * $0 }
    nu = Matrix(targets.rows, targets.columns)
    inverse = Matrix(targets.rows, targets.columns)
    margin = Array(repeating: 0, count: targets.count)
    (slope, above, below) = (margin, margin, margin)
    change = Array(repeating: (0, 0, 0), count: targets.count)
    for k in slope.indices {
      let least = 1e-12 * weights[k]
      slope[k] = min(max(-direction(k) * start.base[k], low[k] + least), high[k] - least)
      above[k] = mu / (high[k] - slope[k])
      below[k] = mu / (slope[k] - low[k])
    }
  }

  private func direction(_ k: Int) -> Double { isMargin ? targets.base[k] : 1 }

  package var complementarity: (sum: Double, count: Double) {
    (complementarity(after: 0), 2 * Double(slope.count))
  }

  package func complementarity(after step: Double, _ dnu: Matrix) -> Double {
    complementarity(after: step)
  }

  private func complementarity(after step: Double) -> Double {
    var sum = 0.0
    for k in slope.indices {
      let d = step == 0 ? (0, 0, 0) : change[k]
      let t = slope[k] + step * d.0
      sum += (above[k] + step * d.1) * (high[k] - t) + (below[k] + step * d.2) * (t - low[k])
    }
    return sum
  }

  package func refresh(_ predictions: Matrix) {
    for k in slope.indices {
      let (z, y) = (predictions.base[k], targets.base[k])
      margin[k] = isMargin ? y * z - 1 : z - y
      nu.base[k] = -direction(k) * slope[k]
      inverse.base[k] =
        curvature[k] + above[k] / (high[k] - slope[k]) + below[k] / (slope[k] - low[k])
    }
  }

  package func rightHandSide(target: Double, isCorrector: Bool, into r: Matrix) {
    for k in slope.indices {
      let (first, second) = products(k, target, isCorrector)
      let rho =
        margin[k] - curvature[k] * slope[k] - first / (high[k] - slope[k])
        + second / (slope[k] - low[k])
      r.base[k] = -direction(k) * rho
    }
  }

  /// The values that the products are to have, less the predictor's terms of second order.
  private func products(_ k: Int, _ target: Double, _ isCorrector: Bool) -> (Double, Double) {
    guard isCorrector else { return (target, target) }
    let d = change[k]
    return (target + d.above * d.slope, target - d.below * d.slope)
  }

  package func complete(_ dnu: Matrix, target: Double, isCorrector: Bool) {
    for k in slope.indices {
      let (first, second) = products(k, target, isCorrector)
      let dt = -direction(k) * dnu.base[k]
      let (up, down) = (high[k] - slope[k], slope[k] - low[k])
      change[k] = (
        dt, (first - above[k] * up + above[k] * dt) / up,
        (second - below[k] * down - below[k] * dt) / down
      )
    }
  }

  package func stepLength(_ dnu: Matrix) -> Double {
    var limit = 1.0
    for k in slope.indices {
      let d = change[k]
      if d.slope > 0 { limit = min(limit, (high[k] - slope[k]) / d.slope) }
      if d.slope < 0 { limit = min(limit, (slope[k] - low[k]) / -d.slope) }
      if d.above < 0 { limit = min(limit, above[k] / -d.above) }
      if d.below < 0 { limit = min(limit, below[k] / -d.below) }
    }
    return limit
  }

  package func move(_ step: Double, _ dnu: Matrix) {
    for k in slope.indices {
      slope[k] += step * change[k].slope
      above[k] += step * change[k].above
      below[k] += step * change[k].below
    }
  }
}
