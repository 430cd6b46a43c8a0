import LinearAlgebra

/// The best primal and the best dual point of a program that a solve has met so far; they need not come from the same
/// iteration. It scales dual points into their constraints, for all searches but two that have coordinates of their own:
/// polynomial programs with squared loss (`ClassResult`) and column generation over cells (`OutputSolver`).
///
/// Targets, predictions and ν are n × C; all may be C × n if the loss is a sum of equal functions of their entries.
package final class Incumbent<Weights> {
  package let loss: any Loss
  package let targets: Matrix
  package let beta: Double
  /// The variables of the best primal point, its predictions ŷ and its objective.
  package private(set) var weights: Weights
  package let predictions: Matrix
  package private(set) var primal: Double
  /// The best ν, which is feasible.
  package let dual: Matrix
  private var parts: [Part]

  /// Columns of ν that are scaled by one factor.
  private struct Part {
    let columns: Range<Int>
    let targets: Matrix
    let candidate: Matrix
    var value: Double
  }

  package var dualValue: Double { parts.reduce(0) { $0 + $1.value } }
  package var gap: Double { relativeGap(primal: primal, dual: dualValue) }

  /// Begins with the zero network, whose variables are `weights`, and with ν = 0. If `isSeparable`, the program is a
  /// sum of one program for each column of the targets, and each column of ν is scaled by a factor of its own.
  package init(
    _ loss: any Loss, targets: Matrix, beta: Double, zero weights: Weights,
    isSeparable: Bool = false
  ) {
    self.loss = loss
    self.targets = targets
    self.beta = beta
    self.weights = weights
    predictions = Matrix(targets.rows, targets.columns)
    dual = Matrix(targets.rows, targets.columns)
    primal = loss.value(predictions, targets)
    let columns = targets.columns
    parts = (isSeparable ? (0..<columns).map { $0..<$0 + 1 } : [0..<columns]).map {
      let part = isSeparable ? targets.columns($0) : targets
      let zero = Matrix(part.rows, part.columns)
      return Part(
        columns: $0, targets: part, candidate: zero, value: loss.dualValue(zero, part))
    }
  }

  /// Takes a feasible primal point if it is better; `update` then changes the variables to those of this point.
  package func offer(
    primal value: Double, predictions: Matrix, update: (inout Weights) -> Void
  ) {
    guard value < primal else { return }
    primal = value
    self.predictions.copy(from: predictions)
    update(&weights)
  }

  /// Takes the best feasible multiple of `nu` for each part that it improves. `largest` is, for each part or for each
  /// column of a single part, the largest norm that the constraints bound by β, with room for the rounding of a
  /// certificate that sums in another order. `adjust` may improve entries that no constraint involves.
  package func offer(
    dual nu: Matrix, largest: [Double], adjust: (Matrix) -> Void = { _ in }
  ) {
    for k in parts.indices {
      let part = parts[k]
      let candidate = part.candidate
      if parts.count == 1 {
        candidate.copy(from: nu)
      } else {
        candidate.copy(from: nu.columns(part.columns))
      }
      let bound = parts.count == 1 ? largest.reduce(0, max) : largest[k]
      loss.scale(candidate, part.targets, beta: beta, largest: bound)
      adjust(candidate)
      let value = loss.dualValue(candidate, part.targets)
      guard value > part.value else { continue }
      parts[k].value = value
      if parts.count == 1 {
        dual.copy(from: candidate)
      } else {
        dual.setColumns(part.columns, to: candidate)
      }
    }
  }

  /// The same for one part.
  package func offer(dual nu: Matrix, largest: Double, adjust: (Matrix) -> Void = { _ in }) {
    offer(dual: nu, largest: [largest], adjust: adjust)
  }
}

extension Loss {
  /// Scales ν to the feasible multiple with the largest dual value; `largest` is the largest of the norms that the
  /// constraints bound by `beta`.
  package func scale(_ nu: Matrix, _ targets: Matrix, beta: Double, largest: Double) {
    let bound = largest > 0 ? beta / largest : .greatestFiniteMagnitude
    LinearAlgebra.scale(nu.count, scaling(nu, targets, bound: bound), nu.base)
  }

  /// The dual value of the best feasible multiple of ν.
  package func dualValue(
    of nu: Matrix, _ targets: Matrix, beta: Double, largest: Double
  ) -> Double {
    let candidate = Matrix(copying: nu)
    scale(candidate, targets, beta: beta, largest: largest)
    return dualValue(candidate, targets)
  }
}

/// A largest norm with room for the rounding of a certificate that computes it in another order, for callers that have
/// no bound of their own.
package func withRoom(_ largest: Double) -> Double { largest * (1 + 1e-12) }
