import LinearAlgebra

/// The best feasible primal and dual points of a program with any loss that were met so far.
///
/// Losses that are sums over outputs, with a group for each, have a dual point for each output that is
/// scaled by itself; otherwise one factor scales all of ν.
package final class LossPoint {
  private let targets: Matrix
  private let loss: any Loss
  private let regularizer: any Regularizer
  let beta: Double
  /// Outputs whose parts of ν are scaled together.
  private let blocks: [Range<Int>]
  /// y of each block.
  private let parts: [Matrix]
  private var dualValues: [Double]
  /// ν, n × C, feasible.
  let dual: Matrix
  /// PC × Q and n × C.
  private(set) var weights: Matrix
  private(set) var members: [Int] = []
  let predictions: Matrix
  package private(set) var primal: Double
  package private(set) var active = 0

  package var dualValue: Double { dualValues.reduce(0, +) }
  package var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// The network that is zero, and no dual point yet.
  package init(_ targets: Matrix, loss: any Loss, regularizer: any Regularizer, beta: Double) {
    self.targets = targets
    self.loss = loss
    self.regularizer = regularizer
    self.beta = beta
    let (n, outputs) = (targets.rows, targets.columns)
    blocks =
      regularizer.isSeparable && loss.isSeparable
      ? (0..<outputs).map { $0..<$0 + 1 } : [0..<outputs]
    parts = blocks.map { LossPoint.columns($0, of: targets) }
    dualValues = parts.map { loss.dualValue(Matrix(n, $0.columns), $0) }
    dual = Matrix(n, outputs)
    if dualValues.contains(-.infinity) { dualValues = dualValues.map { _ in -.infinity } }
    weights = Matrix(0, 0)
    predictions = Matrix(n, outputs)
    primal = loss.value(predictions, targets)
  }

  /// Σ ‖W_g‖ of the weights.
  var penalty: Double {
    var sum = 0.0
    for first in stride(from: 0, to: weights.count, by: regularizer.size) {
      sum += regularizer.value(weights.base + first)
    }
    return sum
  }

  /// Takes the weights of the groups `members` where they are better.
  func offer(
    primal value: Double, active: Int, members: [Int], weights w: Matrix, predictions f: Matrix
  ) {
    guard value < primal else { return }
    primal = value
    self.active = active
    self.members = members
    if weights.rows != w.rows || weights.columns != w.columns {
      weights = Matrix(w.rows, w.columns)
    }
    weights.copy(from: w)
    predictions.copy(from: f)
  }

  /// Takes the best feasible multiple of ν (n × C), in the loss's domain, where it is better; `largest` are
  /// the norms that the constraints bound.
  func offer(dual nu: Matrix, largest: [Double]) {
    for (b, block) in blocks.enumerated() {
      let part = LossPoint.columns(block, of: nu)
      // One bound for each of the outputs, or for all of them.
      let bound =
        largest.count == dual.columns
        ? largest[block].reduce(0, max) : largest.reduce(0, max)
      let scaling = loss.scaling(
        part, parts[b], bound: bound > 0 ? beta / bound : .greatestFiniteMagnitude)
      scale(part.count, scaling, part.base)
      let value = loss.dualValue(part, parts[b])
      guard value > dualValues[b] else { continue }
      dualValues[b] = value
      for j in 0..<dual.rows {
        for (k, c) in block.enumerated() { dual[j, c] = part[j, k] }
      }
    }
  }

  /// The columns `range` of `matrix`.
  static func columns(_ range: Range<Int>, of matrix: Matrix) -> Matrix {
    let result = Matrix(matrix.rows, range.count)
    for j in 0..<matrix.rows {
      for (k, c) in range.enumerated() { result[j, k] = matrix[j, c] }
    }
    return result
  }
}
